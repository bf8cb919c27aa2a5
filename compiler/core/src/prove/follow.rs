//! What each step does to what is known: from sources and tables through every flow. Works on the checked program alone.

use crate::checked::{Checked, CheckedAggregate, CheckedJoin, CheckedStep, Input, Operation, TableFact};
use crate::explain::expression::{self, show};
use crate::optimize::analysis::depends_on_epoch;
use crate::prove::aggregate;
use crate::prove::decide::Verdict;
use crate::prove::knowledge::{Knowledge, Reason, choice, constant, either, not, present, value};
use flowc_ir::graph::{Expect, JoinKind, LookupKind, Policy, malformed_schema};
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, Field, Origin, Program, ProgramStep, Schema, Type, Value};
use std::collections::BTreeMap;

/// Gives the text that stands at a place of the program.
pub(crate) type Written<'a> = &'a dyn Fn(Origin) -> Option<String>;

/// Goes through a program, and remembers what is known behind each source, table and flow.
pub(crate) struct Follower<'a> {
    checked: &'a Checked,
    written: Written<'a>,
    known: BTreeMap<Input, Knowledge>,
    /// Conditions of `where` that let nothing through, with the facts that say so.
    pub dead: Vec<(Origin, Vec<Reason>)>,
    /// What became of rules: by flow, step, and place among the step's rules.
    pub rules: BTreeMap<(usize, usize, usize), Judged>,
}

/// What became of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub verdict: Verdict,
    /// A row that shows that it is refuted, as it is written.
    pub row: String,
}

/// Who says something, for the reasons of a step.
#[derive(Clone, Copy)]
pub(crate) struct Speaker<'s> {
    /// ``where` of `clean` ``
    pub source: &'s str,
    /// The step: what is written inside of it is quoted as written.
    pub origin: Origin,
    /// The flow, whose rules hidden columns stand for.
    pub flow: &'s str,
    /// Whether a condition that nothing passes is worth a warning.
    pub warns: bool,
}

impl<'a> Follower<'a> {
    /// Nothing is known yet.
    pub fn new(checked: &'a Checked, written: Written<'a>) -> Self {
        Follower { checked, written, known: BTreeMap::new(), dead: vec![], rules: BTreeMap::new() }
    }

    /// The text at a place, where it is worth showing.
    pub fn written(&self, at: Origin) -> Option<String> {
        (self.written)(at).filter(|text| !text.is_empty())
    }

    /// What is known of the rows of a source, table or flow.
    pub fn input(&mut self, input: Input) -> Knowledge {
        if let Some(known) = self.known.get(&input) {
            return known.clone();
        }
        let known = match input {
            Input::Source(index) => self.source(index),
            Input::Malformed(index) => {
                let name = format!("{}.malformed", self.checked.sources[index].spec.name);
                read(&malformed_schema(), &name, &[], None)
            }
            Input::Table(index) => self.table(index),
            Input::Flow(index) => self.behind(index, self.checked.flows[index].steps.len()),
            Input::Rejected(index) => self.rejected(index),
            Input::Late(index) => self.late(index),
        };
        self.known.insert(input, known.clone());
        known
    }

    /// The rows of a flow behind so many of its steps.
    pub fn behind(&mut self, index: usize, steps: usize) -> Knowledge {
        let mut known = self.input(self.checked.flows[index].input);
        for at in 0..steps {
            known = self.step(known, index, at);
        }
        known
    }

    /// The rows that the expectations of a flow reject.
    fn rejected(&mut self, index: usize) -> Knowledge {
        let flow = &self.checked.flows[index];
        let mut branches = vec![];
        for rejects in &flow.rejected {
            let mut known = self.input(flow.input);
            for at in 0..=rejects.step {
                known = self.step(known, index, at);
            }
            let source = format!("`{}.rejected`", flow.name);
            let origin = flow.steps[rejects.step].origin;
            // That an expectation rejects nothing is no mistake of the program.
            let speaker = Speaker { source: &source, origin, flow: &flow.name, warns: false };
            self.transform(&mut known, &rejects.program, speaker);
            branches.push(known);
        }
        match branches.len() {
            1 => branches.swap_remove(0),
            _ => union(branches, &flow.rejected[0].program.output_schema()),
        }
    }

    /// The rows that are late for a step of a flow: what comes to that step.
    fn late(&mut self, index: usize) -> Knowledge {
        let flow = &self.checked.flows[index];
        let mut known = self.input(flow.input);
        let Some(late) = &flow.late else { return known };
        for at in 0..late.step {
            known = self.step(known, index, at);
        }
        let source = format!("`{}.late`", flow.name);
        let speaker = Speaker { source: &source, origin: flow.steps[late.step].origin, flow: &flow.name, warns: false };
        self.transform(&mut known, &late.program, speaker);
        known
    }

    fn source(&mut self, index: usize) -> Knowledge {
        let source = &self.checked.sources[index];
        // Of records of changes the rows are known that these are about, in other columns than the records'.
        let schema = source.records.as_ref().map_or(&source.spec.schema, |records| &records.schema);
        let mut known = read(schema, &source.spec.name, &source.facts, Some(Input::Source(index)));
        if let Some(program) = &source.derive {
            let (name, origin) = (&source.spec.name, source.spec.origin);
            let speaker = Speaker { source: &format!("event time of `{name}`"), origin, flow: name, warns: true };
            self.transform(&mut known, program, speaker);
        }
        known
    }

    fn table(&mut self, index: usize) -> Knowledge {
        let table = &self.checked.tables[index];
        read(&table.spec.schema, &table.spec.name, &table.facts, Some(Input::Table(index)))
    }

    /// The rows of a table, at the version that an epoch pins, or at any: what the table promises now, its older versions need not have promised.
    fn looked_up(&mut self, table: usize, any: bool) -> Knowledge {
        if any {
            let spec = &self.checked.tables[table].spec;
            return read(&spec.schema, &spec.name, &[], None);
        }
        self.input(Input::Table(table))
    }

    fn step(&mut self, mut known: Knowledge, flow: usize, at: usize) -> Knowledge {
        let checked = self.checked;
        let (step, name) = (&checked.flows[flow].steps[at], &checked.flows[flow].name);
        let source = format!("`{}` of `{name}`", step.keyword);
        let speaker = Speaker { source: &source, origin: step.origin, flow: name, warns: step.keyword != "expect" };
        match &step.operation {
            Operation::Transform(program) => {
                self.transform(&mut known, program, speaker);
                known
            }
            Operation::Lookup { table, alias, kind, as_of, on } => {
                let names = joined_names(&known, step, &self.checked.tables[*table].spec.schema, alias);
                let other = self.looked_up(*table, as_of.is_some());
                self.lookup(known, &other, *kind, Some(on), &names, speaker)
            }
            Operation::Aggregate { keys, aggregates, window } => {
                self.aggregate(&known, keys, (aggregates, window.is_some()), speaker)
            }
            Operation::Dedup { .. } | Operation::Top { .. } => {
                // A row may come out in a later epoch than it came in.
                known.facts.retain(|f| !depends_on_epoch(&f.condition));
                known
            }
            Operation::Join(join) => self.stream_join(known, join, step, speaker),
            Operation::Sort(_) | Operation::Limit(_) => known,
            Operation::Expect(expect) => {
                self.judge(&known, expect, (flow, at));
                // Where a rule of `fail` is broken nothing goes on. Rows that other rules remove are removed by a filter behind this.
                for rule in expect.rules.iter().filter(|rule| rule.policy == Policy::Fail) {
                    if let Some(passes) = rule.passes.and_then(|column| known.columns.get(column)) {
                        let passes = value(*passes, &DataType::Boolean);
                        known.learn(&passes, true, &|_| vec![]);
                    }
                }
                known
            }
            Operation::Unique { .. } => {
                // Whether it is the first row of its key: nothing is known of that.
                let first = known.unknown(&DataType::Boolean);
                known.learn(&present(first, &DataType::Boolean), true, &|_| vec![]);
                known.columns.push(first);
                known
            }
            Operation::Mark { table, column, value: wanted } => {
                let nullable = step.rows.schema.fields.last().is_none_or(|field| field.ty.nullable);
                self.mark(known, (*table, *column), wanted, nullable)
            }
            Operation::Union { align, others } => {
                self.transform(&mut known, align, speaker);
                let mut branches = vec![known];
                for (input, program) in others {
                    let mut other = self.input(*input);
                    self.transform(&mut other, program, speaker);
                    branches.push(other);
                }
                union(branches, &step.rows.schema)
            }
            Operation::Explode { array, element } => {
                let condition = known.over(array);
                let null = Expr::new(ExprKind::IsNull(Box::new(condition)), Type::boolean(), array.origin);
                known.learn(&not(&null), true, &|_| vec![self.reason(array, &[], speaker)]);
                let variable = known.unknown(&element.ty.data);
                if !element.ty.nullable {
                    let reason = Reason {
                        text: format!("{} is not null", expression::name(&element.name)),
                        source: speaker.source.to_string(),
                        origin: Some(step.origin),
                        promise: None,
                    };
                    known.learn(&present(variable, &element.ty.data), true, &|_| vec![reason.clone()]);
                }
                let at = step.rows.schema.index_of(&element.name).unwrap_or(known.columns.len());
                match step.rows.schema.len() == known.columns.len() {
                    true => known.columns[at] = variable,
                    false => known.columns.push(variable),
                }
                known
            }
        }
    }

    /// `x in table.column`: where it is true the table has such a row.
    fn mark(&mut self, mut known: Knowledge, (table, column): (usize, usize), e: &Expr, nullable: bool) -> Knowledge {
        let wanted = known.over(e);
        let mark = known.unknown(&DataType::Boolean);
        if !nullable {
            known.learn(&present(mark, &DataType::Boolean), true, &|_| vec![]);
        }
        let found = Expr::new(
            ExprKind::Coalesce(vec![
                value(mark, &DataType::Boolean),
                constant(Value::Boolean(false), &DataType::Boolean),
            ]),
            Type::boolean(),
            e.origin,
        );
        let other = self.input(Input::Table(table));
        let shift = known.include(&other, Some(&found));
        let spec = &self.checked.tables[table].spec;
        let of_table = other.columns.get(column).zip(spec.schema.fields.get(column));
        if let Some((variable, field)) = of_table {
            let theirs = value(variable + shift, &field.ty.data);
            let theirs = if field.ty.data == wanted.ty.data {
                theirs
            } else {
                let cast = ExprKind::Cast { value: Box::new(theirs), on_failure: CastFailure::Never };
                Expr::new(cast, Type::nullable(wanted.ty.data.clone()), e.origin)
            };
            let looked_for = self.written(e.origin).unwrap_or_else(|| show(e, &[]));
            let reason = Reason {
                text: format!("{looked_for} in {}.{}", expression::name(&spec.name), expression::name(&field.name)),
                source: format!("rows of `{}`", spec.name),
                origin: Some(e.origin),
                promise: None,
            };
            if let Some(function) = flowc_ir::functions::find("equal") {
                let kind = ExprKind::Call { function, args: vec![wanted, theirs] };
                let same = Expr::new(kind, Type::nullable(DataType::Boolean), e.origin);
                known.learn(&either(&[not(&found), same]), false, &|_| vec![reason.clone()]);
            }
        }
        known.columns.push(mark);
        known
    }

    /// Decides the rules of a step: each for itself, before any of them removes a row.
    fn judge(&mut self, known: &Knowledge, expect: &Expect, (flow, at): (usize, usize)) {
        for (place, rule) in expect.rules.iter().enumerate() {
            let (Some(passes), false) = (rule.passes, self.rules.contains_key(&(flow, at, place))) else { continue };
            let Some(variable) = known.columns.get(passes) else { continue };
            let verdict = known.decide_over(&value(*variable, &DataType::Boolean));
            let row = match &verdict {
                Verdict::Refuted { witness, .. } => {
                    let fields = &self.checked.flows[flow].steps[at].rows.schema.fields;
                    let names: Vec<String> = fields.iter().map(|f| f.name.clone()).collect();
                    super::obligations::row(known, witness, &names)
                }
                _ => String::new(),
            };
            self.rules.insert((flow, at, place), Judged { verdict, row });
        }
    }

    /// The reason for a condition or a value: as it is written, where it stands in the step itself.
    pub fn reason(&self, e: &Expr, names: &[String], speaker: Speaker<'_>) -> Reason {
        let (at, step) = (e.origin, speaker.origin);
        let inside = at.file == step.file && at.start >= step.start && at.end <= step.end && at.start < at.end;
        let text = inside.then(|| (self.written)(at)).flatten().unwrap_or_else(|| show(e, names));
        Reason { text, source: speaker.source.to_string(), origin: Some(if inside { at } else { step }), promise: None }
    }

    /// Filters and computes.
    pub fn transform(&mut self, known: &mut Knowledge, program: &Program, speaker: Speaker<'_>) {
        let names = slot_names(program);
        for step in &program.steps {
            match step {
                ProgramStep::Let(e) => {
                    let name = &names[known.columns.len()];
                    // What only the step itself uses has no name, and needs no telling.
                    let reason = (show(e, &names) != *name).then(|| self.definition(e, name, &names, speaker));
                    let value = known.over(e);
                    let variable = known.defined(value, reason);
                    known.columns.push(variable);
                }
                ProgramStep::Filter(condition) => {
                    if speaker.warns
                        && !crate::optimize::analysis::columns_of(condition).is_empty()
                        && let Verdict::Refuted { facts, .. } = known.decide(condition)
                    {
                        self.dead.push((condition.origin, facts));
                    }
                    let over = known.over(condition);
                    let reasons = self.parts(condition, &names, speaker);
                    self.learn(known, &over, reasons);
                }
                ProgramStep::Assert { condition, .. } => {
                    let over = known.over(condition);
                    let reasons = self.parts(condition, &names, speaker);
                    self.learn(known, &over, reasons);
                }
            }
        }
        let mut columns = vec![];
        for output in &program.outputs {
            let value = known.over(&output.value);
            // What only goes on needs no telling.
            let goes_on = matches!(value.kind, ExprKind::Column(_));
            let reason = || self.definition(&output.value, &expression::name(&output.field.name), &names, speaker);
            columns.push(known.defined(value, (!goes_on).then(reason)));
        }
        known.columns = columns;
    }

    fn definition(&self, e: &Expr, name: &str, names: &[String], speaker: Speaker<'_>) -> Reason {
        let reason = self.reason(e, names, speaker);
        if let Some(rule) = hidden(name) {
            return Reason { source: format!("rule `{rule}` of `{}`", speaker.flow), ..reason };
        }
        Reason { text: format!("{name} = {}", reason.text), ..reason }
    }

    /// The reasons of the parts of a condition, in their order. That a row passed a rule is told by the rule.
    fn parts(&self, condition: &Expr, names: &[String], speaker: Speaker<'_>) -> Vec<Option<Reason>> {
        let parts = crate::optimize::analysis::conjuncts(condition);
        let of_rule = |part: &Expr| match part.kind {
            ExprKind::Column(slot) => names.get(slot).is_some_and(|name| hidden(name).is_some()),
            _ => false,
        };
        parts.into_iter().map(|part| (!of_rule(part)).then(|| self.reason(part, names, speaker))).collect()
    }

    fn learn(&self, known: &mut Knowledge, condition: &Expr, reasons: Vec<Option<Reason>>) {
        let next = std::cell::Cell::new(0);
        known.learn(condition, true, &|_| {
            let at = next.replace(next.get() + 1);
            reasons.get(at).cloned().flatten().into_iter().collect()
        });
    }

    fn lookup(
        &mut self,
        mut known: Knowledge,
        other: &Knowledge,
        kind: LookupKind,
        on: Option<&Expr>,
        names: &[String],
        speaker: Speaker<'_>,
    ) -> Knowledge {
        let stream = known.columns.clone();
        if kind == LookupKind::Anti {
            return known;
        }
        let matched = (kind == LookupKind::Left).then(|| {
            let matched = known.unknown(&DataType::Boolean);
            known.learn(&present(matched, &DataType::Boolean), true, &|_| vec![]);
            value(matched, &DataType::Boolean)
        });
        let shift = known.include(other, matched.as_ref());
        let found: Vec<usize> = other.columns.iter().map(|c| c + shift).collect();
        known.columns.extend(&found);
        let condition = on.map(|on| (known.over(on), self.parts(on, names, speaker)));
        match (&matched, condition) {
            (_, None) => {}
            (None, Some((condition, reasons))) => self.learn(&mut known, &condition, reasons),
            (Some(matched), Some((condition, reasons))) => {
                for (part, reason) in crate::optimize::analysis::conjuncts(&condition).into_iter().zip(reasons) {
                    known.learn(&either(&[not(matched), part.clone()]), false, &|_| {
                        reason.clone().into_iter().collect()
                    });
                }
            }
        }
        match (kind, matched) {
            (LookupKind::Left, Some(matched)) => {
                known.columns.truncate(stream.len());
                for variable in found {
                    let data = known.variables[variable].data.clone();
                    let null = constant(Value::Null, &data);
                    let column = known.defined(choice(matched.clone(), value(variable, &data), null), None);
                    known.columns.push(column);
                }
            }
            (LookupKind::Semi, _) => known.columns = stream,
            _ => {}
        }
        known
    }

    /// A join of streams: what is known of the matching rows of both. Where a left row may be missing no more is known than what may be null.
    fn stream_join(
        &mut self,
        mut known: Knowledge,
        join: &CheckedJoin,
        step: &CheckedStep,
        speaker: Speaker<'_>,
    ) -> Knowledge {
        let kind = match join.kind {
            JoinKind::Inner => LookupKind::Inner,
            JoinKind::Left => LookupKind::Left,
            JoinKind::Mark => return known,
            JoinKind::Semi => LookupKind::Semi,
            JoinKind::Anti => LookupKind::Anti,
            JoinKind::Right | JoinKind::Full => {
                let mut known = Knowledge::default();
                known.read(&step.rows.schema.fields, &|field| Reason {
                    text: format!("{} is not null", expression::name(&field.name)),
                    source: speaker.source.to_string(),
                    origin: Some(step.origin),
                    promise: None,
                });
                return known;
            }
        };
        let mut other = self.input(join.right);
        self.transform(&mut other, &join.columns, Speaker { warns: false, ..speaker });
        // The rows of a match may come in different epochs.
        for side in [&mut known, &mut other] {
            side.facts.retain(|f| !depends_on_epoch(&f.condition));
        }
        let names = joined_names(&known, step, &join.columns.output_schema(), &join.alias);
        self.lookup(known, &other, kind, join.on.as_ref(), &names, speaker)
    }

    fn aggregate(
        &self,
        before: &Knowledge,
        keys: &[(Field, Expr)],
        (aggregates, windowed): (&[CheckedAggregate], bool),
        speaker: Speaker<'_>,
    ) -> Knowledge {
        // A group with keys, or of a window, has a row, and whatever holds of every row holds of that one.
        let grouped = windowed || !keys.is_empty();
        let mut known = if grouped { before.clone() } else { Knowledge::default() };
        known.facts.retain(|f| !depends_on_epoch(&f.condition));
        let mut columns = vec![];
        for (field, key) in keys {
            let reason = self.definition(key, &expression::name(&field.name), &[], speaker);
            columns.push(known.defined(before.over(key), Some(reason)));
        }
        for _ in 0..if windowed { 2 } else { 0 } {
            let time = known.unknown(&DataType::Timestamp);
            known.learn(&present(time, &DataType::Timestamp), true, &|_| vec![]);
            columns.push(time);
        }
        for call in aggregates {
            let variable = known.unknown(&call.field.ty.data);
            let mut filtered = before.clone();
            if let Some(filter) = &call.filter {
                let condition = filtered.over(filter);
                let reasons = self.parts(filter, &[], speaker);
                self.learn(&mut filtered, &condition, reasons);
            }
            filtered.facts.retain(|f| !depends_on_epoch(&f.condition));
            let nonempty = grouped && call.filter.is_none();
            let (set, mut reasons) = aggregate::range(&filtered, call, nonempty);
            reasons.push(self.definition(
                &Expr::new(ExprKind::Column(0), call.field.ty.clone(), call.origin),
                &expression::name(&call.field.name),
                &[format!("{}(…)", call.function.info().name)],
                speaker,
            ));
            for condition in known.membership(variable, &set) {
                known.learn(&condition, true, &|_| reasons.clone());
            }
            columns.push(variable);
        }
        known.columns = columns;
        known
    }
}

/// The rule that a column stands for which only an `expect` sees.
fn hidden(name: &str) -> Option<&str> {
    name.trim_matches('`').strip_prefix('#').map(|rule| rule.trim_start_matches('#'))
}

/// What a table or a source is known to hold.
fn read(schema: &Schema, name: &str, facts: &[TableFact], input: Option<Input>) -> Knowledge {
    let mut known = Knowledge::default();
    known.read(&schema.fields, &|field| Reason {
        text: format!("{} is not null", expression::name(&field.name)),
        source: format!("schema of `{name}`"),
        origin: None,
        promise: None,
    });
    let names: Vec<String> = schema.fields.iter().map(|f| expression::name(&f.name)).collect();
    for fact in facts {
        let condition = known.over(&fact.condition);
        let source = format!("{} `{}` of `{name}`", fact.what, fact.name);
        // Values are numbered as the columns are.
        known.learn(&condition, false, &|part| {
            let promise = input.map(|input| (input, fact.name.clone()));
            vec![Reason { text: show(part, &names), source: source.clone(), origin: None, promise }]
        });
    }
    known
}

/// All rows of several inputs: each is of one of them, and then fulfils what is known there.
fn union(branches: Vec<Knowledge>, schema: &Schema) -> Knowledge {
    let mut known = Knowledge::default();
    let count = branches.len();
    let branch = known.unknown(&DataType::Integer);
    let is = |numbers: Vec<i32>| {
        let list = numbers.into_iter().map(Value::Integer).collect();
        let operand = Box::new(value(branch, &DataType::Integer));
        Expr::new(ExprKind::InList { value: operand, list }, Type::nullable(DataType::Boolean), Origin::default())
    };
    known.learn(&is((0..count as i32).collect()), true, &|_| vec![]);
    let mut columns: Vec<Vec<usize>> = vec![];
    for (number, other) in branches.iter().enumerate() {
        let shift = known.include(other, Some(&is(vec![number as i32])));
        columns.push(other.columns.iter().map(|c| c + shift).collect());
    }
    known.columns = (0..schema.len())
        .map(|at| {
            let data = &schema.fields[at].ty.data;
            let pick = |number: usize| match columns[number].get(at) {
                Some(column) => value(*column, data),
                None => constant(Value::Null, data),
            };
            let last = pick(count - 1);
            let all = (0..count - 1).rev().fold(last, |rest, n| choice(is(vec![n as i32]), pick(n), rest));
            known.defined(all, None)
        })
        .collect();
    known
}

/// Names of the slots of a program: a computed one is called as the column that it goes out as.
pub(crate) fn slot_names(program: &Program) -> Vec<String> {
    let mut names: Vec<String> = program.input.fields.iter().map(|f| expression::name(&f.name)).collect();
    for step in &program.steps {
        if let ProgramStep::Let(e) = step {
            let slot = names.len();
            let output = program.outputs.iter().find(|o| o.value.kind == ExprKind::Column(slot));
            names.push(output.map_or_else(|| show(e, &names), |o| expression::name(&o.field.name)));
        }
    }
    names
}

/// The names of the columns of a pair: those of the rows so far, and the other side's under the name that it is joined by.
fn joined_names(known: &Knowledge, step: &CheckedStep, other: &Schema, alias: &str) -> Vec<String> {
    let ours = step.rows.schema.fields.iter().take(known.columns.len()).map(|f| expression::name(&f.name));
    let theirs = other.fields.iter().map(|f| format!("{alias}.{}", expression::name(&f.name)));
    ours.chain(theirs).collect()
}
