//! Rules over hand-made bitmaps, and beside counting row by row.

use super::*;
use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use flowc_ir::{Expr, ExprKind, Field, Origin, Output, Program, Schema, functions};
use proptest::prelude::*;
use std::sync::Arc;

fn rule(name: &str, policy: Policy, column: usize) -> ExpectRule {
    ExpectRule {
        name: name.into(),
        policy,
        passes: Some(column),
        repaired: None,
        share: None,
        shown: vec![0],
        origin: Origin { file: 0, start: column as u32, end: 9 },
    }
}

/// The column `id`, and a boolean for each rule.
fn batch(first: i64, rules: &[Vec<bool>]) -> RecordBatch {
    let rows = rules.first().map_or(0, Vec::len) as i64;
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
    let mut columns = vec![("id".to_string(), ids)];
    for (i, rule) in rules.iter().enumerate() {
        columns.push((format!("#{i}"), Arc::new(BooleanArray::from(rule.clone())) as ArrayRef));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

fn expect(rules: Vec<ExpectRule>) -> Expect {
    Expect::new(&graph::Expect { flow: "clean".into(), rules })
}

fn order(split: u32, sequence: u32) -> Order {
    Order { path: 0, split, sequence }
}

#[test]
fn a_removed_row_is_put_down_to_one_rule() {
    let e = expect(vec![
        rule("seen", Policy::Warn, 1),
        rule("known", Policy::Quarantine, 2),
        rule("present", Policy::Drop, 3),
    ]);
    let seen = vec![true, false, false, true];
    let known = vec![true, false, false, true];
    let present = vec![true, true, false, false];
    e.observe(order(0, 0), &batch(0, &[seen, known, present])).unwrap();
    let judged = e.finish(&EvalContext::default()).unwrap();
    let counts: Vec<_> =
        judged.rules.iter().map(|r| (r.counts.failed, r.counts.dropped, r.counts.quarantined)).collect();
    assert_eq!(counts, [(2, 0, 0), (2, 0, 1), (2, 2, 0)]);
    assert_eq!(judged.flow, FlowReport { flow: "clean".into(), rows: 4, passed: 1, dropped: 2, quarantined: 1 });
    assert_eq!(judged.rules[1].samples, [vec![("id".to_string(), "1".to_string())], vec![("id".into(), "2".into())]]);
}

#[test]
fn the_first_row_that_breaks_a_fail_stops() {
    let e = expect(vec![rule("a", Policy::Fail, 1), rule("b", Policy::Fail, 2)]);
    let context = EvalContext { now: 0, epoch: 7 };
    e.check(&batch(0, &[vec![true, true], vec![true, true]]), &context).unwrap();
    let found = e.check(&batch(10, &[vec![true, true, false], vec![true, false, true]]), &context);
    let Err(Fault::Rule(error)) = found else { panic!("it goes on") };
    assert_eq!((error.code, error.origin.unwrap().start), ("R0112", 2));
    assert!(error.message.contains("`b`"), "{}", error.message);
    assert_eq!(error.row, [("id".to_string(), "11".to_string())]);
}

/// `share(0) < most`
fn share(of: usize, most: f64) -> ShareCondition {
    let double = Type::new(DataType::Double);
    let at = Origin::default();
    let column = Expr::new(ExprKind::Column(0), double.clone(), at);
    let literal = Expr::new(ExprKind::Literal(Value::Double(most)), double.clone(), at);
    let call = ExprKind::Call { function: functions::find("less").unwrap(), args: vec![column, literal] };
    let value = Expr::new(call, Type::boolean(), at);
    let program = Program {
        input: Schema::new(vec![Field::new("share", double)]),
        steps: vec![],
        outputs: vec![Output { field: Field::new("holds", Type::boolean()), value }],
    };
    ShareCondition { of: vec![of], program }
}

#[test]
fn shares_judge_the_epoch() {
    let judge = |policy, most| {
        let epoch = ExpectRule { passes: None, share: Some(share(0, most)), ..rule("few", policy, 0) };
        let e = expect(vec![rule("known", Policy::Warn, 1), epoch]);
        e.observe(order(0, 0), &batch(0, &[vec![true, true, true, false]])).unwrap();
        e.finish(&EvalContext { now: 0, epoch: 3 })
    };
    let counts = |judged: Judgement| (judged.rules[1].counts.passed, judged.rules[1].counts.failed);
    assert_eq!(counts(judge(Policy::Fail, 0.3).unwrap()), (1, 0));
    assert_eq!(counts(judge(Policy::Warn, 0.25).unwrap()), (0, 1));
    let error = judge(Policy::Fail, 0.25).unwrap_err();
    assert_eq!(error.code, "R0113");
    assert!(error.message.contains("1 of 4 rows (25.00%)"), "{}", error.message);
    // No rows, no failures.
    let none = ExpectRule { passes: None, share: Some(share(0, 0.1)), ..rule("few", Policy::Fail, 0) };
    expect(vec![rule("known", Policy::Warn, 1), none]).finish(&EvalContext::default()).unwrap();
}

fn policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![Policy::Warn, Policy::Drop, Policy::Quarantine, Policy::Repair])
}

proptest! {
    /// However rows are cut into batches and in whatever order batches come: the same counts, the same samples, and in = out + dropped + quarantined.
    #[test]
    fn counts_reconcile_and_do_not_depend_on_the_cut(
        policies in prop::collection::vec(policy(), 1..5),
        rows in prop::collection::vec(any::<u8>(), 0..60),
        cuts in prop::collection::vec(1usize..7, 1..4),
        backwards in any::<bool>(),
    ) {
        let rules: Vec<ExpectRule> = policies.iter().enumerate().map(|(i, p)| rule(&format!("r{i}"), *p, i + 1)).collect();
        let columns = |rows: &[u8]| (0..policies.len()).map(|i| rows.iter().map(|r| r & (1 << i) != 0).collect()).collect::<Vec<Vec<bool>>>();
        let whole = expect(rules.clone());
        whole.observe(order(0, 0), &batch(0, &columns(&rows))).unwrap();
        let mut parts = vec![];
        let (mut at, mut n) = (0, 0);
        while at < rows.len() {
            let end = (at + cuts[n % cuts.len()]).min(rows.len());
            parts.push((order(0, n as u32), batch(at as i64, &columns(&rows[at..end]))));
            (at, n) = (end, n + 1);
        }
        if backwards {
            parts.reverse();
        }
        let cut = expect(rules);
        parts.iter().for_each(|(order, batch)| cut.observe(*order, batch).unwrap());
        let context = EvalContext::default();
        let (whole, cut) = (whole.finish(&context).unwrap(), cut.finish(&context).unwrap());
        prop_assert_eq!(&whole, &cut);
        // Counted row by row.
        let failed = |row: &u8, policy: fn(Policy) -> bool| policies.iter().enumerate().any(|(i, p)| policy(*p) && row & (1 << i) == 0);
        let dropped = rows.iter().filter(|r| failed(r, |p| p == Policy::Drop)).count() as u64;
        let quarantined = rows.iter().filter(|r| !failed(r, |p| p == Policy::Drop) && failed(r, Policy::quarantines)).count() as u64;
        prop_assert_eq!((cut.flow.dropped, cut.flow.quarantined), (dropped, quarantined));
        prop_assert_eq!(cut.flow.rows, cut.flow.passed + dropped + quarantined);
        for rule in &cut.rules {
            prop_assert_eq!(rule.counts.passed + rule.counts.failed, rows.len() as u64);
            prop_assert!(rule.samples.len() as u64 == rule.counts.failed.min(SAMPLES as u64));
        }
    }
}

#[test]
fn of_rows_that_change_those_that_are_added_are_judged_as_often_as_they_are_added() {
    let weighted = |weights: Vec<i64>, rules: &[Vec<bool>]| {
        let batch = batch(0, rules);
        let mut columns: Vec<(String, ArrayRef)> =
            batch.schema().fields().iter().map(|f| f.name().clone()).zip(batch.columns().iter().cloned()).collect();
        columns.push((graph::WEIGHT.into(), Arc::new(Int64Array::from(weights))));
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let e = expect(vec![rule("a", Policy::Drop, 1), rule("b", Policy::Quarantine, 2), rule("c", Policy::Fail, 3)]);
    let context = EvalContext::default();
    let rules = [vec![false, false, true, true], vec![true, false, false, true], vec![false, true, true, true]];
    let rows = weighted(vec![-1, 3, 2, 1], &rules);
    // The row that breaks the rule is taken away.
    e.check(&rows, &context).unwrap();
    assert!(e.check(&weighted(vec![1, 3, 2, 1], &rules), &context).is_err());
    e.observe(order(0, 0), &rows).unwrap();
    let judged = e.finish(&context).unwrap();
    let counts: Vec<_> = judged
        .rules
        .iter()
        .map(|r| (r.counts.passed, r.counts.failed, r.counts.dropped, r.counts.quarantined))
        .collect();
    assert_eq!(counts, [(3, 3, 3, 0), (1, 5, 0, 2), (6, 0, 0, 0)]);
    assert_eq!(judged.flow, FlowReport { flow: "clean".into(), rows: 6, passed: 1, dropped: 3, quarantined: 2 });
    let shown = |rule: usize| judged.rules[rule].samples.iter().map(|row| row[0].1.clone()).collect::<Vec<_>>();
    assert_eq!((shown(0), shown(1), shown(2)), (vec!["1".into()], vec!["1".into(), "2".into()], vec![]));
}
