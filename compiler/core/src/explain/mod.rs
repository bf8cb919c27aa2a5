//! The plan as a person reads it: for each step its columns, what is pushed down, what is read, how it runs, what it remembers. It must not know of files or
//! kernels itself: whoever asks brings the numbers and the kernels' reports.

mod analysis;
pub(crate) mod expression;
mod guarantees;
mod selectivity;
mod side;
mod streaming;
mod text;
mod waiting;

pub use analysis::{Actual, Analysis, Certainty, Estimate};
pub use guarantees::{Guarantee, guarantees, tally};
pub use selectivity::Span;
pub use waiting::Holder;

use flowc_ir::eval::KernelReport;
use flowc_ir::graph::{
    Aggregate, Expect, ExpectRule, Kind, Lookup, LookupKind, Node, NodeId, Operator, Policy, SortColumn, WEIGHT,
};
use flowc_ir::key_pruning::{KeyPruning, prunings};
use flowc_ir::plan::{COMMITTED, Connector, KernelSlot, Plan, SinkMode, SinkSpec, Updates, VersionSpec};
use flowc_ir::{Program, Schema};
use indexmap::IndexMap;
use serde::Serialize;

/// What the world knows of a source or a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Read {
    /// Its data files.
    pub files: Option<u64>,
    /// Those of them that would be read.
    pub files_after_pruning: Option<u64>,
    /// Its columns.
    pub columns: Option<usize>,
    /// The rows of the files that would be read.
    pub rows: Option<u64>,
    /// Between which values columns lie there.
    #[serde(skip)]
    pub spans: Vec<Span>,
}

/// The explanation, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The pipeline.
    pub pipeline: String,
    /// The epoch that is shown beside the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Where rows come from: sources, and tables that are looked up in or scanned.
    pub inputs: Vec<InputPart>,
    /// What happens to them, in order.
    pub steps: Vec<StepPart>,
    /// Where they go.
    pub sinks: Vec<SinkPart>,
    /// What has to hold of every row, and whether it is proved.
    pub guarantees: Vec<Guarantee>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnPart {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
}

/// A source or a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputPart {
    /// Its name.
    pub name: String,
    /// `source` or `table`.
    pub kind: &'static str,
    /// Where: `delta /warehouse/sensor`.
    pub location: String,
    /// Which version, where it is pinned or the start is given.
    pub version: Option<String>,
    /// The columns that are read.
    pub columns: Vec<ColumnPart>,
    /// The condition by which files and row groups are skipped.
    pub pushed_down: Option<String>,
    /// What is left out because a lookup has no match for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned: Option<String>,
    /// What becomes of updates and deletes, where they do not stop the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<&'static str>,
    /// Where rows are put aside that do not parse or do not fit: the columns by which they are judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Vec<ColumnPart>>,
    /// What the world knows.
    pub read: Read,
    /// How many rows are expected, see [`Explanation::analyze`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// What it did in an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Actual>,
}

/// A node of the graph between sources and sinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepPart {
    /// Its number, from 1.
    pub number: usize,
    /// What the user calls it.
    pub name: String,
    /// What it reads: names of sources and tables, or `step 3`.
    pub reads: Vec<String>,
    /// `transform`, `lookup`, …
    pub operator: &'static str,
    /// What it does, a line each.
    pub does: Vec<String>,
    /// The columns that come out.
    pub columns: Vec<ColumnPart>,
    /// The key by which rows are replaced or removed; none: they are only added.
    pub changing_by: Option<Vec<String>>,
    /// How its expressions run: part, and `jit`, `arrow`, `row` or `copy`.
    pub runs: Vec<(String, String)>,
    /// What it keeps in memory, and what bounds it; none: nothing but the batches in flight.
    pub state: Option<String>,
    /// Which side of a join of bounded rows is kept in memory, and why; none: it is no such join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<String>,
    /// The sources whose watermarks are merged before it: it waits for the least of them. None: it waits for no watermark.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Holder>,
    /// How many rows are expected to come out, see [`Explanation::analyze`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// What it did in an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Actual>,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkPart {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub reads: String,
    /// Where.
    pub location: String,
    /// How: `append`, …
    pub mode: String,
    /// The columns.
    pub columns: Vec<ColumnPart>,
    /// The partition columns.
    pub partition_by: Vec<String>,
    /// Generated columns, with their SQL.
    pub generated: Vec<(String, String)>,
    /// Constraints that every row is tested against, with their SQL.
    pub constraints: Vec<(String, String)>,
    /// What it did in an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Actual>,
}

/// Explains a plan. `reports` are those of its kernels, `read` what is known of sources and tables, by name; what is missing is left out. `guarantees` are
/// those of the checked program.
pub fn explain(
    plan: &Plan,
    guarantees: Vec<Guarantee>,
    reports: &IndexMap<KernelSlot, KernelReport>,
    read: &IndexMap<String, Read>,
) -> Explanation {
    let mut inputs: Vec<InputPart> = vec![];
    let prunings = prunings(plan);
    for (index, source) in plan.sources.iter().enumerate() {
        let start = source.start.map(|v| format!("from {} on", version(v)));
        let read = read.get(&source.name).cloned().unwrap_or_default();
        let mut part =
            input("source", &source.name, &source.connector, start, &source.schema, source.predicate.as_ref(), read);
        part.pruned = prunings.iter().find(|p| p.source.0 as usize == index).and_then(|p| pruned(plan, p));
        part.quarantine = source.quarantine.as_ref().map(columns);
        part.updates = match source.updates {
            Updates::Stop => None,
            Updates::Follow => Some("rows that are updated and deleted are followed, commit by commit"),
            Updates::Ignore => Some("commits that update or delete rows are passed over"),
        };
        inputs.push(part);
    }
    for table in &plan.tables {
        let pinned = table.version.map(version);
        let read = read.get(&table.name).cloned().unwrap_or_default();
        inputs.push(input(
            "table",
            &table.name,
            &table.connector,
            pinned,
            &table.schema,
            table.predicate.as_ref(),
            read,
        ));
    }
    let (names, waiting) = (names(plan), waiting::Waiting::of(&plan.graph));
    let estimates = analysis::estimates(plan, &inputs);
    let mut steps = vec![];
    for (id, node) in plan.graph.iter() {
        if !is_end(&node.operator) {
            let waits_for = if waiting::waits(&node.operator) { waiting.before(id) } else { vec![] };
            let side = side::of_join(plan, id, &estimates);
            steps.push(StepPart { waits_for, side, ..step(plan, id, node, &names, steps.len() + 1, reports) });
        }
    }
    let sinks = plan.sinks.iter().map(|spec| sink(spec, names[spec.input.0 as usize].clone()));
    Explanation { pipeline: plan.pipeline.clone(), analysis: None, inputs, steps, sinks: sinks.collect(), guarantees }
}

/// Whether an operator stands where rows come in or go out: those are explained as inputs and sinks.
fn is_end(operator: &Operator) -> bool {
    matches!(operator, Operator::Source(_) | Operator::Malformed(_) | Operator::TableScan(_) | Operator::Sink(_))
}

fn sink(spec: &SinkSpec, reads: String) -> SinkPart {
    let (computed, tested): (Vec<_>, Vec<_>) =
        spec.enforced.iter().cloned().partition(|(name, sql)| is_generated(spec, name, sql));
    let new = |those: &[(String, String)], all: Vec<(String, String)>| {
        those.iter().cloned().chain(all.into_iter().filter(|e| !those.contains(e))).collect()
    };
    SinkPart {
        name: spec.name.clone(),
        reads,
        location: location(&spec.connector),
        mode: mode(&spec.mode, spec.whole),
        columns: columns(&spec.schema),
        partition_by: spec.partition_by.clone(),
        generated: new(&spec.generated, computed),
        constraints: new(&spec.constraints, tested),
        actual: None,
    }
}

/// Whether what a table asks for is a column's value rather than a condition: a constraint may be called as a column is.
fn is_generated(spec: &SinkSpec, name: &str, sql: &str) -> bool {
    use flowc_syntax::ast::{BinaryOp, ExprKind, UnaryOp};
    let Some(field) = spec.schema.field(name) else { return false };
    if field.ty.data == flowc_ir::DataType::Boolean {
        return true;
    }
    let span = flowc_syntax::Span::new(flowc_syntax::FileId(0), 0, 0);
    let Ok(syntax) = crate::sql::to_ast_expr(sql, span) else { return true };
    let condition = match &syntax.kind {
        ExprKind::Binary { op, .. } => !matches!(
            op,
            BinaryOp::Add
                | BinaryOp::Subtract
                | BinaryOp::Multiply
                | BinaryOp::Divide
                | BinaryOp::IntegerDivide
                | BinaryOp::Remainder
                | BinaryOp::Coalesce
        ),
        ExprKind::Unary(op, _) => *op == UnaryOp::Not,
        ExprKind::IsNull { .. } | ExprKind::In { .. } | ExprKind::Between { .. } => true,
        ExprKind::Like { .. } | ExprKind::Matches { .. } => true,
        _ => false,
    };
    !condition
}

/// The columns that users know: not those that changes are carried in.
fn columns(schema: &Schema) -> Vec<ColumnPart> {
    let known = schema.fields.iter().filter(|f| f.name != WEIGHT && f.name != COMMITTED);
    known.map(|f| ColumnPart { name: f.name.clone(), ty: f.ty.to_string() }).collect()
}

fn version(version: VersionSpec) -> String {
    match version {
        VersionSpec::Number(number) => format!("version {number}"),
        VersionSpec::Timestamp(micros) => {
            let time = flowc_ir::Value::Timestamp(micros);
            flowc_ir::cast::format::text_of(&time, &flowc_ir::DataType::Timestamp)
        }
    }
}

fn location(connector: &Connector) -> String {
    let word = match connector {
        Connector::Delta { .. } => "delta",
        Connector::Parquet { .. } => "parquet",
        Connector::Csv { .. } => "csv",
        Connector::Json { .. } => "json",
        Connector::Console => return "console".into(),
        Connector::Generate { rows: Some(rows), .. } => return format!("generate {rows} rows"),
        Connector::Generate { rows: None, .. } => return "generate without end".into(),
        Connector::Kafka { topic, .. } => return format!("kafka {topic}"),
    };
    format!("{word} {}", flowc_ir::catalog::location(connector).unwrap_or_default())
}

fn mode(mode: &SinkMode, whole: bool) -> String {
    let keyed = |what: &str, keys: &[String], whole: bool| {
        let keys = keys.iter().map(|key| expression::name(key)).collect::<Vec<_>>().join(", ");
        let whole = if whole { ", computed from the whole input whenever it changed" } else { "" };
        format!("{what} on {keys}{whole}")
    };
    match (mode, &whole) {
        (SinkMode::Append, false) => "append what is new".into(),
        (SinkMode::Append, true) => "append, computed from the whole input whenever it changed".into(),
        (SinkMode::Overwrite, _) => "overwrite with what is computed from the whole input whenever it changed".into(),
        (SinkMode::OverwritePartition, _) => {
            "overwrite the partitions of what is computed from the whole input whenever it changed".into()
        }
        (SinkMode::Merge { keys }, whole) => keyed("merge", keys, *whole),
        (SinkMode::Scd2 { keys }, whole) => keyed("keep history", keys, *whole),
    }
}

fn input(
    kind: &'static str,
    name: &str,
    connector: &Connector,
    version: Option<String>,
    schema: &Schema,
    predicate: Option<&Program>,
    read: Read,
) -> InputPart {
    let pushed_down = predicate.and_then(|p| {
        let names = expression::slot_names(p);
        p.outputs.first().map(|o| expression::show(&o.value, &names))
    });
    let (name, location, columns) = (name.to_string(), location(connector), columns(schema));
    InputPart {
        name,
        kind,
        location,
        version,
        columns,
        pushed_down,
        pruned: None,
        updates: None,
        quarantine: None,
        read,
        estimate: None,
        actual: None,
    }
}

/// What is left out of a source, whose rows go into a lookup.
fn pruned(plan: &Plan, pruning: &KeyPruning) -> Option<String> {
    let Operator::Lookup(lookup) = &plan.graph.node(pruning.lookup).operator else { return None };
    let table = &plan.tables.get(lookup.table.0 as usize)?.name;
    let by = pruning.columns(&plan.sources.get(pruning.source.0 as usize)?.schema).join(", ");
    let seen = if pruning.times.is_some() { "; event times are read all the same" } else { "" };
    Some(format!("what has no match in `{table}`, by {by}{seen}"))
}

/// What every node is called by those that read it.
fn names(plan: &Plan) -> Vec<String> {
    let mut number = 0;
    let name = |node: &Node| match node.operator {
        Operator::Source(id) => plan.sources[id.0 as usize].name.clone(),
        Operator::Malformed(id) => format!("{}.malformed", plan.sources[id.0 as usize].name),
        Operator::TableScan(id) => plan.tables[id.0 as usize].name.clone(),
        Operator::Sink(id) => plan.sinks[id.0 as usize].name.clone(),
        _ => {
            number += 1;
            format!("step {number}")
        }
    };
    plan.graph.nodes.iter().map(name).collect()
}

fn step(
    plan: &Plan,
    id: NodeId,
    node: &Node,
    names: &[String],
    number: usize,
    reports: &IndexMap<KernelSlot, KernelReport>,
) -> StepPart {
    let graph = &plan.graph;
    let input = |i: usize| &graph.node(node.inputs[i]).schema;
    let (operator, does, state): (_, Vec<String>, Option<String>) = match &node.operator {
        Operator::Transform(program) => ("transform", transform(program), None),
        Operator::Lookup(lookup) => {
            let table = &plan.tables[lookup.table.0 as usize].name;
            let which = match lookup.as_of {
                None => "as many as its version of the epoch has",
                Some(_) => "of each version that rows need, as far as memory goes",
            };
            let columns = lookup.prepare.outputs.len();
            let state = format!("the rows of `{table}` in memory, {columns} columns of them: {which}");
            ("lookup", self::lookup(lookup, table, input(0)), Some(state))
        }
        Operator::Aggregate(aggregate) => {
            let state = match aggregate.keys.is_empty() {
                true => "a single group".to_string(),
                false => "a group for each different key of the input".to_string(),
            };
            ("aggregate", self::aggregate(aggregate, input(0), &node.schema), Some(state))
        }
        Operator::Sort(keys) => ("sort", vec![sort(keys, &node.schema)], Some("all rows of the input".to_string())),
        Operator::Limit(count) => ("limit", vec![format!("the first {count} rows")], None),
        Operator::Union => ("union", vec![format!("all rows of {}", reads(node, names).join(", then of "))], None),
        Operator::Explode { column, element } => {
            let array = expression::name(&input(0).fields[*column].name);
            (
                "explode",
                vec![format!("a row for each element of {array}, as {}", expression::name(&element.name))],
                None,
            )
        }
        Operator::Unique(unique) => {
            let keys: Vec<String> = unique.keys.iter().map(|c| expression::name(&input(0).fields[*c].name)).collect();
            let duration =
                |micros| expression::value(&flowc_ir::Value::Duration(micros), &flowc_ir::DataType::Duration);
            let within = unique.within.map(|d| format!(" within {}", duration(d))).unwrap_or_default();
            let state = match (unique.within, unique.delay) {
                (Some(within), Some(delay)) => {
                    format!("the keys of the last {}", duration(within.saturating_add(delay)))
                }
                _ => "every key of the input".to_string(),
            };
            let does = format!("whether a row is the first with its {}{within}", keys.join(", "));
            ("unique", vec![does], Some(state))
        }
        Operator::Expect(expect) => ("expect", self::expect(expect, &node.schema), None),
        Operator::Watermark(_)
        | Operator::KeyedAggregate(_)
        | Operator::Upsert(_)
        | Operator::WindowAggregate(_)
        | Operator::Dedup(_)
        | Operator::Top(_)
        | Operator::Join(_)
        | Operator::Late => streaming::describe(plan, node),
        Operator::Source(_) | Operator::Malformed(_) | Operator::TableScan(_) | Operator::Sink(_) => ("", vec![], None),
    };
    let changing_by = match &node.kind {
        Kind::Append => None,
        Kind::Changing { key } => Some(key.clone()),
    };
    StepPart {
        number,
        name: node.label.clone(),
        reads: reads(node, names),
        operator,
        does,
        columns: columns(&node.schema),
        changing_by,
        runs: runs(id, reports),
        state,
        side: None,
        waits_for: vec![],
        estimate: None,
        actual: None,
    }
}

fn reads(node: &Node, names: &[String]) -> Vec<String> {
    node.inputs.iter().map(|i| names[i.0 as usize].clone()).collect()
}

fn runs(id: NodeId, reports: &IndexMap<KernelSlot, KernelReport>) -> Vec<(String, String)> {
    let slots =
        [(KernelSlot::Transform(id), ""), (KernelSlot::Prepare(id), "table "), (KernelSlot::Residual(id), "pair ")];
    let mut runs = vec![];
    for (slot, prefix) in slots {
        let parts = reports.get(&slot).map(|r| r.parts.as_slice()).unwrap_or_default();
        runs.extend(parts.iter().map(|(part, how)| (format!("{prefix}{part}"), how.to_string())));
    }
    runs
}

/// What a program does, a line for each step and each column that is not merely passed on.
fn transform(program: &Program) -> Vec<String> {
    let names = expression::slot_names(program);
    let mut lines = vec![];
    let mut slot = program.input.len();
    for step in &program.steps {
        lines.push(match step {
            flowc_ir::ProgramStep::Let(e) => {
                slot += 1;
                format!("computes {} = {}", names[slot - 1], expression::show(e, &names))
            }
            flowc_ir::ProgramStep::Filter(e) => format!("keeps rows where {}", expression::show(e, &names)),
            flowc_ir::ProgramStep::Assert { condition, what } => {
                format!("stops at a row that breaks {what}: {}", expression::show(condition, &names))
            }
        });
    }
    for output in &program.outputs {
        let name = expression::name(&output.field.name);
        let value = expression::show(&output.value, &names);
        if name != value && output.field.name != WEIGHT {
            lines.push(format!("computes {name} = {value}"));
        }
    }
    lines
}

fn lookup(lookup: &Lookup, table: &str, stream: &Schema) -> Vec<String> {
    let kind = match lookup.kind {
        LookupKind::Inner => "a row for each match",
        LookupKind::Left => "a row for each match, and those without one",
        LookupKind::Semi => "rows with a match",
        LookupKind::Anti => "rows without a match",
        LookupKind::Mark => "for each row, whether there is a match",
    };
    let prepared = lookup.prepare.output_schema();
    let keys = lookup.stream_keys.iter().zip(&lookup.table_keys);
    let keys = keys.map(|(a, b)| {
        format!(
            "{} == {}.{}",
            expression::name(&stream.fields[*a].name),
            expression::name(table),
            expression::name(&prepared.fields[*b].name)
        )
    });
    let keys: Vec<String> = keys.collect();
    let by =
        if keys.is_empty() { "every row is a candidate".to_string() } else { format!("on {}", keys.join(" and ")) };
    let mut lines = vec![format!("{kind} in `{table}`, {by}")];
    lines.extend(lookup.as_of.map(|time| {
        let time = expression::name(&stream.fields[time].name);
        format!("as of {time}: in the version of `{table}` of the row's time")
    }));
    lines.extend(transform(&lookup.prepare).into_iter().map(|line| format!("of `{table}`: {line}")));
    if let Some(output) = lookup.residual.as_ref().and_then(|r| r.outputs.first().map(|o| (r, o))) {
        let condition = expression::show(&output.1.value, &expression::slot_names(output.0));
        lines.push(format!("matches only where {condition}"));
    }
    lines
}

/// What becomes of rows that fail a rule, a line for each.
fn expect(expect: &Expect, schema: &Schema) -> Vec<String> {
    let name = |c: usize| expression::name(&schema.fields[c].name);
    let line = |rule: &ExpectRule| {
        let what = match rule.policy {
            Policy::Warn => "counts rows",
            Policy::Drop => "drops rows",
            Policy::Quarantine => "quarantines rows",
            Policy::Repair => "repairs rows, and quarantines those that still fail",
            Policy::Fail => "stops at rows",
        };
        let when = match (&rule.share, rule.passes) {
            (Some(share), _) => {
                let names = expression::slot_names(&share.program);
                let value = share.program.outputs.first().map(|o| expression::show(&o.value, &names));
                let verb = if rule.policy == Policy::Fail { "stops" } else { "warns" };
                return format!("`{}` {verb} unless {} of an epoch", rule.name, value.unwrap_or_default());
            }
            (None, Some(column)) => format!("unless {}", name(column)),
            (None, None) => "never: proved".to_string(),
        };
        format!("`{}` {what} {when}", rule.name)
    };
    expect.rules.iter().map(line).collect()
}

fn aggregate(aggregate: &Aggregate, input: &Schema, out: &Schema) -> Vec<String> {
    let name = |i: &usize| expression::name(&input.fields[*i].name);
    let keys: Vec<String> = aggregate.keys.iter().map(name).collect();
    let mut lines =
        vec![if keys.is_empty() { "one row for all".to_string() } else { format!("by {}", keys.join(", ")) }];
    for (i, call) in aggregate.aggregates.iter().enumerate() {
        let constants = call.constants.iter().map(|v| expression::value(v, &flowc_ir::DataType::Double));
        let args: Vec<String> = call.args.iter().map(name).chain(constants).collect();
        let filter = call.filter.map(|f| format!(" where {}", name(&f))).unwrap_or_default();
        let column = expression::name(&out.fields[aggregate.keys.len() + i].name);
        lines.push(format!("{column} = {}({}){filter}", call.function.info().name, args.join(", ")));
    }
    lines
}

fn sort(keys: &[SortColumn], schema: &Schema) -> String {
    let keys = keys.iter().map(|key| {
        let direction = if key.descending { " desc" } else { "" };
        let nulls = match (key.descending, key.nulls_first) {
            (true, true) => " nulls first",
            (false, false) => " nulls last",
            _ => "",
        };
        format!("{}{direction}{nulls}", expression::name(&schema.fields[key.column].name))
    });
    format!("by {}", keys.collect::<Vec<_>>().join(", "))
}
