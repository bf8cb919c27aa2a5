//! Several rows at once, on 128-bit vectors: comparisons, whose lanes are gathered into a block's word of truth, and values, which are written as they
//! are. Only what never fails is computed so: arithmetic of floats, and of integers that are in bounds, widening, comparisons, choices; and, of values, what
//! seldom fails or seldom is out of the bounds in which vectors can compute it, beside a guard: where it says so, the block is computed again, row by row.
//! Knows expressions and columns; nothing of three-valued logic beyond "null where a column is null".

use super::code::Code;
use super::compare::{FloatCompare, Order};
use super::layout::clif_type;
use super::mask::{Scope, Words};
use super::multiples::Multiples;
use super::row::Row;
use crate::fused::Fused;
use crate::range::{OnlyTypes, never_fails};
use crate::select::{Operation, operation_of};
use cranelift::prelude::*;
use flowc_ir::{DataType, Expr, ExprKind, LocalId, Value as Constant};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that one turn of the loop takes: as many lanes as the shortest integers have in a vector.
const ROWS: i64 = 8;
const TURNS: i64 = crate::abi::BLOCK as i64 / ROWS;

/// The columns that may be null: so is the value, where one of them is.
type Nullable = BTreeSet<usize>;

/// The columns of the conditions of choices, by where the choice stands. A condition that is null chooses as one that is false.
pub(super) type Undecided = BTreeMap<*const Expr, Nullable>;

/// A condition that vectors can compute.
#[derive(Debug)]
pub(crate) struct Condition<'e> {
    operands: Vec<&'e Expr>,
    nullable: Nullable,
    undecided: Undecided,
    /// Whether only its truth is computed.
    truth: bool,
}

impl<'e> Condition<'e> {
    /// The condition, if vectors can compute it.
    pub(crate) fn of(e: &'e Expr, fused: &'e Fused) -> Option<Condition<'e>> {
        let mut survey = Survey::new(fused, false);
        let nullable = survey.condition(e)?;
        survey.columns.then_some(Condition { operands: vec![e], nullable, undecided: survey.undecided, truth: false })
    }

    /// The condition, of which nobody asks whether it is null: its operands are null where other columns are, but true only where none is.
    pub(crate) fn truth_of(e: &'e Expr, fused: &'e Fused) -> Option<Condition<'e>> {
        let ExprKind::And(xs) = &e.kind else { return None };
        let each = xs.iter().map(|x| Condition::of(x, fused).or_else(|| Condition::truth_of(x, fused)));
        let (operands, nullable, undecided) = (vec![], Nullable::new(), Undecided::new());
        let mut whole = Condition { operands, nullable, undecided, truth: true };
        for condition in each.collect::<Option<Vec<_>>>()? {
            whole.operands.extend(condition.operands);
            whole.nullable.extend(condition.nullable);
            whole.undecided.extend(condition.undecided);
        }
        (!whole.operands.is_empty()).then_some(whole)
    }
}

/// Finds out whether vectors can compute an expression.
struct Survey<'e> {
    fused: &'e Fused,
    locals: BTreeMap<LocalId, Nullable>,
    /// Whether a column was met: constants alone need no vectors.
    columns: bool,
    /// Whether guards are admitted.
    guards: bool,
    undecided: Undecided,
}

/// Whether vectors hold values of this type; bytes are widened when they are loaded.
fn has_lanes(data: &DataType) -> bool {
    match clif_type(data) {
        Some(types::I8) => *data == DataType::Byte,
        Some(types::I16 | types::I32 | types::F32 | types::I64 | types::F64) => true,
        _ => false,
    }
}

/// A vector of this type.
fn vector_type(data: &DataType) -> Type {
    match clif_type(data) {
        Some(types::F64) => types::F64X2,
        Some(types::F32) => types::F32X4,
        Some(types::I64) => types::I64X2,
        Some(types::I32) => types::I32X4,
        _ => types::I16X8,
    }
}

/// Whether a conversion widens, lane by lane.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Byte, Double, Float, Integer, Long, Short};
    matches!(
        (from, to),
        (Byte, Byte | Short | Integer | Long | Float | Double)
            | (Short, Short | Integer | Long | Float | Double)
            | (Integer, Integer | Long | Float | Double)
            | (Long, Long | Double)
            | (Float, Float | Double)
            | (Double, Double)
    )
}

impl<'e> Survey<'e> {
    fn new(fused: &'e Fused, guards: bool) -> Survey<'e> {
        Survey { fused, locals: BTreeMap::new(), columns: false, guards, undecided: Undecided::new() }
    }

    fn condition(&mut self, e: &Expr) -> Option<Nullable> {
        match &e.kind {
            ExprKind::Call { function, args } => match operation_of(function.name, args, &e.ty.data)? {
                Operation::Compare(_) => self.join(args),
                _ => None,
            },
            ExprKind::InList { value, list } if !list.iter().any(Constant::is_null) => self.value(value),
            ExprKind::Not(x) => self.condition(x),
            ExprKind::And(xs) | ExprKind::Or(xs) => {
                // Where the same columns decide on null, three-valued logic is two-valued beside it.
                let each = xs.iter().map(|x| self.condition(x)).collect::<Option<Vec<_>>>()?;
                each.windows(2).all(|w| w[0] == w[1]).then(|| each.into_iter().next())?
            }
            ExprKind::Let { local, value, body } => {
                let nullable = self.value(value)?;
                self.locals.insert(*local, nullable.clone());
                let whole = self.condition(body)?;
                // A local that is not used does not make the condition null.
                nullable.is_subset(&whole).then_some(whole)
            }
            _ => None,
        }
    }

    /// Values side by side: null where any of them is.
    fn join(&mut self, xs: &[Expr]) -> Option<Nullable> {
        let mut whole = Nullable::new();
        for x in xs {
            whole.extend(self.value(x)?);
        }
        Some(whole)
    }

    fn value(&mut self, e: &Expr) -> Option<Nullable> {
        if !has_lanes(&e.ty.data) {
            return None;
        }
        match &e.kind {
            ExprKind::Column(slot) => match self.fused.local_slot(*slot) {
                Some(value) => {
                    let outer = std::mem::take(&mut self.locals);
                    let nullable = self.value(value);
                    self.locals = outer;
                    nullable
                }
                None => {
                    self.columns = true;
                    let column = self.fused.columns.get(slot)?;
                    Some(if column.nullable { Nullable::from([*slot]) } else { Nullable::new() })
                }
            },
            ExprKind::Literal(constant) if !constant.is_null() => Some(Nullable::new()),
            ExprKind::Local(local) => self.locals.get(local).cloned(),
            ExprKind::Let { local, value, body } => {
                let nullable = self.value(value)?;
                self.locals.insert(*local, nullable);
                self.value(body)
            }
            ExprKind::Call { function, args } => self.call(e, function.name, args),
            ExprKind::Cast { value, .. } if widens(&value.ty.data, &e.ty.data) => self.value(value),
            ExprKind::If { condition, then, otherwise } => {
                let undecided = self.condition(condition)?;
                let (yes, no) = (self.value(then)?, self.value(otherwise)?);
                self.undecided.insert(e, undecided);
                (yes == no).then_some(yes)
            }
            _ => None,
        }
    }

    fn call(&mut self, e: &Expr, function: &str, args: &[Expr]) -> Option<Nullable> {
        use Operation::{Add, Divide, Multiply, Negate, Subtract};
        let operation = operation_of(function, args, &e.ty.data)?;
        if self.guards
            && let Some(multiples) = Multiples::of(operation, args, &e.ty.data)
        {
            return self.value(multiples.value);
        }
        match operation {
            Add | Subtract | Multiply | Divide | Negate if e.ty.data.is_floating() => self.join(args),
            Add | Subtract | Multiply if never_fails(function, args, &e.ty.data, &OnlyTypes) => self.join(args),
            Add | Subtract if self.guards && e.ty.data != DataType::Byte => self.join(args),
            _ => None,
        }
    }
}

/// A value of each row, not null but where a column is, that vectors can compute.
#[derive(Debug)]
pub(crate) struct Projection<'e> {
    pub(super) e: &'e Expr,
    nullable: Nullable,
    undecided: Undecided,
}

impl<'e> Projection<'e> {
    /// The value, if vectors can compute it and do better than a copy.
    pub(crate) fn of(e: &'e Expr, fused: &'e Fused) -> Option<Projection<'e>> {
        let copied = matches!(e.kind, ExprKind::Column(slot) if fused.local_slot(slot).is_none());
        if copied || e.ty.data == DataType::Byte {
            return None;
        }
        let mut survey = Survey::new(fused, true);
        let nullable = survey.value(e)?;
        survey.columns.then_some(Projection { e, nullable, undecided: survey.undecided })
    }

    /// Whether it is never null.
    pub(crate) fn never_null(&self) -> bool {
        self.nullable.is_empty()
    }
}

/// Makes the code of all conditions in one loop over the block.
pub(crate) fn emit(code: &mut Code<'_>, scope: &Scope<'_>, conditions: &[Condition<'_>]) -> Vec<Words> {
    if conditions.is_empty() {
        return vec![];
    }
    let zero = code.int(types::I64, 0);
    let words: Vec<Variable> = conditions.iter().map(|_| code.b.declare_var(types::I64)).collect();
    words.iter().for_each(|w| code.b.def_var(*w, zero));
    each_turn(code, scope, |lanes, first| {
        for (condition, word) in conditions.iter().zip(&words) {
            lanes.undecided.extend(condition.undecided.clone());
            let mut all: Option<Parts> = None;
            for operand in &condition.operands {
                lanes.locals.clear();
                let masks = lanes.condition(operand);
                all = Some(match all {
                    None => masks,
                    Some(before) => lanes.join_masks(before, masks, |c, a, b| c.ins().band(a, b)),
                });
            }
            let masks = all.expect("a condition has operands");
            let bits = lanes.gather(masks);
            let bits = lanes.code.ins().ishl(bits, first);
            let before = lanes.code.b.use_var(*word);
            let after = lanes.code.ins().bor(before, bits);
            lanes.code.b.def_var(*word, after);
        }
    });
    conditions.iter().zip(&words).map(|(c, w)| with_nulls(code, scope, c, *w)).collect()
}

/// Makes the code that writes values of all rows of the block, 64 of them even where fewer exist: each to the address of its first row in the batch; and
/// the block's word of valid rows, where there is one, to the address of the first block's. For each it gives the guard, where there is one: not zero if
/// the values have to be computed row by row.
pub(crate) fn emit_projections(
    code: &mut Code<'_>,
    scope: &Scope<'_>,
    targets: &[(Projection<'_>, Value, Value)],
) -> Vec<Option<Value>> {
    if targets.is_empty() {
        return vec![];
    }
    let guards =
        targets.iter().map(|(projection, values, _)| one_projection(code, scope, projection, *values)).collect();
    for (projection, _, words) in targets {
        if let Some(valid) = all_valid(code, scope, &projection.nullable) {
            // A block has 64 rows, and 8 bytes in a bitmap.
            let offset = code.ins().ushr_imm_u(scope.base, 3);
            let address = code.ins().iadd(*words, offset);
            code.ins().store(MemFlagsData::new().with_notrap(), valid, address, 0);
        }
    }
    guards
}

/// A loop for each: in one for all, constants and columns of many values would not stay in registers.
fn one_projection(code: &mut Code<'_>, scope: &Scope<'_>, projection: &Projection<'_>, values: Value) -> Option<Value> {
    // Whether there is a guard is known only once the code is made, but a variable must have its first value before the loop.
    let (none, variable) = (zeros(code), code.b.declare_var(types::I64X2));
    code.b.def_var(variable, none);
    let mut guarded = false;
    each_turn(code, scope, |lanes, _| {
        lanes.undecided.extend(projection.undecided.clone());
        let parts = lanes.value(projection.e);
        let width = i64::from(clif_type(&projection.e.ty.data).map_or(1, |t| t.bytes()));
        let offset = lanes.code.ins().imul_imm_s(lanes.row, width);
        let address = lanes.code.ins().iadd(values, offset);
        for (i, part) in parts.into_iter().enumerate() {
            lanes.code.ins().store(MemFlagsData::new().with_notrap(), part, address, i as i32 * 16);
        }
        if let Some(guard) = lanes.guard.take() {
            let before = lanes.code.b.use_var(variable);
            let guard = lanes.code.ins().bor(before, guard);
            lanes.code.b.def_var(variable, guard);
            guarded = true;
        }
    });
    guarded.then(|| code.b.use_var(variable))
}

fn zeros(code: &mut Code<'_>) -> Value {
    let zero = code.int(types::I64, 0);
    code.ins().splat(types::I64X2, zero)
}

/// The loop over the block's rows, eight in a turn: `body` gets the number of the turn's first row in the block.
fn each_turn<'f>(code: &mut Code<'f>, scope: &Scope<'_>, body: impl FnOnce(&mut Lanes<'_, 'f, '_>, Value)) {
    let zero = code.int(types::I64, 0);
    let (head, done) = (code.b.create_block(), code.b.create_block());
    let turn = code.b.append_block_param(head, types::I64);
    code.jump(head, &[zero]);
    code.b.switch_to_block(head);
    let first = code.ins().ishl_imm_u(turn, 3);
    let row = code.ins().iadd(scope.base, first);
    let (slots, locals, undecided) = (BTreeMap::new(), BTreeMap::new(), Undecided::new());
    let mut lanes = Lanes { code, scope, row, first, slots, locals, undecided, guard: None };
    body(&mut lanes, first);
    let next = code.ins().iadd_imm_s(turn, 1);
    let more = code.icmp_const(IntCC::SignedLessThan, next, i128::from(TURNS));
    let again = cranelift_codegen::ir::BlockArg::from(next);
    code.b.ins().brif(more, head, &[again], done, &[]);
    code.b.switch_to_block(done);
}

/// The block's word of rows where none of these columns is null; none if there are no columns.
pub(super) fn all_valid(code: &mut Code<'_>, scope: &Scope<'_>, nullable: &BTreeSet<usize>) -> Option<Value> {
    let mut all_valid = None;
    for slot in nullable {
        let position = scope.fused.column(*slot).expect("the planner lists the slots that are read");
        // A filter before may have shown that it is not null.
        let Some(valid) = scope.columns[position].valid else { continue };
        all_valid = Some(match all_valid {
            None => valid,
            Some(before) => code.and(before, valid),
        });
    }
    all_valid
}

fn with_nulls(code: &mut Code<'_>, scope: &Scope<'_>, condition: &Condition<'_>, word: Variable) -> Words {
    let truth = code.b.use_var(word);
    match all_valid(code, scope, &condition.nullable) {
        None => Words { truth, null: None, fail: None },
        Some(valid) => {
            let null = (!condition.truth).then(|| code.ins().bnot(valid));
            Words { truth: code.and(truth, valid), null, fail: None }
        }
    }
}

/// The values of eight rows: as many vectors as their type needs.
pub(super) type Parts = Vec<Value>;

/// Eight rows at hand.
pub(super) struct Lanes<'a, 'f, 'p> {
    pub(super) code: &'a mut Code<'f>,
    pub(super) scope: &'a Scope<'p>,
    /// The first of the rows.
    row: Value,
    /// Its number in the block.
    pub(super) first: Value,
    slots: BTreeMap<usize, Parts>,
    locals: BTreeMap<LocalId, Parts>,
    pub(super) undecided: Undecided,
    /// Not zero where vectors cannot compute the value.
    guard: Option<Value>,
}

/// Lane masks.
impl FloatCompare for LaneMasks<'_, '_> {
    fn fcmp(&mut self, cc: FloatCC, a: Value, b: Value) -> Value {
        self.0.ins().fcmp(cc, a, b)
    }
    fn both(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().band(a, b)
    }
    fn any(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().bor(a, b)
    }
    fn opposite(&mut self, a: Value) -> Value {
        self.0.ins().bnot(a)
    }
}

/// [`Code`] seen as working on lane masks.
struct LaneMasks<'a, 'f>(&'a mut Code<'f>);

impl Lanes<'_, '_, '_> {
    pub(super) fn condition(&mut self, e: &Expr) -> Parts {
        match &e.kind {
            ExprKind::Call { function, args } => {
                let order = Order::of(function.name).expect("the survey admitted a comparison");
                let (a, b) = (self.value(&args[0]), self.value(&args[1]));
                self.compare(order, &a, &b, &args[0], &args[1])
            }
            ExprKind::InList { value, list } => {
                let x = self.value(value);
                let mut found: Option<Parts> = None;
                for constant in list {
                    let constant = Expr::new(ExprKind::Literal(constant.clone()), value.ty.clone(), value.origin);
                    let c = self.value(&constant);
                    let same = self.compare(Order::Equal, &x, &c, value, &constant);
                    found = Some(match found {
                        None => same,
                        Some(before) => self.both(&before, &same, |c, a, b| c.ins().bor(a, b)),
                    });
                }
                found.unwrap_or_else(|| self.never(&x))
            }
            ExprKind::Not(x) => {
                let x = self.condition(x);
                x.into_iter().map(|m| self.code.ins().bnot(m)).collect()
            }
            ExprKind::And(xs) => self.fold(xs, |c, a, b| c.ins().band(a, b)),
            ExprKind::Or(xs) => self.fold(xs, |c, a, b| c.ins().bor(a, b)),
            ExprKind::Let { local, value, body } => {
                let value = self.value(value);
                self.locals.insert(*local, value);
                self.condition(body)
            }
            _ => unreachable!("the survey admits no other condition"),
        }
    }

    fn fold(&mut self, xs: &[Expr], join: fn(&mut Code<'_>, Value, Value) -> Value) -> Parts {
        let mut whole = self.condition(&xs[0]);
        for x in &xs[1..] {
            let right = self.condition(x);
            whole = self.join_masks(whole, right, join);
        }
        whole
    }

    fn both(&mut self, a: &[Value], b: &[Value], join: fn(&mut Code<'_>, Value, Value) -> Value) -> Parts {
        a.iter().zip(b).map(|(a, b)| join(self.code, *a, *b)).collect()
    }

    /// False for all rows.
    fn never(&mut self, like: &[Value]) -> Parts {
        like.iter().map(|v| self.code.ins().icmp(IntCC::NotEqual, *v, *v)).collect()
    }

    fn compare(&mut self, order: Order, a: &[Value], b: &[Value], left: &Expr, right: &Expr) -> Parts {
        let floating = left.ty.data.is_floating();
        let (a_number, b_number) = (is_number(left), is_number(right));
        let mut masks = vec![];
        for (a, b) in a.iter().zip(b) {
            masks.push(match floating {
                true => LaneMasks(self.code).float_order(order, *a, *b, a_number, b_number),
                false => self.code.ins().icmp(order.signed(), *a, *b),
            });
        }
        masks
    }

    /// Notes what is not zero where vectors cannot compute the value.
    pub(super) fn guard(&mut self, outside: Value) {
        let outside = self.bits(types::I64X2, outside);
        self.guard = Some(match self.guard {
            None => outside,
            Some(before) => self.code.ins().bor(before, outside),
        });
    }

    /// The same bits as a vector of another type.
    pub(super) fn bits(&mut self, ty: Type, v: Value) -> Value {
        let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
        if self.code.b.func.dfg.value_type(v) == ty { v } else { self.code.ins().bitcast(ty, flags, v) }
    }

    /// The sum or difference of integers, guarded against overflow: then the result's sign is wrong (Warren, "Hacker's Delight", 2-13).
    fn checked(&mut self, a: Value, b: Value, subtract: bool) -> Value {
        let value = if subtract { self.code.ins().isub(a, b) } else { self.code.ins().iadd(a, b) };
        // Different from the first operand's; and from the second one's, or, of a difference, the same.
        let other = if subtract { a } else { value };
        let (x, y) = (self.code.ins().bxor(a, value), self.code.ins().bxor(b, other));
        let wrong = self.code.ins().band(x, y);
        let ty = self.code.b.func.dfg.value_type(value);
        let zero = self.code.int(ty.lane_type(), 0);
        let zero = self.code.ins().splat(ty, zero);
        let over = self.code.ins().icmp(IntCC::SignedLessThan, wrong, zero);
        self.guard(over);
        value
    }

    pub(super) fn value(&mut self, e: &Expr) -> Parts {
        if is_constant(e) {
            return self.constant(e);
        }
        match &e.kind {
            ExprKind::Column(slot) => self.slot(*slot, &e.ty.data),
            ExprKind::Local(local) => self.locals.get(local).expect("a verified program binds its locals").clone(),
            ExprKind::Call { function, args } => self.call(e, function.name, args),
            ExprKind::If { condition, then, otherwise } => self.choice(e, condition, then, otherwise),
            ExprKind::Let { local, value, body } => {
                let value = self.value(value);
                self.locals.insert(*local, value);
                self.value(body)
            }
            ExprKind::Cast { value, .. } => {
                let parts = self.value(value);
                self.widen(parts, &value.ty.data, &e.ty.data)
            }
            _ => unreachable!("the survey admits no other value"),
        }
    }

    fn call(&mut self, e: &Expr, function: &str, args: &[Expr]) -> Parts {
        let operation = operation_of(function, args, &e.ty.data).expect("the survey admitted the call");
        if let Some(multiples) = Multiples::of(operation, args, &e.ty.data) {
            let values = self.value(multiples.value);
            return values.into_iter().map(|v| multiples.emit(self, v)).collect();
        }
        let a = self.value(&args[0]);
        if operation == Operation::Negate {
            return a.into_iter().map(|a| self.code.ins().fneg(a)).collect();
        }
        let b = self.value(&args[1]);
        let whole = !e.ty.data.is_floating();
        if whole && !never_fails(function, args, &e.ty.data, &OnlyTypes) {
            let subtract = operation == Operation::Subtract;
            return a.iter().zip(&b).map(|(a, b)| self.checked(*a, *b, subtract)).collect();
        }
        self.both(
            &a,
            &b,
            match operation {
                Operation::Add if whole => |c, a, b| c.ins().iadd(a, b),
                Operation::Subtract if whole => |c, a, b| c.ins().isub(a, b),
                Operation::Multiply if whole => |c, a, b| c.ins().imul(a, b),
                Operation::Add => |c, a, b| c.ins().fadd(a, b),
                Operation::Subtract => |c, a, b| c.ins().fsub(a, b),
                Operation::Multiply => |c, a, b| c.ins().fmul(a, b),
                _ => |c, a, b| c.ins().fdiv(a, b),
            },
        )
    }

    fn constant(&mut self, e: &Expr) -> Parts {
        let scope = self.scope;
        let mut row = Row::new(self.code, scope.fused, scope.columns, scope.now, self.row, self.row);
        let mut value = row.whole(e).value;
        if e.ty.data == DataType::Byte {
            value = self.code.ins().sextend(types::I16, value);
        }
        let ty = vector_type(&e.ty.data);
        let vector = self.code.ins().splat(ty, value);
        vec![vector; ROWS as usize / ty.lane_count() as usize]
    }

    fn slot(&mut self, slot: usize, data: &DataType) -> Parts {
        if let Some(parts) = self.slots.get(&slot) {
            return parts.clone();
        }
        let fused = self.scope.fused;
        let parts = match fused.local_slot(slot) {
            Some(value) => {
                let outer = std::mem::take(&mut self.locals);
                let parts = self.value(value);
                self.locals = outer;
                parts
            }
            None => self.load(slot, data),
        };
        self.slots.insert(slot, parts.clone());
        parts
    }

    fn load(&mut self, slot: usize, data: &DataType) -> Parts {
        let position = self.scope.fused.column(slot).expect("the planner lists the slots that are read");
        let values = self.scope.columns[position].values;
        let width = i64::from(clif_type(data).map_or(1, |t| t.bytes()));
        let offset = self.code.ins().imul_imm_s(self.row, width);
        let address = self.code.ins().iadd(values, offset);
        let flags = MemFlagsData::new().with_notrap().with_readonly();
        if *data == DataType::Byte {
            return vec![self.code.ins().sload8x8(flags, address, 0)];
        }
        let ty = vector_type(data);
        let count = ROWS as i32 / ty.lane_count() as i32;
        (0..count).map(|i| self.code.ins().load(ty, flags, address, i * 16)).collect()
    }

    /// Widens step by step: bytes are shorts already.
    fn widen(&mut self, parts: Parts, from: &DataType, to: &DataType) -> Parts {
        let to_type = vector_type(to);
        let mut parts = parts;
        loop {
            let ty = self.code.b.func.dfg.value_type(parts[0]);
            if ty == to_type || from == to {
                return parts;
            }
            let target_is_float = to.is_floating();
            parts = match ty {
                types::I16X8 => self.halves(parts),
                types::I32X4 if to_type == types::F32X4 => {
                    parts.into_iter().map(|p| self.code.ins().fcvt_from_sint(types::F32X4, p)).collect()
                }
                types::I32X4 => self.halves(parts),
                types::I64X2 if target_is_float => {
                    parts.into_iter().map(|p| self.code.ins().fcvt_from_sint(types::F64X2, p)).collect()
                }
                types::F32X4 => self.promote(parts),
                other => unreachable!("{other} is not widened"),
            };
        }
    }

    /// Each vector as two of lanes twice as wide.
    pub(super) fn halves(&mut self, parts: Parts) -> Parts {
        let mut wide = vec![];
        for part in parts {
            let high = self.high_half(part);
            wide.push(self.code.ins().swiden_low(part));
            wide.push(self.code.ins().swiden_low(high));
        }
        wide
    }

    fn promote(&mut self, parts: Parts) -> Parts {
        let mut wide = vec![];
        for part in parts {
            let high = self.high_half(part);
            wide.push(self.code.ins().fvpromote_low(part));
            wide.push(self.code.ins().fvpromote_low(high));
        }
        wide
    }

    /// The upper eight bytes moved down, so that the instructions for the lower ones, which are better, do for both.
    fn high_half(&mut self, part: Value) -> Value {
        let ty = self.code.b.func.dfg.value_type(part);
        let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
        let bytes = self.code.ins().bitcast(types::I8X16, flags, part);
        let order = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15u8];
        let order = self.code.b.func.dfg.immediates.push(cranelift_codegen::ir::ConstantData::from(&order[..]));
        let moved = self.code.ins().shuffle(bytes, bytes, order);
        self.code.ins().bitcast(ty, flags, moved)
    }
}

/// A constant, or one converted.
fn is_constant(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Literal(_) => true,
        ExprKind::Cast { value, .. } => is_constant(value),
        _ => false,
    }
}

/// Whether a float is known not to be NaN.
fn is_number(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Literal(Constant::Double(v)) => !v.is_nan(),
        ExprKind::Literal(Constant::Float(v)) => !v.is_nan(),
        ExprKind::Cast { value, .. } => value.ty.data.is_integer() || is_number(value),
        _ => false,
    }
}
