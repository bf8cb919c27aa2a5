//! The newest records beside a row-by-row definition, epoch by epoch, however records are cut into batches and splits, and whether what is kept is stored or not.

use super::*;
use crate::operators::kept::harness::{Came, Epoch, FIRST_TEXT, How, Row, Step, TEXTS, error, run};
use crate::operators::spilled::Make;
use flowc_ir::graph::{Operator, weight};
use flowc_ir::{DataType as D, Field, Type};
use proptest::prelude::*;

/// The key (two columns), a value, what happened, and the order.
fn input() -> Schema {
    Schema::new(vec![
        Field::new("k", Type::nullable(D::Double)),
        Field::new("l", Type::nullable(D::Long)),
        Field::new("v", Type::nullable(D::Long)),
        Field::new("op", Type::nullable(D::String)),
        Field::new("seq", Type::nullable(D::Long)),
    ])
}

/// `required`: a value is never null in a row.
fn output(required: bool) -> Schema {
    let mut fields = input().fields[..3].to_vec();
    fields[2].ty.nullable = !required;
    fields.push(weight());
    Schema::new(fields)
}

fn spec(sequence: &[usize]) -> graph::Upsert {
    let (name, source) = ("newest".into(), "orders".into());
    graph::Upsert { name, source, width: 3, keys: vec![0, 1], operation: 3, sequence: sequence.to_vec(), history: None }
}

fn came(spec: &graph::Upsert, required: bool, how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    let (operator, inputs, output) = (Operator::Upsert(spec.clone()), vec![input()], output(required));
    let (spec, schema) = (spec.clone(), output.clone());
    let make: Make =
        Arc::new(move |before, around| Ok(Box::new(Upsert::new(&spec, (&input(), &schema), around, before)?)));
    let words = |row: &Row| -> Row {
        let word = |(i, n): (usize, &Option<i64>)| if i == 3 { n.map(|n| n + FIRST_TEXT) } else { *n };
        row.iter().enumerate().map(word).collect()
    };
    let named = |epoch: &Epoch| Epoch {
        inputs: epoch.inputs.iter().map(|rows| rows.iter().map(words).collect()).collect(),
        ..epoch.clone()
    };
    let epochs: Vec<Epoch> = epochs.iter().map(named).collect();
    run(&Step { operator, inputs, output, make }, how, &epochs)
}

/// What the words of [`TEXTS`] mean: whether the row is there.
fn there(word: Option<i64>) -> Option<bool> {
    match TEXTS[word? as usize] {
        "insert" | "U" | "r" | "upsert" => Some(true),
        "Delete" | "d" => Some(false),
        _ => None,
    }
}

/// By flowc's equality.
fn normal(row: &[Option<i64>]) -> Row {
    row.iter().enumerate().map(|(i, n)| if i == 0 && *n == Some(-1) { Some(0) } else { *n }).collect()
}

/// What comes out of each epoch, sorted.
fn expected(spec: &graph::Upsert, epochs: &[Epoch]) -> Vec<Vec<Row>> {
    let mut known: BTreeMap<Row, (Vec<Option<i64>>, Option<Row>)> = BTreeMap::new();
    let mut out = vec![];
    for epoch in epochs {
        let before = known.clone();
        for record in &epoch.inputs[0] {
            let Some(there) = there(record[3]) else { continue };
            let sequence: Vec<Option<i64>> = spec.sequence.iter().map(|column| record[*column]).collect();
            let row = there.then(|| record[..3].to_vec());
            let newest = known.entry(normal(&record[..2])).or_insert((sequence.clone(), None));
            if sequence >= newest.0 {
                *newest = (sequence, row);
            }
        }
        let mut rows = vec![];
        for (key, (_, row)) in &known {
            let old = before.get(key).and_then(|(_, row)| row.clone());
            if old.as_deref().map(normal) != row.as_deref().map(normal) {
                let weighted = |row: Option<Row>, weight: i64| row.map(|row| [row, vec![Some(weight)]].concat());
                rows.extend(weighted(old, -1).into_iter().chain(weighted(row.clone(), 1)));
            }
        }
        rows.sort();
        out.push(rows);
    }
    out
}

fn sorted(came: Vec<Came>) -> Vec<Vec<Row>> {
    let rows = |came: Came| {
        let mut rows = came.rows;
        rows.sort();
        rows
    };
    came.into_iter().map(rows).collect()
}

fn record() -> impl Strategy<Value = Row> {
    let key = (proptest::option::weighted(0.9, -1i64..4), proptest::option::weighted(0.8, 0i64..2));
    let word = prop_oneof![8 => (0i64..7).prop_map(Some), 1 => Just(None)];
    let rest = (proptest::option::weighted(0.9, 0i64..3), word, proptest::option::weighted(0.9, 0i64..6));
    (key, rest).prop_map(|((k, l), (v, op, seq))| match op {
        // A word may only be missing where the key is.
        None => vec![None, None, v, None, seq],
        op => vec![k, l, v, op, seq],
    })
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = proptest::collection::vec(record(), 0..30);
    let epoch = epoch.prop_map(|records| Epoch { inputs: vec![records], watermark: None });
    proptest::collection::vec(epoch, 1..6)
}

const WAYS: [How; 5] = [
    How::PLAIN,
    How { workers: 2, splits: 3, batch_rows: 2, ..How::PLAIN },
    How { batch_rows: 3, stored: Some(100), ..How::PLAIN },
    How { workers: 3, splits: 2, stored: Some(2), ..How::PLAIN },
    How { splits: 2, batch_rows: 4, stored: Some(3), spilled: true, ..How::PLAIN },
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_newest_record_of_a_key_counts(epochs in epochs(), way in 0usize..6, ordered in 0usize..3) {
        // The order may be by a column of the row, or several.
        let spec = spec([&[][..], &[4], &[4, 2]][ordered]);
        let wanted = expected(&spec, &epochs);
        let how = WAYS.get(way).copied().unwrap_or(How { spilled: true, ..How::PLAIN });
        let found = sorted(came(&spec, false, how, &epochs).map_err(error).unwrap());
        prop_assert_eq!(found, wanted, "{:?}", how);
    }
}

fn epoch(records: &[[Option<i64>; 5]]) -> Epoch {
    Epoch { inputs: vec![records.iter().map(|record| record.to_vec()).collect()], watermark: None }
}

const A: Option<i64> = Some(2);

#[test]
fn what_was_deleted_does_not_come_back_with_an_older_record() {
    let epochs = [
        epoch(&[[A, A, Some(1), Some(0), Some(1)]]),
        epoch(&[[A, A, None, Some(2), Some(5)]]),
        epoch(&[[A, A, Some(3), Some(1), Some(4)]]),
        epoch(&[[A, A, Some(4), Some(1), Some(5)]]),
    ];
    for how in WAYS {
        let rows: Vec<usize> =
            came(&spec(&[4]), true, how, &epochs).map_err(error).unwrap().iter().map(|came| came.rows.len()).collect();
        assert_eq!(rows, [1, 1, 0, 1], "{how:?}");
    }
}

#[test]
fn words_that_nobody_knows_stop_the_run() {
    let good = [A, A, Some(1), Some(0), Some(1)];
    for bad in [[A, A, Some(7), Some(7), Some(1)], [A, None, Some(7), None, Some(1)]] {
        let failed = came(&spec(&[4]), false, How { batch_rows: 2, ..How::PLAIN }, &[epoch(&[good, bad, bad])]);
        let failed = error(failed.unwrap_err());
        assert_eq!((failed.code, failed.row[2].1.as_str()), ("R0141", "7"));
        assert!(failed.message.contains("`orders`") && failed.message.contains("`op`"), "{failed}");
        assert!(failed.help.unwrap().contains("`update_postimage`"));
    }
}

#[test]
fn a_row_has_what_it_must_have() {
    let fine = [[A, A, Some(1), Some(0), None], [A, A, None, Some(2), Some(2)], [None, None, None, None, None]];
    let before = [A, A, None, Some(5), Some(3)];
    let records = [fine[0], fine[1], fine[2], before];
    assert!(came(&spec(&[4]), true, How::PLAIN, &[epoch(&records)]).is_ok());
    let failed = came(&spec(&[4]), true, How::PLAIN, &[epoch(&[fine[0], [A, A, None, Some(1), Some(3)]])]);
    let failed = error(failed.unwrap_err());
    assert!(failed.code == "R0106" && failed.message.contains("`v`") && !failed.row.is_empty(), "{failed}");
}

#[test]
fn more_keys_than_the_memory_holds_are_kept_on_disk() {
    let records = |from: i64| {
        let record = |n: i64| vec![Some(n + 2), Some(n % 2), Some(n), Some(0), Some(n)];
        Epoch { inputs: vec![(from..from + 3000).map(record).collect()], watermark: None }
    };
    let epochs = [records(0), records(1500), records(1500)];
    let memory = 128 << 10;
    let failed = error(came(&spec(&[4]), false, How { memory, ..How::PLAIN }, &epochs).unwrap_err());
    assert_eq!(failed.code, "R0117");
    for stored in [None, Some(2)] {
        let how = How { memory: if stored.is_some() { 4 << 20 } else { memory }, spilled: true, stored, ..How::PLAIN };
        let found = sorted(came(&spec(&[4]), false, how, &epochs).map_err(error).unwrap());
        assert_eq!(found, expected(&spec(&[4]), &epochs));
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3000, 1500, 0]);
    }
}
