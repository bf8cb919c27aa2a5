//! The left side of a join of streams, read behind its right side: late materialization across a join. Where a source can be read column by column, its first reading
//! leaves out what only the left side of a join needs; once the join has all its right rows it says which left rows it needs, and these are read again, whole. As
//! "sideways information passing" in Ives and Taylor, "Sideways information passing for push-style query processing" (ICDE 2008). Knows the graph and what operators
//! read; nothing of how sources read, nor of what a join needs.

use crate::connector::{Part, RowFilter};
use crate::epoch::{EpochRun, Halt};
use crate::error::RunError;
use crate::flow::{Cursor, Flow, Station, operator_name};
use crate::jobs::located;
use crate::leaf::{Leaf, Reader, Reading};
use crate::meter::Meter;
use crate::operators::internal;
use crate::state::EpochRecord;
use arrow::array::{Array, ArrayRef, RecordBatchOptions, make_array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::EvalContext;
use flowc_ir::expr::ExprKind;
use flowc_ir::graph::{Graph, JoinKind, NodeId, Operator};
use flowc_ir::{Output, Program};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The columns of a source that its first reading decodes.
#[derive(Debug)]
pub(crate) struct Narrow {
    /// Their positions, ascending.
    pub(crate) columns: Vec<usize>,
    /// All columns.
    schema: SchemaRef,
    /// Values for those that are left out, which nobody looks at: for as many rows as a batch had at most.
    fillers: Mutex<BTreeMap<usize, ArrayRef>>,
}

impl Narrow {
    /// A batch with all columns, from one with some.
    pub(crate) fn widen(&self, batch: &RecordBatch) -> Result<RecordBatch, RunError> {
        let rows = batch.num_rows();
        let mut fillers = self.fillers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut column = |position: usize| match self.columns.binary_search(&position) {
            Ok(place) => Ok(Arc::clone(batch.column(place))),
            Err(_) => {
                if fillers.get(&position).is_none_or(|filler| filler.len() < rows) {
                    fillers.insert(position, filler(&self.schema, position, rows)?);
                }
                Ok(fillers[&position].slice(0, rows))
            }
        };
        let columns = (0..self.schema.fields().len()).map(&mut column).collect::<Result<Vec<_>, RunError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(internal)
    }
}

/// Nulls; where there may be none, what nulls leave behind: zeros and empty strings.
fn filler(schema: &SchemaRef, position: usize, rows: usize) -> Result<ArrayRef, RunError> {
    let field = schema.field(position);
    let nulls = new_null_array(field.data_type(), rows);
    if field.is_nullable() {
        return Ok(nulls);
    }
    Ok(make_array(nulls.to_data().into_builder().nulls(None).build().map_err(internal)?))
}

/// Whether there are values for a column that is left out.
fn can_fill(schema: &SchemaRef, position: usize) -> bool {
    schema.field(position).is_nullable() || !schema.field(position).data_type().is_nested()
}

/// A join whose left rows are those of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LeftScan {
    /// The node of the source.
    leaf: usize,
    /// The node whose rows the join takes: the source, its watermark, or a choice of its columns.
    from: usize,
    join: usize,
    /// Where columns are chosen on the way: their positions in the source, and what they are for the join.
    chosen: Option<(Vec<usize>, SchemaRef)>,
}

impl LeftScan {
    /// Rows of the source as the join takes them.
    fn choose(&self, batch: RecordBatch) -> Result<RecordBatch, RunError> {
        let Some((columns, schema)) = &self.chosen else { return Ok(batch) };
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(internal)
    }

    /// A filter on the join's rows as one on those of the source.
    fn translate(&self, filter: Arc<dyn RowFilter>) -> Arc<dyn RowFilter> {
        let Some((chosen, _)) = &self.chosen else { return filter };
        let wanted: Vec<usize> = filter.columns().iter().map(|column| chosen[*column]).collect();
        let columns: Vec<usize> = wanted.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let places = wanted.iter().filter_map(|column| columns.binary_search(column).ok()).collect();
        Arc::new(Translated { filter, columns, places })
    }
}

/// A filter that sees columns under other positions.
#[derive(Debug)]
struct Translated {
    filter: Arc<dyn RowFilter>,
    columns: Vec<usize>,
    /// Where among them the columns stand that the filter looks at.
    places: Vec<usize>,
}

impl RowFilter for Translated {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn keep(&self, rows: &RecordBatch) -> Result<BooleanBuffer, RunError> {
        self.filter.keep(&rows.project(&self.places).map_err(internal)?)
    }
}

/// The columns that a program chooses, where it does nothing else. What computes may fail, and then shows the row.
fn choice(program: &Program) -> Option<Vec<usize>> {
    let column = |output: &Output| match output.value.kind {
        ExprKind::Column(column) => Some(column),
        _ => None,
    };
    program.outputs.iter().map(column).collect::<Option<Vec<_>>>().filter(|_| program.steps.is_empty())
}

/// What of an epoch's sources is read later.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    /// The joins whose left sides are.
    joins: Vec<LeftScan>,
    /// What is read first of their sources, by the sources' nodes.
    first: BTreeMap<usize, Arc<Narrow>>,
}

impl Deferral {
    /// For this graph. `readable`: whether the source of a node can be read column by column.
    pub(crate) fn of(
        graph: &Graph,
        stations: &[Station],
        spilled: impl Fn(&str) -> bool,
        readable: impl Fn(usize) -> bool,
    ) -> Deferral {
        let candidates = graph.iter().filter_map(|(id, node)| {
            let whole = operator_name(&node.operator).is_none_or(|name| !spilled(&name));
            let scan = left_scan(graph, stations, id)?;
            (whole && readable(scan.leaf)).then_some(scan)
        });
        let mut deferral = Deferral::default();
        let mut by_leaf: BTreeMap<usize, Vec<LeftScan>> = BTreeMap::new();
        candidates.for_each(|scan| by_leaf.entry(scan.leaf).or_default().push(scan));
        for (leaf, scans) in by_leaf {
            let schema = to_arrow_schema(&graph.nodes[leaf].schema);
            let joins: BTreeSet<usize> = scans.iter().map(|scan| scan.join).collect();
            let Some(mut columns) = read_of(graph, stations, &joins, leaf) else { continue };
            columns.extend((0..schema.fields().len()).filter(|column| !can_fill(&schema, *column)));
            if columns.is_empty() || columns.len() == schema.fields().len() {
                continue;
            }
            let columns = columns.into_iter().collect();
            deferral.first.insert(leaf, Arc::new(Narrow { columns, schema, fillers: Mutex::default() }));
            deferral.joins.extend(scans);
        }
        deferral
    }

    /// What is read first of the source of a node; none: everything.
    pub(crate) fn first(&self, leaf: usize) -> Option<Arc<Narrow>> {
        self.first.get(&leaf).cloned()
    }

    /// Whether a node's rows do not reach this input of a reader as they are read.
    pub(crate) fn cuts(&self, node: usize, reader: usize, place: usize) -> bool {
        place == 0 && self.joins.iter().any(|scan| (scan.from, scan.join) == (node, reader))
    }

    /// The source of the left side of a join, where it is read later.
    fn left_of(&self, join: usize) -> Option<&LeftScan> {
        self.joins.iter().find(|scan| scan.join == join)
    }
}

/// The left side of a join, where it is a source that is read for it alone but for its watermark, and left rows that match nothing come out nowhere.
fn left_scan(graph: &Graph, stations: &[Station], id: NodeId) -> Option<LeftScan> {
    let (node, join) = (graph.node(id), id.0 as usize);
    let Operator::Join(spec) = &node.operator else { return None };
    let matched = matches!(spec.kind, JoinKind::Inner | JoinKind::Semi | JoinKind::Right);
    if !matched || node.kind.is_changing() || spec.left_keys.is_empty() {
        return None;
    }
    let (from, right) = (*node.inputs.first()?, *node.inputs.get(1)?);
    let (mut leaf, mut chosen) = (from, None);
    loop {
        match &graph.node(leaf).operator {
            Operator::Watermark(_) => {}
            Operator::Transform(program) => {
                let these = choice(program)?;
                let positions = |of: Vec<usize>| of.into_iter().map(|column| these[column]).collect();
                chosen = Some(chosen.map_or_else(|| these.clone(), positions));
            }
            _ => break,
        }
        leaf = *graph.node(leaf).inputs.first()?;
    }
    let chosen = chosen.map(|columns| (columns, to_arrow_schema(&graph.node(from).schema)));
    let source = &graph.node(leaf).operator;
    let Operator::Source(of) = source else { return None };
    let alone = graph.nodes.iter().zip(stations).all(|(other, station)| match &other.operator {
        // What is malformed comes from the reading of all columns.
        Operator::Malformed(malformed) => malformed != of || matches!(station, Station::Idle),
        _ => true,
    });
    let once = graph.nodes.iter().filter(|other| other.operator == *source).count() == 1;
    let at_work = matches!(stations[leaf.0 as usize], Station::Leaf) && matches!(stations[join], Station::Stateful(_));
    let scan = LeftScan { leaf: leaf.0 as usize, from: from.0 as usize, join, chosen };
    (alone && once && at_work && right != from).then_some(scan)
}

/// The columns that are read of a node's rows on other ways than into these joins; none: all.
fn read_of(graph: &Graph, stations: &[Station], joins: &BTreeSet<usize>, node: usize) -> Option<BTreeSet<usize>> {
    let mut columns = BTreeSet::new();
    for (id, reader) in graph.iter() {
        let at = id.0 as usize;
        let reads = reader.inputs.iter().any(|input| input.0 as usize == node);
        if !reads || matches!(stations[at], Station::Idle) {
            continue;
        }
        match &reader.operator {
            Operator::Watermark(spec) => {
                columns.insert(spec.time);
                columns.extend(read_of(graph, stations, joins, at)?);
            }
            Operator::Join(_) if joins.contains(&at) && reader.inputs[1].0 as usize != node => {}
            // Late rows come out whole, and so does what is hashed to tell which of two rows comes first.
            Operator::WindowAggregate(spec)
                if !reader.kind.is_changing() && !spec.by_time && !is_late_read(graph, stations, at) =>
            {
                columns.insert(spec.time);
                columns.extend(&spec.aggregate.keys);
                columns.extend(spec.aggregate.aggregates.iter().flat_map(|call| call.args.iter().chain(&call.filter)));
            }
            Operator::Transform(program) => {
                let chosen = choice(program)?;
                match read_of(graph, stations, joins, at) {
                    Some(read) => columns.extend(read.into_iter().map(|column| chosen[column])),
                    None => columns.extend(chosen),
                }
            }
            _ => return None,
        }
    }
    Some(columns)
}

/// Whether somebody reads the rows that come too late for a node.
fn is_late_read(graph: &Graph, stations: &[Station], of: usize) -> bool {
    let late = |node: &flowc_ir::graph::Node| {
        node.operator == Operator::Late && node.inputs.iter().any(|input| input.0 as usize == of)
    };
    graph.nodes.iter().zip(stations).any(|(node, station)| late(node) && !matches!(station, Station::Idle))
}

impl EpochRun {
    /// Reads the left side of a join that was left out when its source was read, as far as the join needs it.
    pub(crate) async fn left_side(
        self: &Arc<Self>,
        record: &EpochRecord,
        (flow, join): (&Arc<Flow>, usize),
        filter: impl FnOnce() -> Result<Option<Arc<dyn RowFilter>>, RunError>,
        meter: &Arc<Meter>,
        context: EvalContext,
    ) -> Result<(), Halt> {
        let Some(scan) = flow.deferral.left_of(join) else { return Ok(()) };
        let node = scan.leaf;
        let Operator::Source(source) = flow.graph.nodes[node].operator else { return Ok(()) };
        let spec = &self.executable.plan.sources[source.0 as usize];
        let Some(range) = record.sources.get(&spec.name) else { return Ok(()) };
        let reader = &self.world.sources[source.0 as usize];
        let splits = reader.splits(range).await.map_err(|e| located(e, spec.origin))?;
        let reader = Reader::Source(source.0 as usize, Arc::clone(reader));
        let reading = Reading::Again { node, join, filter: filter()?.map(|filter| scan.translate(filter)) };
        let leaf = Leaf::new((vec![], vec![]), reader, splits, spec.origin).reading(reading);
        self.leaf(leaf, flow, meter, context).await
    }

    /// Sends rows of a leaf on.
    pub(crate) async fn send(
        &self,
        (flow, leaf): (&Flow, &Leaf),
        cursor: &Cursor,
        batch: RecordBatch,
        what: &str,
        context: EvalContext,
    ) -> Result<(), Halt> {
        match &leaf.reading {
            Reading::Whole => self.pass_all(flow, cursor, &leaf.rows, &batch, what, context).await,
            Reading::Columns(narrow) => {
                self.pass_all(flow, cursor, &leaf.rows, &narrow.widen(&batch)?, what, context).await
            }
            Reading::Again { join, .. } => {
                let batch = match flow.deferral.left_of(*join) {
                    Some(scan) => scan.choose(batch)?,
                    None => batch,
                };
                flow.deliver(cursor, *join, batch).map_err(|fault| self.halt(fault, what, context))
            }
        }
    }
}

/// The parts of a split as a leaf reads it.
pub(crate) async fn parts(
    leaf: &Leaf,
    split: &crate::connector::Split,
    batch_rows: usize,
) -> Result<crate::connector::PartStream, RunError> {
    use futures::StreamExt;
    let batches = match (&leaf.reader, &leaf.reading) {
        (Reader::Table(table), _) => table.read(split, batch_rows).await?,
        (Reader::Source(_, source), Reading::Whole) => return source.read_parts(split, batch_rows).await,
        (Reader::Source(_, source), Reading::Columns(narrow)) => {
            source.read_columns(split, &narrow.columns, batch_rows).await?
        }
        (Reader::Source(_, source), Reading::Again { filter: Some(filter), .. }) => {
            source.read_filtered(split, filter, batch_rows).await?
        }
        (Reader::Source(_, source), Reading::Again { filter: None, .. }) => source.read(split, batch_rows).await?,
    };
    Ok(batches.map(|batch| batch.map(Part::Rows)).boxed())
}
