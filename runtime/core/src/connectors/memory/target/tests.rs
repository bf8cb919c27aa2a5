//! What sinks in memory hold after epochs, in each mode.

use super::*;
use crate::testing::texts;
use arrow::array::{Int64Array, StringArray};
use flowc_ir::plan::Connector;
use flowc_ir::{DataType as D, Origin};
use indexmap::IndexMap;
use proptest::prelude::*;

fn spec(mode: SinkMode, changing: bool) -> SinkSpec {
    let columns = vec![
        Field::new("k", Type::nullable(D::String)),
        Field::new("v", Type::new(D::Long)),
        Field::new("valid_from", Type::new(D::Timestamp)),
    ];
    SinkSpec {
        name: "out".into(),
        connector: Connector::Console,
        mode,
        whole: false,
        schema: flowc_ir::Schema::new(columns),
        changing,
        partition_by: vec!["k".into()],
        generated: vec![],
        constraints: vec![],
        enforced: vec![],
        properties: IndexMap::new(),
        description: None,
        evolve: false,
        input: flowc_ir::graph::NodeId(0),
        origin: Origin::default(),
    }
}

fn by_key(mode: fn(Vec<String>) -> SinkMode) -> SinkMode {
    mode(vec!["k".into()])
}

fn merge(changing: bool) -> SinkSpec {
    spec(by_key(|keys| SinkMode::Merge { keys }), changing)
}

fn history(changing: bool) -> SinkSpec {
    spec(by_key(|keys| SinkMode::Scd2 { keys }), changing)
}

fn stamps(times: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
}

/// Key, value, valid from, committed, weight.
type Change = (Option<&'static str>, i64, i64, i64, i64);

fn batch(spec: &SinkSpec, rows: &[Change]) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        stamps(rows.iter().map(|row| row.2).collect()),
    ];
    if spec.changing {
        if matches!(spec.mode, SinkMode::Scd2 { .. }) {
            columns.push(stamps(rows.iter().map(|row| row.3).collect()));
        }
        columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4))));
    }
    RecordBatch::try_new(taken(spec), columns).unwrap()
}

/// After epochs of these rows, what is held, in order.
fn held(spec: &SinkSpec, epochs: &[&[Change]]) -> Result<Vec<String>, RunError> {
    let mut target = Target::default();
    for (epoch, rows) in (1..).zip(epochs) {
        target.take(spec, (epoch, false), rows.iter().map(|row| batch(spec, &[*row])).collect())?;
        assert_eq!(target.committed, Some(epoch));
    }
    let mut lines: Vec<String> = target.rows().iter().flat_map(texts).collect();
    lines.sort();
    Ok(lines)
}

#[test]
fn what_changes_adds_up() {
    let first: &[Change] = &[(Some("a"), 1, 0, 0, 2), (Some("b"), 2, 0, 0, 1), (Some("a"), 1, 0, 0, -1)];
    let second: &[Change] = &[(Some("b"), 2, 0, 0, -1), (None, 3, 0, 0, 1)];
    assert_eq!(held(&spec(SinkMode::Append, true), &[first, second]).unwrap(), ["a 1 0", "null 3 0"]);
    assert_eq!(held(&spec(SinkMode::Overwrite, true), &[first, first]).unwrap(), ["a 1 0", "b 2 0"]);
    for mode in [SinkMode::Append, SinkMode::Overwrite] {
        let error = held(&spec(mode, true), &[second]).unwrap_err();
        assert_eq!((error.code, error.row[1].1.as_str()), ("R0142", "2"));
    }
}

#[test]
fn partitions_are_replaced_whole() {
    let first: &[Change] = &[(Some("a"), 1, 0, 0, 1), (Some("a"), 2, 0, 0, 1), (Some("b"), 3, 0, 0, 1)];
    let second: &[Change] = &[(Some("a"), 9, 0, 0, 1), (None, 8, 0, 0, 1)];
    for changing in [false, true] {
        let spec = spec(SinkMode::OverwritePartition, changing);
        assert_eq!(held(&spec, &[first, second]).unwrap(), ["a 9 0", "b 3 0", "null 8 0"]);
    }
}

#[test]
fn a_merge_keeps_the_last_row_of_a_key() {
    let first: &[Change] = &[(Some("a"), 1, 0, 0, 1), (None, 2, 0, 0, 1), (Some("a"), 3, 0, 0, 1)];
    let second: &[Change] = &[(None, 4, 0, 0, 1), (Some("b"), 5, 0, 0, 1)];
    assert_eq!(held(&merge(false), &[first, second]).unwrap(), ["a 3 0", "b 5 0", "null 4 0"]);
    let mut target = Target::default();
    target.take(&merge(false), (1, false), vec![batch(&merge(false), first)]).unwrap();
    target.take(&merge(false), (2, true), vec![batch(&merge(false), second)]).unwrap();
    assert_eq!(target.rows().iter().map(RecordBatch::num_rows).sum::<usize>(), 2, "a refresh replaces all");
}

#[test]
fn a_merge_of_changes_keeps_what_is_left_of_a_key() {
    let first: &[Change] = &[(Some("a"), 1, 0, 0, 1), (Some("b"), 2, 0, 0, 1), (None, 7, 0, 0, 1)];
    // In any order: `a` becomes another, `b` goes, `c` comes and goes.
    let second: &[Change] = &[
        (Some("a"), 5, 0, 0, 1),
        (Some("c"), 4, 0, 0, -1),
        (Some("b"), 2, 0, 0, -1),
        (Some("a"), 1, 0, 0, -1),
        (Some("c"), 4, 0, 0, 1),
    ];
    assert_eq!(held(&merge(true), &[first, second]).unwrap(), ["a 5 0", "null 7 0"]);
    for two in [[(Some("a"), 1, 0, 0, 1), (Some("a"), 2, 0, 0, 1)], [(Some("b"), 1, 0, 0, 2), (Some("a"), 2, 0, 0, 1)]]
    {
        let mut target = Target::default();
        target.take(&merge(true), (1, false), vec![batch(&merge(true), first)]).unwrap();
        let error = target.take(&merge(true), (2, false), vec![batch(&merge(true), &two)]).unwrap_err();
        assert!(
            error.code == crate::codes::AMBIGUOUS_KEY && error.message.contains("epoch 2") && !error.row.is_empty(),
            "{error}"
        );
        assert_eq!((target.committed, target.rows().iter().map(RecordBatch::num_rows).sum::<usize>()), (Some(1), 3));
    }
}

#[test]
fn a_row_beside_one_that_stays_is_one_too_many() {
    let there: &[Change] = &[(Some("a"), 1, 0, 0, 1)];
    let error = held(&merge(true), &[there, &[(Some("a"), 2, 0, 0, 1)]]).unwrap_err();
    assert!(error.code == crate::codes::AMBIGUOUS_KEY && error.message.contains("epoch 2"), "{error}");
    // What was there goes under another form, as after a change of the program: one row is left.
    assert_eq!(held(&merge(true), &[there, &[(Some("a"), 7, 0, 0, -1), (Some("a"), 2, 0, 0, 1)]]).unwrap(), ["a 2 0"]);
}

#[test]
fn two_versions_of_a_commit_that_begin_together_are_an_error() {
    let versions = |at: i64| [(Some("a"), 1, 10, 10, 1), (Some("a"), 2, 10, at, 1)];
    assert_eq!(held(&history(true), &[&versions(10)]).unwrap_err().code, crate::codes::AMBIGUOUS_VERSION);
    // Of two commits the later one counts.
    assert_eq!(held(&history(true), &[&versions(20)]).unwrap(), ["a 2 10 null true"]);
}

#[test]
fn a_history_ends_where_the_next_version_or_the_delete_begins() {
    let later: &[Change] = &[(Some("a"), 2, 30, 0, 1), (Some("b"), 9, 10, 0, 1)];
    let earlier: &[Change] = &[(Some("a"), 1, 10, 0, 1), (Some("a"), 3, 30, 0, 1)];
    let wanted = ["a 1 10 30 false", "a 3 30 null true", "b 9 10 null true"];
    assert_eq!(held(&history(false), &[later, earlier]).unwrap(), wanted);
    // Added, updated, deleted, and there again.
    let changes: &[&[Change]] = &[
        &[(Some("a"), 1, 10, 10, 1)],
        &[(Some("a"), 1, 10, 20, -1), (Some("a"), 2, 20, 20, 1)],
        &[(Some("a"), 2, 20, 30, -1)],
        &[(Some("a"), 4, 50, 50, 1)],
    ];
    let wanted = ["a 1 10 20 false", "a 2 20 30 false", "a 4 50 null true"];
    assert_eq!(held(&history(true), changes).unwrap(), wanted);
    assert_eq!(held(&history(true), &[&changes.concat()]).unwrap(), wanted);
}

const KEYS: [Option<&str>; 3] = [Some("a"), Some("b"), None];

proptest! {
    /// A table changes, commit by commit; what a sink holds does not depend on how commits are cut into epochs.
    #[test]
    fn how_commits_are_cut_does_not_matter(
        commits in proptest::collection::vec(
            proptest::collection::vec((0usize..3, proptest::option::weighted(0.7, (0i64..4, 0i64..6))), 1..3), 1..9),
        cuts in proptest::collection::vec(any::<bool>(), 9),
    ) {
        let mut table: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
        let (mut whole, mut cut): (Vec<Change>, Vec<Vec<Change>>) = (vec![], vec![vec![]]);
        for (at, (commit, cuts)) in commits.iter().zip(&cuts).enumerate() {
            let at = 10 * at as i64;
            let before = table.clone();
            for (key, row) in commit {
                // Some versions are valid from a time before their commit.
                match row {
                    Some((value, back)) => table.insert(*key, (*value, at - back * 5)),
                    None => table.remove(key),
                };
            }
            let rows = |table: &BTreeMap<usize, (i64, i64)>, weight: i64| -> Vec<Change> {
                table.iter().map(|(key, (v, from))| (KEYS[*key], *v, *from, at, weight)).collect()
            };
            let changes = [rows(&table, 1), rows(&before, -1)].concat();
            whole.extend(&changes);
            if *cuts {
                cut.push(vec![]);
            }
            cut.last_mut().unwrap().extend(&changes);
        }
        let cut: Vec<&[Change]> = cut.iter().map(Vec::as_slice).collect();
        for spec in [merge(true), history(true)] {
            // Which commit a change is of does not matter where no history is kept.
            prop_assert_eq!(held(&spec, &[&whole]).unwrap(), held(&spec, &cut).unwrap());
        }
        let now: BTreeSet<String> = table.iter()
            .map(|(key, (v, from))| format!("{} {v} {from}", KEYS[*key].unwrap_or("null")))
            .collect();
        prop_assert_eq!(held(&merge(true), &cut).unwrap().into_iter().collect::<BTreeSet<_>>(), now);
    }
}
