//! Whole programs: generated sources and tables with constraints, flows, sinks with constraints; their rows are computed step by step with the interpreter.
//! No row contradicts a proof, and none fulfils what is refuted.
//!
//! A seed that fails is printed; `FLOWC_SEED=<seed>` runs it alone, `FLOWC_PROGRAMS=<count>` runs more of them.

use super::{columns, pairs};
use crate::checked::{Checked, CheckedAggregate, CheckedSink, Input, Operation, TableFact};
use crate::load::{FixedLoader, load};
use crate::optimize::analysis::conjuncts;
use crate::pipeline;
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::catalog::{FixedCatalog, TableInfo};
use flowc_ir::eval::EvalContext;
use flowc_ir::graph::{Expect, LookupKind, Policy};
use flowc_ir::interpret::eval;
use flowc_ir::testgen::{Generator, Options};
use flowc_ir::{DataType, Expr, Program, ProgramStep, Schema, Type, Value};
use indexmap::IndexMap;
use std::collections::BTreeMap;

const PROGRAMS: u64 = 300;
const ROWS: usize = 40;

type Row = Vec<Value>;

#[derive(Debug, Default)]
struct Counts {
    programs: usize,
    wrong: usize,
    rows: usize,
    proved: usize,
    refuted: usize,
    open: usize,
    rules_proved: usize,
    rules_refuted: usize,
}

/// What a column is, for the conditions that can be written of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Real,
    Text,
    Flag,
    Other,
}

struct Writer {
    g: Generator,
    columns: Vec<(String, Kind)>,
    next: usize,
}

const PROMISES: &[&str] = &[
    "a > 0",
    "a >= 0 AND a < 100",
    "b IS NULL OR b > 5",
    "b > a",
    "s IN ('a', 'b', 'abc')",
    "s <> 'a' OR b IS NOT NULL",
    "x BETWEEN 0 AND 1",
    "x <= y",
    "NOT (x > 10)",
    "n = a * 2",
    "a + 1 > 5",
    "flag OR b = 3",
    "coalesce(b, 0) >= 0",
];

impl Writer {
    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.g.below(of.len())]
    }

    fn column(&mut self, kind: Kind) -> Option<String> {
        let of: Vec<String> = self.columns.iter().filter(|c| c.1 == kind).map(|c| c.0.clone()).collect();
        (!of.is_empty()).then(|| self.g.pick(&of).clone())
    }

    fn constant(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Whole => self.pick(&["0", "1", "3", "5", "10", "99", "-4"]).to_string(),
            Kind::Real => self.pick(&["0.0", "0.5", "1.0", "-2.5", "10.0"]).to_string(),
            Kind::Text => self.pick(&["\"a\"", "\"b\"", "\"abc\"", "\"\""]).to_string(),
            _ => self.pick(&["true", "false"]).to_string(),
        }
    }

    fn value(&mut self, kind: Kind, depth: usize) -> String {
        let Some(column) = self.column(kind).filter(|_| !self.g.once_in(6)) else { return self.constant(kind) };
        if depth == 0 || self.g.once_in(2) {
            return column;
        }
        let other = self.value(kind, depth - 1);
        match kind {
            Kind::Whole => match self.g.below(6) {
                0 => format!("({column} ?? {other})"),
                1 => format!("greatest({column}, {other})"),
                2 => format!("(if {} then {column} else {other})", self.condition(depth - 1)),
                3 => format!("clamp({column}, 0, 20)"),
                n => format!("({column} {} {other})", ["+", "%"][n % 2]),
            },
            Kind::Real => match self.g.below(4) {
                0 => format!("({column} ?? {other})"),
                1 => format!("clamp({column}, 0.0, 1.0)"),
                n => format!("({column} {} {other})", ["+", "*"][n % 2]),
            },
            Kind::Text => format!("({column} ?? {other})"),
            _ => column,
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth > 0 && self.g.once_in(3) {
            let (a, b) = (self.condition(depth - 1), self.condition(depth - 1));
            return match self.g.below(4) {
                0 => format!("not ({a})"),
                1 => format!("({a}) and ({b})"),
                _ => format!("({a}) or ({b})"),
            };
        }
        let kind = *self.g.pick(&[Kind::Whole, Kind::Whole, Kind::Real, Kind::Real, Kind::Text, Kind::Flag]);
        let left = self.value(kind, depth.min(1));
        let right = if self.g.once_in(3) { self.value(kind, 0) } else { self.constant(kind) };
        match (kind, self.g.below(6)) {
            (Kind::Flag, n) => {
                if n < 3 {
                    left
                } else {
                    format!("{left} is null")
                }
            }
            (_, 0) => format!("{left} is not null"),
            (_, 1) => format!("{left} in [{}, {}]", self.constant(kind), self.constant(kind)),
            (Kind::Whole | Kind::Real, 2) => {
                format!("{left} between {} and {}", self.constant(kind), self.constant(kind))
            }
            _ => format!("{left} {} {right}", self.pick(&["<", "<=", ">", ">=", "==", "!="])),
        }
    }

    fn rule(&mut self) -> String {
        self.next += 1;
        let name = format!("r{}", self.next);
        let condition = match self.column(Kind::Whole) {
            Some(column) if self.g.once_in(4) => format!("{column} in u.a2"),
            _ => self.condition(2),
        };
        let policy = match self.g.below(6) {
            0 => "warn".to_string(),
            1 => "quarantine".to_string(),
            2 => "fail".to_string(),
            3 => {
                let kind = *self.g.pick(&[Kind::Whole, Kind::Real]);
                let ty = if kind == Kind::Whole { "integer" } else { "double" };
                match self.column(kind).filter(|c| ["a", "b", "x", "y"].contains(&c.as_str())) {
                    Some(column) => format!("repair {column} = {} as {ty}", self.value(kind, 2)),
                    None => "drop".to_string(),
                }
            }
            _ => "drop".to_string(),
        };
        format!("{name}: {condition} else {policy}")
    }

    fn step(&mut self) -> String {
        match self.g.below(15) {
            12..15 => {
                let rules: Vec<String> = (0..1 + self.g.below(3)).map(|_| self.rule()).collect();
                format!("|> expect {{ {} }}", rules.join(", "))
            }
            0..5 => format!("|> where {}", self.condition(2)),
            5..8 => {
                let kind = *self.g.pick(&[Kind::Whole, Kind::Real, Kind::Text]);
                let value = self.value(kind, 2);
                let replaced = self.column(kind).filter(|_| self.g.once_in(3));
                self.next += 1;
                let name = replaced.unwrap_or_else(|| format!("c{}", self.next));
                self.columns.retain(|c| c.0 != name);
                self.columns.push((name.clone(), kind));
                // The kind of what comes out must be that of the name.
                let ty = match kind {
                    Kind::Whole => "long",
                    Kind::Real => "double",
                    _ => "string",
                };
                format!("|> extend {name} = {value} as {ty}")
            }
            8 => {
                let word = self.pick(&["semi join", "anti join"]);
                format!("|> {word} u on u.a2 == {} and u.x2 < 0.9", self.value(Kind::Whole, 0))
            }
            9 => {
                let word = self.pick(&["join", "left join"]);
                self.next += 1;
                let (alias, key) = (format!("u{}", self.next), self.value(Kind::Whole, 0));
                let at = self.next;
                self.columns.extend([(format!("k{at}"), Kind::Whole), (format!("r{at}"), Kind::Real)]);
                format!(
                    "|> {word} u as {alias} on {alias}.a2 == {key} |> extend k{at} = {alias}.a2, r{at} = {alias}.x2"
                )
            }
            10 if self.columns.iter().any(|c| c.0 == "xs") => {
                self.next += 1;
                self.columns.push((format!("e{}", self.next), Kind::Whole));
                format!("|> explode xs as e{}", self.next)
            }
            _ => {
                let Some(key) = self.column(Kind::Whole) else { return String::new() };
                let (whole, real) = (self.value(Kind::Whole, 1), self.value(Kind::Real, 1));
                let filter = if self.g.once_in(3) { format!(" where {}", self.condition(1)) } else { String::new() };
                self.columns = ["lo", "hi", "n", "t"].map(|c| (c.to_string(), Kind::Whole)).to_vec();
                self.columns.push(("m".into(), Kind::Real));
                let by = if self.g.once_in(4) { String::new() } else { format!(" by key = {key}") };
                if !by.is_empty() {
                    self.columns.push(("key".into(), Kind::Whole));
                }
                format!(
                    "|> aggregate lo = min({whole}){filter}, hi = max({whole}), n = count(), t = sum({whole}), m = avg({real}){filter}{by}"
                )
            }
        }
    }
}

fn all_columns() -> Vec<(String, Kind)> {
    let kind = |data: &DataType| match data {
        DataType::Integer | DataType::Long => Kind::Whole,
        DataType::Double => Kind::Real,
        DataType::String => Kind::Text,
        DataType::Boolean => Kind::Flag,
        _ => Kind::Other,
    };
    columns("").iter().map(|f| (f.name.clone(), kind(&f.ty.data))).collect()
}

/// A program and its tables.
fn written(seed: u64) -> (String, FixedCatalog, Generator) {
    let g = Generator::new(seed, Options::default());
    let mut writer = Writer { g, columns: all_columns(), next: 0 };
    let mut promises = |count: usize| {
        let of: Vec<(String, &str)> =
            (0..writer.g.below(count)).map(|i| (format!("p{i}"), *writer.g.pick(PROMISES))).collect();
        of
    };
    let (of_t, of_v) = (promises(4), promises(3));
    let named = |of: &[(String, &str)]| of.iter().map(|(n, t)| (n.clone(), (*t).to_string())).collect();
    let mut catalog = FixedCatalog::default();
    let table =
        |suffix, constraints| TableInfo { schema: Schema::new(columns(suffix)), constraints, ..TableInfo::default() };
    catalog.add("/w/t", table("", named(&of_t)));
    catalog.add("/w/v", table("", named(&of_v)));
    catalog.add("/w/u", table("2", pairs(&[("pos", "a2 > 0"), ("range", "x2 BETWEEN 0 AND 1")])));
    let first = if writer.g.once_in(4) { format!(" |> union w where_{seed}") } else { String::new() };
    let first = first.replace(&format!(" where_{seed}"), "");
    let steps: Vec<String> = (0..1 + writer.g.below(4)).map(|_| writer.step()).collect();
    let constraints: Vec<String> =
        (0..1 + writer.g.below(3)).map(|i| format!("constraint k{i}: {}", writer.condition(2))).collect();
    let before = writer.columns.clone();
    writer.columns = all_columns();
    let other = writer.condition(2);
    writer.columns = before;
    let text = format!(
        "source t = delta(\"t\")\nsource v = delta(\"v\")\ntable u = delta(\"u\")\nflow w = v |> where {other}\nflow f = t{first}\n    {}\n\
         sink out = f -> delta(\"out\") {{ mode overwrite\n    {}\n}}",
        steps.join("\n    "),
        constraints.join("\n    ")
    );
    (text, catalog, writer.g)
}

/// Rows of a table that keep its promises.
fn data(g: &mut Generator, schema: &Schema, facts: &[TableFact]) -> Vec<Row> {
    let mut rows = vec![];
    for _ in 0..ROWS * 6 {
        let row: Row = schema.fields.iter().map(|f| near(g, &f.ty)).collect();
        let kept = |part: &Expr| matches!(eval(part, &row, &EvalContext::default()), Ok(Value::Boolean(true)) | Err(_));
        if facts.iter().flat_map(|f| conjuncts(&f.condition)).all(kept) {
            rows.push(row);
        }
        if rows.len() == ROWS {
            break;
        }
    }
    rows
}

fn near(g: &mut Generator, ty: &Type) -> Value {
    if ty.nullable && g.once_in(5) {
        return Value::Null;
    }
    let small = [0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 20, 98, 99, 100, -4, -5];
    match &ty.data {
        DataType::Integer if !g.once_in(8) => Value::Integer(*g.pick(&small)),
        DataType::Long if !g.once_in(8) => Value::Long(i64::from(*g.pick(&small))),
        DataType::Double if !g.once_in(8) => {
            Value::Double(*g.pick(&[0.0, -0.0, 0.5, 1.0, 0.25, -2.5, 10.0, 10.5, f64::NAN]))
        }
        DataType::String if !g.once_in(8) => Value::String((*g.pick(&["a", "b", "abc", ""])).into()),
        _ => g.value(&Type::new(ty.data.clone())),
    }
}

struct World<'a> {
    checked: &'a Checked,
    sources: BTreeMap<usize, Vec<Row>>,
    tables: BTreeMap<usize, Vec<Row>>,
    /// Rules that are contradicted by a row.
    wrong: std::cell::RefCell<Vec<String>>,
    /// The program after proving, and the places of refuted rules.
    after: &'a Checked,
    refuted: &'a [flowc_ir::Origin],
}

fn ran(program: &Program, row: &Row) -> Option<Row> {
    let context = EvalContext::default();
    let mut slots = row.clone();
    for step in &program.steps {
        match step {
            ProgramStep::Let(e) => slots.push(eval(e, &slots, &context).ok()?),
            ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => {
                (eval(e, &slots, &context).ok()? == Value::Boolean(true)).then_some(())?;
            }
        }
    }
    program.outputs.iter().map(|o| eval(&o.value, &slots, &context).ok()).collect()
}

impl World<'_> {
    fn rows(&self, input: Input) -> Vec<Row> {
        match input {
            Input::Source(index) => self.sources[&index].clone(),
            Input::Table(index) => self.tables[&index].clone(),
            Input::Flow(index) => {
                let flow = &self.checked.flows[index];
                let first = self.rows(flow.input);
                flow.steps.iter().enumerate().fold(first, |rows, (at, step)| match &step.operation {
                    Operation::Expect(expect) => {
                        self.expected(rows, expect, &self.after.flows[index].steps[at].operation)
                    }
                    other => self.step(rows, other, step.rows.schema.len()),
                })
            }
            other => panic!("{other:?} is not generated"),
        }
    }

    /// A row that fails stops a run; here it is left out, as if it had not been there.
    fn step(&self, rows: Vec<Row>, operation: &Operation, width: usize) -> Vec<Row> {
        match operation {
            Operation::Transform(program) => rows.iter().filter_map(|row| ran(program, row)).collect(),
            Operation::Lookup { table, kind, on, .. } => {
                rows.iter().flat_map(|row| self.found(row, *table, *kind, on)).collect()
            }
            Operation::Mark { table, column, value } => {
                rows.iter().filter_map(|row| self.marked(row, *table, *column, value)).collect()
            }
            Operation::Union { align, others } => {
                let mut all: Vec<Row> = rows.iter().filter_map(|row| ran(align, row)).collect();
                for (input, program) in others {
                    all.extend(self.rows(*input).iter().filter_map(|row| ran(program, row)));
                }
                all
            }
            Operation::Explode { array, .. } => rows.iter().flat_map(|row| exploded(row, array, width)).collect(),
            Operation::Aggregate { keys, aggregates, window: None } => {
                let keys: Vec<&Expr> = keys.iter().map(|k| &k.1).collect();
                grouped(&rows, &keys, aggregates)
            }
            other => panic!("{other:?} is not generated"),
        }
    }

    /// Judges rows; those that break a rule of `fail` stop a run.
    fn expected(&self, rows: Vec<Row>, expect: &Expect, after: &Operation) -> Vec<Row> {
        let Operation::Expect(after) = after else { panic!("the step is the same") };
        let mut kept = rows;
        for (rule, now) in expect.rules.iter().zip(&after.rules) {
            let Some(passes) = rule.passes else { continue };
            for row in &kept {
                let holds = row[passes] == Value::Boolean(true);
                let wrong = now.passes.is_none() && !holds || self.refuted.contains(&rule.origin) && holds;
                if wrong {
                    self.wrong
                        .borrow_mut()
                        .push(format!("rule `{}` is decided, and {:?} of {row:?}", rule.name, row[passes]));
                }
            }
        }
        for rule in expect.rules.iter().filter(|r| r.policy == Policy::Fail) {
            kept.retain(|row| rule.passes.is_none_or(|passes| row[passes] == Value::Boolean(true)));
        }
        kept
    }

    fn marked(&self, row: &Row, table: usize, column: usize, wanted: &Expr) -> Option<Row> {
        let wanted_value = eval(wanted, row, &EvalContext::default()).ok()?;
        let of = &self.checked.tables[table].spec.schema.fields[column].ty.data;
        let theirs =
            self.tables[&table].iter().map(|other| flowc_ir::cast::cast_value(&other[column], of, &wanted.ty.data));
        let theirs: Vec<Value> = theirs.collect::<Result<_, _>>().ok()?;
        let answer = match wanted_value.is_null() {
            true => Value::Null,
            false if theirs.iter().any(|v| !v.is_null() && *v == wanted_value) => Value::Boolean(true),
            false if theirs.iter().any(Value::is_null) => Value::Null,
            false => Value::Boolean(false),
        };
        Some([row.clone(), vec![answer]].concat())
    }

    fn found(&self, row: &Row, table: usize, kind: LookupKind, on: &Expr) -> Vec<Row> {
        let pairs = self.tables[&table].iter().map(|other| [row.clone(), other.clone()].concat());
        let fits = |pair: &Row| eval(on, pair, &EvalContext::default()) == Ok(Value::Boolean(true));
        let matches: Vec<Row> = pairs.filter(fits).collect();
        let nothing = || vec![Value::Null; self.checked.tables[table].spec.schema.len()];
        match kind {
            LookupKind::Inner => matches,
            LookupKind::Left if matches.is_empty() => vec![[row.clone(), nothing()].concat()],
            LookupKind::Left => matches,
            LookupKind::Semi => {
                if matches.is_empty() {
                    vec![]
                } else {
                    vec![row.clone()]
                }
            }
            _ => {
                if matches.is_empty() {
                    vec![row.clone()]
                } else {
                    vec![]
                }
            }
        }
    }
}

fn exploded(row: &Row, array: &Expr, width: usize) -> Vec<Row> {
    assert!(width > row.len(), "the element's name is a new one");
    match eval(array, row, &EvalContext::default()) {
        Ok(Value::Array(items)) => items.into_iter().map(|item| [row.clone(), vec![item]].concat()).collect(),
        _ => vec![],
    }
}

fn grouped(rows: &[Row], keys: &[&Expr], aggregates: &[CheckedAggregate]) -> Vec<Row> {
    let context = EvalContext::default();
    let mut groups: Vec<(Row, Vec<&Row>)> = if keys.is_empty() { vec![(vec![], vec![])] } else { vec![] };
    for row in rows {
        let key: Option<Row> = keys.iter().map(|k| eval(k, row, &context).ok()).collect();
        let Some(key) = key else { continue };
        match groups.iter_mut().find(|g| g.0 == key) {
            Some(group) => group.1.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    let row = |(key, rows): &(Row, Vec<&Row>)| {
        let made: Option<Row> = aggregates.iter().map(|call| aggregated(call, rows)).collect();
        made.map(|made| [key.clone(), made].concat())
    };
    groups.iter().filter_map(row).collect()
}

/// None: it fails.
fn aggregated(call: &CheckedAggregate, rows: &[&Row]) -> Option<Value> {
    use AggregateFunction::*;
    let context = EvalContext::default();
    let mut values = vec![];
    for row in rows {
        if let Some(filter) = &call.filter
            && eval(filter, row, &context).ok()? != Value::Boolean(true)
        {
            continue;
        }
        values.push(match call.args.first() {
            Some(arg) => eval(arg, row, &context).ok()?,
            None => Value::Boolean(true),
        });
    }
    values.retain(|v| !v.is_null());
    let numbers = values.iter().map(|v| match v {
        Value::Double(v) => *v,
        Value::Integer(v) => f64::from(*v),
        Value::Long(v) => *v as f64,
        _ => 0.0,
    });
    Some(match call.function {
        Count => Value::Long(values.len() as i64),
        _ if values.is_empty() => Value::Null,
        Min => values.iter().min_by(|a, b| a.compare(b))?.clone(),
        Max => values.iter().max_by(|a, b| a.compare(b))?.clone(),
        Avg => Value::Double(numbers.sum::<f64>() / values.len() as f64),
        Sum => {
            let whole = values.iter().map(|v| match v {
                Value::Integer(v) => i64::from(*v),
                Value::Long(v) => *v,
                _ => 0,
            });
            Value::Long(whole.into_iter().try_fold(0i64, i64::checked_add)?)
        }
        other => panic!("{other:?} is not generated"),
    })
}

/// Every row against every constraint, in their order.
fn judged(
    before: &CheckedSink,
    after: &[ProgramStep],
    refuted: &[flowc_ir::Origin],
    rows: &[Row],
    counts: &mut Counts,
) -> Result<(), String> {
    let kept: Vec<&ProgramStep> = after.iter().collect();
    let mut verdicts = vec![];
    for tested in &before.tested {
        let step = &before.program.steps[tested.step];
        let verdict = match (kept.contains(&step), refuted.contains(&tested.origin)) {
            (_, true) => "refuted",
            (true, _) => "open",
            (false, _) => "proved",
        };
        verdicts.push((tested, verdict));
        match verdict {
            "refuted" => counts.refuted += 1,
            "open" => counts.open += 1,
            _ => counts.proved += 1,
        }
    }
    for row in rows {
        for (tested, verdict) in &verdicts {
            let ProgramStep::Assert { condition, .. } = &before.program.steps[tested.step] else { continue };
            let outcome = eval(condition, row, &EvalContext::default());
            let holds = outcome == Ok(Value::Boolean(true));
            if *verdict == "proved" && !holds || *verdict == "refuted" && holds {
                return Err(format!("`{}` is {verdict}, and {outcome:?} of {row:?}", tested.name));
            }
            if !holds {
                break;
            }
        }
    }
    Ok(())
}

fn one(seed: u64, counts: &mut Counts) {
    let (text, catalog, mut g) = written(seed);
    let loader = FixedLoader { files: IndexMap::from([("p.flow".to_string(), text.clone())]) };
    let params = IndexMap::new();
    let input = pipeline::Input { name: "p", path: "p.flow", base: "/w", params: &params };
    let loaded = load("p.flow", &loader);
    let findings = crate::check::check(&input, &loaded.trees, !loaded.diagnostics.is_empty(), &catalog, false);
    counts.programs += 1;
    let errors = findings.diagnostics.iter().chain(&loaded.diagnostics).any(|d| d.is_error());
    let Some(before) = findings.checked.filter(|_| !errors) else {
        counts.wrong += 1;
        return;
    };
    let mut after = before.clone();
    let found = crate::prove::decide(&mut after, &|_| None);
    let refuted: Vec<flowc_ir::Origin> = found
        .iter()
        .filter(|d| [crate::codes::REFUTED_CONSTRAINT, crate::codes::REFUTED_RULE].contains(&d.code))
        .map(|d| crate::check::origin(d.span))
        .collect();
    let sources = before.sources.iter().map(|s| data(&mut g, &s.spec.schema, &s.facts)).enumerate().collect();
    let tables = before.tables.iter().map(|t| data(&mut g, &t.spec.schema, &t.facts)).enumerate().collect();
    let world =
        World { checked: &before, sources, tables, wrong: Default::default(), after: &after, refuted: &refuted };
    let rules = |checked: &Checked| {
        let steps = checked.flows.iter().flat_map(|f| &f.steps);
        let all = steps.filter_map(|s| match &s.operation {
            Operation::Expect(expect) => Some(expect.rules.iter().filter(|r| r.passes.is_some()).count()),
            _ => None,
        });
        all.sum::<usize>()
    };
    counts.rules_proved += rules(&before) - rules(&after);
    counts.rules_refuted += found.iter().filter(|d| d.code == crate::codes::REFUTED_RULE).count();
    for (sink, after) in before.sinks.iter().zip(&after.sinks) {
        let rows = world.rows(sink.input);
        counts.rows += rows.len();
        if let Some(why) = world.wrong.borrow().first() {
            panic!(
                "FLOWC_SEED={seed}: {why}\n{text}\n{:#?}",
                catalog.tables.values().map(|t| &t.constraints).collect::<Vec<_>>()
            );
        }
        if let Err(why) = judged(sink, &after.program.steps, &refuted, &rows, counts) {
            panic!(
                "FLOWC_SEED={seed}: {why}\n{text}\n{:#?}",
                catalog.tables.values().map(|t| &t.constraints).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn no_row_of_a_program_contradicts_a_proof() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let mut counts = Counts::default();
    if let Some(seed) = number("FLOWC_SEED") {
        one(seed, &mut counts);
        return;
    }
    for seed in 0..number("FLOWC_PROGRAMS").unwrap_or(PROGRAMS) {
        one(seed, &mut counts);
    }
    println!("{counts:?}");
    assert!(counts.wrong * 4 < counts.programs, "most programs should be right: {counts:?}");
    assert!(counts.proved * 20 > counts.programs && counts.refuted * 50 > counts.programs, "{counts:?}");
    assert!(counts.rules_proved * 30 > counts.programs && counts.rules_refuted * 100 > counts.programs, "{counts:?}");
    assert!(counts.rows > counts.programs * 5, "{counts:?}");
}
