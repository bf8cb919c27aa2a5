//! Runs the machine code of one part over a batch: one function, or one for the filters and one for the values of the rows that stay, in turns over as
//! many blocks as the nearest cache holds. Knows compiled functions, columns and their memory; nothing of expressions and of other parts.

use crate::abi::{Arguments, BLOCK, Column, NO_FAILURE, Target};
use crate::dense::Dense;
use crate::emit::width;
use crate::fused::Fused;
use crate::jit::Compiled;
use crate::kernel::{SomeRowFails, State};
use crate::memory::{Inputs, Output};
use crate::stages::{Source, Stages};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::FilterBuilder;
use flowc_ir::eval::EvalContext;
use flowc_ir::{DataType, Type};

/// Blocks that the functions take in turns: a few columns of so many rows lie in the nearest cache.
const TURN: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine {
    columns: Vec<(usize, Type)>,
    targets: Vec<(usize, Type)>,
    keep: Vec<usize>,
    filters: bool,
    /// The function that reads the batch.
    first: Function,
    /// The one that reads the rows that stay.
    second: Option<Function>,
    sources: Vec<Source>,
}

/// A compiled function, and what it reads and writes.
#[derive(Debug)]
struct Function {
    code: Compiled,
    /// Positions among the columns of the whole part, and whether it asks for nulls.
    columns: Vec<(usize, bool)>,
    targets: Vec<DataType>,
}

impl Function {
    fn new(fused: &Fused, of: &Fused) -> Result<Function, String> {
        let position = |slot: &usize| of.column(*slot).ok_or("a slot of a part is not read by the whole part");
        let columns = fused.columns.iter().map(|(slot, ty)| Ok((position(slot)?, ty.nullable)));
        Ok(Function {
            code: Compiled::new(fused)?,
            columns: columns.collect::<Result<_, &str>>()?,
            targets: fused.targets.iter().map(|e| e.ty.data.clone()).collect(),
        })
    }

    /// Room for what it writes of `rows` rows.
    fn outputs(&self, rows: usize) -> Vec<Output> {
        let targets = self.targets.iter().zip(self.code.written());
        targets.map(|(data, nulls)| Output::new(data, *nulls, rows)).collect()
    }
}

/// Rows on their way through a part.
struct Run {
    /// One word for each block: the rows that stay.
    survivors: Vec<u64>,
    /// What the first function has written, and how many rows if it filters.
    first: Vec<Output>,
    written: usize,
    handed_on: Vec<Dense>,
    /// What the second function reads next.
    waiting: Vec<Dense>,
    second: Vec<Output>,
    /// Rows that it is done with.
    done: usize,
    /// Arguments of the calls, kept so that no call allocates.
    columns: Vec<Column>,
    targets: Vec<Target>,
}

impl Machine {
    /// Compiles a part's function, or the two that are better.
    pub(crate) fn new(fused: &Fused, targets: &[(usize, Type)], keep: &[usize]) -> Result<Machine, String> {
        let stages = Stages::of(fused);
        let (first, second, sources) = match &stages {
            None => (fused, None, (0..targets.len()).map(Source::Filter).collect()),
            Some(stages) => (&stages.filter, stages.project.as_ref(), stages.sources.clone()),
        };
        Ok(Machine {
            columns: fused.columns.iter().map(|(slot, ty)| (*slot, ty.clone())).collect(),
            targets: targets.to_vec(),
            keep: keep.to_vec(),
            filters: fused.filters(),
            first: Function::new(first, fused)?,
            second: second.map(|project| Function::new(project, fused)).transpose()?,
            sources,
        })
    }

    /// Calls the code for the whole blocks and for the rest, and takes the rows that it removed out of the columns that are kept.
    pub(crate) fn run(&self, context: &EvalContext, state: &mut State) -> Result<(), SomeRowFails> {
        let rows = state.rows;
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|(slot, _)| state.column(*slot)).collect();
        let inputs = Inputs::new(arrays.iter().zip(self.columns.iter().map(|(_, ty)| ty)), rows);
        let mut run = self.start(rows);
        let (whole, rest) = (rows / BLOCK, rows % BLOCK);
        // Alone, the function goes through all blocks in one call.
        let turn = if self.gathers() { TURN } else { whole.max(1) };
        for from in (0..whole).step_by(turn) {
            let blocks = turn.min(whole - from);
            self.turn(context, state, &mut run, inputs.whole(), (from, from, blocks), u64::MAX)?;
        }
        if rest > 0 {
            self.turn(context, state, &mut run, inputs.rest(), (0, whole, 1), (1 << rest) - 1)?;
        }
        self.project(context, state, &mut run, true)?;
        // Functions that write nothing do not count.
        let kept = match self.filters {
            true => run.survivors.iter().map(|word| word.count_ones() as usize).sum(),
            false => rows,
        };
        self.finish(state, &mut run, &arrays, kept);
        if self.filters && kept < rows {
            self.compact(state, run.survivors, kept);
        }
        Ok(())
    }

    /// Whether rows that stay are gathered.
    fn gathers(&self) -> bool {
        self.second.is_some() || self.sources.iter().any(|s| matches!(s, Source::Column(_)))
    }

    fn start(&self, rows: usize) -> Run {
        let dense = |(position, nullable): (usize, bool), room| Dense::new(&self.columns[position].1, nullable, room);
        let handed_on = self.sources.iter().filter_map(|s| self.handed_on(s));
        let handed_on = handed_on.map(|position| dense((position, self.columns[position].1.nullable), rows)).collect();
        // Up to a turn's rows wait when those of the next come.
        let waiting = self.second.iter().flat_map(|second| &second.columns);
        let waiting = waiting.map(|column| dense(*column, (2 * TURN + 1) * BLOCK)).collect();
        Run {
            survivors: vec![0u64; if self.filters { rows.div_ceil(BLOCK) } else { 0 }],
            first: self.first.outputs(rows),
            written: 0,
            handed_on,
            waiting,
            second: self.second.as_ref().map_or(vec![], |second| second.outputs(rows)),
            done: 0,
            columns: vec![],
            targets: vec![],
        }
    }

    /// The position of a column that is handed on.
    fn handed_on(&self, source: &Source) -> Option<usize> {
        let Source::Column(slot) = source else { return None };
        self.columns.iter().position(|(s, _)| s == slot)
    }

    /// Some blocks of rows: `at` is the first of them among the columns given, `from` among all.
    fn turn(
        &self,
        context: &EvalContext,
        state: &State,
        run: &mut Run,
        columns: &[Column],
        (at, from, blocks): (usize, usize, usize),
        last: u64,
    ) -> Result<(), SomeRowFails> {
        let column = |position: usize| columns[position].at_block(at, bytes(&self.columns[position].1.data));
        run.columns.clear();
        run.columns.extend(self.first.columns.iter().map(|(position, _)| column(*position)));
        // Without filters a row is written where it is read, with them where the last one ended.
        let place = if self.filters { 0 } else { from * BLOCK };
        run.targets.clear();
        run.targets.extend(run.first.iter_mut().map(|o| o.target(place)));
        let mut arguments = Arguments {
            columns: run.columns.as_ptr(),
            targets: run.targets.as_ptr(),
            survivors: run.survivors.get_mut(from..).map_or(std::ptr::null_mut(), <[u64]>::as_mut_ptr),
            blocks: blocks as i64,
            last,
            written: run.written as i64,
            now: context.now,
        };
        // SAFETY: `run.columns` and `run.targets` were made for the function's columns and targets, whose types `Inputs::new` has compared. Whole blocks lie within
        // the arrays, the rest in copies of 64 rows. Targets have room for all rows, from `place` on for those of this call; `survivors`, written only by
        // functions with filters, has a word for each block.
        let failed = unsafe { self.first.code.call(&mut arguments) };
        if failed != NO_FAILURE {
            return Err(state.fails(failed as usize + from * BLOCK));
        }
        run.written = arguments.written as usize;
        if !self.gathers() {
            return Ok(());
        }
        let words = &run.survivors[from..from + blocks];
        for (dense, position) in run.handed_on.iter_mut().zip(self.sources.iter().filter_map(|s| self.handed_on(s))) {
            // SAFETY: the column has these blocks, and `dense` was made for its type.
            unsafe { dense.append(&column(position), words) };
        }
        let reads = self.second.iter().flat_map(|second| &second.columns);
        for (dense, (position, _)) in run.waiting.iter_mut().zip(reads) {
            // SAFETY: as above.
            unsafe { dense.append(&column(*position), words) };
        }
        self.project(context, state, run, false)
    }

    /// Calls the second function once enough rows wait, or for all of them.
    fn project(&self, context: &EvalContext, state: &State, run: &mut Run, all: bool) -> Result<(), SomeRowFails> {
        let Some(second) = &self.second else { return Ok(()) };
        let waiting = run.waiting.first().map_or(0, Dense::rows);
        let rows = if all { waiting } else { waiting / BLOCK * BLOCK };
        if rows == 0 || (!all && rows < TURN * BLOCK) {
            return Ok(());
        }
        run.columns.clear();
        run.columns.extend(run.waiting.iter().map(Dense::column));
        run.targets.clear();
        run.targets.extend(run.second.iter_mut().map(|o| o.target(run.done)));
        let mut arguments = Arguments {
            columns: run.columns.as_ptr(),
            targets: run.targets.as_ptr(),
            survivors: std::ptr::null_mut(),
            blocks: rows.div_ceil(BLOCK) as i64,
            last: if rows.is_multiple_of(BLOCK) { u64::MAX } else { (1 << (rows % BLOCK)) - 1 },
            written: 0,
            now: context.now,
        };
        // SAFETY: `run.columns` and `run.targets` were made for the function's columns and targets. Columns have room for whole blocks, all of it initialized.
        // Targets have room for as many rows as the batch; no more than these stay, and whole blocks are done, so that `done` begins one. The function
        // has no filters.
        let failed = unsafe { second.code.call(&mut arguments) };
        if failed != NO_FAILURE {
            let row = nth_row(&run.survivors, run.done + failed as usize);
            return Err(state.fails(row));
        }
        run.done += rows;
        if !all {
            run.waiting.iter_mut().for_each(|dense| dense.remove(rows));
        }
        Ok(())
    }

    /// The values become columns.
    fn finish(&self, state: &mut State, run: &mut Run, arrays: &[ArrayRef], kept: usize) {
        // SAFETY: each surviving row was written if there are targets, and with its nulls as the function says.
        let array = |output: Output| unsafe { output.finish(kept) };
        let mut first = std::mem::take(&mut run.first).into_iter().map(array);
        let mut second = std::mem::take(&mut run.second).into_iter().map(array);
        let mut handed_on = std::mem::take(&mut run.handed_on).into_iter();
        for (source, (slot, _)) in self.sources.iter().zip(&self.targets) {
            let dense = self.handed_on(source).and_then(|position| Some((position, handed_on.next()?)));
            state.slots[*slot] = match (source, dense) {
                // Where all rows stay, the column is as it was.
                (_, Some((position, _))) if kept == state.rows => Some(arrays[position].clone()),
                (_, Some((_, dense))) => Some(dense.finish()),
                (Source::Project(_), None) => second.next(),
                (_, None) => first.next(),
            };
        }
    }

    fn compact(&self, state: &mut State, survivors: Vec<u64>, kept: usize) {
        let bits = BooleanBuffer::new(Buffer::from_vec(survivors), 0, state.rows);
        let mask = BooleanArray::new(bits, None);
        let builder = FilterBuilder::new(&mask);
        let filter = if self.keep.len() > 1 { builder.optimize().build() } else { builder.build() };
        for slot in &self.keep {
            let column = filter.filter(&state.column(*slot)).expect("the mask has the column's length");
            state.slots[*slot] = Some(column);
        }
        state.rows = kept;
        state.filtered = true;
    }
}

/// The bytes of a value in a column; 0 where it is a bit, or where only the validity is read.
fn bytes(data: &DataType) -> usize {
    if *data == DataType::Boolean { 0 } else { width(data).unwrap_or(0) }
}

/// The number of the `n`-th row that stays, from 0.
fn nth_row(survivors: &[u64], n: usize) -> usize {
    let mut left = n;
    for (block, word) in survivors.iter().enumerate() {
        let stay = word.count_ones() as usize;
        if left < stay {
            let rest = (0..left).fold(*word, |rest, _| rest & (rest - 1));
            return block * BLOCK + rest.trailing_zeros() as usize;
        }
        left -= stay;
    }
    unreachable!("so many rows stay")
}
