//! Joins of streams beside a row-by-row definition, epoch by epoch, however rows are cut into batches and splits, and whether what is kept is stored or not.

use super::*;
use crate::operators::kept::harness::{Came, Epoch, How, Row, Step, error, run};
use crate::operators::spilled::Make;
use flowc_ir::eval::Backend;
use flowc_ir::graph::{Operator, Within};
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::KernelSlot;
use flowc_ir::{DataType as D, Expr, ExprKind, Field, Origin, Output, Program, Type, Value};
use proptest::prelude::*;

/// Key, number, time.
fn side(prefix: &str) -> Schema {
    Schema::new(vec![
        Field::new(format!("{prefix}k"), Type::nullable(D::Double)),
        Field::new(format!("{prefix}n"), Type::new(D::Long)),
        Field::new(format!("{prefix}t"), Type::nullable(D::Timestamp)),
    ])
}

fn output(kind: JoinKind) -> Schema {
    let nullable = |schema: Schema, widen: bool| {
        let widened = |f: Field| if widen { Field::new(f.name, Type::nullable(f.ty.data)) } else { f };
        schema.fields.into_iter().map(widened).collect::<Vec<_>>()
    };
    let mut fields = nullable(side("l."), kind.widens_left());
    if kind.yields_right() {
        fields.extend(nullable(side("r."), kind.widens_right()));
    }
    Schema::new(fields)
}

/// The numbers differ by an even one.
fn residual() -> Program {
    let input = Schema::new([side("l.").fields, side("r.").fields].concat());
    let column = |i: usize| Expr::new(ExprKind::Column(i), Type::new(D::Long), Origin::default());
    let subtract = flowc_ir::functions::find("subtract").unwrap();
    let difference = ExprKind::Call { function: subtract, args: vec![column(1), column(4)] };
    let difference = Expr::new(difference, Type::new(D::Long), Origin::default());
    let list = (-100..=100).map(|i| Value::Long(i * 2)).collect();
    let even = ExprKind::InList { value: Box::new(difference), list };
    let value = Expr::new(even, Type::new(D::Boolean), Origin::default());
    let field = Field::new("ok", Type::new(D::Boolean));
    Program { input, steps: vec![], outputs: vec![Output { field, value }] }
}

fn spec(kind: JoinKind, keyed: bool, within: Option<i64>, further: bool) -> graph::StreamJoin {
    let keys = if keyed { vec![0] } else { vec![] };
    graph::StreamJoin {
        name: "pairs".into(),
        kind,
        left_keys: keys.clone(),
        right_keys: keys,
        within: within.map(|duration| Within { left: 2, right: 2, duration }),
        residual: further.then(residual),
    }
}

fn joined(spec: &graph::StreamJoin, how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    joined_either_way(spec, false, how, epochs)
}

/// `open`: whether either side may be kept.
fn joined_either_way(spec: &graph::StreamJoin, open: bool, how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    let (left, right, output) = (side("l."), side("r."), output(spec.kind));
    let (operator, inputs) = (Operator::Join(spec.clone()), vec![left.clone(), right.clone()]);
    let (spec, schema) = (spec.clone(), output.clone());
    let make: Make = Arc::new(move |before, around| {
        let kernel = spec.residual.as_ref().map(|program| Interpreter.compile(program).unwrap());
        let schemas = (&left, &right, &schema);
        let join = Join::new(NodeId(7), &spec, schemas, kernel, EvalContext::default(), around, before)?;
        Ok(Box::new(join.open(open)))
    });
    run(&Step { operator, inputs, output, make }, how, epochs)
}

/// A row that was on time, with its epoch.
type Placed<'a> = (usize, &'a Row);

fn matches(spec: &graph::StreamJoin, l: &Row, r: &Row) -> bool {
    let by = spec.left_keys.first().copied().unwrap_or(0);
    // Doubles: both zeros are equal.
    let key = |row: &Row| row[by].map(|k| if by == 0 && k == -1 { 0 } else { k });
    let equal = spec.left_keys.is_empty() || key(l).is_some() && key(l) == key(r);
    let near = match (spec.within, l[2], r[2]) {
        (None, ..) => true,
        (Some(within), Some(a), Some(b)) => a.abs_diff(b) <= within.duration as u64,
        _ => false,
    };
    let further = spec.residual.is_none() || (l[1].unwrap() - r[1].unwrap()) % 2 == 0;
    equal && near && further
}

/// What must come out of each epoch, in no order.
fn expected(spec: &graph::StreamJoin, epochs: &[Epoch]) -> Vec<Came> {
    let duration = spec.within.map_or(0, |within| within.duration);
    let kept_for = duration * if spec.kind.waits() { 1 } else { 2 };
    let mut came = vec![Came::default(); epochs.len()];
    let mut sides: [Vec<Placed>; 2] = [vec![], vec![]];
    let (mut bound, mut latest) = (None, None);
    for (e, epoch) in epochs.iter().enumerate() {
        for side in [LEFT, RIGHT] {
            for row in &epoch.inputs[side] {
                let late = spec.within.is_some() && row[2].is_none_or(|t| bound.is_some_and(|w| t + duration < w));
                match (late, side) {
                    (true, LEFT) => came[e].late.push(row.clone()),
                    (true, _) => came[e].others += 1,
                    _ => sides[side].push((e, row)),
                }
                latest = latest.max(row[2].filter(|_| !late));
            }
        }
        bound = bound.max(match epoch.watermark {
            Some(i64::MAX) => latest.map(|latest: i64| latest + kept_for + 1),
            watermark => watermark,
        });
    }
    let gone = |(e, row): &Placed| {
        let over = |w: Option<i64>| {
            spec.within.is_none() || w.is_some_and(|w| w == i64::MAX || row[2].unwrap() + kept_for < w)
        };
        (*e..epochs.len()).find(|e| over(epochs[*e].watermark))
    };
    let nulls = || vec![None; 3];
    // The earlier of two rows is still there when the later one comes.
    let meet = |a: &Placed, b: &Placed| {
        let (first, then) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        gone(first).is_none_or(|e| e >= then.0)
    };
    for l in &sides[LEFT] {
        let found: Vec<&Placed> = sides[RIGHT].iter().filter(|r| matches(spec, l.1, r.1) && meet(l, r)).collect();
        let first = found.iter().map(|r| r.0.max(l.0)).min();
        match (spec.kind, first) {
            (JoinKind::Semi, Some(e)) => came[e].rows.push(l.1.clone()),
            (JoinKind::Anti | JoinKind::Left | JoinKind::Full, None) => {
                let right = if spec.kind == JoinKind::Anti { vec![] } else { nulls() };
                if let Some(e) = gone(l) {
                    came[e].rows.push([l.1.clone(), right].concat());
                }
            }
            (JoinKind::Semi | JoinKind::Anti, _) => {}
            _ => found.iter().for_each(|r| came[r.0.max(l.0)].rows.push([l.1.clone(), r.1.clone()].concat())),
        }
    }
    if matches!(spec.kind, JoinKind::Right | JoinKind::Full) {
        for r in sides[RIGHT].iter().filter(|r| !sides[LEFT].iter().any(|l| matches(spec, l.1, r.1) && meet(l, r))) {
            if let Some(e) = gone(r) {
                came[e].rows.push([nulls(), r.1.clone()].concat());
            }
        }
    }
    came
}

fn sorted(mut came: Vec<Came>) -> Vec<Came> {
    for epoch in &mut came {
        epoch.rows.sort();
        epoch.late.sort();
    }
    came
}

fn row(key: i64, number: i64, time: i64) -> Row {
    vec![Some(key), Some(number), Some(time)]
}

fn epoch(left: &[Row], right: &[Row], watermark: Option<i64>) -> Epoch {
    Epoch { inputs: vec![left.to_vec(), right.to_vec()], watermark }
}

#[test]
fn a_left_row_waits_for_its_match_and_comes_out_alone_when_none_can_come() {
    let spec = spec(JoinKind::Left, true, Some(10), false);
    let epochs = [
        epoch(&[row(5, 1, 100), row(6, 2, 100)], &[], Some(100)),
        // At 110 a row at 110 is still in order, so the left rows at 100 wait.
        epoch(&[], &[], Some(110)),
        epoch(&[], &[row(5, 3, 110), row(6, 4, 111)], Some(111)),
        epoch(&[row(5, 9, 100), row(5, 8, 111)], &[row(6, 5, 100)], Some(111)),
    ];
    let came = joined(&spec, How::PLAIN, &epochs).unwrap();
    assert_eq!(came[1].rows, Vec::<Row>::new());
    let alone = [row(6, 2, 100), vec![None; 3]].concat();
    assert_eq!(came[2].rows, [[row(5, 1, 100), row(5, 3, 110)].concat(), alone]);
    // The watermark was at 111: rows before 101 are late, on both sides.
    assert_eq!((came[3].late.as_slice(), came[3].others), ([row(5, 9, 100)].as_slice(), 1));
    assert_eq!(came[3].rows, [[row(5, 8, 111), row(5, 3, 110)].concat()]);
}

#[test]
fn after_the_end_of_everything_newer_rows_are_taken() {
    let spec = spec(JoinKind::Full, true, Some(10), false);
    let epochs = [
        epoch(&[row(5, 1, 100)], &[], Some(50)),
        epoch(&[], &[], Some(i64::MAX)),
        epoch(&[row(5, 2, 111)], &[row(5, 3, 100)], Some(50)),
        epoch(&[], &[], Some(i64::MAX)),
    ];
    for stored in [None, Some(1), Some(9)] {
        let came = joined(&spec, How { stored, ..How::PLAIN }, &epochs).unwrap();
        assert_eq!(came[1].rows, [[row(5, 1, 100), vec![None; 3]].concat()]);
        assert_eq!((came[2].rows.len(), came[2].others), (0, 1));
        assert_eq!(came[3].rows, [[row(5, 2, 111), vec![None; 3]].concat()]);
    }
}

#[test]
fn what_is_kept_is_let_go_and_its_memory_freed() {
    let spec = spec(JoinKind::Left, true, Some(10), false);
    let (left, right, output) = (side("l."), side("r."), output(spec.kind));
    let directory = tempfile::tempdir().unwrap();
    let (mut before, mut watermark, mut most) = (Before::Nothing, None, 0);
    for e in 0..400 {
        let budget = crate::spill::Budget::new(1 << 24, directory.path());
        let surroundings = Surroundings { epoch: e as u64, watermark, workers: 1, batch_rows: 100, budget, carried: 0 };
        let schemas = (&left, &right, &output);
        let join = Join::new(NodeId(0), &spec, schemas, None, EvalContext::default(), surroundings, before).unwrap();
        let rows = |side: i64| (0..50).map(|i| row(1000 * e + i, side, e)).collect::<Vec<_>>();
        let inputs = [rows(0), rows(1)];
        crate::operators::kept::harness::push(&join, How::PLAIN, &[&left, &right], &inputs).unwrap();
        watermark = Some(e);
        assert_eq!(crate::operators::kept::harness::take(&join, watermark).unwrap().rows.len(), 50);
        let remembered = join.remembered();
        assert!(remembered.entries <= 2 * 21 * 50, "{remembered:?}");
        most = most.max(remembered.bytes);
        assert!(join.work().memory.index.entries() <= 3 * 2 * 21 * 50);
        before = Before::Memory(join.take_memory());
    }
    assert!(most < 600_000, "{most}");
}

#[test]
fn only_what_an_epoch_changed_is_stored() {
    let spec = spec(JoinKind::Left, true, Some(1000), false);
    let (left, right, output) = (side("l."), side("r."), output(spec.kind));
    let directory = tempfile::tempdir().unwrap();
    let mut before = Before::Nothing;
    let epochs = [(0..500).map(|i| row(i, 1, 0)).collect::<Vec<_>>(), vec![row(7, 2, 5), row(8, 2, 5)]];
    let mut sizes = vec![];
    for (e, rows) in epochs.into_iter().enumerate() {
        let budget = crate::spill::Budget::new(1 << 24, directory.path());
        let surroundings =
            Surroundings { epoch: e as u64, watermark: None, workers: 1, batch_rows: 100, budget, carried: 0 };
        let schemas = (&left, &right, &output);
        let join = Join::new(NodeId(0), &spec, schemas, None, EvalContext::default(), surroundings, before).unwrap();
        let inputs = if e == 0 { [rows, vec![]] } else { [vec![], rows] };
        crate::operators::kept::harness::push(&join, How::PLAIN, &[&left, &right], &inputs).unwrap();
        crate::operators::kept::harness::take(&join, None).unwrap();
        let changes = join.changes(Extent::Less).unwrap();
        sizes.push((changes.whole, changes.segments.iter().map(RecordBatch::num_rows).sum::<usize>()));
        let whole = join.changes(Extent::Whole).unwrap().segments.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert!(whole >= 500);
        before = Before::Memory(join.take_memory());
    }
    // Two new rows, and two rows that have had a match.
    assert_eq!(sizes, [(true, 500), (false, 4)]);
}

#[test]
fn too_little_memory_is_said() {
    let epochs = [epoch(&[row(5, 1, 100)], &[row(5, 2, 100)], Some(50)); 1];
    let plain = spec(JoinKind::Inner, true, Some(10), false);
    let many: Vec<Row> = (0..1000).map(|i| row(i, i, 100)).collect();
    for epochs in [[epoch(&many, &[], Some(50))], [epoch(&[], &many, Some(50))]] {
        let how = How { memory: 10_000, ..How::PLAIN };
        assert_eq!(error(joined(&plain, how, &epochs).unwrap_err()).code, "R0117");
    }
    assert_eq!(joined(&plain, How::PLAIN, &epochs).unwrap()[0].rows.len(), 1);
}

#[test]
fn a_pair_that_fails_in_the_condition_is_shown() {
    let spec = spec(JoinKind::Inner, true, Some(10), true);
    // The second pair: the least number less 3 does not fit.
    let epochs = [epoch(&[row(5, 1, 0), row(5, i64::MIN, 0)], &[row(5, 3, 1)], None)];
    for batch_rows in [1, 1000] {
        let Err(Fault::Row(fault)) = joined(&spec, How { batch_rows, ..How::PLAIN }, &epochs) else {
            panic!("it does not fail")
        };
        assert_eq!((fault.slot, fault.failure.failure.code.code()), (KernelSlot::Residual(NodeId(7)), "R0101"));
        let shown = crate::operators::kept::harness::rows(&fault.row);
        assert_eq!(shown, [[row(5, i64::MIN, 0), row(5, 3, 1)].concat()]);
    }
}

#[test]
fn left_rows_of_bounded_input_need_no_memory() {
    let spec = spec(JoinKind::Full, true, None, false);
    let many: Vec<Row> = (0..20_000).map(|i| row(i % 100, i, 0)).collect();
    let few: Vec<Row> = (50..150).map(|i| row(i, i, 0)).collect();
    let how = How { memory: 200_000, batch_rows: 500, ..How::PLAIN };
    let epochs = [epoch(&many, &few, Some(i64::MAX))];
    let came = joined(&spec, how, &epochs).unwrap();
    assert_eq!(came[0].rows.len(), 20_000 + 50);
}

#[test]
fn the_side_with_fewer_rows_is_kept_where_either_may_be() {
    let spec = spec(JoinKind::Inner, true, None, true);
    let many: Vec<Row> = (0..20_000).map(|i| row(5 + i % 100, i, 0)).collect();
    let few: Vec<Row> = (50..150).map(|i| row(5 + i, i, 0)).collect();
    let how = How { memory: 200_000, batch_rows: 500, ..How::PLAIN };
    for (left, right) in [(&few, &many), (&many, &few)] {
        // Where either may be kept, all rows come in one epoch.
        let epochs = [epoch(left, right, Some(i64::MAX))];
        let came = joined_either_way(&spec, true, how, &epochs).unwrap();
        for (came, epoch) in came.iter().zip(&epochs) {
            // Fifty keys are on both sides; of the many three numbers are near enough.
            assert_eq!(came.rows.len(), 50 * 3);
            // Pairs come out in the order of the many.
            let at = if epoch.inputs[LEFT].len() > 1000 { 1 } else { 4 };
            assert!(came.rows.is_sorted_by_key(|pair| pair[at]));
        }
        let fits = How { memory: 1 << 24, ..how };
        let kept = joined(&spec, fits, &epochs).unwrap();
        assert_eq!(sorted(kept), sorted(came));
    }
    let epochs = [epoch(&few, &many, Some(i64::MAX))];
    assert_eq!(error(joined(&spec, how, &epochs).unwrap_err()).code, "R0117", "the many do not fit");
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop::option::weighted(0.85, -1i64..4);
    let time = prop::option::weighted(0.95, -10i64..30);
    prop::collection::vec((key, time), 0..12)
        .prop_map(|rows| (0..).zip(rows).map(|(n, (key, time))| vec![key, Some(n), time]).collect())
}

/// Epochs with growing watermarks, some of which end everything.
fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = (rows(), rows(), prop::option::weighted(0.8, 0i64..12), prop::bool::weighted(0.1));
    prop::collection::vec(epoch, 1..7).prop_map(|epochs| {
        let mut watermark = None;
        let mut number = 0;
        let epochs = epochs.into_iter().map(|(mut left, mut right, step, over)| {
            watermark = step.map(|step| watermark.unwrap_or(-12) + step).max(watermark);
            for row in left.iter_mut().chain(&mut right) {
                number += 1;
                row[1] = Some(number);
            }
            Epoch { inputs: vec![left, right], watermark: if over { Some(i64::MAX) } else { watermark } }
        });
        epochs.collect()
    })
}

/// Makes the numbers of rows their keys, and few of them.
fn by_numbers(spec: &mut graph::StreamJoin, epochs: &mut [Epoch]) {
    (spec.left_keys, spec.right_keys) = (vec![1], vec![1]);
    for row in epochs.iter_mut().flat_map(|epoch| &mut epoch.inputs).flatten() {
        row[1] = row[1].map(|number| number % 6);
    }
}

#[test]
fn left_rows_that_match_nothing_are_not_needed() {
    let spec = spec(JoinKind::Inner, true, Some(10), false);
    let spec = graph::StreamJoin { left_keys: vec![1], right_keys: vec![1], ..spec };
    let (left, right, output) = (side("l."), side("r."), output(spec.kind));
    let directory = tempfile::tempdir().unwrap();
    let needed = |kind: JoinKind, memory: usize| {
        let budget = crate::spill::Budget::new(memory, directory.path());
        let around = Surroundings { epoch: 1, watermark: Some(100), workers: 1, batch_rows: 100, budget, carried: 0 };
        let spec = graph::StreamJoin { kind, ..spec.clone() };
        let schemas = (&left, &right, &output);
        let join = Join::new(NodeId(0), &spec, schemas, None, EvalContext::default(), around, Before::Nothing).unwrap();
        let inputs = [vec![], vec![row(0, 5, 120), row(0, 9, 120)]];
        crate::operators::kept::harness::push(&join, How::PLAIN, &[&left, &right], &inputs).unwrap();
        let filter = join.needs(Some(200)).unwrap()?;
        assert_eq!(filter.columns(), [1, 2]);
        // Late, matching, with another key between, with one beyond, not over yet, without a time.
        let rows =
            [row(0, 1, 89), row(0, 5, 120), row(0, 7, 120), row(0, 70, 150), row(0, 7, 180), vec![None, Some(1), None]];
        let seen = crate::operators::kept::harness::batch(&left, &rows).project(&[1, 2]).unwrap();
        Some((filter.keep(&seen).unwrap().iter().collect::<Vec<_>>(), join))
    };
    let (kept, join) = needed(JoinKind::Inner, 1 << 20).unwrap();
    assert_eq!(kept, [true, true, false, false, true, true]);
    // What the join has not seen counts for how far time has come.
    join.finish(Some(i64::MAX)).unwrap().for_each(drop);
    assert_eq!(join.work().memory.latest, Some(180));
    assert!(needed(JoinKind::Left, 1 << 20).is_none(), "they come out alone");
}

/// A mark is of rows that change.
fn kinds() -> Vec<JoinKind> {
    JoinKind::ALL.map(|(kind, _)| kind).into_iter().filter(|kind| *kind != JoinKind::Mark).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn however_rows_are_cut(
        epochs in epochs(),
        kind in prop::sample::select(kinds()),
        (keyed, further) in (prop::bool::weighted(0.8), prop::bool::ANY),
        within in 0i64..8,
        (workers, splits, batch_rows) in (1usize..3, 1usize..4, 1usize..9),
        (stored, spilled) in (prop::option::of(1usize..4), prop::bool::weighted(0.15)),
        (deferred, by_number) in (prop::bool::ANY, prop::bool::weighted(0.3)),
    ) {
        let (mut spec, mut epochs) = (spec(kind, keyed, Some(within), further), epochs);
        if keyed && by_number {
            by_numbers(&mut spec, &mut epochs);
        }
        let how = How { workers, splits, batch_rows, stored, spilled, deferred, ..How::PLAIN };
        let came = joined(&spec, how, &epochs).unwrap();
        let plain = joined(&spec, How { batch_rows: 1000, ..How::PLAIN }, &epochs).unwrap();
        // What is kept on disk is joined key by key.
        prop_assert!(spilled || came == plain, "the order depends on {:?}", how);
        prop_assert_eq!(sorted(came), sorted(expected(&spec, &epochs)));
    }

    #[test]
    fn bounded_rows(
        (left, right) in (rows(), rows()),
        kind in prop::sample::select(kinds()),
        (keyed, further) in (prop::bool::weighted(0.8), prop::bool::ANY),
        (workers, splits, batch_rows) in (1usize..3, 1usize..4, 1usize..9),
        (spilled, deferred) in (prop::bool::weighted(0.15), prop::bool::ANY),
    ) {
        let spec = spec(kind, keyed, None, further);
        let epochs = [epoch(&left, &right, Some(i64::MAX))];
        let how = How { workers, splits, batch_rows, spilled, deferred, ..How::PLAIN };
        let came = joined(&spec, how, &epochs).unwrap();
        prop_assert!(spilled || came == joined(&spec, How::PLAIN, &epochs).unwrap());
        prop_assert_eq!(sorted(came), sorted(expected(&spec, &epochs)));
    }

    #[test]
    fn bounded_rows_either_way(
        (left, right) in (rows(), rows()),
        further in prop::bool::ANY,
        (workers, splits, batch_rows) in (1usize..3, 1usize..4, 1usize..9),
        (spilled, deferred) in (prop::bool::weighted(0.15), prop::bool::weighted(0.3)),
    ) {
        let spec = spec(JoinKind::Inner, true, None, further);
        let epochs = [epoch(&left, &right, Some(i64::MAX)), epoch(&right, &left, Some(i64::MAX))];
        let how = How { workers, splits, batch_rows, spilled, deferred, ..How::PLAIN };
        let came = joined_either_way(&spec, true, how, &epochs).unwrap();
        let plain = How { deferred, ..How::PLAIN };
        prop_assert!(spilled || came == joined_either_way(&spec, true, plain, &epochs).unwrap());
        prop_assert_eq!(sorted(came), sorted(joined(&spec, How::PLAIN, &epochs).unwrap()));
    }

    /// Where no row is late, the cut into epochs does not matter.
    #[test]
    fn whatever_the_cut(
        mut left in prop::collection::vec((0i64..3, 0i64..40), 0..25),
        mut right in prop::collection::vec((0i64..3, 0i64..40), 0..25),
        disorder in 0i64..6,
        cuts in prop::collection::btree_set(0i64..46, 0..6),
        kind in prop::sample::select(kinds()),
        within in 0i64..8,
        stored in prop::option::of(1usize..4),
    ) {
        let spec = spec(kind, true, Some(within), false);
        // A row arrives up to `disorder` after its time; the watermark is as far behind as rows may lie behind it at most.
        let numbered = |rows: &mut Vec<(i64, i64)>| -> Vec<(i64, Row)> {
            (0..).zip(rows).map(|(n, (key, time))| (*time + (n * 7 + *key) % (disorder + 1), row(*key, n, *time))).collect()
        };
        let (left, right) = (numbered(&mut left), numbered(&mut right));
        let ends: Vec<i64> = cuts.into_iter().chain([100]).collect();
        let mut start = i64::MIN;
        let mut epochs = vec![];
        for end in ends {
            let part = |rows: &[(i64, Row)]| -> Vec<Row> {
                rows.iter().filter(|(at, _)| (start..end).contains(at)).map(|(_, row)| row.clone()).collect()
            };
            // Where rows without a match come out, no row may lie behind the watermark.
            let ahead = if kind.waits() { 0 } else { within };
            let watermark = if end == 100 { i64::MAX } else { end - disorder + ahead };
            epochs.push(Epoch { inputs: vec![part(&left), part(&right)], watermark: Some(watermark) });
            start = end;
        }
        let all = |rows: &[(i64, Row)]| rows.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>();
        let once = joined(&spec, How::PLAIN, &[epoch(&all(&left), &all(&right), Some(i64::MAX))]).unwrap();
        let cut = joined(&spec, How { stored, ..How::PLAIN }, &epochs).unwrap();
        let mut rows: Vec<Row> = cut.iter().flat_map(|came| came.rows.clone()).collect();
        rows.sort();
        prop_assert_eq!(cut.iter().map(|came| came.late.len() as u64 + came.others).sum::<u64>(), 0);
        prop_assert_eq!(&rows, &sorted(once)[0].rows);
    }
}
