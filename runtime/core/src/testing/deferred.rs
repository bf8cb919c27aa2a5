//! Joins whose left rows are read behind the right ones: what comes out is the same as where they are not, and columns that only they need are not read before.

use super::*;
use crate::connectors::memory::MemoryConnectors;
use arrow::array::{StringArray, TimestampMicrosecondArray};
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::graph::*;

/// What was asked of sources: columns, or how many rows were kept.
type Asked = Arc<Mutex<Vec<String>>>;

/// Rows in memory, whose sources are read column by column or not.
#[derive(Debug)]
struct Watched {
    memory: MemoryConnectors,
    apart: bool,
    asked: Asked,
}

#[derive(Debug)]
struct WatchedSource {
    source: Arc<dyn Source>,
    apart: bool,
    asked: Asked,
}

#[async_trait]
impl Connectors for Watched {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        let source = self.memory.source(spec).await?;
        Ok(Arc::new(WatchedSource { source, apart: self.apart, asked: Arc::clone(&self.asked) }))
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        self.memory.table(spec).await
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        self.memory.sink(spec).await
    }
}

#[async_trait]
impl Source for WatchedSource {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        self.source.next_range(from, limits).await
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        self.source.splits(range).await
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        self.asked.lock().unwrap().push("all".into());
        self.source.read(split, batch_rows).await
    }

    fn reads_columns(&self, _range: &SourceRange) -> bool {
        self.apart
    }

    async fn read_columns(&self, split: &Split, columns: &[usize], batch_rows: usize) -> Result<BatchStream, RunError> {
        self.asked.lock().unwrap().push(format!("columns {columns:?}"));
        self.source.read_columns(split, columns, batch_rows).await
    }

    async fn read_filtered(
        &self,
        split: &Split,
        filter: &Arc<dyn RowFilter>,
        batch_rows: usize,
    ) -> Result<BatchStream, RunError> {
        let kept = self.source.read_filtered(split, filter, batch_rows).await?;
        let asked = Arc::clone(&self.asked);
        let count = move |batch: &Result<RecordBatch, RunError>| {
            asked.lock().unwrap().push(format!("kept {}", batch.as_ref().unwrap().num_rows()));
        };
        Ok(kept.inspect(count).boxed())
    }
}

fn bids_schema() -> Schema {
    Schema::new(vec![
        Field::new("note", Type::new(DataType::String)),
        Field::new("price", Type::nullable(DataType::Long)),
        Field::new("at", Type::nullable(DataType::Timestamp)),
        Field::new("remark", Type::nullable(DataType::String)),
    ])
}

/// Bids of prices that rise and fall, about one a microsecond, out of order by at most 3; of some the price or the time is not known.
fn bids(range: std::ops::Range<i64>) -> RecordBatch {
    let (price, time) = (|i: i64| i * i * 7 % 101, |i: i64| i - i % 7 % 4);
    let notes = StringArray::from_iter_values(range.clone().map(|i| format!("n{i}")));
    let prices: Int64Array = range.clone().map(|i| (i % 13 != 5).then(|| price(i))).collect();
    let times: TimestampMicrosecondArray = range.clone().map(|i| (i % 31 != 30).then(|| time(i))).collect();
    let remarks: StringArray = range.map(|i| (i % 3 != 0).then(|| format!("r{i}"))).collect();
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(notes), Arc::new(prices), Arc::new(times.with_timezone("UTC")), Arc::new(remarks)];
    RecordBatch::try_new(to_arrow_schema(&bids_schema()), columns).unwrap()
}

/// The bids of the highest price of each window, and whatever else of them is asked for.
fn highest(kind: JoinKind, further: impl FnOnce(&mut Planned, NodeId, NodeId)) -> Planned {
    highest_of(kind, None, further)
}

/// The same; `chosen`: these columns of the bids only.
fn highest_of(
    kind: JoinKind,
    chosen: Option<[usize; 3]>,
    further: impl FnOnce(&mut Planned, NodeId, NodeId),
) -> Planned {
    let mut plan = Planned::new();
    let source = plan.source("in");
    plan.plan.sources[0].schema = bids_schema();
    plan.plan.graph.nodes[source.0 as usize].schema = bids_schema();
    let spec = Watermark { source: "in".into(), time: 2, delay: 2, idle: None };
    let timed = plan.node(Operator::Watermark(spec), &[source], bids_schema());
    let price = Type::nullable(DataType::Long);
    let call = AggregateCall {
        function: AggregateFunction::Max,
        args: vec![1],
        constants: vec![],
        filter: None,
        ty: price.clone(),
        origin: Origin::default(),
    };
    let window = Window::Tumble { size: 10, align: Alignment::default() };
    let aggregate = Aggregate { keys: vec![], aggregates: vec![call] };
    let spec = WindowAggregate { name: "w".into(), window, time: 2, aggregate, by_time: false, late: None };
    let time = Type::new(DataType::Timestamp);
    let fields = [("window_start", &time), ("window_end", &time), ("highest", &price)];
    let fields = fields.into_iter().map(|(name, ty)| Field::new(name, ty.clone())).collect();
    let windows = plan.node(Operator::WindowAggregate(spec), &[timed], Schema::new(fields));
    let ended = plan.last_instant(windows, 1);
    let (mut left, mut schema) = (timed, bids_schema());
    if let Some(chosen) = chosen {
        let output = |(place, column): (usize, usize)| {
            let field = &bids_schema().fields[column];
            let value = Expr::new(ExprKind::Column(column), field.ty.clone(), Origin::default());
            Output { field: Field::new(format!("{place} {}", field.name), field.ty.clone()), value }
        };
        let outputs: Vec<Output> = chosen.into_iter().enumerate().map(output).collect();
        schema = Schema::new(outputs.iter().map(|output| output.field.clone()).collect());
        let program = Program { input: bids_schema(), steps: vec![], outputs };
        left = plan.node(Operator::Transform(program), &[timed], schema.clone());
    }
    let place = |column: usize| chosen.map_or(Some(column), |chosen| chosen.iter().position(|other| *other == column));
    let spec = StreamJoin {
        name: "j".into(),
        kind,
        left_keys: vec![place(1).unwrap()],
        right_keys: vec![2],
        within: Some(Within { left: place(2).unwrap(), right: 3, duration: 10 }),
        residual: None,
    };
    let right = plan.plan.graph.node(ended).schema.clone();
    match kind {
        JoinKind::Semi => {}
        JoinKind::Right => {
            schema.fields.iter_mut().for_each(|field| field.ty.nullable = true);
            schema.fields.extend(right.fields);
        }
        _ => schema.fields.extend(right.fields),
    }
    let joined = plan.node(Operator::Join(spec), &[left, ended], schema);
    plan.sink("out", joined, false);
    further(&mut plan, joined, windows);
    flowc_ir::verify::verify(&plan.plan).unwrap();
    plan
}

/// All that is written, row by row, and what was asked of sources.
async fn written(
    plan: &Planned,
    apart: bool,
    (workers, batch_rows, limit): (usize, usize, Option<u64>),
) -> (Vec<Vec<String>>, Vec<String>) {
    let memory = MemoryConnectors::new(40);
    memory.add_rows("in", bids(0..200)).unwrap();
    let (asked, state) = (Asked::default(), tempfile::tempdir().unwrap());
    let connectors = || Arc::new(Watched { memory: memory.clone(), apart, asked: Arc::clone(&asked) });
    let go = |drain: bool| {
        let options = RunOptions { drain, ..options(state.path(), workers, batch_rows, limit) };
        let executable = plan.executable();
        let connectors = connectors();
        async move { run(&executable, connectors, options, Arc::new(Unobserved)).await.unwrap() }
    };
    go(false).await;
    memory.add_rows("in", bids(200..330)).unwrap();
    go(true).await;
    let sinks = plan.plan.sinks.iter().map(|sink| {
        let mut rows: Vec<String> = memory.written(&sink.name).iter().flat_map(texts).collect();
        rows.sort();
        rows
    });
    let (sinks, asked) = (sinks.collect(), asked.lock().unwrap().clone());
    (sinks, asked)
}

#[tokio::test]
async fn left_rows_that_are_read_later_are_the_same() {
    for kind in [JoinKind::Inner, JoinKind::Semi, JoinKind::Right] {
        let late = |plan: &mut Planned, joined: NodeId, _| {
            let late = plan.node(Operator::Late, &[joined], bids_schema());
            plan.sink("late", late, false);
        };
        let plan = highest(kind, late);
        for how in [(1, 1, Some(9)), (2, 7, Some(50)), (2, 1000, None)] {
            let (together, all) = written(&plan, false, how).await;
            let (apart, asked) = written(&plan, true, how).await;
            assert!(together[0].len() >= 30, "{kind:?}: {together:?}");
            assert_eq!(apart, together, "{kind:?} {how:?}");
            assert!(all.iter().all(|asked| asked == "all"));
            assert!(asked.iter().any(|asked| asked == "columns [1, 2]"), "{asked:?}");
            assert!(!asked.contains(&"all".to_string()), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn a_choice_of_columns_before_the_join_changes_nothing() {
    for (kind, chosen) in [(JoinKind::Inner, [2, 0, 1]), (JoinKind::Right, [1, 3, 2]), (JoinKind::Semi, [2, 1, 1])] {
        let plan = highest_of(kind, Some(chosen), |_, _, _| {});
        for how in [(1, 1, Some(9)), (2, 7, Some(50)), (2, 1000, None)] {
            let (together, _) = written(&plan, false, how).await;
            let (apart, asked) = written(&plan, true, how).await;
            assert!(together[0].len() >= 30, "{kind:?}: {together:?}");
            assert_eq!(apart, together, "{kind:?} {how:?}");
            assert!(asked.iter().any(|asked| asked == "columns [1, 2]"), "{asked:?}");
            assert!(!asked.contains(&"all".to_string()), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn few_left_rows_are_read_whole() {
    let plan = highest(JoinKind::Inner, |_, _, _| {});
    let (_, asked) = written(&plan, true, (1, 1000, None)).await;
    let kept: usize = asked.iter().filter_map(|asked| asked.strip_prefix("kept ")?.parse::<usize>().ok()).sum();
    assert!((30..200).contains(&kept), "{kept} of 330: {asked:?}");
}

#[tokio::test]
async fn what_others_read_is_read_first() {
    // Late rows of windows come out whole.
    let plan = highest(JoinKind::Inner, |plan, _, windows| {
        let late = plan.node(Operator::Late, &[windows], bids_schema());
        plan.sink("late", late, false);
    });
    let (together, _) = written(&plan, false, (2, 7, Some(50))).await;
    let (apart, asked) = written(&plan, true, (2, 7, Some(50))).await;
    assert_eq!(apart, together);
    assert!(asked.iter().all(|asked| asked == "all"), "{asked:?}");
    assert!(!together[1].is_empty(), "some are late");
}
