//! A table that delta-rs 1.6.6 wrote, with its change data feed: an update, a delete, a merge, an append, a compaction, an overwrite.

use super::*;
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use flowc_delta::log::commits::commit_path;
use flowc_delta::show;

fn golden() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/written-by-delta-rs")
}

/// What each version changes.
const CHANGES: [&[(&str, i64)]; 7] = [
    &[("1 | a | 1.0", 1), ("2 | a | 2.0", 1), ("3 | b | 3.0", 1), ("4 | null | null", 1)],
    &[("2 | a | 2.0", -1), ("2 | a | 20.0", 1)],
    &[("3 | b | 3.0", -1)],
    &[("1 | a | 1.0", -1), ("1 | a | 11.0", 1), ("5 | c | 5.0", 1)],
    &[("6 | a | 6.0", 1)],
    &[],
    &[("2 | a | 20.0", -1), ("4 | null | null", -1), ("5 | c | 5.0", -1), ("6 | a | 6.0", -1), ("7 | b | 7.0", 1)],
];

fn changes() -> Vec<Vec<(String, i64)>> {
    CHANGES.iter().map(|rows| rows.iter().map(|(row, weight)| (row.to_string(), *weight)).collect()).collect()
}

async fn shown(storage: &Storage) -> Vec<Vec<(String, i64)>> {
    let (_, found) = show::changes(storage, 0..=6, 100).await.expect("changes");
    let rows = |change: &show::Change| {
        let mut rows = weighed(&change.rows);
        rows.sort();
        rows
    };
    found.iter().map(rows).collect()
}

#[tokio::test]
async fn what_each_version_changed_comes_from_the_feed_or_from_the_files() {
    let with_feed = Storage::open(&golden().to_string_lossy()).expect("a place");
    assert_eq!(shown(&with_feed).await, changes());
    // The same table without its feed, in memory.
    let without = memory();
    for version in 0..=6 {
        let text = with_feed.get(&commit_path(version)).await.expect("a commit");
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.starts_with(br#"{"cdc""#));
        let text = lines.collect::<Vec<_>>().join(&b'\n');
        without.store().put(&commit_path(version), text.into()).await.expect("writes");
        let commit = read_commit(&without, version).await.expect("reads").expect("a commit");
        assert!(commit.cdcs.is_empty());
        for add in commit.adds {
            let path = Path::from(add.path.as_str());
            without.store().put(&path, with_feed.get(&path).await.expect("a file").into()).await.expect("writes");
        }
    }
    assert_eq!(shown(&without).await, changes());
}

#[tokio::test]
async fn it_is_followed_as_it_was_written() {
    let storage = Storage::open(&golden().to_string_lossy()).expect("a place");
    let names = ["id", "part"];
    let mut spec = following(&names);
    spec.start = Some(flowc_ir::plan::VersionSpec::Number(0));
    let source = open(&storage, &spec).await;
    let (mut from, mut total, mut ranges) = (None, Weights::new(), 0);
    let limits = EpochLimits { files: Some(1), ..EpochLimits::NONE };
    while let Some(range) = source.next_range(from.as_ref(), limits).await.expect("reads") {
        sum(&mut total, &weighed(&range_rows(&source, &range).await));
        (from, ranges) = (Some(range.to), ranges + 1);
    }
    let now = table_rows(&storage, &columns(&names), None).await;
    let mut expected = Weights::new();
    sum(&mut expected, &texts(&now).into_iter().map(|row| (row, 1)).collect::<Vec<_>>());
    assert_eq!((total, ranges), (expected, 8));
    // Nobody reads the column that the update changed.
    let range = SourceRange {
        to: at(&source, 1).await,
        from: Some(at(&source, 0).await),
        text: "".into(),
        rows: None,
        bytes: None,
    };
    assert_eq!(weighed(&range_rows(&source, &range).await), []);
}

/// The position behind a version.
async fn at(source: &DeltaSource, version: u64) -> Position {
    let range = source.next_range(None, EpochLimits::NONE).await.expect("reads").expect("rows");
    let table = range.to.0["table"].clone();
    Position(serde_json::json!({ "version": version, "table": table }))
}
