//! Joins of rows that change beside their definition over all rows, epoch by epoch, however changes are cut into batches and splits, in whatever order they come, and
//! whether what is kept is stored or not.

use super::*;
use crate::operators::kept::harness::{Came, Epoch, How, Row, Step, error, run};
use crate::operators::spilled::{Make, can_spill};
use flowc_ir::eval::Backend;
use flowc_ir::graph::{Operator, weight};
use flowc_ir::interpret::Interpreter;
use flowc_ir::{DataType as D, Expr, ExprKind, Field, Origin, Output, Program, Type, Value};
use proptest::prelude::*;

/// Key, weight, number.
fn left() -> Schema {
    Schema::new(vec![Field::new("k", Type::nullable(D::Double)), weight(), Field::new("n", Type::new(D::Long))])
}

/// Number, key, weight. `nullable`: whether the key may be null.
fn right(nullable: bool) -> Schema {
    Schema::new(vec![
        Field::new("n", Type::new(D::Long)),
        Field::new("k", Type::new(D::Double).with_nullable(nullable)),
        weight(),
    ])
}

fn output(kind: JoinKind, nullable: bool) -> Schema {
    let widened = |schema: Schema, widens: bool| {
        let widen = |f: Field| if widens { Field { ty: f.ty.with_nullable(true), ..f } } else { f };
        schema.fields.into_iter().map(widen).collect::<Vec<_>>()
    };
    let mut fields = widened(left(), kind.widens_left());
    fields[1] = weight();
    if kind.yields_right() {
        let rename = |f: Field| Field { name: format!("r.{}", f.name), ..f };
        fields.extend(widened(right(nullable), kind.widens_right()).into_iter().map(rename));
    }
    fields.extend((kind == JoinKind::Mark).then(|| Field::new("mark", Type::boolean().with_nullable(true))));
    Schema::new(fields)
}

fn call(name: &str, args: Vec<Expr>, ty: Type) -> Expr {
    let function = flowc_ir::functions::find(name).unwrap();
    Expr::new(ExprKind::Call { function, args }, ty, Origin::default())
}

/// A condition over the difference of the numbers, left less right.
fn residual(nullable: bool, of: impl Fn(Expr) -> Expr) -> Program {
    let renamed = right(nullable).fields.into_iter().map(|f| Field { name: format!("r.{}", f.name), ..f });
    let input = Schema::new(left().fields.into_iter().chain(renamed).collect());
    let column = |i: usize| Expr::new(ExprKind::Column(i), Type::new(D::Long), Origin::default());
    let value = of(call("subtract", vec![column(2), column(3)], Type::new(D::Long)));
    Program { input, steps: vec![], outputs: vec![Output { field: Field::new("ok", Type::boolean()), value }] }
}

fn even(difference: Expr) -> Expr {
    let list = (-100..=100).map(|i| Value::Long(i * 2)).collect();
    Expr::new(ExprKind::InList { value: Box::new(difference), list }, Type::boolean(), Origin::default())
}

/// Fails where the numbers are the same.
fn failing(difference: Expr) -> Expr {
    let one = Expr::new(ExprKind::Literal(Value::Long(1)), Type::new(D::Long), Origin::default());
    let rest = call("mod", vec![one.clone(), difference], Type::new(D::Long));
    call("equal", vec![rest, one], Type::boolean())
}

fn spec(kind: JoinKind, keyed: bool, residual: Option<Program>) -> graph::StreamJoin {
    let keys = |key: usize| if keyed { vec![key] } else { vec![] };
    graph::StreamJoin { name: "pairs".into(), kind, left_keys: keys(0), right_keys: keys(1), within: None, residual }
}

fn joined(spec: &graph::StreamJoin, nullable: bool, how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    let (operator, inputs) = (Operator::Join(spec.clone()), vec![left(), right(nullable)]);
    let output = output(spec.kind, nullable);
    let (spec, schema) = (spec.clone(), output.clone());
    let make: Make = Arc::new(move |before, around| {
        let kernel = spec.residual.as_ref().map(|program| Interpreter.compile(program).unwrap());
        let (left, right) = (left(), right(nullable));
        let schemas = (&left, &right, &schema);
        let join = ChangingJoin::new(NodeId(7), &spec, schemas, kernel, EvalContext::default(), around, before)?;
        Ok(Box::new(join))
    });
    run(&Step { operator, inputs, output, make }, how, epochs)
}

/// Rows with their weights; none is zero.
type Weighted = BTreeMap<Row, i64>;

fn add(to: &mut Weighted, row: Row, weight: i64) {
    let sum = to.remove(&row).unwrap_or(0) + weight;
    if sum != 0 {
        to.insert(row, sum);
    }
}

fn summed(rows: &[Row], weight: usize) -> Weighted {
    let mut all = Weighted::new();
    for row in rows {
        let mut row = row.clone();
        let weight = row.remove(weight).unwrap();
        assert_ne!(weight, 0, "a row that says nothing");
        add(&mut all, row, weight);
    }
    all
}

fn matches(spec: &graph::StreamJoin, l: &Row, r: &Row) -> bool {
    let key = |key: Option<i64>| key.map(|k| if k == -1 { 0 } else { k });
    let equal = spec.left_keys.is_empty() || key(l[0]).is_some() && key(l[0]) == key(r[1]);
    equal && (spec.residual.is_none() || (l[1].unwrap() - r[0].unwrap()) % 2 == 0)
}

/// All that the join is, of all rows of both sides: the left columns, then the right ones or the mark, without weights.
fn definition(spec: &graph::StreamJoin, sides: &[Weighted; 2]) -> Weighted {
    let (mut out, [left, right], kind) = (Weighted::new(), sides, spec.kind);
    for (l, lw) in left {
        let found: Vec<(&Row, &i64)> = right.iter().filter(|(r, _)| matches(spec, l, r)).collect();
        if kind.yields_right() {
            found.iter().for_each(|(r, rw)| add(&mut out, [l.as_slice(), r].concat(), lw * **rw));
        }
        let matched = found.iter().map(|(_, rw)| **rw).sum::<i64>() > 0;
        let alone = match kind {
            JoinKind::Left | JoinKind::Full => (!matched).then(|| vec![None, None]),
            JoinKind::Semi => matched.then(Vec::new),
            JoinKind::Anti => (!matched).then(Vec::new),
            JoinKind::Mark => {
                let null_keys: i64 = right.iter().filter(|(r, _)| r[1].is_none()).map(|(_, rw)| *rw).sum();
                let unknown = l[0].is_none() || !matched && null_keys > 0;
                Some(vec![(!unknown).then_some(i64::from(matched))])
            }
            _ => None,
        };
        if let Some(rest) = alone {
            add(&mut out, [l.as_slice(), &rest].concat(), *lw);
        }
    }
    for (r, rw) in right.iter().filter(|_| matches!(kind, JoinKind::Right | JoinKind::Full)) {
        let matched: i64 = left.iter().filter(|(l, _)| matches(spec, l, r)).map(|(_, lw)| *lw).sum();
        if matched <= 0 {
            add(&mut out, [&[None, None], r.as_slice()].concat(), *rw);
        }
    }
    out
}

/// By how much the join changes in each epoch.
fn expected(spec: &graph::StreamJoin, epochs: &[Epoch]) -> Vec<Weighted> {
    let mut sides = [Weighted::new(), Weighted::new()];
    let mut changes = vec![];
    for epoch in epochs {
        let before = definition(spec, &sides);
        for (side, weight) in [(LEFT, 1), (RIGHT, 2)] {
            for (row, weight) in summed(&epoch.inputs[side], weight) {
                add(&mut sides[side], row, weight);
            }
        }
        let mut change = definition(spec, &sides);
        before.into_iter().for_each(|(row, weight)| add(&mut change, row, -weight));
        changes.push(change);
    }
    changes
}

/// What came, without what means nothing.
fn found(spec: &graph::StreamJoin, came: &[Came]) -> Vec<Weighted> {
    let rows = |came: &Came| {
        let mut rows = came.rows.clone();
        if spec.kind.yields_right() {
            // Of the same rows it is the same.
            let same = |row: &Row| row[5] == row[3].map(|_| 1);
            assert!(rows.iter().all(same), "{rows:?}");
            rows.iter_mut().for_each(|row| row.truncate(5));
        }
        summed(&rows, 1)
    };
    came.iter().map(rows).collect()
}

fn change(right: bool, nullable: bool) -> impl Strategy<Value = Row> {
    let weight = prop_oneof![6 => Just(1i64), 4 => Just(-1), 1 => Just(2), 1 => Just(-3)];
    (-2i64..3, 0i64..4, weight).prop_map(move |(k, n, w)| {
        let k = Some(k).filter(|k| !nullable || *k > -2);
        if right { vec![Some(n), k, Some(w)] } else { vec![k, Some(w), Some(n)] }
    })
}

fn epochs(nullable: bool) -> impl Strategy<Value = Vec<Epoch>> {
    let rows = |right: bool| proptest::collection::vec(change(right, nullable || !right), 0..14);
    let epoch = (rows(false), rows(true));
    let epoch = epoch.prop_map(|(left, right)| Epoch { inputs: vec![left, right], watermark: None });
    proptest::collection::vec(epoch, 1..6)
}

const WAYS: [How; 5] = [
    How::PLAIN,
    How { workers: 2, splits: 3, batch_rows: 2, ..How::PLAIN },
    How { batch_rows: 3, stored: Some(100), ..How::PLAIN },
    How { workers: 3, splits: 2, stored: Some(2), ..How::PLAIN },
    How { splits: 2, batch_rows: 4, stored: Some(3), spilled: true, ..How::PLAIN },
];

fn check(spec: &graph::StreamJoin, nullable: bool, how: How, epochs: &[Epoch]) -> Result<(), TestCaseError> {
    let came = joined(spec, nullable, how, epochs).map_err(error).unwrap();
    prop_assert_eq!(found(spec, &came), expected(spec, epochs), "{:?} {:?}", spec.kind, how);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_comes_out_keeps_the_join_right(
        epochs in epochs(true),
        kind in prop::sample::select(JoinKind::ALL.map(|(kind, _)| kind).to_vec()),
        (keyed, further) in (prop::bool::weighted(0.8), prop::bool::ANY),
        way in 0usize..6,
    ) {
        let mark = kind == JoinKind::Mark;
        let residual = (further && !mark).then(|| residual(true, even));
        let how = WAYS.get(way).copied().unwrap_or(How { spilled: true, ..How::PLAIN });
        check(&spec(kind, keyed || mark, residual), true, how, &epochs)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn marks_fall_apart_by_key_where_no_key_is_null(epochs in epochs(false), way in 3usize..6) {
        let how = WAYS.get(way).copied().unwrap_or(How { spilled: true, ..How::PLAIN });
        check(&spec(JoinKind::Mark, true, None), false, how, &epochs)?;
    }
}

fn epoch(left: &[[i64; 3]], right: &[[i64; 3]]) -> Epoch {
    let rows = |rows: &[[i64; 3]]| rows.iter().map(|row| row.map(Some).to_vec()).collect();
    Epoch { inputs: vec![rows(left), rows(right)], watermark: None }
}

#[test]
fn a_pair_that_never_was_fails_no_condition() {
    let spec = spec(JoinKind::Left, true, Some(residual(true, failing)));
    let begin = epoch(&[[2, 1, 5]], &[[7, 2, 1]]);
    // The left row goes as the right one comes; the other way round.
    let instead = [
        epoch(&[[2, -1, 5], [2, 1, 6]], &[[5, 2, 1]]),
        epoch(&[[2, 1, 7]], &[[7, 2, -1]]),
        epoch(&[[2, 1, 9], [2, -1, 9]], &[[9, 2, 1]]),
    ];
    for epoch in instead {
        for how in WAYS {
            assert!(joined(&spec, true, how, &[begin.clone(), epoch.clone()]).is_ok(), "{epoch:?}");
        }
    }
    let failed = joined(&spec, true, How::PLAIN, &[begin, epoch(&[], &[[5, 2, 1]])]).unwrap_err();
    assert_eq!(error(failed).code, "R0102");
}

#[test]
fn a_match_that_another_takes_over_changes_no_row_without_one() {
    let begin = epoch(&[[2, 1, 5]], &[[7, 2, 1]]);
    let replaced = epoch(&[], &[[8, 2, 1], [7, 2, -1]]);
    for (kind, rows) in [(JoinKind::Semi, 0), (JoinKind::Anti, 0), (JoinKind::Mark, 0), (JoinKind::Full, 2)] {
        let came = joined(&spec(kind, true, None), true, How::PLAIN, &[begin.clone(), replaced.clone()]).unwrap();
        assert_eq!(came[1].rows.len(), rows, "{kind:?}");
    }
}

#[test]
fn what_is_gone_takes_no_room() {
    let rows = |from: i64, weight: i64| (from..from + 4000).map(|n| [n + 2, weight, n]).collect::<Vec<_>>();
    let other = |from: i64, weight: i64| (from..from + 4000).map(|n| [n, n + 2, weight]).collect::<Vec<_>>();
    let added = |round: i64| epoch(&rows(round * 4000, 1), &other(round * 4000, 1));
    let gone = |round: i64| epoch(&rows(round * 4000, -1), &other(round * 4000, -1));
    let spec = spec(JoinKind::Inner, true, None);
    for stored in [None, Some(3)] {
        // Six times as many rows as there are at a time do not fit.
        let how = How { memory: 3 << 19, batch_rows: 1000, stored, ..How::PLAIN };
        let epochs: Vec<Epoch> = (0..6).flat_map(|round| [added(round), gone(round)]).collect();
        let came = joined(&spec, true, how, &epochs).map_err(error).unwrap();
        assert!(found(&spec, &came).iter().all(|rows| rows.len() == 4000), "each row has its match");
        let epochs: Vec<Epoch> = (0..6).map(added).collect();
        let failed = joined(&spec, true, how, &epochs).expect_err("all of them fit");
        assert_eq!(error(failed).code, "R0117");
    }
}

#[test]
fn more_rows_than_the_memory_holds_are_kept_on_disk() {
    let rows = |from: i64| (from..from + 2000).map(|n| [n % 1500 + 2, 1, n]).collect::<Vec<_>>();
    let other = |from: i64| (from..from + 2000).map(|n| [n, n % 1700 + 2, 1]).collect::<Vec<_>>();
    let epochs = [epoch(&rows(0), &[]), epoch(&[], &other(1000)), epoch(&rows(700), &other(0))];
    let memory = 160 << 10;
    for kind in [JoinKind::Full, JoinKind::Anti] {
        for further in [false, true] {
            let spec = spec(kind, true, further.then(|| residual(true, even)));
            let failed = joined(&spec, true, How { memory, ..How::PLAIN }, &epochs).unwrap_err();
            assert_eq!(error(failed).code, "R0117");
            let how = How { memory, spilled: true, ..How::PLAIN };
            let came = joined(&spec, true, how, &epochs).map_err(error).unwrap();
            assert_eq!(found(&spec, &came), quick(&spec, &epochs), "{kind:?} {further}");
        }
    }
}

/// As [`expected`], where there are many rows: from what comes out in memory.
fn quick(spec: &graph::StreamJoin, epochs: &[Epoch]) -> Vec<Weighted> {
    found(spec, &joined(spec, true, How::PLAIN, epochs).map_err(error).unwrap())
}

#[test]
fn marks_with_null_keys_do_not_fall_apart() {
    let falls = |kind: JoinKind, nullable: bool, keyed: bool| {
        let operator = Operator::Join(spec(kind, keyed, None));
        can_spill(&operator, &[&left(), &right(nullable)], &output(kind, nullable))
    };
    assert!(falls(JoinKind::Mark, false, true) && falls(JoinKind::Anti, true, true));
    assert!(!falls(JoinKind::Mark, true, true) && !falls(JoinKind::Inner, true, false));
}
