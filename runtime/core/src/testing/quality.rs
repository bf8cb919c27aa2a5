//! Expectations of runs that are killed at each of their operations: every row is judged once in the totals, and what `unique` remembers is that of the rows
//! that were committed.

use super::*;
use crate::quality::Counts;
use crate::state::StateDir;
use flowc_ir::graph::{Expect, ExpectRule, Policy, Unique};
use std::collections::BTreeSet;

fn rule(name: &str, policy: Policy, column: usize) -> ExpectRule {
    let (passes, origin) = (Some(column), Origin::default());
    ExpectRule { name: name.into(), policy, passes, repaired: None, share: None, shown: vec![], origin }
}

fn call(name: &str, args: Vec<Expr>, ty: Type) -> Expr {
    Expr::new(ExprKind::Call { function: find(name).unwrap(), args }, ty, Origin::default())
}

/// `once: unique (x) else drop, even: id % 2 == 0 else quarantine`, and a sink for each side.
fn plan() -> Planned {
    let mut p = Planned::new();
    let source = p.source("in");
    let boolean = |name: &str| Field::new(name, Type::boolean());
    let column =
        |schema: &Schema, i: usize| Expr::new(ExprKind::Column(i), schema.fields[i].ty.clone(), Origin::default());
    let mut judged = row_schema();
    judged.fields.push(boolean("#once"));
    let (flow, rule_name) = ("f".to_string(), "once".to_string());
    let unique = Unique { flow: flow.clone(), rule: rule_name, keys: vec![1], time: None, within: None, delay: None };
    let unique = p.node(Operator::Unique(unique), &[source], judged.clone());
    let long = Type::new(DataType::Long);
    let literal = |v: i64| Expr::new(ExprKind::Literal(Value::Long(v)), long.clone(), Origin::default());
    let rest = call("mod", vec![column(&judged, 0), literal(2)], long.clone());
    let even = Output { field: boolean("#even"), value: call("equal", vec![rest, literal(0)], Type::boolean()) };
    let outputs = judged.fields.iter().enumerate().map(|(i, f)| Output { field: f.clone(), value: column(&judged, i) });
    let program = Program { input: judged.clone(), steps: vec![], outputs: outputs.chain([even]).collect() };
    let schema = program.output_schema();
    let computed = p.node(Operator::Transform(program), &[unique], schema.clone());
    let rules = vec![rule("once", Policy::Drop, 2), rule("even", Policy::Quarantine, 3)];
    let expect = p.node(Operator::Expect(Expect { flow, rules }), &[computed], schema.clone());
    let once = ProgramStep::Filter(column(&schema, 2));
    let odd = Expr::new(ExprKind::Not(Box::new(column(&schema, 3))), Type::boolean(), Origin::default());
    let kept = p.transform(expect, vec![once.clone(), ProgramStep::Filter(column(&schema, 3))]);
    let rejected = p.transform(expect, vec![once, ProgramStep::Filter(odd)]);
    p.sink("kept", kept, false);
    p.sink("ordered rejects", rejected, false);
    p
}

fn rows(range: std::ops::Range<i64>) -> Vec<Row> {
    range.map(|i| (i, Some((i % 7) as f64))).collect()
}

fn ids(target: &Target) -> Vec<i64> {
    let mut ids: Vec<i64> = target.rows.iter().map(|row| row.split(' ').next().unwrap().parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_operation_each_row_is_counted_once() {
    let plan = plan();
    let mut completed = false;
    for kill in 0..1000 {
        let outside = Outside::new(rows(0..10));
        let state = tempfile::tempdir().unwrap();
        let faults = Faults::after(kill);
        let memory = Memory { outside: Arc::clone(&outside), faults: Arc::clone(&faults) };
        completed = plan.run(&memory, options(state.path(), 2, 2, Some(6))).await.is_ok();
        outside.add(rows(10..13));
        let again = Memory { faults: Faults::after(kill % 13 + 4), ..memory.clone() };
        let _ = plan.run(&again, options(state.path(), 1, 4, None)).await;
        let last = Memory { faults: Faults::none(), ..memory };
        plan.run(&last, options(state.path(), 2, 1, None)).await.unwrap();
        // The first seven rows are the first of their keys.
        assert_eq!(ids(&outside.target("kept")), [0, 2, 4, 6], "kill after {kill}");
        assert_eq!(ids(&outside.target("ordered rejects")), [1, 3, 5], "kill after {kill}");
        let checkpoint = StateDir::open(state.path()).unwrap().checkpoint("p").unwrap();
        let counts: Vec<Counts> = checkpoint.expectations.iter().map(|r| r.counts).collect();
        let once = Counts { passed: 7, failed: 6, dropped: 6, ..Counts::default() };
        let even = Counts { passed: 7, failed: 6, quarantined: 3, ..Counts::default() };
        assert_eq!(counts, [once, even], "kill after {kill}");
        let files = std::fs::read_dir(state.path().join("operators")).unwrap();
        let files: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let states = checkpoint.sinks.values().flat_map(|sink| sink.operators.values());
        let named: BTreeSet<String> =
            states.flat_map(|state| &state.segments).map(|segment| segment.file.clone()).collect();
        assert_eq!(files, named, "what the checkpoint does not name is removed");
        assert!((1..=2).contains(&files.len()), "seven keys, at most in two epochs");
        if completed {
            break;
        }
    }
    assert!(completed, "the run was killed at each of its operations");
}

#[tokio::test]
async fn a_sink_that_is_added_later_begins_with_an_empty_memory() {
    let mut plan = plan();
    let outside = Outside::new(rows(0..9));
    let state = tempfile::tempdir().unwrap();
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    plan.run(&memory, options(state.path(), 1, 4, None)).await.unwrap();
    let kept = plan.plan.sinks[0].input;
    plan.sink("new", kept, false);
    plan.run(&memory, options(state.path(), 2, 3, Some(4))).await.unwrap();
    assert_eq!(ids(&outside.target("new")), [0, 2, 4, 6]);
    assert_eq!(ids(&outside.target("kept")), [0, 2, 4, 6]);
    // A full refresh forgets.
    let again = crate::RunOptions { full_refresh: true, ..options(state.path(), 1, 4, None) };
    plan.run(&memory, again).await.unwrap();
    assert_eq!(ids(&outside.target("kept")), [0, 2, 4, 6]);
}
