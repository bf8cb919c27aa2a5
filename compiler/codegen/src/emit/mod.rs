//! From a [`Fused`] to Cranelift's intermediate code: a loop over blocks of 64 rows. In each block the filters give a word of surviving rows; then a loop
//! over those computes and writes the targets. Where there are no filters, vectors compute what targets they can. Knows expressions and Cranelift; nothing of Arrow, of linking or of running.

mod arithmetic;
mod cast;
mod choice;
mod code;
mod compare;
mod datetime;
mod decimal;
mod functions;
mod layout;
mod mask;
mod multiples;
mod row;
mod vector;

pub(crate) use cast::conversion;
pub(crate) use compare::Order;
pub(crate) use layout::{bits, clif_type, width};

use crate::abi::{NO_FAILURE, offset};
use crate::fused::{Fused, FusedStep};
use crate::range;
use crate::select::may_fail;
use crate::valid;
use code::Code;
use cranelift::prelude::*;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetFrontendConfig;
use flowc_ir::{DataType, Expr};
use mask::Mask;
use row::{ColumnRegisters, Row};

/// What the code writes for a target, besides its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// Nothing: it is never null.
    Never,
    /// A byte for each row, 1 where it is null.
    Bytes,
    /// A word for each block, of the rows where it is not null.
    Words,
}

/// The registers of a target.
#[derive(Clone, Copy)]
struct TargetRegisters {
    values: Value,
    nulls: Value,
}

/// What stays the same through the call.
struct Frame {
    arguments: Value,
    columns: Vec<FrameColumn>,
    targets: Vec<TargetRegisters>,
    now: Value,
    blocks: Value,
    last: Value,
    survivors: Value,
}

struct FrameColumn {
    values: Value,
    boolean: bool,
    /// Address of the first word, and step to the next.
    validity: Option<(Value, Value)>,
}

/// Variables of the block at hand.
#[derive(Clone, Copy)]
struct BlockVariables {
    /// Rows that are still there.
    alive: Variable,
    /// Rows that failed.
    failed: Variable,
    /// Rows written, of the whole batch.
    written: Variable,
}

/// Fills `function`, whose signature is set, with the code of `fused`.
pub(crate) fn emit(
    fused: &Fused,
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    config: TargetFrontendConfig,
) -> Vec<Nulls> {
    let mut code = Code::new(FunctionBuilder::new(function, context));
    let entry = code.b.create_block();
    code.b.append_block_params_for_function_params(entry);
    code.b.switch_to_block(entry);
    let arguments = code.b.block_params(entry)[0];
    let frame = frame(&mut code, fused, arguments);
    let written = blocks(&mut code, fused, &frame);
    code.b.seal_all_blocks();
    code.b.finalize(config);
    written
}

fn frame(code: &mut Code<'_>, fused: &Fused, arguments: Value) -> Frame {
    let columns = code.fixed(arguments, offset::COLUMNS);
    let targets = code.fixed(arguments, offset::TARGETS);
    let column = |(i, ty): (usize, &flowc_ir::Type)| FrameColumn {
        values: code.fixed(columns, offset::values(i)),
        boolean: ty.data == DataType::Boolean,
        validity: ty
            .nullable
            .then(|| (code.fixed(columns, offset::validity(i)), code.fixed(columns, offset::validity_step(i)))),
    };
    let columns = fused.columns.values().enumerate().map(column).collect();
    let target = |i: usize| TargetRegisters {
        values: code.fixed(targets, offset::target_values(i)),
        nulls: code.fixed(targets, offset::target_nulls(i)),
    };
    let targets = (0..fused.targets.len()).map(target).collect();
    Frame {
        arguments,
        columns,
        targets,
        now: code.fixed(arguments, offset::NOW),
        blocks: code.fixed(arguments, offset::BLOCKS),
        last: code.fixed(arguments, offset::LAST),
        survivors: code.fixed(arguments, offset::SURVIVORS),
    }
}

/// The loop over blocks.
fn blocks(code: &mut Code<'_>, fused: &Fused, frame: &Frame) -> Vec<Nulls> {
    let variables = BlockVariables {
        alive: code.b.declare_var(types::I64),
        failed: code.b.declare_var(types::I64),
        written: code.b.declare_var(types::I64),
    };
    let start = code.ins().load(types::I64, MemFlagsData::trusted(), frame.arguments, offset::WRITTEN);
    code.b.def_var(variables.written, start);
    let zero = code.int(types::I64, 0);
    let (head, body, done) = (code.b.create_block(), code.b.create_block(), code.b.create_block());
    let block = code.b.append_block_param(head, types::I64);
    code.jump(head, &[zero]);
    code.b.switch_to_block(head);
    let more = code.icmp(IntCC::SignedLessThan, block, frame.blocks);
    code.branch(more, body, done);
    code.b.switch_to_block(body);
    let next = code.ins().iadd_imm_s(block, 1);
    let all = code.int(types::I64, -1);
    let is_last = code.icmp(IntCC::Equal, next, frame.blocks);
    let alive = code.ins().select(is_last, frame.last, all);
    code.b.def_var(variables.alive, alive);
    code.b.def_var(variables.failed, zero);
    let written = one_block(code, fused, frame, variables, block);
    code.jump(head, &[next]);
    code.b.switch_to_block(done);
    let count = code.b.use_var(variables.written);
    code.ins().store(MemFlagsData::trusted(), count, frame.arguments, offset::WRITTEN);
    let fine = code.int(types::I64, i128::from(NO_FAILURE));
    code.ins().return_(&[fine]);
    written
}

/// One block: the steps, the targets, and the way out if a row failed.
fn one_block(code: &mut Code<'_>, fused: &Fused, frame: &Frame, variables: BlockVariables, block: Value) -> Vec<Nulls> {
    let base = code.ins().ishl_imm_u(block, 6);
    let mut columns: Vec<ColumnRegisters> = frame.columns.iter().map(|c| block_column(code, c, block)).collect();
    for (registers, slot) in columns.iter_mut().zip(fused.columns.keys()) {
        registers.range = fused.bounds.get(slot).copied();
    }
    let mut pending: Vec<&Expr> = vec![];
    for step in &fused.steps {
        let condition = match step {
            FusedStep::Let { slot, value } => {
                if may_fail(value) && !fused.checked.contains(slot) {
                    pending.push(value);
                }
                continue;
            }
            FusedStep::Filter(condition) | FusedStep::Assert(condition) => condition,
        };
        let strict = std::mem::take(&mut pending);
        let alive = code.b.use_var(variables.alive);
        let scope = mask::Scope { fused, columns: &columns, now: frame.now, base, alive, strict: &strict };
        let result = Mask::of(condition, fused).emit(code, &scope);
        fail(code, variables, result.fail);
        let alive = code.b.use_var(variables.alive);
        let alive = match step {
            FusedStep::Assert(_) => {
                let broken = code.ins().band_not(alive, result.truth);
                fail(code, variables, Some(broken));
                code.b.use_var(variables.alive)
            }
            _ => code.ins().band(alive, result.truth),
        };
        code.b.def_var(variables.alive, alive);
        if matches!(step, FusedStep::Filter(_)) {
            learn(&mut columns, condition, fused);
        }
    }
    let written = targets(code, fused, frame, variables, base, &columns, &pending);
    leave_if_failed(code, variables, base);
    if fused.filters() {
        let alive = code.b.use_var(variables.alive);
        let offset = code.ins().ishl_imm_u(block, 3);
        let address = code.ins().iadd(frame.survivors, offset);
        code.ins().store(MemFlagsData::trusted(), alive, address, 0);
    }
    written
}

/// Takes down what is known of columns in the rows that a filter lets through.
fn learn(columns: &mut [ColumnRegisters], condition: &Expr, fused: &Fused) {
    for slot in valid::demanded(condition, fused) {
        if let Some(position) = fused.column(slot) {
            columns[position].valid = None;
        }
    }
    for (slot, bounds) in range::demanded(condition, fused) {
        if let Some(position) = fused.column(slot) {
            let before = columns[position].range;
            columns[position].range = Some(before.map_or(bounds, |before| before.and(bounds)));
        }
    }
}

fn block_column(code: &mut Code<'_>, column: &FrameColumn, block: Value) -> ColumnRegisters {
    let flags = MemFlagsData::new().with_notrap().with_readonly();
    let values = match column.boolean {
        true => {
            let offset = code.ins().ishl_imm_u(block, 3);
            let address = code.ins().iadd(column.values, offset);
            code.ins().load(types::I64, flags, address, 0)
        }
        false => column.values,
    };
    let valid = column.validity.map(|(first, step)| {
        let offset = code.ins().imul(block, step);
        let address = code.ins().iadd(first, offset);
        code.ins().load(types::I64, flags, address, 0)
    });
    ColumnRegisters { values, valid, range: None }
}

/// Adds living rows to those that failed; they do not live on.
fn fail(code: &mut Code<'_>, variables: BlockVariables, rows: Option<Value>) {
    let Some(rows) = rows else { return };
    let alive = code.b.use_var(variables.alive);
    let failed = code.b.use_var(variables.failed);
    let rows = code.ins().band(alive, rows);
    let failed = code.ins().bor(failed, rows);
    let alive = code.ins().band_not(alive, rows);
    code.b.def_var(variables.failed, failed);
    code.b.def_var(variables.alive, alive);
}

/// Calls `body` for each row of `rows`, from the first, with its number in the block.
fn each_row(code: &mut Code<'_>, rows: Value, body: impl FnOnce(&mut Code<'_>, Value)) {
    let (head, inside, done) = (code.b.create_block(), code.b.create_block(), code.b.create_block());
    let rest = code.b.append_block_param(head, types::I64);
    code.jump(head, &[rows]);
    code.b.switch_to_block(head);
    code.branch(rest, inside, done);
    code.b.switch_to_block(inside);
    let bit = code.ins().ctz(rest);
    body(code, bit);
    let less = code.ins().iadd_imm_s(rest, -1);
    let rest = code.ins().band(rest, less);
    code.jump(head, &[rest]);
    code.b.switch_to_block(done);
}

/// The loop over surviving rows that writes the targets, and computes the `Let`s that may fail and that no filter follows.
fn targets(
    code: &mut Code<'_>,
    fused: &Fused,
    frame: &Frame,
    variables: BlockVariables,
    base: Value,
    columns: &[ColumnRegisters],
    strict: &[&Expr],
) -> Vec<Nulls> {
    let alive = code.b.use_var(variables.alive);
    let scope = mask::Scope { fused, columns, now: frame.now, base, alive, strict };
    let mut written = write_vectors(code, &scope, frame, variables);
    let by_row: Vec<usize> = (0..written.len()).filter(|i| written[*i].is_none()).collect();
    if by_row.is_empty() && strict.is_empty() {
        return written.into_iter().flatten().collect();
    }
    each_row(code, alive, |code, bit| {
        let index = code.ins().iadd(base, bit);
        let place = if fused.filters() { code.b.use_var(variables.written) } else { index };
        let mut row = Row::new(code, fused, columns, frame.now, index, bit);
        let mut failed = None;
        for value in strict {
            let lane = row.whole(value);
            failed = row.code.either(failed, lane.fail);
        }
        for i in by_row {
            let lane = row.whole(&fused.targets[i]);
            failed = row.code.either(failed, lane.fail);
            written[i] = Some(write(row.code, frame.targets[i], place, lane));
        }
        if fused.filters() {
            let next = code.ins().iadd_imm_s(place, 1);
            code.b.def_var(variables.written, next);
        }
        if let Some(failed) = failed {
            add_failed(code, variables, failed, bit);
        }
    });
    written.into_iter().flatten().collect()
}

/// Whether vectors can compute a value of a function, if it writes every row.
pub(crate) fn by_vectors(value: &Expr, fused: &Fused) -> bool {
    vector::Projection::of(value, fused).is_some()
}

/// Writes the targets that vectors can compute, where every row is written; for the others it gives none.
fn write_vectors(
    code: &mut Code<'_>,
    scope: &mask::Scope<'_>,
    frame: &Frame,
    variables: BlockVariables,
) -> Vec<Option<Nulls>> {
    let fused = scope.fused;
    let (mut written, mut vectors) = (vec![], vec![]);
    for (target, registers) in fused.targets.iter().zip(&frame.targets) {
        let projection = vector::Projection::of(target, fused).filter(|_| !fused.filters());
        written.push(projection.as_ref().map(|p| if p.never_null() { Nulls::Never } else { Nulls::Words }));
        vectors.extend(projection.map(|p| (p, registers.values, registers.nulls)));
    }
    let guards = vector::emit_projections(code, scope, &vectors);
    for ((projection, values, nulls), guard) in vectors.into_iter().zip(guards) {
        if let Some(guard) = guard {
            again(code, scope, variables, guard, (projection.e, TargetRegisters { values, nulls }));
        }
    }
    written
}

/// Computes the values of a block row by row where the guard of what vectors have computed is not zero. Which are null is written already.
fn again(
    code: &mut Code<'_>,
    scope: &mask::Scope<'_>,
    variables: BlockVariables,
    guard: Value,
    (value, target): (&Expr, TargetRegisters),
) {
    let (rows, go_on) = (code.b.create_block(), code.b.create_block());
    code.b.set_cold_block(rows);
    let any = code.ins().vany_true(guard);
    code.branch(any, rows, go_on);
    code.b.switch_to_block(rows);
    each_row(code, scope.alive, |code, bit| {
        let index = code.ins().iadd(scope.base, bit);
        let mut row = Row::new(code, scope.fused, scope.columns, scope.now, index, bit);
        let lane = row.whole(value);
        write(row.code, target, index, code::Lane { null: None, ..lane });
        if let Some(failed) = lane.fail {
            add_failed(row.code, variables, failed, bit);
        }
    });
    code.jump(go_on, &[]);
    code.b.switch_to_block(go_on);
}

/// Adds a row, if it failed, to those that did.
fn add_failed(code: &mut Code<'_>, variables: BlockVariables, failed: Value, bit: Value) {
    let word = code.ins().uextend(types::I64, failed);
    let word = code.ins().ishl(word, bit);
    let before = code.b.use_var(variables.failed);
    let word = code.ins().bor(before, word);
    code.b.def_var(variables.failed, word);
}

/// Writes one value to its place in the target.
fn write(code: &mut Code<'_>, target: TargetRegisters, place: Value, lane: code::Lane) -> Nulls {
    let bytes = i64::from(code.b.func.dfg.value_type(lane.value).bytes());
    let offset = code.ins().imul_imm_s(place, bytes);
    let address = code.ins().iadd(target.values, offset);
    code.ins().store(MemFlagsData::trusted(), lane.value, address, 0);
    let Some(null) = lane.null else { return Nulls::Never };
    let address = code.ins().iadd(target.nulls, place);
    code.ins().store(MemFlagsData::trusted(), null, address, 0);
    Nulls::Bytes
}

/// Returns the first row of the block that failed, if one did: all earlier blocks are done, so it is the first of the batch.
fn leave_if_failed(code: &mut Code<'_>, variables: BlockVariables, base: Value) {
    let failed = code.b.use_var(variables.failed);
    let (out, go_on) = (code.b.create_block(), code.b.create_block());
    code.b.set_cold_block(out);
    code.branch(failed, out, go_on);
    code.b.switch_to_block(out);
    let bit = code.ins().ctz(failed);
    let row = code.ins().iadd(base, bit);
    code.ins().return_(&[row]);
    code.b.switch_to_block(go_on);
}
