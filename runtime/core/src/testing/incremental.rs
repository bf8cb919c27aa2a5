//! Steps that keep results right, one behind the other, through whole runs: whatever is killed, cut, restarted, drained or kept on disk, what was added less what was
//! taken away is what one run comes to that nothing interrupts.

use super::*;
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::graph::*;

const SINKS: [&str; 6] = ["windows", "groups", "first", "different", "sessions", "all"];

impl Planned {
    /// A node whose rows change; the weight is its last column.
    fn kept_right(&mut self, operator: Operator, input: NodeId, columns: Vec<Field>) -> NodeId {
        let mut schema = Schema::new(columns);
        schema.fields.push(weight());
        let node = self.node(operator, &[input], schema);
        self.plan.graph.nodes[node.0 as usize].kind = Kind::Changing { key: vec![] };
        node
    }

    /// A sink for rows that change.
    fn merged(&mut self, name: &str, input: NodeId) {
        self.sink(name, input, false);
        let (Some(sink), Some(node)) = (self.plan.sinks.last_mut(), self.plan.graph.nodes.last_mut()) else { return };
        (sink.changing, sink.mode) = (true, SinkMode::Merge { keys: vec![sink.schema.fields[0].name.clone()] });
        node.kind = Kind::Changing { key: vec![] };
    }
}

fn call(function: F, input: &Schema, args: &[usize]) -> AggregateCall {
    let types: Vec<Type> = args.iter().map(|arg| input.fields[*arg].ty.clone()).collect();
    let ty = function.result_type(&types, false).unwrap();
    AggregateCall { function, args: args.to_vec(), constants: vec![], filter: None, ty, origin: Origin::default() }
}

fn columns(aggregate: &Aggregate, input: &Schema, windowed: bool) -> Vec<Field> {
    let mut columns: Vec<Field> = aggregate.keys.iter().map(|key| input.fields[*key].clone()).collect();
    let bounds = ["window_start", "window_end"].map(|name| Field::new(name, Type::new(DataType::Timestamp)));
    columns.extend(bounds.into_iter().filter(|_| windowed));
    let calls = aggregate.aggregates.iter().enumerate();
    columns.extend(calls.map(|(i, call)| Field::new(format!("a{i}"), call.ty.clone())));
    columns
}

/// `size`: of the windows. `keys`: of the first step.
fn plan_of(size: i64, key: usize) -> Planned {
    let mut plan = Planned::new();
    let rows = plan.timed("in", 2);
    let input = plan.plan.graph.node(rows).schema.clone();
    let window = |window, time, aggregate, late| {
        let name = format!("{window}");
        Operator::WindowAggregate(WindowAggregate { name, window, time, aggregate, by_time: false, late })
    };
    let calls = vec![call(F::Count, &input, &[]), call(F::Sum, &input, &[1]), call(F::Last, &input, &[1])];
    let aggregate = Aggregate { keys: vec![key], aggregates: calls };
    let out = columns(&aggregate, &input, true);
    let tumble = Window::Tumble { size, align: Alignment::default() };
    let windows = plan.kept_right(window(tumble, 2, aggregate, Some(1_000_000)), rows, out);
    plan.merged("windows", windows);
    let input = plan.plan.graph.node(windows).schema.clone();
    let calls = [(F::Sum, 3), (F::Max, 2), (F::CountDistinct, 5), (F::CollectList, 4), (F::Variance, 4)];
    let calls = calls.map(|(function, arg)| call(function, &input, &[arg]));
    let aggregate = Aggregate { keys: vec![0], aggregates: calls.to_vec() };
    let out = columns(&aggregate, &input, false);
    let keyed = |name: &str, aggregate| Operator::KeyedAggregate(KeyedAggregate { name: name.into(), aggregate });
    let groups = plan.kept_right(keyed("groups", aggregate), windows, out);
    plan.merged("groups", groups);
    let without_weight = input.fields[..6].to_vec();
    let order = vec![SortColumn { column: 4, descending: true, nulls_first: false }];
    let top = Top { name: "first".into(), count: 2, order, keys: vec![0], window: None };
    let first = plan.kept_right(Operator::Top(top), windows, without_weight.clone());
    plan.merged("first", first);
    let dedup = Dedup { name: "different".into(), keys: (0..6).collect(), time: None, within: None, by_time: false };
    let different = plan.kept_right(Operator::Dedup(dedup), first, without_weight);
    plan.merged("different", different);
    let aggregate =
        Aggregate { keys: vec![0], aggregates: vec![call(F::Sum, &input, &[3]), call(F::Min, &input, &[4])] };
    let out = columns(&aggregate, &input, true);
    let sessions = plan.kept_right(window(Window::Session { gap: 2 * size }, 1, aggregate, None), windows, out);
    plan.merged("sessions", sessions);
    let input = plan.plan.graph.node(rows).schema.clone();
    let calls = vec![call(F::Count, &input, &[]), call(F::CollectSet, &input, &[3]), call(F::Last, &input, &[1])];
    let aggregate = Aggregate { keys: vec![], aggregates: calls };
    let out = columns(&aggregate, &input, false);
    let all = plan.kept_right(keyed("all", aggregate), rows, out);
    plan.merged("all", all);
    flowc_ir::verify::verify(&plan.plan).unwrap();
    plan
}

/// Rows out of order by more than the watermark waits for, in parts.
fn parts() -> Vec<Vec<Row>> {
    let disorder = [4, 0, 1, 9, 5, 2, 7, 6, 8, 3];
    let row = |i: i64| (i / 10 * 14 + disorder[(i % 10) as usize], Some((i * 7 % 13) as f64 / 4.0));
    [0..12, 12..30, 30..47].map(|range| range.map(row).collect()).to_vec()
}

/// What each sink holds: the lines without their weights, each with the sum of its weights.
fn held(outside: &Outside) -> BTreeMap<&'static str, BTreeMap<String, i64>> {
    let sum = |name: &&'static str| {
        let mut sum: BTreeMap<String, i64> = BTreeMap::new();
        for row in &outside.target(name).rows {
            let (line, weight) = row.rsplit_once(' ').unwrap();
            *sum.entry(line.to_string()).or_default() += weight.parse::<i64>().unwrap();
        }
        sum.retain(|_, weight| *weight != 0);
        (*name, sum)
    };
    SINKS.iter().map(sum).collect()
}

fn drained(state: &Path) -> RunOptions {
    RunOptions { drain: true, ..options(state, 1, 1024, None) }
}

/// All rows at once, by one worker.
async fn straight() -> BTreeMap<&'static str, BTreeMap<String, i64>> {
    let (outside, state) = (Outside::new(parts().concat()), tempfile::tempdir().unwrap());
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    plan_of(10, 3).run(&memory, drained(state.path())).await.unwrap();
    let held = held(&outside);
    for (name, rows) in &held {
        assert!(rows.len() >= if *name == "all" { 1 } else { 3 }, "{name}: {rows:?}");
        assert!(rows.values().all(|weight| *weight == 1), "{name}: {rows:?}");
    }
    assert!(held["all"].keys().next().unwrap().starts_with("47 "), "{:?}", held["all"]);
    held
}

#[tokio::test]
async fn however_the_input_is_cut_the_results_are_the_same() {
    let wanted = straight().await;
    for (workers, batch_rows, limit) in [(1, 1, Some(1)), (2, 3, Some(4)), (2, 1024, None)] {
        let (outside, state) = (Outside::new([]), tempfile::tempdir().unwrap());
        let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
        for part in parts() {
            outside.add(part);
            plan_of(10, 3).run(&memory, options(state.path(), workers, batch_rows, limit)).await.unwrap();
        }
        plan_of(10, 3).run(&memory, drained(state.path())).await.unwrap();
        assert_eq!(held(&outside), wanted, "{workers} {batch_rows} {limit:?}");
        let rows = outside.target("groups").rows;
        assert!(limit.is_none() || rows.iter().any(|row| row.ends_with(" -1")), "results were corrected: {rows:?}");
        // Nothing that is kept for ever keeps a run from its end.
        assert_eq!(plan_of(10, 3).run(&memory, drained(state.path())).await.unwrap().epochs, 0);
    }
}

#[tokio::test]
async fn killed_at_any_operation_no_result_is_lost_or_taken_away_twice() {
    let wanted = straight().await;
    let mut fired = 0;
    for kill in (0..2000).step_by(11) {
        let (outside, state, parts) = (Outside::new([]), tempfile::tempdir().unwrap(), parts());
        let faults = Faults::after(kill);
        let memory = Memory { outside: Arc::clone(&outside), faults: Arc::clone(&faults) };
        outside.add(parts[0].clone());
        let mut done = plan_of(10, 3).run(&memory, options(state.path(), 2, 3, Some(7))).await.is_ok();
        outside.add(parts[1].clone());
        done &= plan_of(10, 3).run(&memory, options(state.path(), 1, 2, None)).await.is_ok();
        outside.add(parts[2].clone());
        let last = Memory { faults: Faults::none(), ..memory };
        plan_of(10, 3).run(&last, drained(state.path())).await.unwrap();
        assert_eq!(held(&outside), wanted, "kill after {kill}");
        fired += usize::from(faults.hit());
        if done {
            break;
        }
    }
    assert!(fired > 10, "{fired} kills");
}

#[tokio::test]
async fn another_form_of_a_step_begins_with_nothing_only_if_it_is_rebuilt() {
    let other = || {
        let mut plan = plan_of(10, 3);
        for node in &mut plan.plan.graph.nodes {
            if let Operator::Top(top) = &mut node.operator {
                top.count = 1;
            }
        }
        plan
    };
    let (outside, state) = (Outside::new(parts().concat()), tempfile::tempdir().unwrap());
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    plan_of(10, 3).run(&memory, drained(state.path())).await.unwrap();
    outside.add([(80, Some(1.0))]);
    let refused = other().run(&memory, options(state.path(), 1, 8, None)).await.unwrap_err();
    let help = refused.help.unwrap();
    assert!(refused.code == "R0412" && refused.message.contains("the step `first`"), "{}", refused.message);
    assert!(help.contains("--rebuild \"first\"") && !help.contains("--drain"), "{help}");
    assert_eq!(plan_of(10, 3).run(&memory, drained(state.path())).await.unwrap().epochs, 2);
}

#[tokio::test]
async fn what_the_memory_does_not_hold_comes_to_the_same() {
    let mut found = vec![];
    for (memory, limit) in [(512 << 20, None), (512 << 10, Some(1_000)), (512 << 10, None)] {
        let outside = Arc::new(Outside { rows: Mutex::default(), targets: Mutex::default(), split_rows: 4_000 });
        let (state, mut on_disk) = (tempfile::tempdir().unwrap(), vec![]);
        let world = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
        for run in 0..4 {
            let rows = run * 1_500..(run + 1) * 1_500;
            outside.add(rows.map(|i| (i / 2 + 37 * (i % 2), Some(i as f64))).filter(|_| run < 3));
            let options = RunOptions { drain: run == 3, memory, ..options(state.path(), 2, 512, limit) };
            plan_of(16_000, 0).run(&world, options).await.unwrap();
            let seen = crate::state::look(state.path(), "p").unwrap().unwrap().checkpoint.unwrap();
            let steps = seen.sinks.values().flat_map(|sink| sink.operators.clone());
            on_disk.extend(steps.filter(|(_, step)| step.remembered.on_disk > 0).map(|(name, _)| name));
        }
        on_disk.sort();
        on_disk.dedup();
        assert_eq!(memory < 512 << 20, on_disk.len() >= 4, "{on_disk:?}");
        found.push(held(&outside));
    }
    assert!(found[0]["groups"].len() > 2_000, "{}", found[0]["groups"].len());
    assert!(found.iter().all(|held| *held == found[0]));
}
