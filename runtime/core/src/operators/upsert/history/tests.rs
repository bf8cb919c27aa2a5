//! What comes out, put together as a sink does, beside a definition that looks at all records at once: however they are shuffled, repeated, cut into epochs and
//! batches, whether what is kept is stored or not, and whether a filter lets some rows through only.

use super::*;
use crate::operators::kept::harness::{Came, Epoch, FIRST_TEXT, How, Row, Step, TEXTS, error, run};
use crate::operators::spilled::Make;
use flowc_ir::graph::{Operator, weight};
use flowc_ir::plan::COMMITTED;
use flowc_ir::{DataType as D, Field, Type};
use proptest::prelude::*;

/// The key, a value, what happened, the order of records of one time, and the time.
fn input() -> Schema {
    Schema::new(vec![
        Field::new("k", Type::nullable(D::Double)),
        Field::new("v", Type::nullable(D::Long)),
        Field::new("op", Type::nullable(D::String)),
        Field::new("seq", Type::nullable(D::Long)),
        Field::new("at", Type::nullable(D::Timestamp)),
    ])
}

fn output() -> Schema {
    let mut fields = input().fields[..2].to_vec();
    fields.extend([Field::new(COMMITTED, Type::new(D::Timestamp)), weight()]);
    Schema::new(fields)
}

fn spec(sequence: &[usize]) -> graph::Upsert {
    let (name, source, sequence) = ("versions".into(), "orders".into(), sequence.to_vec());
    graph::Upsert { name, source, width: 2, keys: vec![0], operation: 2, sequence, history: Some(4) }
}

fn came(sequence: &[usize], how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    let spec = spec(sequence);
    let (operator, inputs, output) = (Operator::Upsert(spec.clone()), vec![input()], output());
    let schema = output.clone();
    let make: Make =
        Arc::new(move |before, around| Ok(Box::new(History::new(&spec, (&input(), &schema), around, before)?)));
    let words = |row: &Row| -> Row {
        let word = |(i, n): (usize, &Option<i64>)| if i == 2 { n.map(|n| n + FIRST_TEXT) } else { *n };
        row.iter().enumerate().map(word).collect()
    };
    let named = |epoch: &Epoch| Epoch { inputs: vec![epoch.inputs[0].iter().map(words).collect()], ..epoch.clone() };
    let epochs: Vec<Epoch> = epochs.iter().map(named).collect();
    run(&Step { operator, inputs, output, make }, how, &epochs)
}

/// A key's versions: since when, until when, and the value.
type Versions = BTreeMap<Option<i64>, Vec<(i64, Option<i64>, Option<i64>)>>;

/// What holds of a key since when: a value, or nothing.
type Facts = BTreeMap<Option<i64>, BTreeMap<i64, Option<Option<i64>>>>;

fn versions(facts: &Facts) -> Versions {
    let of = |facts: &BTreeMap<i64, Option<Option<i64>>>| {
        let ends = facts.keys().skip(1).map(|at| Some(*at)).chain([None]);
        let versions = facts.iter().zip(ends).filter_map(|((from, value), to)| Some((*from, to, (*value)?)));
        versions.collect::<Vec<_>>()
    };
    let all = facts.iter().map(|(key, facts)| (*key, of(facts)));
    all.filter(|(_, versions)| !versions.is_empty()).collect()
}

/// Whether a filter lets a value through.
type Filter = fn(Option<i64>) -> bool;

/// Of all records at once: of those of a key and time the one with the greatest sequence counts, of equals the later one; each holds until the next.
fn expected(sequence: &[usize], epochs: &[Epoch], passes: Filter) -> Versions {
    let mut records: Vec<&Row> = epochs.iter().flat_map(|epoch| &epoch.inputs[0]).collect();
    records.sort_by_key(|record| sequence.iter().map(|column| record[*column]).collect::<Vec<_>>());
    let mut facts = Facts::new();
    for record in records {
        let value = match record[2].map(|word| TEXTS[word as usize]) {
            Some("insert" | "U" | "r" | "upsert") => Some(record[1]).filter(|value| passes(*value)),
            Some("Delete" | "d") => None,
            _ => continue,
        };
        let key = record[0].map(|key| key.max(0));
        facts.entry(key).or_default().insert(record[4].unwrap(), value);
    }
    versions(&facts)
}

/// As a sink that keeps history takes it: at a time at which rows are added they hold, and at one at which rows are only taken away nothing does.
fn kept(came: &[Came], passes: Filter) -> Versions {
    let mut facts = Facts::new();
    for came in came {
        let mut moments: BTreeMap<(Option<i64>, i64), Vec<&Row>> = BTreeMap::new();
        for row in came.rows.iter().filter(|row| passes(row[1])) {
            let key = row[0].map(|key| key.max(0));
            moments.entry((key, row[2].unwrap())).or_default().push(row);
        }
        for ((key, at), rows) in moments {
            let added: Vec<_> = rows.iter().filter(|row| row[3] == Some(1)).collect();
            assert!(added.len() <= 1, "{added:?}");
            facts.entry(key).or_default().insert(at, added.first().map(|row| row[1]));
        }
    }
    versions(&facts)
}

fn record() -> impl Strategy<Value = Row> {
    let key = proptest::option::weighted(0.9, -1i64..3);
    let word = prop_oneof![8 => (0i64..7).prop_map(Some), 1 => Just(None)];
    let value = proptest::option::weighted(0.9, 0i64..4);
    let order = proptest::option::weighted(0.9, 0i64..3);
    (key, value, word, order, 0i64..9).prop_map(|(k, v, op, seq, at)| match op {
        // A word may only be missing where the key is.
        None => vec![None, v, None, seq, None],
        op => vec![k, v, op, seq, Some(at)],
    })
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let records = proptest::collection::vec(record(), 0..40);
    // Some come twice, anywhere.
    let repeated = records.prop_flat_map(|records| {
        let again = proptest::sample::subsequence(records.clone(), 0..=records.len());
        again.prop_map(move |again| [records.clone(), again].concat()).prop_shuffle()
    });
    (repeated, 1usize..6).prop_map(|(records, count)| {
        let size = records.len().div_ceil(count).max(1);
        let epoch = |records: &[Row]| Epoch { inputs: vec![records.to_vec()], watermark: None };
        records.chunks(size).map(epoch).collect()
    })
}

const WAYS: [How; 6] = [
    How::PLAIN,
    How { workers: 2, splits: 3, batch_rows: 2, ..How::PLAIN },
    How { batch_rows: 3, stored: Some(100), ..How::PLAIN },
    How { workers: 3, splits: 2, stored: Some(2), ..How::PLAIN },
    How { splits: 2, batch_rows: 4, stored: Some(3), spilled: true, ..How::PLAIN },
    How { spilled: true, ..How::PLAIN },
];

const FILTERS: [Filter; 2] = [|_| true, |value| value.is_some_and(|value| value % 2 == 0)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_record_is_a_version(epochs in epochs(), way in 0usize..6, ordered in 0usize..3) {
        // By the order in which they come, by a number, or by the time itself.
        let sequence = [&[][..], &[3], &[4]][ordered];
        let found = came(sequence, WAYS[way], &epochs).map_err(error).unwrap();
        for passes in FILTERS {
            prop_assert_eq!(kept(&found, passes), expected(sequence, &epochs, passes), "{:?}", WAYS[way]);
        }
    }
}

fn epoch(records: &[[Option<i64>; 5]]) -> Epoch {
    Epoch { inputs: vec![records.iter().map(|record| record.to_vec()).collect()], watermark: None }
}

const PUT: Option<i64> = Some(1);
const DELETE: Option<i64> = Some(2);
const K: Option<i64> = Some(2);

#[test]
fn a_record_that_comes_late_goes_in_between() {
    let epochs = [
        epoch(&[[K, Some(1), PUT, None, Some(10)], [K, Some(3), PUT, None, Some(30)]]),
        // There was nothing to delete at 50.
        epoch(&[[K, None, DELETE, None, Some(40)], [K, None, DELETE, None, Some(50)]]),
        epoch(&[[K, Some(2), PUT, None, Some(20)]]),
        epoch(&[[K, Some(4), PUT, None, Some(45)]]),
    ];
    let row = |value: i64, at: i64, weight: i64| vec![K, Some(value), Some(at), Some(weight)];
    for how in WAYS {
        let found = came(&[4], how, &epochs).map_err(error).unwrap();
        let late: Vec<&[Row]> = found[2..].iter().map(|came| came.rows.as_slice()).collect();
        let between = [row(1, 20, -1), row(2, 20, 1), row(2, 30, -1), row(3, 30, 1)];
        assert_eq!(late, [&between[..], &[row(4, 45, 1), row(4, 50, -1)]], "{how:?}");
        let versions = kept(&found, FILTERS[0]).remove(&K).unwrap();
        let ends: Vec<(i64, Option<i64>)> = versions.iter().map(|(from, to, _)| (*from, *to)).collect();
        assert_eq!(ends, [(10, Some(20)), (20, Some(30)), (30, Some(40)), (45, Some(50))]);
    }
}

#[test]
fn what_is_known_changes_nothing() {
    let first = [[K, Some(1), PUT, Some(1), Some(10)], [K, None, DELETE, Some(1), Some(20)]];
    let older = [K, Some(7), PUT, Some(0), Some(10)];
    for how in WAYS {
        let epochs = [epoch(&first), epoch(&first), epoch(&[older, first[1]]), epoch(&[])];
        let rows: Vec<usize> =
            came(&[3], how, &epochs).map_err(error).unwrap().iter().map(|came| came.rows.len()).collect();
        assert_eq!(rows, [2, 0, 0, 0], "{how:?}");
    }
}

#[test]
fn a_record_without_a_time_stops_the_run() {
    let good = [K, Some(1), PUT, None, Some(10)];
    // One that is passed over needs none.
    assert!(came(&[4], How::PLAIN, &[epoch(&[good, [None, None, None, None, None]])]).is_ok());
    let failed = came(&[4], How { batch_rows: 1, ..How::PLAIN }, &[epoch(&[good, [K, Some(5), PUT, None, None]])]);
    let failed = error(failed.unwrap_err());
    assert_eq!((failed.code, failed.row[1].1.as_str()), ("R0106", "5"));
    assert!(failed.message.contains("`orders`") && failed.message.contains("`sequence by`"), "{failed}");
}

#[test]
fn more_records_than_the_memory_holds_are_kept_on_disk() {
    let records = |from: i64| {
        let record = |n: i64| vec![Some(n % 700 + 2), Some(n), Some(0), None, Some(n)];
        Epoch { inputs: vec![(from..from + 3000).map(record).collect()], watermark: None }
    };
    let epochs = [records(0), records(1500), records(1500)];
    let memory = 128 << 10;
    let failed = error(came(&[4], How { memory, ..How::PLAIN }, &epochs).unwrap_err());
    assert_eq!(failed.code, "R0117");
    for stored in [None, Some(2)] {
        let how = How { memory: if stored.is_some() { 4 << 20 } else { memory }, spilled: true, stored, ..How::PLAIN };
        let found = came(&[4], how, &epochs).map_err(error).unwrap();
        assert_eq!(kept(&found, FILTERS[0]), expected(&[4], &epochs, FILTERS[0]));
        assert!(found[2].rows.is_empty());
    }
}
