//! Steps that know event time, through a whole run: whatever is killed, cut, restarted or drained, each window, match and first row comes out once, as in one run
//! that nothing interrupts.

mod upgrades;

use super::*;
use crate::run::Follow;
use flowc_ir::graph::*;

/// What the rows are put through: `id` is the event time in microseconds, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topology {
    /// A tumbling window by key, and what came too late for it.
    Windows,
    /// Sessions, then a window over them.
    Chain,
    /// Two sources matched within a duration, unmatched left rows too.
    Join,
    /// The first row of each key within a duration, and the best of each window.
    FirstAndBest,
}

const ALL: [Topology; 4] = [Topology::Windows, Topology::Chain, Topology::Join, Topology::FirstAndBest];

pub(super) fn timed_schema() -> Schema {
    let mut schema = row_schema();
    schema.fields.push(Field::new("at", Type::new(DataType::Timestamp)));
    schema.fields.push(Field::new("k", Type::new(DataType::Long)));
    schema
}

impl Planned {
    /// The source with its event time and a key, and its watermark.
    pub(super) fn timed(&mut self, name: &str, delay: i64) -> NodeId {
        let source = self.source(name);
        let at = Origin::default();
        let long = Type::new(DataType::Long);
        let call = |name: &str, args: Vec<Expr>, ty: &Type| {
            Expr::new(ExprKind::Call { function: find(name).unwrap(), args }, ty.clone(), at)
        };
        let column = |i: usize, ty: &Type| Expr::new(ExprKind::Column(i), ty.clone(), at);
        let three = Expr::new(ExprKind::Literal(Value::Long(3)), long.clone(), at);
        let time = call("timestamp_micros", vec![column(0, &long)], &Type::new(DataType::Timestamp));
        let key = call("mod", vec![column(0, &long), three], &long);
        let input = row_schema();
        let pass = input.fields.iter().enumerate();
        let mut outputs: Vec<Output> =
            pass.map(|(i, field)| Output { field: field.clone(), value: column(i, &field.ty) }).collect();
        outputs.push(Output { field: timed_schema().fields[2].clone(), value: time });
        outputs.push(Output { field: timed_schema().fields[3].clone(), value: key });
        let program = Program { input, steps: vec![], outputs };
        let timed = self.node(Operator::Transform(program), &[source], timed_schema());
        let spec = Watermark { source: name.into(), time: 2, delay, idle: None };
        self.node(Operator::Watermark(spec), &[timed], timed_schema())
    }

    /// With a column more at the end, the event time of windows: the last instant before the end in this column.
    pub(super) fn last_instant(&mut self, windows: NodeId, end: usize) -> NodeId {
        let (at, input) = (Origin::default(), self.plan.graph.node(windows).schema.clone());
        let timestamp = Type::new(DataType::Timestamp);
        assert_eq!((&*input.fields[end].name, &input.fields[end].ty), ("window_end", &timestamp));
        let one = Expr::new(ExprKind::Literal(Value::Duration(1)), Type::new(DataType::Duration), at);
        let args = vec![Expr::new(ExprKind::Column(end), timestamp.clone(), at), one];
        let call = ExprKind::Call { function: find("subtract").unwrap(), args };
        let outputs = input.fields.iter().enumerate().map(|(i, field)| Output {
            field: field.clone(),
            value: Expr::new(ExprKind::Column(i), field.ty.clone(), at),
        });
        let field = Field::new("last_instant", timestamp.clone());
        let mut outputs: Vec<Output> = outputs.collect();
        outputs.push(Output { field, value: Expr::new(call, timestamp, at) });
        let schema = Schema::new(outputs.iter().map(|output| output.field.clone()).collect());
        self.node(Operator::Transform(Program { input, steps: vec![], outputs }), &[windows], schema)
    }

    pub(super) fn window(
        &mut self,
        name: &str,
        input: NodeId,
        window: Window,
        (time, keys): (usize, &[usize]),
    ) -> NodeId {
        let schema = self.plan.graph.node(input).schema.clone();
        let call = |function, args: Vec<usize>, ty: Type| AggregateCall {
            function,
            args,
            constants: vec![],
            filter: None,
            ty,
            origin: Origin::default(),
        };
        use flowc_ir::aggregates::AggregateFunction as F;
        let x = schema.fields[1].ty.clone();
        let aggregates = vec![call(F::Count, vec![], Type::new(DataType::Long)), call(F::Last, vec![1], x.clone())];
        let mut fields: Vec<Field> = keys.iter().map(|key| schema.fields[*key].clone()).collect();
        let timestamp = Type::new(DataType::Timestamp);
        fields.extend([Field::new("window_start", timestamp.clone()), Field::new("window_end", timestamp)]);
        fields.extend([Field::new("n", Type::new(DataType::Long)), Field::new("last", x)]);
        let aggregate = Aggregate { keys: keys.to_vec(), aggregates };
        let spec = WindowAggregate { name: name.into(), window, time, aggregate, by_time: false, late: None };
        self.node(Operator::WindowAggregate(spec), &[input], Schema::new(fields))
    }
}

fn plan_of(topology: Topology) -> Planned {
    let mut plan = Planned::new();
    let rows = plan.timed("in", 4);
    let tumble = |size| Window::Tumble { size, align: Alignment::default() };
    match topology {
        Topology::Windows => {
            let windowed = plan.window("w", rows, tumble(10), (2, &[3]));
            let late = plan.node(Operator::Late, &[windowed], timed_schema());
            plan.sink("out", windowed, false);
            plan.sink("late", late, false);
        }
        Topology::Chain => {
            let sessions = plan.window("sessions", rows, Window::Session { gap: 3 }, (2, &[]));
            let ended = plan.last_instant(sessions, 1);
            let windowed = plan.window("w", ended, tumble(20), (4, &[]));
            plan.sink("out", windowed, false);
            plan.sink("sessions", sessions, false);
        }
        Topology::Join => {
            let other = plan.timed("other", 4);
            let spec = StreamJoin {
                name: "j".into(),
                kind: JoinKind::Left,
                left_keys: vec![3],
                right_keys: vec![3],
                within: Some(Within { left: 2, right: 2, duration: 6 }),
                residual: None,
            };
            let mut schema = timed_schema();
            for field in timed_schema().fields {
                schema.fields.push(Field::new(format!("o.{}", field.name), field.ty.with_nullable(true)));
            }
            let joined = plan.node(Operator::Join(spec), &[rows, other], schema);
            plan.sink("out", joined, false);
        }
        Topology::FirstAndBest => {
            let dedup = Dedup { name: "d".into(), keys: vec![3], time: Some(2), within: Some(7), by_time: false };
            let first = plan.node(Operator::Dedup(dedup), &[rows], timed_schema());
            plan.sink("first", first, false);
            let windowed = plan.window("w", first, tumble(15), (2, &[3]));
            let order = vec![SortColumn { column: 3, descending: true, nulls_first: false }];
            let top = Top { name: "t".into(), count: 2, order, keys: vec![], window: Some((1, 2)) };
            let schema = plan.plan.graph.node(windowed).schema.clone();
            let best = plan.node(Operator::Top(top), &[windowed], schema);
            plan.sink("out", best, false);
        }
    }
    flowc_ir::verify::verify(&plan.plan).unwrap();
    plan
}

/// Rows out of order by at most 3 microseconds, so that none is late, with gaps; in parts.
fn parts() -> Vec<(Vec<Row>, Vec<Row>)> {
    let disorder = [2, 0, 1, 3, 5, 4, 7, 6, 8, 9];
    let id = |i: i64| i / 10 * 14 + disorder[(i % 10) as usize];
    let rows = |range: std::ops::Range<i64>, step: i64| -> Vec<Row> {
        range.map(|i| (id(i) * step, Some(i as f64))).collect()
    };
    vec![(rows(0..12, 1), rows(0..5, 2)), (rows(12..30, 1), rows(5..15, 2)), (rows(30..47, 1), rows(15..21, 2))]
}

fn add(outside: &Outside, (left, right): &(Vec<Row>, Vec<Row>)) {
    let mut rows = outside.rows.lock().unwrap();
    rows.entry("in".into()).or_default().extend(left.iter().copied());
    rows.entry("other".into()).or_default().extend(right.iter().copied());
}

fn outside() -> Arc<Outside> {
    Arc::new(Outside { rows: Mutex::default(), targets: Mutex::default(), split_rows: 3 })
}

fn everything(outside: &Outside) -> BTreeMap<String, Vec<String>> {
    let sorted = |target: &Target| {
        let mut rows = target.rows.clone();
        rows.sort();
        rows
    };
    outside.targets.lock().unwrap().iter().map(|(name, target)| (name.clone(), sorted(target))).collect()
}

#[tokio::test]
async fn once_drained_nothing_is_open() {
    for topology in ALL {
        let (outside, state) = (outside(), tempfile::tempdir().unwrap());
        parts().iter().for_each(|part| add(&outside, part));
        let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
        let drained = || RunOptions { drain: true, ..options(state.path(), 1, 1024, None) };
        let first = plan_of(topology).run(&memory, drained()).await.unwrap();
        assert!(first.epochs <= 3, "{topology:?}: {} epochs", first.epochs);
        let again = plan_of(topology).run(&memory, drained()).await.unwrap();
        assert_eq!(again.epochs, 0, "{topology:?}");
    }
}

/// All rows at once, by one worker.
async fn straight(topology: Topology) -> BTreeMap<String, Vec<String>> {
    let outside = outside();
    parts().iter().for_each(|part| add(&outside, part));
    let state = tempfile::tempdir().unwrap();
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let options = RunOptions { drain: true, ..options(state.path(), 1, 1024, None) };
    plan_of(topology).run(&memory, options).await.unwrap();
    let all = everything(&outside);
    assert!(all["out"].len() >= 3, "{topology:?}: {all:?}");
    all
}

#[tokio::test]
async fn however_the_input_is_cut_the_rows_are_the_same() {
    for topology in ALL {
        let wanted = straight(topology).await;
        for (workers, batch_rows, limit) in [(1, 1, Some(1)), (2, 3, Some(4)), (2, 1024, None)] {
            let (outside, state) = (outside(), tempfile::tempdir().unwrap());
            let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
            for part in parts() {
                add(&outside, &part);
                plan_of(topology).run(&memory, options(state.path(), workers, batch_rows, limit)).await.unwrap();
            }
            let before = everything(&outside);
            let last = RunOptions { drain: true, ..options(state.path(), 1, 2, None) };
            plan_of(topology).run(&memory, last).await.unwrap();
            assert_eq!(everything(&outside), wanted, "{topology:?} {workers} {batch_rows} {limit:?}");
            assert_ne!(before, wanted, "{topology:?}: something was open");
        }
    }
}

#[tokio::test]
async fn killed_at_any_operation_nothing_is_lost_or_written_twice() {
    for topology in ALL {
        let wanted = straight(topology).await;
        let mut fired = 0;
        // Every fifth operation: the simulator kills at the others.
        for kill in (0..2000).step_by(5) {
            let (outside, state) = (outside(), tempfile::tempdir().unwrap());
            let faults = Faults::after(kill);
            let memory = Memory { outside: Arc::clone(&outside), faults: Arc::clone(&faults) };
            let parts = parts();
            let mut done = true;
            add(&outside, &parts[0]);
            done &= plan_of(topology).run(&memory, options(state.path(), 2, 3, Some(7))).await.is_ok();
            add(&outside, &parts[1]);
            done &= plan_of(topology).run(&memory, options(state.path(), 1, 2, None)).await.is_ok();
            add(&outside, &parts[2]);
            let again = Memory { faults: Faults::after(kill % 17 + 3), ..memory.clone() };
            let drained = || RunOptions { drain: true, ..options(state.path(), 2, 4, Some(9)) };
            let _ = plan_of(topology).run(&again, drained()).await;
            let last = Memory { faults: Faults::none(), ..memory };
            plan_of(topology).run(&last, drained()).await.unwrap();
            assert_eq!(everything(&outside), wanted, "{topology:?}: kill after {kill}");
            fired += usize::from(faults.hit());
            if done {
                break;
            }
        }
        assert!(fired > 10, "{topology:?}: {fired} kills");
    }
}

#[tokio::test]
async fn rows_behind_closed_windows_are_late_and_counted() {
    let plan = plan_of(Topology::Windows);
    let (outside, state) = (outside(), tempfile::tempdir().unwrap());
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    add(&outside, &(vec![(3, None), (30, None)], vec![]));
    let first = plan.run(&memory, options(state.path(), 1, 8, None)).await.unwrap();
    assert_eq!(outside.target("out").rows.len(), 1, "the watermark is 26");
    add(&outside, &(vec![(9, None), (15, None), (21, None)], vec![]));
    let second = plan.run(&memory, options(state.path(), 2, 1, None)).await.unwrap();
    let step = |summary: &RunSummary| summary.steps.iter().find(|s| s.name == "w").cloned().unwrap();
    assert_eq!((step(&first).late, step(&second).late, step(&second).late_in_all), (0, 2, 2));
    assert_eq!((step(&second).watermark, step(&second).held_by.as_deref()), (Some(26), Some("in")));
    assert_eq!((step(&second).remembered.windows, step(&second).remembered.first_end), (2, Some(30)));
    let late: Vec<String> =
        outside.target("late").rows.iter().map(|r| r.split(' ').next().unwrap().to_string()).collect();
    assert_eq!(late, ["9", "15"]);
    // Drained, all comes out; what comes later is late only for windows that were closed.
    let drained = || RunOptions { drain: true, ..options(state.path(), 1, 8, None) };
    plan.run(&memory, drained()).await.unwrap();
    assert_eq!(outside.target("out").rows.len(), 3);
    assert_eq!(plan.run(&memory, drained()).await.unwrap().epochs, 0, "nothing is open any more");
    add(&outside, &(vec![(31, None), (41, None)], vec![]));
    let after = plan.run(&memory, drained()).await.unwrap();
    assert_eq!((step(&after).late, outside.target("out").rows.len()), (1, 4));
}

#[tokio::test]
async fn another_window_begins_once_nothing_is_open_and_is_refused_before() {
    let longer = || {
        let mut plan = plan_of(Topology::Windows);
        for node in &mut plan.plan.graph.nodes {
            if let Operator::WindowAggregate(spec) = &mut node.operator {
                spec.window = Window::Tumble { size: 20, align: Alignment::default() };
            }
        }
        plan
    };
    let (outside, state) = (outside(), tempfile::tempdir().unwrap());
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    add(&outside, &(vec![(3, None), (18, None)], vec![]));
    plan_of(Topology::Windows).run(&memory, options(state.path(), 1, 8, None)).await.unwrap();
    let refused = longer().run(&memory, options(state.path(), 1, 8, None)).await.unwrap_err();
    assert_eq!(refused.code, "R0412");
    let drained = || RunOptions { drain: true, ..options(state.path(), 1, 8, None) };
    plan_of(Topology::Windows).run(&memory, drained()).await.unwrap();
    assert_eq!(outside.target("out").rows.len(), 2);
    add(&outside, &(vec![(41, None), (59, None)], vec![]));
    longer().run(&memory, drained()).await.unwrap();
    assert_eq!(outside.target("out").rows.len(), 3, "one window of 20: {:?}", outside.target("out").rows);
}

#[tokio::test]
async fn a_source_that_is_idle_holds_nothing_back() {
    // The clock stands still: with nothing to wait for, a source is idle at once.
    let mut plan = plan_of(Topology::Join);
    for node in &mut plan.plan.graph.nodes {
        if let Operator::Watermark(spec) = &mut node.operator {
            spec.idle = (spec.source == "other").then_some(0);
        }
    }
    let (outside, state) = (outside(), tempfile::tempdir().unwrap());
    add(&outside, &(vec![(3, None), (100, None)], vec![(0, None)]));
    let executable = plan.executable();
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let options = RunOptions { follow: Some(Follow { poll: 1, interval: 0 }), ..options(state.path(), 1, 8, None) };
    let cancel = options.cancel.clone();
    let running = tokio::spawn(async move { run(&executable, Arc::new(memory), options, Arc::new(Unobserved)).await });
    // The row at 3 matches; only without the other source the row at 9 is known to have no match.
    while outside.target("out").rows.is_empty() {
        assert!(!running.is_finished(), "the run ended");
        tokio::task::yield_now().await;
    }
    looked_around().await;
    add(&outside, &(vec![(9, None), (200, None)], vec![]));
    while outside.target("out").rows.len() < 2 {
        assert!(!running.is_finished(), "the run ended");
        tokio::task::yield_now().await;
    }
    looked_around().await;
    cancel.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(outside.target("out").commits, 2, "that nothing comes is no reason for an epoch, again and again");
}

#[tokio::test]
async fn event_time_goes_on_once_when_a_source_becomes_idle() {
    let plan = |idle: Option<i64>| {
        let mut plan = plan_of(Topology::Join);
        for node in &mut plan.plan.graph.nodes {
            if let Operator::Watermark(spec) = &mut node.operator {
                spec.idle = idle.filter(|_| spec.source == "other");
            }
        }
        plan
    };
    let (outside, state) = (outside(), tempfile::tempdir().unwrap());
    add(&outside, &(vec![(9, None), (200, None)], vec![(0, None)]));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    plan(None).run(&memory, options(state.path(), 1, 8, None)).await.unwrap();
    assert_eq!(outside.target("out").rows.len(), 0, "a row that matches the one at 9 may still come");
    let executable = plan(Some(0)).executable();
    let options = RunOptions { follow: Some(Follow { poll: 1, interval: 0 }), ..options(state.path(), 1, 8, None) };
    let cancel = options.cancel.clone();
    let running = tokio::spawn(async move { run(&executable, Arc::new(memory), options, Arc::new(Unobserved)).await });
    looked_around().await;
    cancel.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.epochs, outside.target("out").rows.len()), (1, 1));
}

/// Time enough for a run that follows its sources to look at them many times.
async fn looked_around() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}
