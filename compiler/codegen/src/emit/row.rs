//! The value of an expression for one row, as straight-line code without branches: every sub-expression is computed, and what the interpreter would
//! not have evaluated is masked out of the nulls and failures. Knows expressions and the columns' registers; nothing of blocks and loops.

use super::code::{Code, Lane};
use super::layout::{bits, clif_type};
use crate::fused::Fused;
use crate::range::{Known, Range, range};
use crate::select::operands;
use cranelift::prelude::*;
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, LocalId, Value as Constant};
use std::collections::BTreeMap;

/// The registers of one column in the block at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnRegisters {
    /// Address of the first value of the batch; for booleans the block's word of values.
    pub(crate) values: Value,
    /// The block's word of valid rows; none if the column is never null.
    pub(crate) valid: Option<Value>,
    /// Between which bounds it lies in the rows at hand, where that is known.
    pub(crate) range: Option<Range>,
}

/// Computes expressions for the row at hand.
pub(crate) struct Row<'c, 'f, 'p> {
    pub(crate) code: &'c mut Code<'f>,
    pub(crate) fused: &'p Fused,
    pub(crate) columns: &'p [ColumnRegisters],
    /// `EvalContext::now`
    pub(crate) now: Value,
    /// The row's number in the batch.
    pub(crate) row: Value,
    /// The row's number in the block.
    pub(crate) bit: Value,
    slots: BTreeMap<usize, Lane>,
    locals: BTreeMap<LocalId, Lane>,
    /// The bounds of locals that are whole numbers.
    bounds: BTreeMap<LocalId, Range>,
}

impl Known for Row<'_, '_, '_> {
    fn slot(&self, slot: usize) -> Option<Range> {
        self.registers(slot).range
    }

    fn value(&self, slot: usize) -> Option<&Expr> {
        self.fused.local_slot(slot)
    }

    fn local(&self, local: LocalId) -> Option<Range> {
        self.bounds.get(&local).copied()
    }
}

impl<'c, 'f, 'p> Row<'c, 'f, 'p> {
    pub(crate) fn new(
        code: &'c mut Code<'f>,
        fused: &'p Fused,
        columns: &'p [ColumnRegisters],
        now: Value,
        row: Value,
        bit: Value,
    ) -> Self {
        let (slots, locals, bounds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Row { code, fused, columns, now, row, bit, slots, locals, bounds }
    }

    /// The value of a whole expression: no local of another one is in scope.
    pub(crate) fn whole(&mut self, e: &Expr) -> Lane {
        let outer = (std::mem::take(&mut self.locals), std::mem::take(&mut self.bounds));
        let lane = self.expr(e);
        (self.locals, self.bounds) = outer;
        lane
    }

    /// The value of an expression.
    pub(crate) fn expr(&mut self, e: &Expr) -> Lane {
        match &e.kind {
            ExprKind::Column(slot) => self.slot(*slot, &e.ty.data),
            ExprKind::Literal(value) => self.constant(value, &e.ty.data),
            ExprKind::Local(local) => *self.locals.get(local).expect("a verified program binds its locals"),
            ExprKind::Let { local, value, body } => {
                if let Some(bounds) = range(value, self) {
                    self.bounds.insert(*local, bounds);
                }
                let value = self.expr(value);
                self.locals.insert(*local, value);
                self.expr(body)
            }
            ExprKind::Call { function, args } => {
                let lanes: Vec<Lane> = operands(e).into_iter().map(|a| self.expr(a)).collect();
                self.call(function.name, args, &lanes, &e.ty.data)
            }
            ExprKind::And(operands) => self.logic(operands, true),
            ExprKind::Or(operands) => self.logic(operands, false),
            ExprKind::Not(x) => {
                let x = self.expr(x);
                Lane { value: self.code.not(x.value), ..x }
            }
            ExprKind::IsNull(x) => self.is_null(x),
            ExprKind::If { condition, then, otherwise } => self.choice(condition, then, otherwise),
            ExprKind::Coalesce(operands) => self.coalesce(operands),
            ExprKind::InList { value, list } => self.in_list(value, list),
            ExprKind::Cast { value, .. } if value.ty.data == DataType::Null => {
                self.constant(&Constant::Null, &e.ty.data)
            }
            ExprKind::Cast { value, on_failure } => {
                let from = &value.ty.data;
                let lane = self.expr(value);
                let result = self.cast(lane, from, &e.ty.data);
                self.after_cast(result, lane.fail, *on_failure)
            }
            ExprKind::Try(x) => {
                let x = self.expr(x);
                Lane { value: x.value, null: self.code.either(x.null, x.fail), fail: None }
            }
            ExprKind::Field { .. } | ExprKind::Struct(_) | ExprKind::Array(_) => {
                unreachable!("`select::compiles` admits no nested values")
            }
        }
    }

    /// The value of a slot: a column from outside, or one that was computed by an earlier step. A failure there was that step's.
    fn slot(&mut self, slot: usize, data: &DataType) -> Lane {
        if let Some(lane) = self.slots.get(&slot) {
            return *lane;
        }
        let fused = self.fused;
        let lane = match fused.local_slot(slot) {
            Some(value) => Lane { fail: None, ..self.whole(value) },
            None => self.column(slot, data),
        };
        self.slots.insert(slot, lane);
        lane
    }

    fn column(&mut self, slot: usize, data: &DataType) -> Lane {
        let null = self.column_null(slot);
        let value = match (self.registers(slot), data) {
            (c, DataType::Boolean) => self.bit_of(c.values),
            (c, _) => {
                let ty = clif_type(data).expect("`select::compiles` admits columns of fixed width only");
                let width = i64::from(ty.bytes());
                let offset = self.code.ins().imul_imm_s(self.row, width);
                let address = self.code.ins().iadd(c.values, offset);
                self.code.ins().load(ty, MemFlagsData::new().with_notrap().with_readonly(), address, 0)
            }
        };
        Lane { value, null, fail: None }
    }

    fn registers(&self, slot: usize) -> ColumnRegisters {
        let position = self.fused.column(slot).expect("the planner lists the slots that are read");
        self.columns[position]
    }

    fn column_null(&mut self, slot: usize) -> Option<Value> {
        let valid = self.registers(slot).valid?;
        let valid = self.bit_of(valid);
        Some(self.code.not(valid))
    }

    /// This row's bit of a block's word.
    fn bit_of(&mut self, word: Value) -> Value {
        let shifted = self.code.ins().ushr(word, self.bit);
        let low = self.code.ins().ireduce(types::I8, shifted);
        self.code.ins().band_imm_u(low, 1)
    }

    /// A constant.
    pub(crate) fn constant(&mut self, value: &Constant, data: &DataType) -> Lane {
        let ty = clif_type(data).expect("`select::compiles` admits constants of fixed width only");
        let number = bits(value);
        let register = match (ty, number.unwrap_or(0)) {
            (types::F64, v) => self.code.ins().f64const(Ieee64::with_bits(v as u64)),
            (types::F32, v) => self.code.ins().f32const(Ieee32::with_bits(v as u32)),
            (ty, v) => self.code.int(ty, v),
        };
        let null = number.is_none().then(|| self.code.flag(true));
        Lane { value: register, null, fail: None }
    }

    /// Three-valued `and` or `or`, from left to right until one decides: an operand counts only where none before it has.
    fn logic(&mut self, operands: &[Expr], and: bool) -> Lane {
        let mut operands = operands.iter();
        let Some(first) = operands.next() else {
            return Lane::new(self.code.flag(and));
        };
        let mut whole = self.expr(first);
        for operand in operands {
            let right = self.expr(operand);
            whole = self.combine(whole, right, and);
        }
        whole
    }

    fn combine(&mut self, a: Lane, b: Lane, and: bool) -> Lane {
        let c = &mut *self.code;
        let value = if and { c.and(a.value, b.value) } else { c.or(a.value, b.value) };
        // Decided: false and not null for `and`, true and not null for `or`.
        let mut decided = |lane: Lane| {
            let v = if and { c.not(lane.value) } else { lane.value };
            c.unless(lane.null, v)
        };
        let (a_decides, b_decides) = (decided(a), decided(b));
        let null = c.either(a.null, b.null).map(|n| {
            let decided = c.or(a_decides, b_decides);
            c.and_not(n, decided)
        });
        let late = b.fail.map(|f| c.and_not(f, a_decides));
        Lane { value, null, fail: c.either(a.fail, late) }
    }

    fn is_null(&mut self, x: &Expr) -> Lane {
        let (null, fail) = match x.kind {
            // Of columns of any type only the validity is read.
            ExprKind::Column(slot) if self.fused.local_slot(slot).is_none() => (self.column_null(slot), None),
            _ => {
                let lane = self.expr(x);
                (lane.null, lane.fail)
            }
        };
        let value = null.unwrap_or_else(|| self.code.flag(false));
        Lane { value, null: None, fail }
    }

    fn choice(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr) -> Lane {
        let condition = self.expr(condition);
        let yes = self.expr(then);
        let no = self.expr(otherwise);
        let taken = self.code.unless(condition.null, condition.value);
        let fail = self.code.choose_flag(taken, yes.fail, no.fail);
        Lane {
            value: self.code.choose(taken, yes.value, no.value),
            null: self.code.choose_flag(taken, yes.null, no.null),
            fail: self.code.either(condition.fail, fail),
        }
    }

    fn coalesce(&mut self, operands: &[Expr]) -> Lane {
        let lanes: Vec<Lane> = operands.iter().map(|x| self.expr(x)).collect();
        let mut lanes = lanes.into_iter().rev();
        let last = lanes.next().expect("a verified `coalesce` has operands");
        lanes.fold(last, |rest, lane| {
            let Some(null) = lane.null else { return lane };
            let value = self.code.choose(null, rest.value, lane.value);
            let late = self.code.only(null, rest.fail);
            Lane { value, null: self.code.only(null, rest.null), fail: self.code.either(lane.fail, late) }
        })
    }

    fn in_list(&mut self, value: &Expr, list: &[Constant]) -> Lane {
        let data = &value.ty.data;
        let x = self.expr(value);
        let mut found = self.code.flag(false);
        for constant in list.iter().filter(|c| !c.is_null()) {
            let constant = self.constant(constant, data);
            let same = self.compare(super::compare::Order::Equal, x.value, constant.value, data);
            found = self.code.or(found, same);
        }
        let mut null = x.null;
        if list.iter().any(Constant::is_null) {
            let missed = self.code.not(found);
            null = self.code.either(null, Some(missed));
        }
        Lane { value: found, null, fail: x.fail }
    }

    /// What a conversion yields, with `fail` where the value does not fit: as failure or as null. `before` is the operand's own failure.
    fn after_cast(&mut self, result: Lane, before: Option<Value>, on_failure: CastFailure) -> Lane {
        let misfit = result.fail.map(|f| self.code.unless(result.null, f));
        match on_failure {
            CastFailure::Null => {
                Lane { value: result.value, null: self.code.either(result.null, misfit), fail: before }
            }
            CastFailure::Error | CastFailure::Never => {
                Lane { value: result.value, null: result.null, fail: self.code.either(before, misfit) }
            }
        }
    }

    /// A result that is null where an operand is, and that fails where an operand does, or where it is not null and `misfit`.
    pub(crate) fn propagate(&mut self, lanes: &[Lane], value: Value, misfit: Option<Value>) -> Lane {
        let mut null = None;
        let mut fail = None;
        for lane in lanes {
            null = self.code.either(null, lane.null);
            fail = self.code.either(fail, lane.fail);
        }
        let misfit = misfit.map(|m| self.code.unless(null, m));
        Lane { value, null, fail: self.code.either(fail, misfit) }
    }
}
