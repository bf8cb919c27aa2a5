//! Where rejected rows enter their flow again: before the first `expect` that has one of the rules that they failed, in the columns that stand there.
//! What the table does not have is asked of it under names that no column has; the optimizer leaves out what is not needed.

use super::{Reason, Refusal, carry};
use crate::checked::{
    Checked, CheckedFlow, CheckedLate, CheckedRejects, CheckedSink, CheckedSource, CheckedStep, Input, Operation, Rows,
};
use flowc_ir::catalog::TableInfo;
use flowc_ir::functions::resolve;
use flowc_ir::graph::Kind;
use flowc_ir::plan::SourceSpec;
use flowc_ir::{
    CastFailure, DataType, Expr, ExprKind, Field, Origin, Output, Program, ProgramStep, Schema, Type, Value,
};
use std::collections::BTreeMap;

/// The columns that rejected rows have besides the flow's.
const FAILED: &str = "_failed";
const EPOCH: &str = "_epoch";

/// What is asserted of rows as they enter, as failures name it: that `_failed` names a rule, and that a column has a value.
pub(super) const NAMED: &str = "the name of a rule in `_failed`";
pub(super) const VALUED: &str = "a value of ";

/// The entries of a flow, one for each `expect` that quarantines.
pub(super) struct Entries<'a> {
    checked: &'a Checked,
    target: usize,
    sink: &'a CheckedSink,
    /// For each entry: the program that brings the table's rows into the columns that stand there, the carried one before them.
    programs: Vec<Program>,
    /// What goes with a row as far as the last `expect`: the epoch that rejected it first, and the rules that it failed then.
    carried: Vec<Field>,
    source: Schema,
    /// Columns that the table does not have as they are needed, by their name in the source: why.
    pub(super) missing: BTreeMap<String, String>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(checked: &'a Checked, target: usize, sink: &'a CheckedSink) -> Result<Self, Refusal> {
        let flow = &checked.flows[target];
        let Some(table) = &sink.existing else {
            let message = format!("sink `{}` has no table yet: nothing was rejected", sink.name);
            return Err(Refusal::new(Reason::NoRejects, sink.origin, message, "run the program first: `flowc run`"));
        };
        let taken = |name: &str| flow.steps.iter().any(|s| s.rows.schema.index_of(name).is_some());
        let fresh =
            |name: &str| (1..).map(|n| format!("{}{name}", "#".repeat(n))).find(|n| !taken(n)).unwrap_or_default();
        let names = Type::new(DataType::Array(Box::new(Type::nullable(DataType::String))));
        let carried = vec![Field::new(fresh(EPOCH), Type::new(DataType::Long)), Field::new(fresh(FAILED), names)];
        let mut entries = Entries {
            checked,
            target,
            sink,
            programs: vec![],
            carried,
            source: Schema::new(vec![]),
            missing: BTreeMap::new(),
        };
        entries.own_columns(table)?;
        for index in 0..flow.rejected.len() {
            let program = entries.program(index, table);
            entries.programs.push(program);
        }
        for program in &mut entries.programs {
            program.input = entries.source.clone();
        }
        Ok(entries)
    }

    fn flow(&self) -> &'a CheckedFlow {
        &self.checked.flows[self.target]
    }

    fn origin(&self) -> Origin {
        self.sink.origin
    }

    /// `_epoch` and `_failed` are the first columns of the source.
    fn own_columns(&mut self, table: &TableInfo) -> Result<(), Refusal> {
        let names = Type::new(DataType::Array(Box::new(Type::nullable(DataType::String))));
        for (name, ty) in [(EPOCH, Type::new(DataType::Long)), (FAILED, names)] {
            let found = table.schema.field(name).map(|f| &f.ty);
            if !found.is_some_and(|t| nullable_within(&t.data) == ty.data) {
                let message = match found {
                    Some(found) => format!("column `{name}` of the table is {found}, not {}", ty.data),
                    None => format!("the table has no column `{name}`"),
                };
                let help = "rejected rows say in `_failed` and `_epoch` which rules they failed, and when; a table without them cannot be replayed";
                return Err(Refusal::new(Reason::Columns, self.origin(), message, help));
            }
            let nullable = found.is_some_and(|t| t.nullable);
            self.source.fields.push(Field::new(name, ty.with_nullable(nullable)));
        }
        Ok(())
    }

    /// The columns before the first step of an `expect`, and which of them are those of a joined table.
    fn before(&self, rejects: &CheckedRejects) -> (Schema, Vec<bool>) {
        let flow = self.flow();
        if let Some(before) = rejects.first.checked_sub(1) {
            let rows = &flow.steps[before].rows;
            return (rows.schema.clone(), rows.joined.clone());
        }
        let schema = match flow.input {
            Input::Source(index) => self.checked.sources[index].schema.clone(),
            Input::Malformed(_) => flowc_ir::graph::malformed_schema(),
            Input::Table(index) => self.checked.tables[index].spec.schema.clone(),
            Input::Flow(index) => {
                let rows = &self.checked.flows[index].rows;
                return (rows.schema.clone(), rows.joined.clone());
            }
            Input::Rejected(index) => {
                self.checked.flows[index].rejected.first().map(|r| r.program.output_schema()).unwrap_or_default()
            }
            Input::Late(index) => {
                self.checked.flows[index].late.as_ref().map(|late| late.program.output_schema()).unwrap_or_default()
            }
        };
        let joined = vec![false; schema.len()];
        (schema, joined)
    }

    /// The rules of an `expect`.
    fn rules(&self, index: usize) -> Vec<&'a str> {
        let rejects = &self.flow().rejected[index];
        match &self.flow().steps[rejects.step].operation {
            Operation::Expect(expect) => expect.rules.iter().map(|r| r.name.as_str()).collect(),
            _ => vec![],
        }
    }

    fn program(&mut self, index: usize, table: &TableInfo) -> Program {
        let at = self.origin();
        let (columns, joined) = self.before(&self.flow().rejected[index]);
        let mut program = Program::default();
        if self.flow().rejected.len() > 1 {
            self.choose_rows(index, &mut program);
        }
        for place in 0..self.carried.len() {
            let (field, held) = (self.carried[place].clone(), self.source.fields[place].clone());
            let value = not_null(&mut program, Expr::new(ExprKind::Column(place), held.ty, at), &held.name);
            program.outputs.push(Output { field, value });
        }
        for (field, joined) in columns.fields.iter().zip(joined) {
            let value = self.column(field, joined, table);
            let value = if field.ty.nullable { value } else { not_null(&mut program, value, &field.name) };
            program.outputs.push(Output { field: field.clone(), value });
        }
        program
    }

    /// Only the rows whose first failed rule is one of this `expect`.
    fn choose_rows(&self, index: usize, program: &mut Program) {
        if index == 0 {
            let all: Vec<&str> = (0..self.flow().rejected.len()).flat_map(|i| self.rules(i)).collect();
            let what = NAMED.to_string();
            program.steps.push(ProgramStep::Assert { condition: self.failed_one_of(self.failed(), &all), what });
        }
        let before: Vec<&str> = (0..index).flat_map(|i| self.rules(i)).collect();
        if !before.is_empty() {
            let none = ExprKind::Not(Box::new(self.failed_one_of(self.failed(), &before)));
            program.steps.push(ProgramStep::Filter(Expr::new(none, Type::boolean(), self.origin())));
        }
        program.steps.push(ProgramStep::Filter(self.failed_one_of(self.failed(), &self.rules(index))));
    }

    /// `_failed` as the table has it.
    fn failed(&self) -> Expr {
        Expr::new(ExprKind::Column(1), self.source.fields[1].ty.clone(), self.origin())
    }

    /// Whether these names of rules have one of those.
    fn failed_one_of(&self, failed: Expr, names: &[&str]) -> Expr {
        let at = self.origin();
        let never = || Expr::new(ExprKind::Literal(Value::Boolean(false)), Type::boolean(), at);
        let text = Type::nullable(DataType::String);
        let array = Type::new(DataType::Array(Box::new(text.clone())));
        let names = names.iter().map(|n| Expr::new(ExprKind::Literal(Value::String((*n).into())), text.clone(), at));
        let names = Expr::new(ExprKind::Array(names.collect()), array, at);
        let args = vec![failed, names];
        let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
        let Ok(found) = resolve("arrays_overlap", &types) else { return never() };
        let call = Expr::new(ExprKind::Call { function: found.function, args }, found.result, at);
        Expr::new(ExprKind::Coalesce(vec![call, never()]), Type::boolean(), at)
    }

    /// A column as it stands before the `expect`.
    fn column(&mut self, wanted: &Field, joined: bool, table: &TableInfo) -> Expr {
        let at = self.origin();
        let name = &wanted.name;
        if joined {
            return self.lacks(wanted, format!("`{name}` belongs to a joined table, and rejected rows have none"));
        }
        if [FAILED, EPOCH].contains(&name.as_str()) {
            return self.lacks(wanted, format!("`{name}` of the flow itself is not kept among rejected rows"));
        }
        let Some(found) = table.schema.field(name) else {
            if self.sink.evolve && wanted.ty.nullable {
                return Expr::new(ExprKind::Literal(Value::Null), wanted.ty.clone(), at);
            }
            return self.lacks(wanted, format!("`{name}` is no column of the table"));
        };
        let held = Type { data: found.ty.data.clone(), nullable: found.ty.nullable };
        let as_wanted = within(&held.data, &wanted.ty.data);
        let data = if as_wanted { wanted.ty.data.clone() } else { held.data.clone() };
        let failure = match (held.data.widens_to(&wanted.ty.data), wanted.ty.data.widens_to(&held.data)) {
            (true, _) => CastFailure::Never,
            (_, true) => CastFailure::Error,
            _ if as_wanted => CastFailure::Never,
            _ => {
                return self
                    .lacks(wanted, format!("`{name}` is {} in the table, {} in the flow", held.data, wanted.ty.data));
            }
        };
        let read = Type { data, nullable: held.nullable };
        let slot = match self.source.index_of(name) {
            Some(slot) if self.source.fields[slot].ty == read => slot,
            Some(_) => return self.lacks(wanted, format!("`{name}` is needed in two types")),
            None => {
                self.source.fields.push(Field::new(name.clone(), read.clone()));
                self.source.len() - 1
            }
        };
        let value = Expr::new(ExprKind::Column(slot), read, at);
        if value.ty.data == wanted.ty.data {
            return value;
        }
        let ty = Type { data: wanted.ty.data.clone(), nullable: value.ty.nullable };
        Expr::new(ExprKind::Cast { value: Box::new(value), on_failure: failure }, ty, at)
    }

    /// A column that the table cannot give.
    fn lacks(&mut self, wanted: &Field, why: String) -> Expr {
        let taken = |name: &String| self.source.index_of(name).is_some();
        let name = (1..).map(|n| format!("{} {}", "#".repeat(n), wanted.name)).find(|n| !taken(n)).unwrap_or_default();
        self.missing.insert(name.clone(), why);
        self.source.fields.push(Field::new(name, wanted.ty.clone()));
        Expr::new(ExprKind::Column(self.source.len() - 1), wanted.ty.clone(), self.origin())
    }

    /// The flow, from where its rejected rows enter.
    pub(super) fn build(&self, program: &mut Checked) {
        let source = Input::Source(program.sources.len());
        program.sources.push(self.checked_source());
        let flow = self.flow();
        let (Some(first), Some(last)) = (flow.rejected.first(), flow.rejected.last()) else { return };
        let mut steps = vec![self.enter(0, first)];
        let mut places = BTreeMap::new();
        for (index, step) in flow.steps.iter().enumerate().skip(first.first) {
            if let Some(entry) = flow.rejected.iter().skip(1).position(|r| r.first == index) {
                let other = self.side_entry(program, entry + 1, source);
                steps.extend(self.meet(steps.last(), other));
            }
            places.insert(index, steps.len());
            let moved = match &step.operation {
                Operation::Unique { rule, .. } if index <= first.step => self.verdict(step, rule, steps.last()),
                // The step behind the last `expect` removes rows, and what was carried.
                _ if index <= last.step + 1 => carry::step(step, &self.carried, index <= last.step),
                _ => step.clone(),
            };
            steps.push(moved);
        }
        let rejected = flow.rejected.iter().map(|r| CheckedRejects {
            first: places[&r.first],
            step: places[&r.step],
            program: self.rejecting(&r.program),
        });
        let target = &mut program.flows[self.target];
        target.rejected = rejected.collect();
        let late = target.late.take();
        target.late = late.and_then(|late| Some(CheckedLate { step: *places.get(&late.step)?, ..late }));
        (target.input, target.steps) = (source, steps);
    }

    /// Which of several rows with the same key was the first was decided when they came: a row that was not stays so, and one that was need not fear itself.
    fn verdict(&self, step: &CheckedStep, rule: &str, before: Option<&CheckedStep>) -> CheckedStep {
        let moved = carry::step(step, &self.carried, true);
        let (Some(before), Some(first)) = (before, moved.rows.schema.fields.last()) else { return moved };
        let mut program = carry::same(&before.rows.schema, step.origin);
        let failed = self.failed_one_of(carry::read(&self.carried, 1, step.origin), &[rule]);
        let value = Expr::new(ExprKind::Not(Box::new(failed)), Type::boolean(), step.origin);
        program.outputs.push(Output { field: first.clone(), value });
        CheckedStep { operation: Operation::Transform(program), ..moved }
    }

    /// What keeps rejected rows: they stay rows of the epoch that rejected them first.
    fn rejecting(&self, program: &Program) -> Program {
        let mut program = carry::program(program, &self.carried, false, self.origin());
        for output in program.outputs.iter_mut().filter(|o| o.field.name == EPOCH) {
            output.value = carry::read(&self.carried, 0, self.origin());
        }
        program
    }

    fn rows(&self, rejects: &CheckedRejects) -> Rows {
        let (schema, joined) = self.before(rejects);
        let rows = Rows { schema, joined, kind: Kind::Append, bounded: false, event_time: None, window: None };
        carry::rows(&rows, &self.carried)
    }

    fn enter(&self, index: usize, rejects: &CheckedRejects) -> CheckedStep {
        let operation = Operation::Transform(self.programs[index].clone());
        CheckedStep { operation, rows: self.rows(rejects), keyword: "replay", origin: self.origin() }
    }

    /// A flow of the rows that enter at a later `expect`.
    fn side_entry(&self, program: &mut Checked, index: usize, source: Input) -> Input {
        let step = self.enter(index, &self.flow().rejected[index]);
        program.flows.push(CheckedFlow {
            name: format!("{} (rejected by its {}. expect)", self.flow().name, index + 1),
            doc: None,
            input: source,
            rows: step.rows.clone(),
            steps: vec![step],
            rejected: vec![],
            late: None,
            origin: self.origin(),
        });
        Input::Flow(program.flows.len() - 1)
    }

    /// Rows that went through earlier expectations, and those that enter here.
    fn meet(&self, before: Option<&CheckedStep>, other: Input) -> Option<CheckedStep> {
        let rows = before?.rows.clone();
        let same = carry::same(&rows.schema, self.origin());
        let operation = Operation::Union { align: same.clone(), others: vec![(other, same)] };
        Some(CheckedStep { operation, rows, keyword: "replay", origin: self.origin() })
    }

    fn checked_source(&self) -> CheckedSource {
        let spec = SourceSpec {
            arrival: None,
            updates: Default::default(),
            committed: None,
            promises: vec![],
            name: self.sink.name.clone(),
            connector: self.sink.connector.clone(),
            schema: self.source.clone(),
            predicate: None,
            quarantine: None,
            start: None,
            origin: self.origin(),
        };
        CheckedSource {
            spec,
            changes: None,
            records: None,
            derive: None,
            schema: self.source.clone(),
            event_time: None,
            watermark: None,
            idle: None,
            bounded: false,
            info: self.sink.existing.clone().unwrap_or_default(),
            facts: vec![],
        }
    }
}

/// The value, of which a row must have one.
fn not_null(program: &mut Program, value: Expr, name: &str) -> Expr {
    if !value.ty.nullable {
        return value;
    }
    let at = value.origin;
    let null = Expr::new(ExprKind::IsNull(Box::new(value.clone())), Type::boolean(), at);
    let condition = Expr::new(ExprKind::Not(Box::new(null)), Type::boolean(), at);
    let what = format!("{VALUED}{name}");
    program.steps.push(ProgramStep::Assert { condition, what });
    let ty = value.ty.clone().with_nullable(false);
    match &value.kind {
        ExprKind::Column(slot) => Expr::new(ExprKind::Column(*slot), ty, at),
        ExprKind::Cast { value: inner, on_failure } => {
            let inner = Expr { ty: inner.ty.clone().with_nullable(false), ..inner.as_ref().clone() };
            Expr::new(ExprKind::Cast { value: Box::new(inner), on_failure: *on_failure }, ty, at)
        }
        _ => value,
    }
}

/// The type with nulls wherever its parts may have them.
fn nullable_within(data: &DataType) -> DataType {
    match data {
        DataType::Array(item) => DataType::Array(Box::new(Type::nullable(item.data.clone()))),
        other => other.clone(),
    }
}

/// Whether a value of a nested type can be read as the other: structs may have got further fields, and parts may have lost their nulls.
fn within(held: &DataType, wanted: &DataType) -> bool {
    let part = |held: &Type, wanted: &Type| {
        (wanted.nullable || !held.nullable) && (held.data == wanted.data || within(&held.data, &wanted.data))
    };
    match (held, wanted) {
        (DataType::Struct(has), DataType::Struct(wants)) => {
            wants.iter().all(|w| has.iter().any(|h| h.name == w.name && part(&h.ty, &w.ty)))
        }
        (DataType::Array(has), DataType::Array(wants)) => part(has, wants),
        (DataType::Map(key, value), DataType::Map(k, v)) => key == k && part(value, v),
        _ => false,
    }
}
