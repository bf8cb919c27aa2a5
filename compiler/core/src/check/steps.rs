//! The steps that neither join nor aggregate.

use crate::check::flow::FlowBuilder;
use crate::check::membership::{with_slots, without_marks};
use crate::check::narrow::{Outcome, facts};
use crate::check::scope::{Column, Env, Obstacle, Remedy, Rows};
use crate::check::types::span_of;
use crate::check::{Checker, Used, article, origin};
use crate::checked::{CheckedSortKey, Operation};
use crate::codes;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr, ExprKind, Field, Output, Program, ProgramStep, Type, Value};
use flowc_syntax::ast::{self, Assignment, FlowRef, Name, Rename, SortKey, Step, StepKind};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use smol_str::SmolStr;

impl Checker<'_> {
    /// Checks a step and adds it to the flow.
    pub(super) fn step(&self, flow: &mut FlowBuilder, step: &Step) {
        let before = self.is_recording().then(|| std::sync::Arc::new(super::record::shape(&flow.rows)));
        self.step_of_kind(flow, step);
        self.note_step(step.span, before, &flow.rows);
    }

    fn step_of_kind(&self, flow: &mut FlowBuilder, step: &Step) {
        match &step.kind {
            StepKind::Where(condition) => self.where_step(flow, step, condition),
            StepKind::Extend(assignments) => self.extend(flow, step, assignments),
            StepKind::Select(assignments) => self.select(flow, step, assignments),
            StepKind::Drop(names) => self.drop_columns(flow, step, names),
            StepKind::Rename(renames) => self.rename(flow, step, renames),
            StepKind::Join(join) => self.join(flow, step, join),
            StepKind::Aggregate(aggregate) => self.aggregate_step(flow, step, aggregate),
            StepKind::Sort(keys) => self.sort(flow, step, keys),
            StepKind::Limit(count) => self.limit(flow, step, count),
            StepKind::Union(others) => self.union(flow, step, others),
            StepKind::Explode { value, column } => self.explode(flow, step, value, column.as_ref()),
            StepKind::Expect(rules) => self.expect(flow, step, rules),
            StepKind::Dedup { keys, within } => self.dedup(flow, step, keys, within.as_ref()),
            StepKind::Top { count, order, per } => self.top(flow, step, count, order, per),
        }
    }

    fn where_step(&self, flow: &mut FlowBuilder, step: &Step, condition: &ast::Expr) {
        let before = flow.rows.clone();
        let mut env = Env::new(&before);
        env.marks = Some(vec![]);
        let condition = self.condition(&mut env, condition, "the condition of `where`");
        self.lineage.borrow_mut().root(&env.reads);
        let Some(condition) = condition else {
            // What the condition would have told of the columns is not known: no later complaint about nulls.
            flow.rows = assume_present(&flow.rows);
            return;
        };
        let marks = env.marks.take().unwrap_or_default();
        let known = facts(&without_marks(&condition, &marks), Outcome::True).of_slots();
        let slots = self.push_marks(flow, step, "where", marks);
        let mut rows = flow.rows.clone();
        if rows.columns.len() > before.columns.len() {
            rows.columns.truncate(before.columns.len());
        }
        rows.facts.add(known);
        let mut program = Program { input: flow.rows.schema(), ..Program::default() };
        program.steps.push(ProgramStep::Filter(with_slots(condition, &slots)));
        self.transform(flow, step, "where", program, rows);
    }

    /// Ends a step that computes: the columns of `rows`, wherever their slots are, become its outputs.
    pub(super) fn transform(
        &self,
        flow: &mut FlowBuilder,
        step: &Step,
        keyword: &'static str,
        mut program: Program,
        rows: Rows,
    ) {
        program.outputs = passing(&rows, origin(step.span));
        // These two make no new names.
        if !matches!(keyword, "where" | "drop") && !self.full_names_differ(&rows, step.span) {
            flow.give_up();
            return;
        }
        let mut after = rows.with_columns(rows.seen());
        after.carry_key(&flow.rows, |slot| {
            let column = rows.columns.iter().find(|c| c.slot == slot)?;
            Some(column.full_name().into_owned())
        });
        after.facts = rows.facts.moved(|slot| rows.columns.iter().position(|c| c.slot == slot));
        flow.push(step, keyword, Operation::Transform(program), after);
    }

    /// A column in backticks may be called as a joined column is in the schema: `device.site`.
    pub(super) fn full_names_differ(&self, rows: &Rows, span: Span) -> bool {
        let mut seen = std::collections::HashSet::with_capacity(rows.columns.len());
        let twice = rows.columns.iter().map(Column::full_name).find(|name| !seen.insert(name.clone()));
        let Some(name) = twice else { return true };
        // Columns of one name without a table were reported where they were made.
        if rows.columns.iter().any(|c| c.table.is_some() && c.full_name() == name) {
            self.report(
                Diagnostic::error(codes::DUPLICATE_COLUMN, span, format!("there are two columns `{name}`"))
                    .label("one of them is a joined table's")
                    .help("give the other one another name"),
            );
        }
        false
    }

    fn extend(&self, flow: &mut FlowBuilder, step: &Step, assignments: &[Assignment]) {
        let mut rows = flow.rows.clone();
        let mut program = Program { input: rows.schema(), ..Program::default() };
        let mut named: Vec<(String, Span)> = vec![];
        let live = self.has_sinks(&flow.name);
        for assignment in assignments {
            let mut env = Env::new(&rows);
            let value = self.expr(&mut env, &assignment.value).and_then(|v| self.storable(v));
            let reads = std::mem::take(&mut env.reads);
            let Some((name, span)) = self.assigned_name(assignment) else {
                rows.open = true;
                continue;
            };
            self.shadowing(&name, span);
            let comment = assignment.doc.clone().or_else(|| super::aggregate::comment_of(&rows, &assignment.value));
            let slot = program.input.len() + program.steps.len();
            let ty = value.as_ref().map(|v| v.ty.clone());
            let value = value.unwrap_or_else(|| null_at(assignment.span));
            program.steps.push(ProgramStep::Let(value));
            let lineage = Some(self.lineage.borrow_mut().computed(&name, span, &reads, live));
            let comment = comment.map(SmolStr::new);
            let column = Column { name: name.as_str().into(), table: None, ty, comment, slot, lineage };
            // Another value is no longer the time of the event.
            rows.time.overwrite(&name);
            match rows.columns.iter_mut().find(|c| c.table.is_none() && c.name == name) {
                Some(old) => *old = column,
                None => rows.columns.push(column),
            }
            named.push((name, span));
        }
        self.unique_columns(named.iter().map(|(n, s)| (n.as_str(), *s)));
        self.transform(flow, step, "extend", program, rows);
    }

    fn select(&self, flow: &mut FlowBuilder, step: &Step, assignments: &[Assignment]) {
        let mut program = Program { input: flow.rows.schema(), ..Program::default() };
        let mut columns: Vec<Column> = vec![];
        let mut named: Vec<(String, Span)> = vec![];
        let mut moved: Vec<(usize, usize)> = vec![];
        let live = self.has_sinks(&flow.name);
        let mut nameless = false;
        for assignment in assignments {
            let mut env = Env::new(&flow.rows);
            env.siblings = named.iter().map(|(name, _)| name.clone()).collect();
            let value = self.expr(&mut env, &assignment.value).and_then(|v| self.storable(v));
            let reads = std::mem::take(&mut env.reads);
            let Some((name, span)) = self.assigned_name(assignment) else {
                nameless = true;
                continue;
            };
            if assignment.name.is_some() {
                self.shadowing(&name, span);
            }
            let comment =
                assignment.doc.clone().or_else(|| super::aggregate::comment_of(&flow.rows, &assignment.value));
            let lineage = match (&assignment.name, reads.iter().next()) {
                (None, Some(same)) if reads.len() == 1 && !self.lineage.borrow().is_unwatched(*same) => *same,
                _ => self.lineage.borrow_mut().computed(&name, span, &reads, live),
            };
            if let Some(Expr { kind: ExprKind::Column(slot), .. }) = &value {
                moved.push((*slot, columns.len()));
            }
            let ty = value.as_ref().map(|v| v.ty.clone());
            let value = value.unwrap_or_else(|| null_at(assignment.span));
            let field = Field { name: name.clone(), ty: value.ty.clone(), comment: comment.clone() };
            program.outputs.push(Output { field, value });
            columns.push(Column {
                name: name.as_str().into(),
                table: None,
                ty,
                comment: comment.map(SmolStr::new),
                slot: columns.len(),
                lineage: Some(lineage),
            });
            named.push((name, span));
        }
        self.unique_columns(named.iter().map(|(n, s)| (n.as_str(), *s)));
        let rows_named: Vec<String> = columns.iter().map(|c| c.name.to_string()).collect();
        let mut known = flow.rows.clone();
        known.time.rename(|name| {
            // Where it goes out; by its own name, if by several.
            let slot = flow.rows.own(name)?.slot;
            let places: Vec<&str> =
                moved.iter().filter(|(from, _)| *from == slot).map(|(_, to)| columns[*to].name.as_str()).collect();
            let kept = places.iter().find(|place| **place == name).or(places.first());
            // A name that no column has: it is gone.
            Some(kept.map_or_else(|| format!("{name} is not selected"), |name| name.to_string()))
        });
        let mut rows = known.with_columns(columns);
        rows.carry_key(&flow.rows, |slot| {
            let (_, to) = moved.iter().find(|(from, _)| *from == slot)?;
            Some(rows_named[*to].clone())
        });
        rows.open = nameless;
        rows.facts = flow.rows.facts.moved(|slot| moved.iter().find(|(from, _)| *from == slot).map(|(_, to)| *to));
        flow.push(step, "select", Operation::Transform(program), rows);
    }

    fn drop_columns(&self, flow: &mut FlowBuilder, step: &Step, names: &[Name]) {
        let program = Program { input: flow.rows.schema(), ..Program::default() };
        let mut rows = flow.rows.clone();
        for name in names {
            if self.own_column(&flow.rows, name) {
                rows.columns.retain(|c| c.table.is_some() || c.name != name.text);
            }
        }
        self.transform(flow, step, "drop", program, rows);
    }

    fn rename(&self, flow: &mut FlowBuilder, step: &Step, renames: &[Rename]) {
        let program = Program { input: flow.rows.schema(), ..Program::default() };
        let mut rows = flow.rows.clone();
        for rename in renames {
            if !self.own_column(&flow.rows, &rename.old) {
                // The new name is still there for later steps.
                let unknown = Column {
                    name: rename.new.text.as_str().into(),
                    table: None,
                    ty: None,
                    comment: None,
                    slot: 0,
                    lineage: None,
                };
                rows.columns.push(unknown);
                continue;
            }
            self.shadowing(&rename.new.text, rename.new.span);
            let taken =
                flow.rows.own(&rename.new.text).is_some() && !renames.iter().any(|r| r.old.text == rename.new.text);
            let again = renames.iter().filter(|r| r.new.text == rename.new.text).count() > 1;
            if taken || again {
                self.report(
                    Diagnostic::error(
                        codes::DUPLICATE_COLUMN,
                        rename.new.span,
                        format!("there are two columns `{}`", rename.new.text),
                    )
                    .label("this name is taken")
                    .help("drop the other column first, or choose another name"),
                );
            }
            let old = flow.rows.own(&rename.old.text).map(|c| c.slot);
            if let Some(column) = rows.columns.iter_mut().find(|c| c.table.is_none() && Some(c.slot) == old) {
                let from = column.lineage.into_iter().collect();
                let lineage = self.lineage.borrow_mut().computed(&rename.new.text, rename.new.span, &from, false);
                column.lineage = Some(lineage);
                column.name = rename.new.text.as_str().into();
            }
        }
        let renamed = |name: &str| renames.iter().find(|r| r.old.text == name).map(|r| r.new.text.clone());
        rows.time.rename(renamed);
        self.transform(flow, step, "rename", program, rows);
    }

    /// Whether the flow has a column of its own of this name; reports it where not.
    pub(super) fn own_column(&self, rows: &Rows, name: &Name) -> bool {
        if let Some(column) = rows.own(&name.text) {
            self.note_read(name.span, column);
            return true;
        }
        if !rows.open {
            let own: Vec<&str> = rows.columns.iter().filter(|c| c.table.is_none()).map(|c| c.name.as_str()).collect();
            self.report(
                Diagnostic::error(codes::UNKNOWN_COLUMN, name.span, format!("there is no column `{}`", name.text))
                    .label("unknown column")
                    .help(super::names::suggestion(&name.text, &own, "the columns here are")),
            );
        }
        false
    }

    fn sort(&self, flow: &mut FlowBuilder, step: &Step, keys: &[SortKey]) {
        let checked = self.sort_keys(&flow.rows, keys);
        let rows = blocked(&flow.rows, step, "sort");
        flow.push(step, "sort", Operation::Sort(checked), rows);
    }

    /// What rows are ordered by.
    pub(super) fn sort_keys(&self, rows: &Rows, keys: &[SortKey]) -> Vec<CheckedSortKey> {
        let mut env = Env::new(rows);
        let mut checked = vec![];
        for key in keys {
            let Some(value) = self.expr(&mut env, &key.value) else { continue };
            if !value.ty.data.is_orderable() {
                self.report(
                    Diagnostic::error(
                        codes::NOT_ORDERED,
                        span_of(&value),
                        format!("{} has no order", article(&value.ty.data)),
                    )
                    .label("cannot be sorted by")
                    .help("sort by a part of it"),
                );
            }
            let nulls_first = key.nulls_first.unwrap_or(!key.descending);
            checked.push(CheckedSortKey { value, descending: key.descending, nulls_first });
        }
        self.lineage.borrow_mut().root(&env.reads);
        checked
    }

    fn limit(&self, flow: &mut FlowBuilder, step: &Step, count: &ast::Expr) {
        let value = self.constant(count, &DataType::Long, "the number of rows");
        let rows = blocked(&flow.rows, step, "limit");
        let count = match value {
            Some(Value::Long(n)) if n >= 0 => n as u64,
            Some(_) => {
                self.report(
                    Diagnostic::error(codes::BAD_VALUE, count.span, "the number of rows must not be negative")
                        .label("less than 0")
                        .help("for example `limit 10`"),
                );
                0
            }
            None => 0,
        };
        flow.push(step, "limit", Operation::Limit(count), rows);
    }

    fn union(&self, flow: &mut FlowBuilder, step: &Step, others: &[FlowRef]) {
        let inputs: Vec<_> = others.iter().map(|o| (o.span, self.relation(o))).collect();
        let known = flow.rows.is_sound() && inputs.iter().all(|(_, d)| d.as_ref().is_some_and(|d| d.rows.is_sound()));
        if !known {
            flow.give_up();
            return;
        }
        let first: Vec<Column> = flow.rows.columns.iter().filter(|c| c.table.is_none()).cloned().collect();
        let mut columns: Vec<Column> =
            first.iter().map(|c| Column { ty: flow.rows.seen_type(c), ..c.clone() }).collect();
        let mut sound = true;
        for (span, done) in &inputs {
            let Some(done) = done else { continue };
            sound &= self.unite(&mut columns, &done.rows, *span);
        }
        if !sound {
            flow.give_up();
            return;
        }
        let at = origin(step.span);
        let align = self.align(&flow.rows, &columns, at);
        let mut checked = vec![];
        let mut rows = flow.rows.with_columns(columns.clone());
        for (_, done) in inputs {
            let Some(done) = done else { continue };
            rows.meet(&done.rows);
            // Both may have a row of one key.
            rows.lose_key();
            rows.time.or(&done.rows.time);
            checked.push((done.input, self.align(&done.rows, &columns, at)));
        }
        flow.push(step, "union", Operation::Union { align, others: checked }, rows);
    }

    /// Brings the columns of another input into those of the union.
    fn unite(&self, columns: &mut [Column], other: &Rows, span: Span) -> bool {
        let own: Vec<&Column> = other.columns.iter().filter(|c| c.table.is_none()).collect();
        let missing: Vec<&str> =
            columns.iter().filter(|c| other.own(&c.name).is_none()).map(|c| c.name.as_str()).collect();
        let extra: Vec<&str> =
            own.iter().filter(|o| !columns.iter().any(|c| c.name == o.name)).map(|c| c.name.as_str()).collect();
        if !missing.is_empty() || !extra.is_empty() {
            let lacks = (!missing.is_empty()).then(|| format!("it lacks {}", super::list(&missing)));
            let has = (!extra.is_empty()).then(|| format!("it has {} besides", super::list(&extra)));
            let label: Vec<String> = lacks.into_iter().chain(has).collect();
            self.report(
                Diagnostic::error(codes::UNION_COLUMNS, span, "both sides of a union must have the same columns")
                    .label(label.join(", "))
                    .help("bring it into the same columns in a flow of its own, with `|> select …`"),
            );
            return false;
        }
        let mut sound = true;
        for column in columns.iter_mut() {
            let Some(same) = other.own(&column.name) else { continue };
            let (Some(a), Some(b)) = (column.ty.clone(), other.seen_type(same)) else { continue };
            let lineages = [column.lineage, same.lineage].into_iter().flatten().collect();
            column.lineage = Some(self.lineage.borrow_mut().computed(&column.name, span, &lineages, false));
            match a.common(&b) {
                Some(ty) => column.ty = Some(ty),
                None => {
                    sound = false;
                    self.report(
                        Diagnostic::error(
                            codes::UNION_COLUMNS,
                            span,
                            format!("the column `{}` has another type on each side of the union", column.name),
                        )
                        .label(format!("here {}, before {}", article(&b), article(&a)))
                        .help(format!(
                            "convert it: `|> extend {0} = {0} as {1}`",
                            quote_name(&column.name),
                            a.data
                        )),
                    );
                }
            }
        }
        sound
    }

    fn align(&self, from: &Rows, to: &[Column], at: flowc_ir::Origin) -> Program {
        let mut program = Program { input: from.schema(), ..Program::default() };
        for column in to {
            let ty = column.ty.clone().unwrap_or_else(Type::null);
            let Some(source) = from.own(&column.name) else { continue };
            let seen = from.seen_type(source).unwrap_or_else(Type::null);
            let value = self.converted(Expr::new(ExprKind::Column(source.slot), seen, at), &ty.data);
            let field = column.field(ty);
            program.outputs.push(Output { field, value });
        }
        program
    }

    fn explode(&self, flow: &mut FlowBuilder, step: &Step, value: &ast::Expr, column: Option<&Name>) {
        let mut env = Env::new(&flow.rows);
        let array = self.expr(&mut env, value);
        let reads = std::mem::take(&mut env.reads);
        self.lineage.borrow_mut().root(&reads);
        let assignment = Assignment { name: column.cloned(), value: value.clone(), doc: None, span: value.span };
        let Some((name, span)) = self.assigned_name(&assignment) else {
            flow.give_up();
            return;
        };
        if column.is_some() {
            self.shadowing(&name, span);
        }
        let element = match array.as_ref().map(|a| &a.ty.data) {
            Some(DataType::Array(item)) => Some((**item).clone()),
            Some(other) => {
                self.report(
                    Diagnostic::error(codes::NOT_AN_ARRAY, value.span, "only an array can be exploded")
                        .label(format!("this is {}", article(other)))
                        .help(match other {
                            DataType::String => "take the text apart first: `explode split(x, \",\") as part`",
                            DataType::Map(..) => "make an array of it first: `map_keys(m)`, `map_values(m)`",
                            _ => "`explode` makes a row of each element of an array",
                        }),
                );
                None
            }
            None => None,
        };
        let mut columns = flow.rows.columns.clone();
        let lineage = Some(self.lineage.borrow_mut().computed(&name, span, &reads, self.has_sinks(&flow.name)));
        let new =
            Column { name: name.as_str().into(), table: None, ty: element.clone(), comment: None, slot: 0, lineage };
        let replaced = columns.iter().position(|c| c.table.is_none() && c.name == name);
        match replaced {
            Some(at) => columns[at] = new,
            None => columns.push(new),
        }
        let mut rows = flow.rows.with_columns(columns);
        rows.facts = flow.rows.facts.moved(|slot| Some(slot).filter(|s| Some(*s) != replaced));
        // An array may hold an element twice.
        rows.lose_key();
        rows.time.overwrite(&name);
        if !self.full_names_differ(&rows, step.span) {
            flow.give_up();
            return;
        }
        let array = array.unwrap_or_else(|| null_at(value.span));
        let element = Field::new(name, element.unwrap_or_else(Type::null));
        flow.push(step, "explode", Operation::Explode { array, element }, rows);
    }

    /// The name of the column that an assignment makes.
    pub(super) fn assigned_name(&self, assignment: &Assignment) -> Option<(String, Span)> {
        if let Some(name) = &assignment.name {
            return Some((name.text.clone(), name.span));
        }
        match &assignment.value.kind {
            ast::ExprKind::Name(name) | ast::ExprKind::Field(_, name) => Some((name.text.clone(), name.span)),
            ast::ExprKind::Error => None,
            _ => {
                self.report(
                    Diagnostic::error(codes::NAME_NEEDED, assignment.span, "this column needs a name")
                        .label("only a column or a path like `device.site` brings its own name")
                        .help("write `name = …` before it"),
                );
                None
            }
        }
    }

    /// Reports columns of one name.
    pub(super) fn unique_columns<'n>(&self, names: impl Iterator<Item = (&'n str, Span)>) {
        let mut seen: Vec<(&str, Span)> = vec![];
        for (name, span) in names {
            match seen.iter().find(|(n, _)| *n == name) {
                Some((_, before)) => self.duplicate("columns", name, span, *before),
                None => seen.push((name, span)),
            }
        }
    }

    /// Warns of a new column that hides a param or has the name of one of the program's functions.
    pub(super) fn shadowing(&self, name: &str, span: Span) {
        let param = self.declarations.params.get(name).map(|p| ("param", p.name.span));
        let function = self.declarations.functions.get(name).map(|f| ("function", f.name.span));
        let Some((word, declared)) = param.or(function) else { return };
        self.mark(if word == "param" { Used::Param } else { Used::Function }, name);
        self.report(
            Diagnostic::warning(codes::SHADOWING, span, format!("the column `{name}` hides the {word} of its name"))
                .label("from here on the name means the column")
                .also(declared, format!("the {word}"))
                .help("give one of them another name"),
        );
    }

    /// Requires a type that a column can have.
    pub(super) fn storable(&self, e: Expr) -> Option<Expr> {
        if e.ty.data == DataType::Null {
            self.report(
                Diagnostic::error(codes::UNTYPED_NULL, span_of(&e), "a column needs a type, and `null` alone has none")
                    .label("of which type?")
                    .help("say it: `null as string?`"),
            );
            return None;
        }
        Some(e)
    }
}

/// The rows, blocked where they do not end.
fn blocked(rows: &Rows, step: &Step, word: &'static str) -> Rows {
    let mut rows = rows.clone();
    if !rows.bounded {
        rows.blocked.get_or_insert(Obstacle { span: step.keyword, step: word, remedy: Remedy::End });
    }
    rows
}

/// The columns as they are, narrowed.
pub(crate) fn passing(rows: &Rows, at: flowc_ir::Origin) -> Vec<Output> {
    let output = |c: &Column| {
        let ty = rows.seen_type(c).unwrap_or_else(Type::null);
        Output { field: c.full_field(ty.clone()), value: Expr::new(ExprKind::Column(c.slot), ty, at) }
    };
    rows.columns.iter().map(output).collect()
}

fn assume_present(rows: &Rows) -> Rows {
    let present = |c: &Column| Column { ty: c.ty.clone().map(|t| t.with_nullable(false)), ..c.clone() };
    Rows { columns: rows.columns.iter().map(present).collect(), ..rows.clone() }
}

pub(crate) fn null_at(span: Span) -> Expr {
    Expr::new(ExprKind::Literal(Value::Null), Type::null(), origin(span))
}
