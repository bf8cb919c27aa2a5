//! Which rows of a source an inner or semi lookup can match, told by the keys of its table before the source is read: dynamic pruning (as Spark's "dynamic
//! partition pruning", and sideways information passing: Beeri, Ramakrishnan, "On the Power of Magic", PODS 1987). The one place that `explain` and the runtime read
//! it from. Knows plans; nothing of how sources are read, nor of where the keys come from.
//!
//! Law: a row that is left out would have come to nothing: the lookup drops it, and on its way there nothing counts it, remembers it or can fail for it. Where a
//! watermark stands on the way, event times are seen all the same ([`EventTimes`]).

use crate::expr::{CastFailure, Expr, ExprKind, Origin, Output, Program, ProgramStep};
use crate::failing::can_fail;
use crate::functions;
use crate::graph::{LookupKind, NodeId, Operator, SourceId};
use crate::plan::{Plan, Updates};
use crate::types::{DataType, Field, Schema, Type};
use crate::value::Value;

/// A source whose rows a lookup can tell to be without a match.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyPruning {
    /// The source.
    pub source: SourceId,
    /// The lookup.
    pub lookup: NodeId,
    /// Its keys that follow from columns of the source.
    pub keys: Vec<PrunedKey>,
    /// The event times that a watermark between the two observes; none: there is no watermark.
    pub times: Option<EventTimes>,
}

/// A key of a lookup.
#[derive(Debug, Clone, PartialEq)]
pub struct PrunedKey {
    /// Which of the lookup's keys it is.
    pub key: usize,
    /// The same over the source's columns: a column, as it is or widened.
    pub value: Expr,
}

/// Event times that must be observed. They rise with a column of whole numbers or timestamps, so that of rows that are read together one with the greatest value stands
/// for all of them, as long as none of them has a value for which computing the time fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTimes {
    /// The source's column.
    pub column: usize,
    /// For no value from this one on,
    pub least: i64,
    /// up to this one does it fail.
    pub greatest: i64,
}

/// What is known of the keys in a table.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownKeys {
    /// The least and the greatest.
    pub bounds: (Value, Value),
    /// All of them, ascending, where they are few.
    pub all: Option<Vec<Value>>,
}

impl KeyPruning {
    /// The names of the source's columns that rows are told by.
    pub fn columns<'a>(&self, source: &'a Schema) -> Vec<&'a str> {
        let names = self.keys.iter().filter_map(|key| source.fields.get(root(&key.value)?));
        names.map(|field| field.name.as_str()).collect()
    }

    /// A program over the source's columns with one boolean that is true for the rows that can have a match. `known` are the keys of the table, for each of
    /// [`KeyPruning::keys`]; none: the table has no row with a key.
    pub fn predicate(&self, source: &Schema, known: &[Option<KnownKeys>]) -> Option<Program> {
        let ty = Type::boolean().with_nullable(true);
        let expr = |kind| Expr::new(kind, ty.clone(), Origin::default());
        let mut parts = vec![];
        for (key, known) in self.keys.iter().zip(known) {
            let value = || Box::new(key.value.clone());
            let Some(known) = known else {
                parts.push(expr(ExprKind::InList { value: value(), list: vec![] }));
                continue;
            };
            let literal = |bound: &Value| {
                let ty = Type::new(key.value.ty.data.clone());
                Expr::new(ExprKind::Literal(bound.clone()), ty, Origin::default())
            };
            for (name, bound) in [("greater_equal", &known.bounds.0), ("less_equal", &known.bounds.1)] {
                let (function, args) = (functions::find(name)?, vec![key.value.clone(), literal(bound)]);
                parts.push(expr(ExprKind::Call { function, args }));
            }
            if let Some(all) = &known.all {
                parts.push(expr(ExprKind::InList { value: value(), list: all.clone() }));
            }
        }
        let value = if parts.len() == 1 { parts.pop()? } else { expr(ExprKind::And(parts)) };
        let outputs = vec![Output { field: Field::new("needed", ty), value }];
        Some(Program { input: source.clone(), steps: vec![], outputs })
    }
}

/// The sources of a plan that lookups tell of, each once.
pub fn prunings(plan: &Plan) -> Vec<KeyPruning> {
    plan.graph.iter().filter_map(|(id, _)| pruning(plan, id)).collect()
}

fn pruning(plan: &Plan, id: NodeId) -> Option<KeyPruning> {
    let graph = &plan.graph;
    let node = graph.node(id);
    let Operator::Lookup(lookup) = &node.operator else { return None };
    if !matches!(lookup.kind, LookupKind::Inner | LookupKind::Semi) || lookup.as_of.is_some() || node.kind.is_changing()
    {
        return None;
    }
    let mut at = *node.inputs.first()?;
    let mut way = Way { keys: vec![], times: Times::Unseen };
    for (key, column) in lookup.stream_keys.iter().enumerate() {
        let field = graph.node(at).schema.fields.get(*column)?;
        if is_key(&field.ty.data) {
            let value = Expr::new(ExprKind::Column(*column), field.ty.clone(), Origin::default());
            way.keys.push(PrunedKey { key, value });
        }
    }
    loop {
        let readers = graph.nodes.iter().flat_map(|reader| &reader.inputs).filter(|input| **input == at);
        if readers.count() != 1 || way.keys.is_empty() {
            return None;
        }
        let node = graph.node(at);
        match &node.operator {
            Operator::Source(source) => {
                let alone = is_alone(plan, *source) && !node.kind.is_changing();
                let times = way.times.of(&node.schema)?;
                return alone.then_some(KeyPruning { source: *source, lookup: id, keys: way.keys, times });
            }
            Operator::Watermark(watermark) if way.times == Times::Unseen => way.times = Times::Time(watermark.time),
            Operator::Transform(program) => way = way.before(program)?,
            _ => return None,
        }
        at = *node.inputs.first()?;
    }
}

/// Whether a source is read once, and neither what is malformed in it nor what changes in it is asked for.
fn is_alone(plan: &Plan, source: SourceId) -> bool {
    let Some(spec) = plan.sources.get(source.0 as usize) else { return false };
    let reads = |operator: &Operator| matches!(operator, Operator::Source(s) | Operator::Malformed(s) if *s == source);
    let times = plan.graph.nodes.iter().filter(|node| reads(&node.operator)).count();
    times == 1 && spec.quarantine.is_none() && spec.updates != Updates::Follow
}

/// Keys whose order is that of bounds in statistics, and whose equality is that of their bits.
fn is_key(data: &DataType) -> bool {
    is_whole(data) || matches!(data, DataType::Date | DataType::Timestamp | DataType::String)
}

fn is_whole(data: &DataType) -> bool {
    matches!(data, DataType::Byte | DataType::Short | DataType::Integer | DataType::Long)
}

/// Keys and event times on their way from the lookup back to the source: over the columns of the node that was reached.
struct Way {
    keys: Vec<PrunedKey>,
    times: Times,
}

/// Event times on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    /// No watermark observes them.
    Unseen,
    /// A column of timestamps.
    Time(usize),
    /// They are computed from a column, with so many microseconds for one.
    Scaled(usize, i64),
}

impl Times {
    /// At the source, which has these columns; the outer none: they cannot be told.
    fn of(self, columns: &Schema) -> Option<Option<EventTimes>> {
        let (column, unit) = match self {
            Times::Unseen => return Some(None),
            Times::Time(column) => (column, None),
            Times::Scaled(column, unit) => (column, Some(unit)),
        };
        let data = &columns.fields.get(column)?.ty.data;
        let known = if unit.is_some() { is_whole(data) } else { *data == DataType::Timestamp };
        let unit = unit.unwrap_or(1);
        known.then_some(Some(EventTimes { column, least: i64::MIN / unit, greatest: i64::MAX / unit }))
    }
}

impl Way {
    /// In front of a program; none: it can fail, or hides what has to be seen.
    fn before(self, program: &Program) -> Option<Way> {
        let mut lets = vec![];
        let mut filters = false;
        for step in &program.steps {
            match step {
                ProgramStep::Let(value) => lets.push(value),
                ProgramStep::Filter(condition) if !can_fail(condition) => filters = true,
                ProgramStep::Filter(_) | ProgramStep::Assert { .. } => return None,
            }
        }
        let slots = Slots { inputs: program.input.len(), lets: &lets };
        let times = match self.times {
            Times::Unseen => Times::Unseen,
            // A row that is filtered out moves no watermark, so it cannot stand for others.
            _ if filters => return None,
            Times::Time(column) => slots.times(&program.outputs.get(column)?.value)?,
            Times::Scaled(column, unit) => Times::Scaled(slots.column(&program.outputs.get(column)?.value)?, unit),
        };
        let computed = lets.iter().copied().chain(program.outputs.iter().map(|output| &output.value));
        // Of what can fail, the event time alone: values for which it fails are known.
        let is_time = |value: &Expr| times != Times::Unseen && self.times != times && slots.times(value) == Some(times);
        if computed.into_iter().any(|value| can_fail(value) && !is_time(value)) {
            return None;
        }
        let before = |key: PrunedKey| {
            let value = slots.key(&key.value, program)?;
            Some(PrunedKey { value, ..key })
        };
        Some(Way { keys: self.keys.into_iter().filter_map(before).collect(), times })
    }
}

/// The slots of a program: its input, then what it computes.
struct Slots<'a> {
    inputs: usize,
    lets: &'a [&'a Expr],
}

impl<'a> Slots<'a> {
    /// What a slot stands for, where that is computed.
    fn computed(&self, slot: usize) -> Option<&'a Expr> {
        self.lets.get(slot.checked_sub(self.inputs)?).copied()
    }

    /// An expression over the input, if it is a column as it is or widened.
    fn widened(&self, expr: &Expr) -> Option<Expr> {
        match &expr.kind {
            ExprKind::Column(slot) if *slot < self.inputs => Some(expr.clone()),
            ExprKind::Column(slot) => self.widened(self.computed(*slot)?),
            ExprKind::Cast { value, on_failure } => self.cast(value, *on_failure, &expr.ty),
            _ => None,
        }
    }

    fn cast(&self, value: &Expr, on_failure: CastFailure, to: &Type) -> Option<Expr> {
        let widens = value.ty.data == to.data || is_whole(&value.ty.data) && is_whole(&to.data);
        let value = Box::new(self.widened(value).filter(|_| widens && on_failure == CastFailure::Never)?);
        Some(Expr::new(ExprKind::Cast { value, on_failure }, to.clone(), Origin::default()))
    }

    /// A key over the program's outputs, over its inputs.
    fn key(&self, key: &Expr, program: &Program) -> Option<Expr> {
        match &key.kind {
            ExprKind::Column(output) => self.widened(&program.outputs.get(*output)?.value),
            ExprKind::Cast { value, on_failure } => {
                let value = Box::new(self.key(value, program)?);
                Some(Expr::new(ExprKind::Cast { value, on_failure: *on_failure }, key.ty.clone(), key.origin))
            }
            _ => None,
        }
    }

    /// The column of the input that an expression is.
    fn column(&self, expr: &Expr) -> Option<usize> {
        root(&self.widened(expr)?)
    }

    /// What event times are computed from.
    fn times(&self, expr: &Expr) -> Option<Times> {
        match &expr.kind {
            ExprKind::Column(slot) if *slot >= self.inputs => self.times(self.computed(*slot)?),
            ExprKind::Call { function, args } => {
                let unit = match function.name {
                    "timestamp_seconds" => 1_000_000,
                    "timestamp_millis" => 1_000,
                    "timestamp_micros" => 1,
                    _ => return None,
                };
                let arg = args.first().filter(|arg| is_whole(&arg.ty.data))?;
                Some(Times::Scaled(self.column(arg)?, unit))
            }
            _ => self.column(expr).map(Times::Time),
        }
    }
}

/// The column that a key is made of.
fn root(key: &Expr) -> Option<usize> {
    match &key.kind {
        ExprKind::Column(column) => Some(*column),
        ExprKind::Cast { value, .. } => root(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Origins, parse_plan, print_program};

    /// A plan over `s(id, small, value, millis)` and `device(id)`, whose columns `id` of either side meet in the last node before the sink.
    fn plan(nodes: &str) -> Plan {
        let text = format!(
            r#"plan "p"
source "s" {{"connector":"delta","location":"/s"}}
    columns (id: long, small: integer?, value: double?, millis: long?)
table "device" {{"connector":"delta","location":"/device"}}
    columns (id: long)
sink "out" {{"connector":"console"}} <- 9 append whole
    columns (key: long)
graph {{
    0: source 0 "s" bounded
        columns (id: long, small: integer?, value: double?, millis: long?)
{nodes}
}}"#
        );
        parse_plan(&text).unwrap_or_else(|e| panic!("{e}\n{}", &text[e.at..]))
    }

    fn transform(at: usize, program: &str) -> String {
        format!("    {at}: transform <- [{}] \"t\" bounded program {{ {program} }}\n", at - 1)
    }

    fn lookup(at: usize, kind: &str, columns: &str, key: usize) -> String {
        let before = at - 1;
        format!(
            "    {at}: lookup 0 <- [{before}] \"join\" bounded\n        columns ({columns})\n        {kind} keys [{key}] == [0] output []\n        \
             prepare program (id: long) {{ keep id }}\n"
        )
    }

    const ALL: &str = "id: long, small: integer?, value: double?, millis: long?";

    /// The predicate of keys from 3 to 5, and the event times.
    fn told(nodes: &str) -> Option<(String, Option<EventTimes>)> {
        let plan = plan(nodes);
        let pruning = prunings(&plan).pop()?;
        let bounds = (Value::Long(3), Value::Long(5));
        let known = Some(KnownKeys { bounds, all: Some(vec![Value::Long(3), Value::Long(5)]) });
        let program = pruning.predicate(&plan.sources[0].schema, &[known]).expect("a predicate");
        let text = print_program(&program, Origins::Omitted);
        let (_, body) = text.split_once("out needed = ").expect("an output");
        Some((body.trim_end_matches('}').trim().to_string(), pruning.times))
    }

    #[test]
    fn what_is_behind_the_source_and_cannot_fail_lets_keys_through() {
        let (text, times) = told(&lookup(1, "inner", ALL, 0)).expect("at once");
        assert!(text.contains("greater_equal(id, 3L)") && text.contains("less_equal(id, 5L)"), "{text}");
        assert_eq!(times, None);
        let nodes = transform(1, "filter greater(value, 1.0) keep value out key = id")
            + &lookup(2, "semi", "value: double?, key: long", 1);
        assert_eq!(told(&nodes).map(|(text, _)| text), Some(text));
        assert_eq!(told(&lookup(1, "left", ALL, 0)), None, "rows without a match come out");
        assert_eq!(told(&lookup(1, "anti", ALL, 0)), None, "rows without a match come out");
        let computed =
            transform(1, "keep value out key = abs(id)") + &lookup(2, "semi", "value: double?, key: long", 1);
        assert_eq!(told(&computed), None, "the key is computed");
        let fails = transform(1, "keep id out next = add(id, 1L)") + &lookup(2, "semi", "id: long, next: long", 0);
        assert_eq!(told(&fails), None, "a row without a match can fail");
        let limited = "    1: limit 5 <- [0] \"l\" bounded\n".to_string() + &lookup(2, "inner", ALL, 0);
        assert_eq!(told(&limited), None, "a limit counts rows");
    }

    #[test]
    fn who_else_reads_the_source_sees_all_rows() {
        let twice = lookup(1, "inner", ALL, 0) + "    2: transform <- [0] \"t\" bounded program { keep id }\n";
        assert_eq!(told(&twice), None);
        let scanned = lookup(1, "inner", ALL, 0) + &format!("    2: source 0 \"s\" bounded\n        columns ({ALL})\n");
        assert_eq!(told(&scanned), None);
    }

    #[test]
    fn event_times_are_traced_to_their_column() {
        let at = "id: long, at: timestamp?";
        let watermark = |at: usize, column: usize| {
            format!("    {at}: watermark \"s\" time {column} delay 0 <- [{}] \"w\" bounded\n", at - 1)
        };
        let from = |program: &str| told(&(transform(1, program) + &watermark(2, 1) + &lookup(3, "inner", at, 0)));
        let (_, times) = from("keep id out at = timestamp_millis(millis)").expect("millis");
        assert_eq!(times, Some(EventTimes { column: 3, least: i64::MIN / 1000, greatest: i64::MAX / 1000 }));
        let filtered = "filter greater(value, 1.0) keep id out at = timestamp_millis(millis)";
        assert_eq!(from(filtered), None, "a row that is filtered out stands for no other");
        let computed = "keep id out at = timestamp_millis(negate(millis))";
        assert_eq!(from(computed), None, "it may fall where the column rises");
        let fails = "keep id out at = timestamp_millis(millis) out n = add(id, 1L)";
        assert_eq!(from(&fails.replace("out n", "filter greater(add(id, 1L), 1L)").replace("= add(id, 1L)", "")), None);
    }
}
