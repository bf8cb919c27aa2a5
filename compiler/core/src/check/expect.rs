//! The `expect` step: repairs, rules, what is kept and what is rejected. A rule's condition becomes a boolean column, computed by `Transform`s; an
//! [`Operation::Expect`] counts them, and what stands behind it removes rows.
//!
//! Columns that only the step itself needs have names that begin with `#` and stand behind the flow's own.

use crate::check::flow::{FlowBuilder, Rejects};
use crate::check::membership;
use crate::check::narrow::{Facts, Outcome, facts};
use crate::check::scope::{Column, Env, Rows, Shares};
use crate::check::types::span_of;
use crate::check::{Checker, article, origin};
use crate::checked::Operation;
use crate::codes;
use flowc_ir::graph::{Expect, ExpectRule, Policy, ShareCondition};
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr, ExprKind, Field, Output, Program, ProgramStep, Schema, Type, Value};
use flowc_syntax::ast::{self, Assignment, PolicyKind, Rule, RuleCondition, Step};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// The rules that a step has so far.
struct Judging<'a> {
    step: &'a Step,
    /// The index of the first step that it is made into.
    first: usize,
    rules: &'a [Rule],
    /// How many columns the flow itself has; hidden ones stand behind them.
    visible: usize,
    /// For each repaired column, the hidden column that has its value from before.
    originals: BTreeMap<usize, usize>,
    /// For each rule that repairs, the hidden column that says whether it did.
    repaired: Vec<Option<usize>>,
    /// For each rule, the hidden column that says whether the row passes.
    passes: Vec<Option<usize>>,
    /// For each rule, the columns that it reads.
    shown: Vec<Vec<usize>>,
    sound: bool,
}

impl Checker<'_> {
    /// `expect { name: condition else policy … }`
    pub(super) fn expect(&self, flow: &mut FlowBuilder, step: &Step, rules: &[Rule]) {
        let mut judging = Judging {
            step,
            first: flow.next_step(),
            rules,
            visible: flow.rows.columns.len(),
            originals: BTreeMap::new(),
            repaired: vec![None; rules.len()],
            passes: vec![None; rules.len()],
            shown: vec![vec![]; rules.len()],
            sound: self.rules_differ(flow, rules),
        };
        for (index, rule) in rules.iter().enumerate() {
            if let (Some(PolicyKind::Repair(assignments)), RuleCondition::Row(condition)) =
                (policy_of(rule), &rule.condition)
                && !self.is_of_epoch(condition)
            {
                self.repair(flow, &mut judging, index, condition, assignments);
            }
        }
        let known = self.judge(flow, &mut judging);
        let shares: Vec<_> = (0..rules.len()).map(|index| self.share_condition(&mut judging, index)).collect();
        if !judging.sound {
            // What the rules would have told of the columns is not known: no later complaint about nulls.
            flow.rows.columns.truncate(judging.visible);
            flow.rows.columns.iter_mut().for_each(|c| c.ty = c.ty.clone().map(|t| t.with_nullable(false)));
            flow.rows.open |= flow.rows.columns.iter().any(|c| c.ty.is_none());
            flow.rejects.push(Rejects { first: 0, step: 0, program: Program::default(), rows: Rows::unknown() });
            return;
        }
        let operator = Expect { flow: flow.name.clone(), rules: judging.operator(shares) };
        let rows = flow.rows.clone();
        flow.push(step, "expect", Operation::Expect(operator), rows);
        self.reject(flow, &judging);
        self.pass(flow, &judging, known);
    }

    /// Names of rules are told apart in counts and in `_failed`.
    fn rules_differ(&self, flow: &mut FlowBuilder, rules: &[Rule]) -> bool {
        let mut sound = true;
        for rule in rules {
            match flow.rules.iter().find(|(name, _)| *name == rule.name.text) {
                Some((_, before)) => {
                    sound = false;
                    self.report(
                        Diagnostic::error(
                            codes::DUPLICATE_RULE,
                            rule.name.span,
                            format!("`{}` has two rules `{}`", flow.name, rule.name.text),
                        )
                        .label("again here")
                        .also(*before, "the first")
                        .help("give one of them another name: rows are counted by it, and `_failed` names it"),
                    );
                }
                None => flow.rules.push((rule.name.text.clone(), rule.name.span)),
            }
        }
        sound
    }

    /// Types a rule's condition over the rows as they are; tests against tables become columns. With the condition comes the form that narrowing understands.
    fn rule_condition(
        &self,
        flow: &mut FlowBuilder,
        judging: &Judging<'_>,
        condition: &ast::Expr,
    ) -> Option<(Expr, Facts)> {
        let seen = judging.seen(&flow.rows);
        let mut env = Env::new(&seen);
        env.marks = Some(vec![]);
        let typed = self.condition(&mut env, condition, "the condition of a rule");
        self.lineage.borrow_mut().root(&env.reads);
        let marks = env.marks.take().unwrap_or_default();
        let typed = typed?;
        let known = facts(&membership::without_marks(&typed, &marks), Outcome::True).of_slots();
        let slots = self.push_marks(flow, judging.step, "expect", marks);
        Some((membership::with_slots(typed, &slots), known))
    }

    /// A rule that repairs: where its condition is not true, columns get other values.
    fn repair(
        &self,
        flow: &mut FlowBuilder,
        judging: &mut Judging<'_>,
        index: usize,
        condition: &ast::Expr,
        assignments: &[Assignment],
    ) {
        let Some((condition, _)) = self.rule_condition(flow, judging, condition) else {
            judging.sound = false;
            return;
        };
        let at = condition.origin;
        let mut program = Program { input: flow.rows.schema(), ..Program::default() };
        let mut rows = flow.rows.clone();
        let ok = judging.compute(&mut program, is_true(condition.clone()));
        for assignment in assignments {
            self.repair_column(flow, judging, (&mut program, &mut rows), (&condition, &ok), assignment);
        }
        let flag = Expr::new(ExprKind::Not(Box::new(ok)), Type::boolean(), at);
        let flag = judging.compute(&mut program, flag);
        judging.repaired[index] = Some(rows.columns.len());
        let flag = hidden(&rows, &format!("repaired {}", judging.rules[index].name.text), &flag);
        rows.columns.push(flag);
        self.transform(flow, judging.step, "expect", program, rows);
    }

    fn repair_column(
        &self,
        flow: &FlowBuilder,
        judging: &mut Judging<'_>,
        (program, rows): (&mut Program, &mut Rows),
        (condition, ok): (&Expr, &Expr),
        assignment: &Assignment,
    ) {
        let Some((name, span)) = self.assigned_name(assignment) else {
            judging.sound = false;
            return;
        };
        let seen = judging.seen(rows);
        let mut env = Env::new(&seen);
        let failed = facts(condition, Outcome::NotTrue);
        let value = env.assuming(failed, |env| self.expr(env, &assignment.value));
        let reads = std::mem::take(&mut env.reads);
        let target = ast::Name { text: name.clone(), span };
        let place = rows.columns[..judging.visible].iter().position(|c| c.table.is_none() && c.name == name);
        if place.is_none() {
            self.own_column(&seen, &target);
        }
        let (Some(place), Some(value)) = (place, value) else {
            judging.sound = false;
            return;
        };
        let old = rows.columns[place].clone();
        let (Some(ty), Some(seen_ty)) = (old.ty.clone(), rows.seen_type(&old)) else {
            judging.sound = false;
            return;
        };
        let Some(value) = self.widened(value.clone(), &ty.data) else {
            judging.sound = false;
            self.report(
                Diagnostic::error(
                    codes::REPAIR_TYPE,
                    span_of(&value),
                    format!("`{name}` is {}, and its repair is {}", article(&ty.data), article(&value.ty.data)),
                )
                .label("a repair keeps the column's type")
                .help(format!("convert it: `{} = (…) as {}`", quote_name(&name), ty.data)),
            );
            return;
        };
        let before = Expr::new(ExprKind::Column(old.slot), seen_ty.clone(), value.origin);
        let ty = Type { data: ty.data, nullable: seen_ty.nullable || value.ty.nullable };
        let choice = ExprKind::If {
            condition: Box::new(ok.clone()),
            then: Box::new(before.clone()),
            otherwise: Box::new(value.clone()),
        };
        let repaired = judging.compute(program, Expr::new(choice, ty.clone(), value.origin));
        let ExprKind::Column(slot) = repaired.kind else { return };
        if let std::collections::btree_map::Entry::Vacant(entry) = judging.originals.entry(place) {
            entry.insert(rows.columns.len());
            let before = Column { lineage: old.lineage, ..hidden(rows, &format!("before {name}"), &before) };
            rows.columns.push(before);
        }
        let from: BTreeSet<usize> = reads.into_iter().chain(old.lineage).collect();
        let lineage = self.lineage.borrow_mut().computed(&name, span, &from, self.has_sinks(&flow.name));
        rows.columns[place] = Column { slot, ty: Some(ty), lineage: Some(lineage), ..old };
    }

    /// Evaluates every rule for the repaired rows. Comes back with what is known of rows that pass.
    fn judge(&self, flow: &mut FlowBuilder, judging: &mut Judging<'_>) -> Facts {
        let mut known = Facts::default();
        let mut conditions: Vec<Option<Expr>> = vec![];
        for rule in judging.rules {
            let typed = match &rule.condition {
                RuleCondition::Row(condition) if self.is_of_epoch(condition) => None,
                RuleCondition::Row(condition) => {
                    let repairs = matches!(policy_of(rule), Some(PolicyKind::Repair(_)));
                    // What is wrong with a rule that repairs was reported when it was repaired.
                    let typed = match repairs {
                        true => self.silently(|| self.rule_condition(flow, judging, condition)),
                        false => self.rule_condition(flow, judging, condition),
                    };
                    judging.sound &= typed.is_some();
                    typed
                }
                RuleCondition::Unique { columns, within, span } => {
                    let typed = self.unique(flow, judging, &rule.name.text, columns, within.as_ref(), *span);
                    judging.sound &= typed.is_some();
                    typed.map(|first| (first, Facts::default()))
                }
            };
            conditions.push(typed.map(|(condition, facts)| {
                if policy(rule) != Policy::Warn {
                    known.add(facts);
                }
                condition
            }));
        }
        let mut program = Program { input: flow.rows.schema(), ..Program::default() };
        let mut rows = flow.rows.clone();
        for (index, condition) in conditions.into_iter().enumerate() {
            let Some(condition) = condition else { continue };
            let columns = crate::optimize::analysis::columns_of(&condition);
            judging.shown[index] = columns.into_iter().filter(|c| *c < judging.visible).collect();
            let passes = judging.compute(&mut program, is_true(condition));
            judging.passes[index] = Some(rows.columns.len());
            let passes = hidden(&rows, &judging.rules[index].name.text, &passes);
            rows.columns.push(passes);
        }
        self.transform(flow, judging.step, "expect", program, rows);
        known
    }

    /// `unique (a, b) within d`: a step before the rules tells of each row whether it is the first; that column.
    fn unique(
        &self,
        flow: &mut FlowBuilder,
        judging: &Judging<'_>,
        rule: &str,
        columns: &[ast::Expr],
        within: Option<&ast::Expr>,
        span: Span,
    ) -> Option<Expr> {
        if flow.rows.kind.is_changing() {
            self.unique_changing(&flow.rows, span);
            return None;
        }
        let seen = judging.seen(&flow.rows);
        let mut env = Env::new(&seen);
        let keys: Vec<Option<Expr>> = columns.iter().map(|key| self.unique_key(&mut env, key)).collect();
        let reads = std::mem::take(&mut env.reads);
        self.lineage.borrow_mut().root(&reads);
        let (within, time) = match within {
            Some(duration) => self.unique_within(&seen, duration, span)?,
            None => self.unique_for_ever(&seen, span)?,
        };
        let keys = keys.into_iter().collect::<Option<Vec<_>>>()?;
        let delay = flow.rows.time.watermark.filter(|_| within.is_some());
        let mut rows = flow.rows.clone();
        let slot = rows.columns.len();
        let first = boolean_column(slot, origin(span));
        let column = hidden(&rows, &format!("first {rule}"), &first);
        rows.columns.push(column);
        let (name, rule) = (flow.name.clone(), rule.to_string());
        let operation = Operation::Unique { flow: name, rule, keys, within, time, delay };
        flow.push(judging.step, "expect", operation, rows);
        Some(first)
    }

    fn unique_changing(&self, rows: &Rows, span: Span) {
        let found = Diagnostic::error(
            codes::UNIQUE,
            span,
            "which row came first cannot be said of rows that change, and the first one is the one that passes",
        )
        .label("of rows that are only added");
        let found = match &rows.changing {
            Some(step) => found.also(step.span, format!("`{}` makes the rows change", step.step)),
            None => found,
        };
        self.report(found.help(
            "a sink with `mode merge on` these columns stops where two rows have one key; or count them: `aggregate n = count() by …`",
        ));
    }

    fn unique_key(&self, env: &mut Env<'_>, key: &ast::Expr) -> Option<Expr> {
        let key = self.expr(env, key).and_then(|key| self.storable(key))?;
        if key.ty.data.is_orderable() {
            return Some(key);
        }
        self.report(
            Diagnostic::error(codes::NOT_ORDERED, span_of(&key), format!("{} has no order", article(&key.ty.data)))
                .label("cannot be part of a key")
                .help("compare a part of it"),
        );
        None
    }

    /// The duration, and the place of the event time.
    fn unique_within(&self, rows: &Rows, within: &ast::Expr, span: Span) -> Option<(Option<i64>, Option<usize>)> {
        let duration = self.constant(within, &DataType::Duration, "the duration of `unique`")?;
        let micros = match duration {
            Value::Duration(micros) if micros >= 0 => micros,
            _ => {
                self.report(
                    Diagnostic::error(codes::BAD_VALUE, within.span, "a duration must not be negative")
                        .label("less than 0")
                        .help("for example `within 1h`"),
                );
                return None;
            }
        };
        let time = rows.time.event.as_ref().and_then(|event| rows.own(event.column()));
        let Some(time) = time else {
            if !rows.open {
                self.report(
                    Diagnostic::error(codes::UNIQUE, span, "`within` is about event time, and these rows have none")
                        .label("within an hour of what?")
                        .help("say in the source which column is the time, and how late a row may come:\n    event_time at = timestamp_millis(timestamp)\n    watermark 5s"),
                );
            }
            return None;
        };
        if !rows.bounded && rows.time.watermark.is_none() {
            self.report(
                Diagnostic::error(codes::UNIQUE, span, "without a watermark every key would be remembered for ever")
                    .label("grows with every row")
                    .help("say in the source how late a row may come: `watermark 5s`"),
            );
            return None;
        }
        Some((Some(micros), Some(time.slot)))
    }

    /// Without a duration rows have to end.
    fn unique_for_ever(&self, rows: &Rows, span: Span) -> Option<(Option<i64>, Option<usize>)> {
        if rows.bounded || rows.open {
            return Some((None, None));
        }
        self.report(
            Diagnostic::error(codes::UNIQUE, span, "the rows do not end: every key would be remembered for ever")
                .label("grows with every row")
                .help("say how far apart duplicates come: `unique (…) within 1h`"),
        );
        None
    }

    /// The rows that pass.
    fn pass(&self, flow: &mut FlowBuilder, judging: &Judging<'_>, known: Facts) {
        let mut program = Program { input: flow.rows.schema(), ..Program::default() };
        let removing = judging.columns(|policy| policy == Policy::Drop || policy.quarantines());
        if !removing.is_empty() {
            program.steps.push(ProgramStep::Filter(all(removing, origin(judging.step.span))));
        }
        let mut rows = flow.rows.clone();
        rows.columns.truncate(judging.visible);
        rows.facts.add(known);
        self.transform(flow, judging.step, "expect", program, rows);
    }

    /// The rows that are quarantined: as they were before any repair, with the names of the rules that they failed.
    fn reject(&self, flow: &mut FlowBuilder, judging: &Judging<'_>) {
        let at = origin(judging.step.span);
        let quarantine = judging.columns(Policy::quarantines);
        if quarantine.is_empty() {
            return;
        }
        let mut program = Program { input: flow.rows.schema(), ..Program::default() };
        let dropped = judging.columns(|policy| policy == Policy::Drop);
        if !dropped.is_empty() {
            program.steps.push(ProgramStep::Filter(all(dropped, at)));
        }
        let kept = Expr::new(ExprKind::Not(Box::new(all(quarantine, at))), Type::boolean(), at);
        program.steps.push(ProgramStep::Filter(kept));
        let mut columns = vec![];
        for (place, column) in flow.rows.columns[..judging.visible].iter().enumerate() {
            let own = column.table.is_none() && !REJECTED_COLUMNS.contains(&column.name.as_str());
            let source = judging.originals.get(&place).map_or(column, |hidden| &flow.rows.columns[*hidden]);
            let (true, Some(ty)) = (own, flow.rows.seen_type(source)) else { continue };
            let field = column.field(ty.clone());
            program.outputs.push(Output { field, value: Expr::new(ExprKind::Column(source.slot), ty.clone(), at) });
            columns.push(Column { ty: Some(ty), slot: columns.len(), lineage: source.lineage, ..column.clone() });
        }
        let added = [
            ("_failed", self.failed_rules(judging)),
            ("_epoch", self.built_in("current_epoch", vec![], judging.step.span)),
        ];
        for (name, value) in added {
            let Some(value) = value else { continue };
            let comment = (name == "_failed").then_some("every rule that the row failed, in the order of declaration");
            let comment = Some(SmolStr::new(comment.unwrap_or("the epoch that rejected the row")));
            let ty = Some(value.ty.clone());
            let slot = columns.len();
            let column = Column { name: name.into(), table: None, ty, comment, slot, lineage: None };
            program.outputs.push(Output { field: column.field(value.ty.clone()), value });
            columns.push(column);
        }
        let rows = flow.rows.with_columns(columns);
        let step = flow.last_step();
        flow.rejects.push(Rejects { first: judging.first, step, program, rows });
    }

    /// `_failed`: the names of the rules that are not passed.
    fn failed_rules(&self, judging: &Judging<'_>) -> Option<Expr> {
        let at = origin(judging.step.span);
        let text = Type::nullable(DataType::String);
        let literal = |value: Value| Box::new(Expr::new(ExprKind::Literal(value), text.clone(), at));
        let name = |(rule, passes): (&Rule, &Option<usize>)| {
            let condition = Box::new(boolean_column((*passes)?, at));
            let (then, otherwise) = (literal(Value::Null), literal(Value::String(rule.name.text.clone())));
            Some(Expr::new(ExprKind::If { condition, then, otherwise }, text.clone(), at))
        };
        let names: Vec<Expr> = judging.rules.iter().zip(&judging.passes).filter_map(name).collect();
        let array = Type::new(DataType::Array(Box::new(text.clone())));
        let array = Expr::new(ExprKind::Array(names), array, at);
        self.built_in("array_compact", vec![array], judging.step.span)
    }

    /// Whether a condition asks for shares, so that it judges the epoch.
    fn is_of_epoch(&self, condition: &ast::Expr) -> bool {
        let mut found = false;
        if !self.declarations.functions.contains_key("share") {
            membership::walk(condition, &mut |e| {
                found |= matches!(&e.kind, ast::ExprKind::Call { function, .. } if function.text == "share");
            });
        }
        found
    }

    /// A rule that judges the epoch.
    fn share_condition(&self, judging: &mut Judging<'_>, index: usize) -> Option<ShareCondition> {
        let rule = &judging.rules[index];
        let RuleCondition::Row(condition) = &rule.condition else { return None };
        if !self.is_of_epoch(condition) {
            return None;
        }
        judging.sound &= self.judges_epochs(rule);
        let names = judging.rules.iter().filter(|other| match &other.condition {
            RuleCondition::Row(other) => !self.is_of_epoch(other),
            RuleCondition::Unique { .. } => true,
        });
        let rows = Rows::default();
        let mut env = Env::new(&rows);
        env.shares = Some(Shares { rules: names.map(|r| r.name.text.clone()).collect(), used: vec![] });
        let typed = self.condition(&mut env, condition, "the condition of a rule");
        let used = env.shares.take().map(|s| s.used).unwrap_or_default();
        let Some(typed) = typed else {
            judging.sound = false;
            return None;
        };
        let place = |name: &String| judging.rules.iter().position(|r| r.name.text == *name);
        let share = |name: &String| Field::new(format!("share({name})"), Type::new(DataType::Double));
        let program = Program {
            input: Schema::new(used.iter().map(share).collect()),
            steps: vec![],
            outputs: vec![Output { field: Field::new("holds", Type::boolean()), value: is_true(typed) }],
        };
        Some(ShareCondition { of: used.iter().filter_map(place).collect(), program })
    }

    /// Whether the policy is one for epochs: no single row can be removed because of a share.
    fn judges_epochs(&self, rule: &Rule) -> bool {
        let Some(policy) = &rule.policy else { return true };
        if matches!(policy.kind, PolicyKind::Warn | PolicyKind::Fail) {
            return true;
        }
        self.report(
            Diagnostic::error(codes::SHARE, policy.span, "a rule with `share` judges the epoch, not a row")
                .label("there is no row to do this to")
                .help("write `else fail` to stop the run, or `else warn`"),
        );
        false
    }

    /// `share(NAME)`: the share of the epoch's rows that fail the rule.
    pub(super) fn share(&self, env: &mut Env<'_>, args: &[ast::Arg], span: Span) -> Option<Expr> {
        let Some(shares) = &mut env.shares else {
            self.report(
                Diagnostic::error(codes::SHARE, span, "`share` is the share of an epoch's rows that fail a rule")
                    .label("only a rule of `expect` can ask for it")
                    .help("for example `|> expect { …, few: share(known) < 1% else fail }`"),
            );
            return None;
        };
        let name = match args {
            [ast::Arg { name: None, value: ast::Expr { kind: ast::ExprKind::Name(name), .. } }] => name,
            _ => {
                self.report(
                    Diagnostic::error(codes::SHARE, span, "`share` takes the name of a rule")
                        .label("of which rule?")
                        .help("for example `share(known) < 1%`, where `known` is a rule of the same `expect`"),
                );
                return None;
            }
        };
        if !shares.rules.contains(&name.text) {
            let names: Vec<&str> = shares.rules.iter().map(String::as_str).collect();
            let help = match did_you_mean(&name.text, names.iter().copied()) {
                Some(near) => Help::did_you_mean(near),
                None if names.is_empty() => "add a rule that judges rows".into(),
                None => format!("the rules that judge rows are {}", super::list(names)).into(),
            };
            self.report(
                Diagnostic::error(
                    codes::SHARE,
                    name.span,
                    format!("this `expect` has no rule `{}` that judges rows", name.text),
                )
                .label("unknown rule")
                .help(help),
            );
            return None;
        }
        let place = shares.used.iter().position(|used| *used == name.text).unwrap_or_else(|| {
            shares.used.push(name.text.clone());
            shares.used.len() - 1
        });
        Some(Expr::new(ExprKind::Column(place), Type::new(DataType::Double), origin(span)))
    }

    /// Warns of rows that are quarantined where nobody reads them.
    pub(super) fn warn_quarantine(&self) {
        if self.has_errors() {
            return;
        }
        for relation in self.declarations.relations.values() {
            let super::declarations::Relation::Flow(flow) = relation else { continue };
            let name = &flow.name.text;
            let read = self.declarations.reaching_sinks.contains(&(name.clone(), Some("rejected".to_string())));
            if read || !self.has_sinks(name) {
                continue;
            }
            let rules = flow.steps.iter().flat_map(|step| match &step.kind {
                ast::StepKind::Expect(rules) => rules.as_slice(),
                _ => &[],
            });
            let Some(policy) = rules.filter(|r| policy(r).quarantines()).find_map(|r| r.policy.as_ref()) else {
                continue;
            };
            let quoted = quote_name(name);
            self.report(
                Diagnostic::warning(
                    codes::QUARANTINE_UNREAD,
                    policy.span,
                    format!("no sink reads `{name}.rejected`: rows that are quarantined are lost"),
                )
                .label("quarantines rows")
                .help(format!(
                    "write them somewhere: `sink rejects = {quoted}.rejected -> delta(\"…\")`; or `else drop` to say that they may go"
                )),
            );
        }
    }
}

/// The columns that rejected rows have besides the flow's.
const REJECTED_COLUMNS: [&str; 2] = ["_failed", "_epoch"];

impl Judging<'_> {
    /// The rows without hidden columns.
    fn seen(&self, rows: &Rows) -> Rows {
        let mut seen = rows.clone();
        seen.columns.truncate(self.visible);
        seen
    }

    /// Computes an expression into a slot of its own.
    fn compute(&self, program: &mut Program, value: Expr) -> Expr {
        let slot = program.input.len() + program.steps.len();
        let column = Expr::new(ExprKind::Column(slot), value.ty.clone(), value.origin);
        program.steps.push(ProgramStep::Let(value));
        column
    }

    /// The columns of the rules with such policies.
    fn columns(&self, which: impl Fn(Policy) -> bool) -> Vec<usize> {
        let rules = self.rules.iter().zip(&self.passes);
        rules.filter(|(rule, _)| which(policy(rule))).filter_map(|(_, passes)| *passes).collect()
    }

    fn operator(&self, shares: Vec<Option<ShareCondition>>) -> Vec<ExpectRule> {
        let rule = |(index, (rule, share)): (usize, (&Rule, Option<ShareCondition>))| ExpectRule {
            name: rule.name.text.clone(),
            policy: policy(rule),
            passes: self.passes[index],
            repaired: self.repaired[index],
            share,
            shown: self.shown[index].clone(),
            origin: origin(match &rule.condition {
                RuleCondition::Row(condition) => condition.span,
                RuleCondition::Unique { span, .. } => *span,
            }),
        };
        self.rules.iter().zip(shares).enumerate().map(rule).collect()
    }
}

fn policy_of(rule: &Rule) -> Option<&PolicyKind> {
    rule.policy.as_ref().map(|p| &p.kind)
}

/// What happens to a row that fails.
fn policy(rule: &Rule) -> Policy {
    match policy_of(rule) {
        None | Some(PolicyKind::Warn) => Policy::Warn,
        Some(PolicyKind::Drop) => Policy::Drop,
        Some(PolicyKind::Quarantine) => Policy::Quarantine,
        Some(PolicyKind::Repair(_)) => Policy::Repair,
        Some(PolicyKind::Fail) => Policy::Fail,
    }
}

/// Null does not pass.
fn is_true(condition: Expr) -> Expr {
    if !condition.ty.nullable {
        return condition;
    }
    let at = condition.origin;
    let never = Expr::new(ExprKind::Literal(Value::Boolean(false)), Type::boolean(), at);
    Expr::new(ExprKind::Coalesce(vec![condition, never]), Type::boolean(), at)
}

fn boolean_column(slot: usize, at: flowc_ir::Origin) -> Expr {
    Expr::new(ExprKind::Column(slot), Type::boolean(), at)
}

/// Whether all of these columns are true.
fn all(mut columns: Vec<usize>, at: flowc_ir::Origin) -> Expr {
    match columns.len() {
        1 => boolean_column(columns.swap_remove(0), at),
        _ => {
            Expr::new(ExprKind::And(columns.into_iter().map(|c| boolean_column(c, at)).collect()), Type::boolean(), at)
        }
    }
}

/// A column that only the step itself sees. Users' columns may have any name.
fn hidden(rows: &Rows, name: &str, value: &Expr) -> Column {
    let taken = |name: &str| rows.columns.iter().any(|c| c.full_name() == name);
    let name = (0..).map(|n| format!("{}{name}", "#".repeat(n + 1))).find(|name| !taken(name)).unwrap_or_default();
    let slot = match value.kind {
        ExprKind::Column(slot) => slot,
        _ => 0,
    };
    Column { name: name.into(), table: None, ty: Some(value.ty.clone()), comment: None, slot, lineage: None }
}
