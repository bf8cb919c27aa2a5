//! Splits a program into parts: what becomes machine code, and what Arrow's kernels compute into columns before or behind it. Knows expressions and
//! which of them compile; nothing of how parts run.
//!
//! Whatever a part does, it may only *detect* that some row fails; which row and why is then found by the interpreter. So a part may compute more
//! rows than the program would, as long as a row that fails in the program fails in some part, and one that does not fail in the program fails in
//! none but by an expression that the program would not have evaluated for it, which only costs time.

use crate::fused::{Fused, FusedStep, columns};
use crate::select::{compiles, form_compiles, may_fail};
use flowc_ir::{DataType, Expr, ExprKind, LocalId, Program, ProgramStep, Type, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A part of a program. Slots are numbered: inputs, `Let`s, outputs, then what the plan adds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// A column computed by Arrow's kernels.
    Arrow {
        /// Where it goes.
        slot: usize,
        /// Its value; its columns are numbers in `reads`.
        value: Expr,
        /// The slots it reads.
        reads: Vec<usize>,
    },
    /// A column of constants, chosen row by row by a number that machine code has computed.
    Choice {
        /// Where it goes.
        slot: usize,
        /// The slot of the numbers.
        code: usize,
        /// The constants.
        constants: Vec<Value>,
        /// Their type.
        data: DataType,
    },
    /// Steps and columns computed by machine code; the rows that it removes are gone for the parts behind it.
    Machine {
        /// What it does.
        fused: Fused,
        /// The slots of its targets, with their types.
        targets: Vec<(usize, Type)>,
        /// Slots that are still needed behind it, and so lose the rows that it removes.
        keep: Vec<usize>,
    },
}

/// A program in parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    /// In order.
    pub(crate) parts: Vec<Part>,
    /// The slot of each output.
    pub(crate) outputs: Vec<usize>,
    /// How many slots there are.
    pub(crate) slots: usize,
    /// How each step and output is computed, for `explain`.
    pub(crate) report: Vec<(String, &'static str)>,
}

/// How an expression is computed.
enum Split {
    /// By machine code, once the columns hoisted out of it are there.
    Machine { value: Expr, hoisted: Vec<(usize, Expr)> },
    /// By Arrow's kernels.
    Arrow,
}

struct Planner {
    parts: Vec<Part>,
    pending: Vec<FusedStep>,
    targets: Vec<(usize, Type, Expr)>,
    /// Types of all slots.
    types: BTreeMap<usize, Type>,
    next_slot: usize,
    report: Vec<(String, &'static str)>,
}

impl Plan {
    /// Plans a program.
    pub(crate) fn of(program: &Program) -> Plan {
        Plan::ordered(program, false)
    }

    /// Plans a program so that of each filter what machine code decides comes before what Arrow's kernels do: those see fewer rows, but columns are copied
    /// once more. None if no filter has both.
    pub(crate) fn cheap_first(program: &Program) -> Option<Plan> {
        let divides =
            |step: &ProgramStep| matches!(step, ProgramStep::Filter(condition) if divided(condition).is_some());
        program.steps.iter().any(divides).then(|| Plan::ordered(program, true))
    }

    fn ordered(program: &Program, cheap_first: bool) -> Plan {
        let inputs = program.input.len();
        let lets = program.steps.iter().filter(|s| matches!(s, ProgramStep::Let(_))).count();
        let outputs = program.outputs.len();
        let types = program.input.fields.iter().map(|f| f.ty.clone()).enumerate().collect();
        let mut planner = Planner {
            parts: vec![],
            pending: vec![],
            targets: vec![],
            types,
            next_slot: inputs + lets + outputs,
            report: vec![],
        };
        let mut slot = inputs;
        for (number, step) in program.steps.iter().enumerate() {
            match step {
                ProgramStep::Filter(condition) if cheap_first && let Some((cheap, costly)) = divided(condition) => {
                    planner.step(number, &ProgramStep::Filter(cheap), &mut slot);
                    planner.step(number, &ProgramStep::Filter(costly), &mut slot);
                }
                step => planner.step(number, step, &mut slot),
            }
        }
        let outputs = planner.outputs(program, inputs + lets);
        let mut plan = Plan { parts: planner.parts, outputs, slots: planner.next_slot, report: planner.report };
        plan.drop_unused();
        plan
    }

    /// Goes through the parts from the last: drops what nobody reads, and notes what has to be kept.
    fn drop_unused(&mut self) {
        let mut live: BTreeSet<usize> = self.outputs.iter().copied().collect();
        let mut parts = vec![];
        for mut part in std::mem::take(&mut self.parts).into_iter().rev() {
            match &mut part {
                Part::Arrow { slot, value, reads } => {
                    if !live.remove(slot) && !may_fail(value) {
                        continue;
                    }
                    live.extend(reads.iter());
                }
                Part::Choice { slot, code, .. } => {
                    if !live.remove(slot) {
                        continue;
                    }
                    live.insert(*code);
                }
                Part::Machine { fused, targets, keep } => {
                    let wanted: Vec<bool> = targets.iter().map(|(slot, _)| live.contains(slot)).collect();
                    retain(targets, &wanted);
                    retain(&mut fused.targets, &wanted);
                    targets.iter().for_each(|(slot, _)| {
                        live.remove(slot);
                    });
                    keep.extend(live.iter().copied());
                    fused.columns = fused.outside(&fused.columns);
                    live.extend(fused.columns.keys());
                    let idle = |s: &FusedStep| matches!(s, FusedStep::Let { value, .. } if !may_fail(value));
                    if fused.targets.is_empty() && fused.steps.iter().all(idle) {
                        continue;
                    }
                }
            }
            parts.push(part);
        }
        parts.reverse();
        self.parts = parts;
    }
}

/// A condition as two, where its operands are of two kinds: what machine code decides and cannot fail, and the rest. A row that the first removes must not
/// have failed in the second: so what stands behind an operand that may fail stays with it.
fn divided(condition: &Expr) -> Option<(Expr, Expr)> {
    let ExprKind::And(operands) = &condition.kind else { return None };
    let mut safe = true;
    let (mut cheap, mut costly) = (vec![], vec![]);
    for operand in operands {
        let fails = may_fail(operand);
        let first = safe && !fails && compiles(operand);
        safe &= !fails;
        if first { cheap.push(operand.clone()) } else { costly.push(operand.clone()) }
    }
    if cheap.is_empty() || costly.iter().all(compiles) {
        return None;
    }
    let whole = |mut operands: Vec<Expr>| match operands.len() {
        1 => operands.remove(0),
        _ => Expr::new(ExprKind::And(operands), condition.ty.clone(), condition.origin),
    };
    Some((whole(cheap), whole(costly)))
}

fn retain<T>(items: &mut Vec<T>, wanted: &[bool]) {
    let mut wanted = wanted.iter();
    items.retain(|_| *wanted.next().expect("as many as items"));
}

impl Planner {
    fn step(&mut self, number: usize, step: &ProgramStep, next_let: &mut usize) {
        let (name, value) = match step {
            ProgramStep::Let(value) => ("let", value),
            ProgramStep::Filter(value) => ("filter", value),
            ProgramStep::Assert { condition, .. } => ("assert", condition),
        };
        let name = format!("{name} {number}");
        if let ProgramStep::Let(value) = step {
            let slot = *next_let;
            *next_let += 1;
            self.types.insert(slot, value.ty.clone());
            if let Some((value, choice)) = self.choice(slot, value) {
                self.report.push((name, "jit"));
                if let Part::Choice { code, .. } = choice {
                    self.pending.push(FusedStep::Let { slot: code, value });
                }
                self.flush();
                self.parts.push(choice);
                return;
            }
            match self.prepare(&name, value) {
                Some(value) => self.pending.push(FusedStep::Let { slot, value }),
                None => self.arrow(slot, value),
            }
            return;
        }
        let condition = self.prepare(&name, value).unwrap_or_else(|| self.through_column(value));
        self.pending.push(match step {
            ProgramStep::Assert { .. } => FusedStep::Assert(condition),
            _ => FusedStep::Filter(condition),
        });
    }

    /// The expression for machine code, its hoisted columns placed before it; none if Arrow has to compute it.
    fn prepare(&mut self, name: &str, value: &Expr) -> Option<Expr> {
        match self.split(value) {
            Split::Machine { value, hoisted } => {
                self.report.push((name.to_string(), "jit"));
                for (number, (slot, hoisted)) in hoisted.into_iter().enumerate() {
                    self.report.push((format!("{name}, operand {}", number + 1), arrow_or_row(&hoisted)));
                    self.arrow(slot, &hoisted);
                }
                Some(value)
            }
            Split::Arrow => {
                self.report.push((name.to_string(), arrow_or_row(value)));
                None
            }
        }
    }

    /// A new column for the value, and the expression that reads it.
    fn through_column(&mut self, value: &Expr) -> Expr {
        let slot = self.fresh(&value.ty);
        self.arrow(slot, value);
        Expr::new(ExprKind::Column(slot), value.ty.clone(), value.origin)
    }

    fn fresh(&mut self, ty: &Type) -> usize {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.types.insert(slot, ty.clone());
        slot
    }

    /// Lets Arrow's kernels compute a slot: behind the filters before it, and behind the slots that it reads.
    fn arrow(&mut self, slot: usize, value: &Expr) {
        self.types.insert(slot, value.ty.clone());
        let mut reads = BTreeSet::new();
        columns(value, &mut reads);
        let blocked = self.pending.iter().any(|s| match s {
            FusedStep::Let { slot, .. } => reads.contains(slot),
            FusedStep::Filter(_) => true,
            FusedStep::Assert(_) => false,
        });
        if blocked {
            self.flush();
        }
        let reads: Vec<usize> = reads.into_iter().collect();
        let mut value = value.clone();
        value.walk_mut(&mut |e| {
            if let ExprKind::Column(slot) = &mut e.kind {
                *slot = reads.iter().position(|r| r == slot).expect("all columns were collected");
            }
        });
        self.parts.push(Part::Arrow { slot, value, reads });
    }

    /// Ends the machine code at hand. All its slots become columns; those that nobody reads are dropped later.
    fn flush(&mut self) {
        let steps = std::mem::take(&mut self.pending);
        let mut targets = std::mem::take(&mut self.targets);
        for step in &steps {
            if let FusedStep::Let { slot, value } = step {
                let column = Expr::new(ExprKind::Column(*slot), value.ty.clone(), value.origin);
                targets.push((*slot, value.ty.clone(), column));
            }
        }
        if steps.is_empty() && targets.is_empty() {
            return;
        }
        let slots = targets.iter().map(|(slot, ty, _)| (*slot, ty.clone())).collect();
        let mut fused = Fused { steps, targets: targets.into_iter().map(|(_, _, e)| e).collect(), ..Fused::default() };
        fused.columns = fused.outside(&self.types);
        self.parts.push(Part::Machine { fused, targets: slots, keep: vec![] });
    }

    /// Plans the outputs; the slot of each. What machine code can compute at once comes first, so that it is part of the function with the last steps.
    fn outputs(&mut self, program: &Program, first_slot: usize) -> Vec<usize> {
        let mut slots: Vec<usize> = (first_slot..first_slot + program.outputs.len()).collect();
        let filtered = self.pending.iter().any(|s| matches!(s, FusedStep::Filter(_)));
        let pending: BTreeSet<usize> = self.pending.iter().filter_map(slot_of).collect();
        let (mut later, mut choices) = (vec![], vec![]);
        let mut report = vec![("", ""); slots.len()];
        for (i, output) in program.outputs.iter().enumerate() {
            let value = &output.value;
            match value.kind {
                ExprKind::Column(slot) if !pending.contains(&slot) => {
                    report[i] = ("", "copy");
                    if filtered && value.ty.data.is_fixed_width() {
                        self.targets.push((slots[i], value.ty.clone(), value.clone()));
                    } else {
                        slots[i] = slot;
                    }
                }
                _ if compiles(value) => {
                    report[i] = ("", "jit");
                    self.targets.push((slots[i], value.ty.clone(), value.clone()));
                }
                _ => match self.choice(slots[i], value) {
                    Some((value, choice)) => {
                        report[i] = ("", "jit");
                        if let Part::Choice { code, .. } = choice {
                            self.targets.push((code, value.ty.clone(), value));
                        }
                        choices.push(choice);
                    }
                    None => later.push(i),
                },
            }
        }
        // Without anything to write, the steps still stand before what Arrow computes.
        if filtered || !self.targets.is_empty() || later.is_empty() {
            self.flush();
        }
        self.parts.extend(choices);
        let start = self.report.len();
        for i in later {
            let (slot, output) = (slots[i], &program.outputs[i]);
            self.types.insert(slot, output.value.ty.clone());
            match self.prepare(&output.field.name, &output.value) {
                Some(value) => self.targets.push((slot, output.value.ty.clone(), value)),
                None => self.arrow(slot, &output.value),
            }
        }
        self.flush();
        let late = self.report.split_off(start);
        for (output, (_, how)) in program.outputs.iter().zip(&report).filter(|(_, (_, how))| !how.is_empty()) {
            self.report.push((output.field.name.clone(), how));
        }
        self.report.extend(late);
        slots
    }

    /// For conditions that choose among constant texts: the number of the one chosen, for machine code, and the part that makes texts of numbers.
    fn choice(&mut self, slot: usize, value: &Expr) -> Option<(Expr, Part)> {
        if value.ty.data != DataType::String || !matches!(value.kind, ExprKind::If { .. }) {
            return None;
        }
        let mut constants = vec![];
        let number = numbered(value, &mut constants).filter(compiles)?;
        let code = self.fresh(&number.ty);
        Some((number, Part::Choice { slot, code, constants, data: value.ty.data.clone() }))
    }

    fn split(&mut self, value: &Expr) -> Split {
        if compiles(value) {
            return Split::Machine { value: value.clone(), hoisted: vec![] };
        }
        let mut hoisted = vec![];
        let mut rest = value.clone();
        let first = self.next_slot;
        match self.hoist(&mut rest, false, &mut hoisted) {
            Some(()) if form_compiles(value) => Split::Machine { value: rest, hoisted },
            _ => {
                self.next_slot = first;
                Split::Arrow
            }
        }
    }

    /// Replaces what does not compile by columns; none if that would change what a row does. `lazy`: whether a row may not come here.
    fn hoist(&mut self, e: &mut Expr, lazy: bool, hoisted: &mut Vec<(usize, Expr)>) -> Option<()> {
        if compiles(e) {
            return Some(());
        }
        if form_compiles(e) {
            let all_lazy = lazy || matches!(e.kind, ExprKind::Try(_));
            let (first, others) = match e.kind {
                ExprKind::And(_) | ExprKind::Or(_) | ExprKind::Coalesce(_) | ExprKind::If { .. } => (all_lazy, true),
                // A value is computed where the body uses it.
                ExprKind::Let { .. } => (true, lazy),
                _ => (all_lazy, all_lazy),
            };
            for (i, child) in e.children_mut().into_iter().enumerate() {
                self.hoist(child, if i == 0 { first } else { others }, hoisted)?;
            }
            return Some(());
        }
        if !e.ty.data.is_fixed_width() || (lazy && may_fail(e)) || has_free_local(e) {
            return None;
        }
        let slot = self.fresh(&e.ty);
        let column = Expr::new(ExprKind::Column(slot), e.ty.clone(), e.origin);
        hoisted.push((slot, std::mem::replace(e, column)));
        Some(())
    }
}

/// The expression with the numbers of its constant results in their place.
fn numbered(e: &Expr, constants: &mut Vec<Value>) -> Option<Expr> {
    let kind = match &e.kind {
        ExprKind::Literal(value) => {
            let number = constants.iter().position(|c| c == value).unwrap_or(constants.len());
            if number == constants.len() {
                constants.push(value.clone());
            }
            ExprKind::Literal(Value::Integer(i32::try_from(number).ok()?))
        }
        ExprKind::If { condition, then, otherwise } => ExprKind::If {
            condition: condition.clone(),
            then: Box::new(numbered(then, constants)?),
            otherwise: Box::new(numbered(otherwise, constants)?),
        },
        _ => return None,
    };
    Some(Expr::new(kind, Type::new(DataType::Integer), e.origin))
}

fn slot_of(step: &FusedStep) -> Option<usize> {
    match step {
        FusedStep::Let { slot, .. } => Some(*slot),
        FusedStep::Filter(_) | FusedStep::Assert(_) => None,
    }
}

/// Whether it uses a variable that is bound outside of it.
fn has_free_local(e: &Expr) -> bool {
    let (mut used, mut bound) = (BTreeSet::<LocalId>::new(), BTreeSet::new());
    e.walk(&mut |e| match &e.kind {
        ExprKind::Local(local) => {
            used.insert(*local);
        }
        ExprKind::Let { local, .. } => {
            bound.insert(*local);
        }
        _ => {}
    });
    !used.is_subset(&bound)
}

/// Whether Arrow's kernels compute all of it, or some function goes row by row.
fn arrow_or_row(e: &Expr) -> &'static str {
    let mut by_row = false;
    e.walk(&mut |e| {
        if let ExprKind::Call { function, .. } = &e.kind {
            by_row |= function.vectorized.is_none() && e.ty.data != DataType::Null;
        }
    });
    if by_row { "row" } else { "arrow" }
}
