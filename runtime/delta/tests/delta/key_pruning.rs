//! What a lookup tells its source by the keys of its table, in whole runs: files are left out, the same rows come out as without it, watermarks are the same, and each
//! epoch goes by the keys of its version of the table.

use crate::common::*;
use arrow::array::{Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use flowc_delta::{DeltaSink, DeltaSource, DeltaTable, Storage};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::interpret::Interpreter;
use flowc_ir::key_pruning::prunings;
use flowc_ir::plan::{Executable, SinkSpec, SourceSpec, TableSpec};
use flowc_ir::text::parse_plan;
use flowc_ir::{DataType, Schema};
use flowc_runtime::report::Unobserved;
use flowc_runtime::{Connectors, LookupTable, RunError, RunOptions, RunSummary, Sink, Source};
use std::sync::Arc;

/// A stream, a table and a target, and where the state of runs is kept.
struct World {
    folder: tempfile::TempDir,
    places: [Storage; 3],
}

struct Tables([Storage; 3]);

#[async_trait]
impl Connectors for Tables {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        Ok(Arc::new(DeltaSource::open(spec, self.0[0].clone()).await?))
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        Ok(Arc::new(DeltaTable::open(spec, self.0[1].clone()).await?))
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        Ok(Arc::new(DeltaSink::new(spec, self.0[2].clone())))
    }
}

fn schema() -> Schema {
    Schema::new(vec![
        required("id", DataType::Long),
        required("ms", DataType::Long),
        column("text", DataType::String),
        column("more", DataType::String),
    ])
}

fn device() -> Schema {
    Schema::new(vec![column("id", DataType::Long)])
}

/// A hundred rows, with ten keys from `id` on and times from `ms` on.
fn readings(id: i64, ms: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values((0..100).map(|i| id + i % 10));
    let times = Int64Array::from_iter_values((0..100).map(|i| ms + i * 37 % 100));
    let texts = |name: &str| (0..100).map(|i| Some(format!("{name}{}", id + i))).collect::<StringArray>();
    let (text, more) = (Arc::new(texts("t")) as _, Arc::new(texts("m")) as _);
    let columns = vec![Arc::new(ids) as _, Arc::new(times) as _, text, more];
    RecordBatch::try_new(to_arrow_schema(&schema()), columns).expect("a batch")
}

impl World {
    /// Three files of the stream with keys of their own: 0 to 9, 10 to 19, 20 to 29; that in the middle has the latest times.
    async fn new(keys: &[Option<i64>]) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| Storage::open(&folder.path().join(name).to_string_lossy()).expect("a place");
        let places = ["stream", "device", "out"].map(place);
        let world = World { folder, places };
        for (name, id, ms) in [("a", 0, 1000), ("b", 10, 3000), ("c", 20, 2000)] {
            append(&world.places[0], &schema(), name, &[readings(id, ms)]).await;
        }
        world.devices("a", keys).await;
        world
    }

    async fn devices(&self, name: &str, keys: &[Option<i64>]) {
        let ids = Arc::new(Int64Array::from(keys.to_vec())) as _;
        let batch = RecordBatch::try_new(to_arrow_schema(&device()), vec![ids]).expect("a batch");
        append(&self.places[1], &device(), name, &[batch]).await;
    }

    /// Runs a lookup of a kind behind a watermark, or at once, by the key or by the same computed, which nothing is known of.
    async fn run(&self, kind: &str, timed: bool, known: bool) -> RunSummary {
        let (way, at) = way(timed, known);
        let text = format!(
            r#"plan "p"
source "s" {{"connector":"delta","location":"/s"}}
    columns (id: long, ms: long, text: string?, more: string?)
table "device" {{"connector":"delta","location":"/device"}}
    columns (id: long?)
sink "out" {{"connector":"console"}} <- {last} append
    columns (id: long, ms: long, text: string?)
graph {{
    0: source 0 "s"
        columns (id: long, ms: long, text: string?, more: string?)
{way}
    {lookup}: lookup 0 <- [{at}] "join"
        columns (id: long, ms: long, text: string?, more: string?, key: long, at: timestamp)
        {kind} keys [4] == [0] output []
        prepare program (id: long?) {{ keep id }}
    {last}: transform <- [{lookup}] "select" program {{ keep id, ms, text }}
    {sink}: sink 0 <- [{last}] "out"
}}"#,
            lookup = at + 1,
            last = at + 2,
            sink = at + 3
        );
        let plan = parse_plan(&text).unwrap_or_else(|e| panic!("{e}\n{}", &text[e.at..]));
        assert_eq!(flowc_ir::verify::verify(&plan), Ok(()), "{text}");
        let pruned = known && (kind == "inner" || kind == "semi");
        assert_eq!(prunings(&plan).len(), usize::from(pruned), "{text}");
        let executable = Executable::compile(plan, &Interpreter).expect("compiles");
        let mut options = RunOptions::new(self.folder.path().join("state"));
        options.workers = 2;
        let ran = flowc_runtime::run(&executable, Arc::new(Tables(self.places.clone())), options, Arc::new(Unobserved));
        ran.await.expect("runs")
    }

    async fn out(&self) -> Vec<String> {
        let columns = Schema::new(schema().fields[..3].to_vec());
        sorted(&table_rows(&self.places[2], &columns, None).await)
    }
}

/// What stands between the source and the lookup, and the last node of it.
fn way(timed: bool, known: bool) -> (String, usize) {
    let key = if known { "out key = id" } else { "out key = abs(id)" };
    let time = if timed { "timestamp_millis(ms)" } else { "timestamp_micros(ms)" };
    let computed =
        format!("    1: transform <- [0] \"extend\" program {{ keep id, ms, text, more {key} out at = {time} }}");
    if !timed {
        return (computed, 1);
    }
    (computed + "\n    2: watermark \"s\" time 5 delay 0 <- [1] \"watermark\"", 2)
}

/// The rows with these keys.
fn expected(keys: &[i64]) -> Vec<String> {
    let mut rows: Vec<String> = [(0, 1000), (10, 3000), (20, 2000)]
        .iter()
        .flat_map(|(id, ms)| texts(&[readings(*id, *ms).project(&[0, 1, 2]).expect("columns")]))
        .filter(|row| keys.iter().any(|key| row.starts_with(&format!("{key} |"))))
        .collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn files_without_a_key_are_not_read() {
    for kind in ["inner", "semi"] {
        for (keys, read) in [(&[Some(12), None, Some(15)][..], 100), (&[Some(3), Some(28)], 200), (&[None], 0)] {
            let world = World::new(keys).await;
            let summary = world.run(kind, false, true).await;
            let keys: Vec<i64> = keys.iter().flatten().copied().collect();
            assert_eq!((summary.sources[0].rows, world.out().await), (read, expected(&keys)), "{kind} {keys:?}");
            let world = World::new(&keys.iter().copied().map(Some).chain([None]).collect::<Vec<_>>()).await;
            let summary = world.run(kind, false, false).await;
            assert_eq!((summary.sources[0].rows, world.out().await), (300, expected(&keys)), "{kind} {keys:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_out_without_a_match_is_read() {
    let world = World::new(&[Some(12)]).await;
    let summary = world.run("anti", false, true).await;
    assert_eq!((summary.sources[0].rows, world.out().await.len()), (300, 290));
}

#[tokio::test]
async fn event_times_of_rows_without_a_match_move_the_watermark() {
    for (keys, known) in [(2, true), (2, false), (77, true), (77, false)] {
        let world = World::new(&[Some(keys)]).await;
        let summary = world.run("inner", true, known).await;
        let watermark = summary.steps.iter().find(|step| step.kind == "watermark").and_then(|step| step.watermark);
        assert_eq!((watermark, summary.sources[0].rows), (Some(3_099_000), 300), "{keys} {known}");
        assert_eq!(world.out().await, expected(&[keys]));
    }
}

#[tokio::test]
async fn each_epoch_goes_by_the_keys_of_its_version_of_the_table() {
    let world = World::new(&[Some(12)]).await;
    world.run("semi", false, true).await;
    world.devices("b", &[Some(31)]).await;
    append(&world.places[0], &schema(), "d", &[readings(30, 4000)]).await;
    append(&world.places[0], &schema(), "e", &[readings(50, 5000)]).await;
    let summary = world.run("semi", false, true).await;
    assert_eq!(summary.sources[0].rows, 100);
    let out = world.out().await;
    let of = |key: &str| out.iter().filter(|row| row.starts_with(key)).count();
    assert_eq!((of("12 |"), of("31 |"), out.len()), (10, 10, 20));
}
