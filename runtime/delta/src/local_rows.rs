//! Rows of a file in the local file system, as batches of the program's columns: columns without nesting by [`crate::decode`], others by the Parquet crate's own
//! reader, side by side. Where the caller knows that rows are needed of which a predicate is true, and no others, its columns are decoded first, and the other
//! columns for rows that pass alone: late materialization (Abadi, Myers, DeWitt, Madden: "Materialization strategies in a column-oriented DBMS", ICDE 2007). What it
//! says of texts in dictionaries is asked of the dictionary ([`crate::by_value`]).
//! Knows files and predicates; nothing of tables.

use crate::by_value::{self, Test};
use crate::decode::coded::Coded;
use crate::decode::local::Shared;
use crate::decode::rows::{Rows, Step, read_rows, readable};
use crate::scan::Shape;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, NullArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{FilterBuilder, cast, filter};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use flowc_ir::eval::EvalContext;
use flowc_ir::expr::{Expr, ExprKind, Program};
use flowc_ir::key_pruning::EventTimes;
use flowc_runtime::{Needed, RunError};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader};
use parquet::errors::ParquetError;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that were looked at, and not given out because a predicate rejects them.
#[derive(Debug, Clone, Default)]
pub struct Skipped(Arc<AtomicU64>);

impl Skipped {
    /// How many they are since this was last asked.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Rows that do not pass and stand between others that do are read with them if they are fewer: to stop and go on costs as much.
const GAP: usize = 64;

/// The predicate is not asked for so many batches at most, where it does not help.
const PATIENCE: usize = 64;

/// The predicate of a scan.
pub(crate) struct Predicate {
    /// True for rows that come.
    conditions: Vec<Expr>,
    /// Of each of its columns, which of the scan's it is; none: it does not read it.
    inputs: Vec<Option<usize>>,
    /// Event times that are observed.
    times: Option<EventTimes>,
    skipped: Skipped,
}

impl Predicate {
    /// Of a source's predicate, and of what an epoch needs. None: there is neither, or they read what is not there. `places`: of each of their columns, which of the
    /// scan's it is.
    pub(crate) fn new(
        predicate: Option<&Program>,
        needed: Option<&Needed>,
        places: &[Option<usize>],
        skipped: &Skipped,
    ) -> Option<Predicate> {
        let mut conditions = vec![];
        for program in predicate.into_iter().chain(needed.map(|needed| &needed.predicate)) {
            let ([], [output]) = (&program.steps[..], &program.outputs[..]) else { return None };
            conditions.push(output.value.clone());
        }
        let times = needed.and_then(|needed| needed.times);
        let (mut inputs, mut all) = (vec![None; places.len()], !conditions.is_empty());
        let mut read = |column: usize| {
            let place = places.get(column).copied().flatten();
            all &= place.is_some();
            if let Some(input) = inputs.get_mut(column) {
                *input = place;
            }
        };
        for condition in &conditions {
            condition.walk(&mut |e| {
                if let ExprKind::Column(column) = &e.kind {
                    read(*column);
                }
            });
        }
        times.iter().for_each(|times| read(times.column));
        all.then(|| Predicate { conditions, inputs, times, skipped: skipped.clone() })
    }
}

/// Asks the predicate as long as it helps.
struct Late {
    predicate: Predicate,
    /// The columns that it needs.
    first: Vec<usize>,
    /// What of it is asked of values, and the columns, all of them of `first`, that are coded for it.
    tests: Vec<Test>,
    coded: BTreeSet<usize>,
    /// For how many batches it is not asked, and for how many the next time.
    wait: (usize, usize),
}

/// See the module.
pub(crate) struct LocalRows {
    flat: Rows,
    /// The place among the projected columns of each column that is read here,
    places: Vec<usize>,
    /// and of those that are not, with their reader.
    rest: Option<(ParquetRecordBatchReader, Vec<usize>)>,
    shape: Shape,
    path: String,
    batch_rows: usize,
    late: Option<Late>,
}

/// What is read of a file.
pub(crate) struct Wanted {
    /// Row groups.
    pub(crate) groups: Vec<usize>,
    /// Their rows, counted over them.
    pub(crate) runs: VecDeque<Range<u64>>,
    /// Roots of the columns, in the file's order.
    pub(crate) roots: Vec<usize>,
    /// Rows of a batch.
    pub(crate) batch_rows: usize,
}

impl LocalRows {
    /// `rest` makes a reader of columns, by their roots.
    pub(crate) fn open(
        file: File,
        (metadata, wanted): (&ArrowReaderMetadata, Wanted),
        (shape, path): (Shape, &str),
        predicate: Option<Predicate>,
        rest: impl FnOnce(&[usize]) -> Result<ParquetRecordBatchReader, ParquetError>,
    ) -> Result<LocalRows, ParquetError> {
        let (footer, schema) = (metadata.metadata(), metadata.schema());
        let here = |root: &usize| readable(footer, schema, &wanted.groups, *root);
        let all = wanted.roots.iter().copied().enumerate();
        let (flat, others): (Vec<_>, Vec<_>) = all.partition(|(_, root)| here(root));
        let (places, roots): (Vec<usize>, Vec<usize>) = flat.into_iter().unzip();
        let flat = Rows::open(&Shared::new(file)?, footer, schema, &wanted.groups, &roots, wanted.runs)?;
        let (others, other_roots): (Vec<usize>, Vec<usize>) = others.into_iter().unzip();
        let rest =
            (places.is_empty() || !others.is_empty()).then(|| Ok::<_, ParquetError>((rest(&other_roots)?, others)));
        let rest = rest.transpose()?;
        let late = predicate.filter(|_| rest.is_none()).and_then(|p| Late::new(p, &shape, (&flat, places.len())));
        Ok(LocalRows { flat, places, rest, shape, path: path.into(), batch_rows: wanted.batch_rows, late })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, RunError> {
        let columns = match self.rest {
            Some(_) => self.beside_others(),
            None => self.alone(),
        };
        let failed = |e| self.shape.failed(&self.path, e);
        let Some((columns, rows)) = columns.map_err(failed)? else { return Ok(None) };
        self.shape.batch(&self.path, &columns, rows).map(Some)
    }

    /// Another reader says how many rows the next batch has.
    fn beside_others(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>, ParquetError> {
        let Some((reader, places)) = &mut self.rest else { return Ok(None) };
        let Some(batch) = reader.next().transpose()? else { return Ok(None) };
        let mut columns: Vec<(usize, ArrayRef)> = places.iter().copied().zip(batch.columns().iter().cloned()).collect();
        let steps = self.flat.steps(batch.num_rows());
        if read_rows(&steps) != batch.num_rows() {
            return Err(ParquetError::General("columns of different lengths".into()));
        }
        for (column, place) in self.places.iter().enumerate() {
            columns.push((*place, self.flat.read(column, &steps)?));
        }
        columns.sort_unstable_by_key(|(place, _)| *place);
        Ok(Some((columns.into_iter().map(|(_, column)| column).collect(), batch.num_rows())))
    }

    fn alone(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>, ParquetError> {
        let mut steps = self.flat.steps(self.batch_rows);
        if steps.is_empty() {
            return Ok(None);
        }
        let (mut columns, mut kept) = (vec![None; self.places.len()], None);
        if let Some(late) = &mut self.late
            && late.asks()
        {
            let (rows, mut first) = (read_rows(&steps), vec![]);
            for column in &late.first {
                first.push(match late.coded.contains(column) {
                    true => First::Coded(self.flat.read_coded(*column, &steps)?),
                    false => First::Read(self.flat.read(*column, &steps)?),
                });
            }
            let pass = late.passing(&first, rows, &self.shape);
            let rows_kept = pass.as_ref().map(|pass| &pass.kept);
            for (column, read) in late.first.iter().zip(&first) {
                columns[*column] = Some(read.array(rows_kept)?);
            }
            if let Some(pass) = pass {
                let left = rows - pass.kept.count_set_bits();
                late.predicate.skipped.0.fetch_add(left as u64, Ordering::Relaxed);
                (steps, kept) = pass.of_others(steps, rows)?;
            }
        }
        let rows = kept.as_ref().map_or_else(|| read_rows(&steps), BooleanArray::true_count);
        let filter = kept.map(|kept| FilterBuilder::new(&kept).optimize().build());
        let mut all = vec![];
        for (column, read) in columns.into_iter().enumerate() {
            all.push(match (read, &filter) {
                (Some(read), _) => read,
                (None, None) => self.flat.read(column, &steps)?,
                (None, Some(filter)) => filter.filter(&self.flat.read(column, &steps)?)?,
            });
        }
        Ok(Some((all, rows)))
    }
}

/// A column that the predicate needs.
enum First {
    Read(ArrayRef),
    Coded(Coded),
}

impl First {
    /// The rows whose bit is set; none: all.
    fn array(&self, kept: Option<&BooleanBuffer>) -> Result<ArrayRef, ParquetError> {
        Ok(match (self, kept) {
            (First::Coded(coded), kept) => coded.array(kept)?,
            (First::Read(array), None) => Arc::clone(array),
            (First::Read(array), Some(kept)) => filter(array, &BooleanArray::from(kept.clone()))?,
        })
    }
}

/// Rows that come of a batch.
struct Pass {
    kept: BooleanBuffer,
    /// Those in runs of which other columns are read.
    runs: Vec<Range<usize>>,
}

impl Pass {
    /// What is read of other columns, by steps that would read all rows, and which rows of that are kept; none: all.
    fn of_others(&self, steps: Vec<Step>, rows: usize) -> Result<(Vec<Step>, Option<BooleanArray>), ParquetError> {
        let read: usize = self.runs.iter().map(ExactSizeIterator::len).sum();
        if read == self.kept.count_set_bits() {
            return Ok((refined(&steps, &self.runs), None));
        }
        let kept = BooleanArray::from(self.kept.clone());
        if read == rows {
            return Ok((steps, Some(kept)));
        }
        let kept = filter(&kept, &BooleanArray::from(bits(&self.runs, rows)))?;
        Ok((refined(&steps, &self.runs), Some(kept.as_boolean().clone())))
    }
}

impl Iterator for LocalRows {
    type Item = Result<RecordBatch, RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

impl Late {
    /// For a file all of whose columns are read here, so that their places are their numbers. None: every column is one that the predicate reads, and must be decoded
    /// for it, or it reads none.
    fn new(mut predicate: Predicate, shape: &Shape, (flat, columns): (&Rows, usize)) -> Option<Late> {
        let mut first: Vec<usize> = predicate.inputs.iter().flatten().filter_map(|c| shape.place(*c)).collect();
        first.sort_unstable();
        first.dedup();
        let place = |input: &usize| predicate.inputs.get(*input).copied().flatten().and_then(|c| shape.place(c));
        let observed = predicate.times.map(|times| times.column);
        let able = |input: usize| {
            let here = place(&input).filter(|place| flat.has_dictionaries(*place));
            // Not one that stands for another column, too.
            let alone = (0..predicate.inputs.len()).filter(|other| place(other) == here).count() == 1;
            here.is_some() && alone && observed != Some(input)
        };
        let tests = by_value::split(&mut predicate.conditions, predicate.inputs.len(), able);
        let coded: BTreeSet<usize> = tests.iter().filter_map(|test| place(&test.column)).collect();
        let helps = !first.is_empty() && (first.len() < columns || !tests.is_empty());
        helps.then_some(Late { predicate, first, tests, coded, wait: (0, 1) })
    }

    /// Whether the predicate is asked about the next batch.
    fn asks(&mut self) -> bool {
        let asks = self.wait.0 == 0;
        self.wait.0 = self.wait.0.saturating_sub(1);
        asks
    }

    /// The rows that pass, and few others; none: it is not worth it. Behind codes no others: rows are found in them one by one, and to filter what else was read
    /// costs less than to ask the predicate of it again.
    fn passing(&mut self, columns: &[First], rows: usize, shape: &Shape) -> Option<Pass> {
        let pass = self.evaluate(columns, rows, shape).and_then(|passes| {
            let runs = merged(&passes);
            let few = runs.iter().map(ExactSizeIterator::len).sum::<usize>() <= rows / 2;
            match self.tests.is_empty() {
                true => few.then(|| Pass { kept: bits(&runs, rows), runs }),
                false if passes.count_set_bits() > rows - rows / 4 => None,
                false if few => Some(Pass { kept: passes, runs }),
                false => Some(Pass { kept: passes, runs: std::iter::once(0..rows).collect() }),
            }
        });
        self.wait = match pass {
            Some(_) => (0, 1),
            None => (self.wait.1, (self.wait.1 * 2).min(PATIENCE)),
        };
        pass
    }

    /// Of which rows the predicate is true; none: it cannot be told, and whoever filters the rows will say why.
    fn evaluate(&mut self, columns: &[First], rows: usize, shape: &Shape) -> Option<BooleanBuffer> {
        let read = |column: usize| {
            let place = shape.place(column)?;
            columns.get(self.first.binary_search(&place).ok()?)
        };
        // What is coded is read by tests alone; of what is not there, the predicate reads nothing.
        let none: ArrayRef = Arc::new(NullArray::new(rows));
        let input = |input: &Option<usize>| match input {
            None => Some(Arc::clone(&none)),
            Some(column) => match read(*column) {
                Some(First::Coded(_)) => Some(Arc::clone(&none)),
                Some(First::Read(array)) => shape.column(*column, Some(array), rows).ok(),
                None => shape.column(*column, None, rows).ok(),
            },
        };
        let mut inputs = self.predicate.inputs.iter().map(input).collect::<Option<Vec<_>>>()?;
        for test in &mut self.tests {
            let column = self.predicate.inputs.get(test.column).copied().flatten()?;
            let Some(First::Coded(coded)) = read(column) else { return None };
            let shaped = |values: &ArrayRef| shape.column(column, Some(values), values.len()).ok();
            inputs.push(Arc::new(test.answers(coded, &shaped)?));
        }
        let mut all: Option<BooleanBuffer> = None;
        for condition in &self.predicate.conditions {
            let passes = flowc_ir::vector::evaluate(condition, &inputs, rows, &EvalContext::default()).ok()?;
            let passes = passes.as_boolean_opt()?;
            let passes = match passes.nulls() {
                Some(nulls) => passes.values() & nulls.inner(),
                None => passes.values().clone(),
            };
            all = Some(all.map_or(passes.clone(), |before| &before & &passes));
        }
        match self.predicate.times {
            Some(times) => beside_latest(all?, inputs.get(times.column)?, times),
            None => all,
        }
    }
}

/// With a row that has the latest event time, if any row has one; none: for one of the rows computing it fails.
fn beside_latest(passes: BooleanBuffer, times: &ArrayRef, known: EventTimes) -> Option<BooleanBuffer> {
    let whole = match times.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => &cast(times, &DataType::Int64).ok()?,
        _ => times,
    };
    let times: &[i64] = match whole.data_type() {
        DataType::Int64 => whole.as_primitive_opt::<Int64Type>()?.values(),
        DataType::Timestamp(..) => whole.as_primitive_opt::<TimestampMicrosecondType>()?.values(),
        _ => return None,
    };
    let valid = |row: &usize| whole.is_valid(*row);
    let bounds = (0..times.len()).filter(valid).fold(None, |bounds: Option<(i64, usize)>, row| {
        let (least, latest) = bounds.unwrap_or((times[row], row));
        Some((least.min(times[row]), if times[row] > times[latest] { row } else { latest }))
    });
    let Some((least, latest)) = bounds else { return Some(passes) };
    if least < known.least || times[latest] > known.greatest {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(passes.len());
    bits.append_buffer(&passes);
    bits.set_bit(latest, true);
    Some(bits.build())
}

/// Runs of the rows whose bit is set, and of those in small gaps between them.
fn merged(passes: &BooleanBuffer) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = vec![];
    for (begin, end) in passes.set_slices() {
        match runs.last_mut() {
            Some(last) if begin - last.end < GAP => last.end = end,
            _ => runs.push(begin..end),
        }
    }
    runs
}

/// A bit for each row: whether it is in a run.
fn bits(runs: &[Range<usize>], rows: usize) -> BooleanBuffer {
    let mut bits = BooleanBufferBuilder::new(rows);
    for run in runs {
        bits.append_n(run.start - bits.len(), false);
        bits.append_n(run.len(), true);
    }
    bits.append_n(rows - bits.len(), false);
    bits.build()
}

/// Steps that read, of what these read, the rows of runs alone, and end where these end.
fn refined(steps: &[Step], runs: &[Range<usize>]) -> Vec<Step> {
    let (mut refined, mut skip, mut row, mut next) = (vec![], 0, 0, 0);
    for step in steps {
        skip += step.skip;
        let end = row + step.read;
        while row < end {
            match runs.get(next).map(|run| run.start.max(row)..run.end.min(end)) {
                Some(run) if run.start < end => {
                    refined.push(Step { skip: skip + run.start - row, read: run.len() });
                    (skip, row) = (0, run.end);
                    next += usize::from(row == runs[next].end);
                }
                _ => (skip, row) = (skip + end - row, end),
            }
        }
    }
    refined.push(Step { skip, read: 0 });
    refined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn refined_steps_read_what_passes_and_go_as_far(
            steps in prop::collection::vec((0usize..40, 0usize..200), 0..12),
            passes in prop::collection::vec((any::<bool>(), 1usize..150), 1..20),
        ) {
            let steps: Vec<Step> = steps.into_iter().map(|(skip, read)| Step { skip, read }).collect();
            let rows = read_rows(&steps);
            let passes: Vec<bool> = passes.into_iter().flat_map(|(p, times)| vec![p; times]).chain(vec![false; rows]).take(rows).collect();
            let runs = merged(&passes.iter().copied().collect());
            let kept = bits(&runs, rows);
            prop_assert!(passes.iter().zip(&kept).all(|(passes, kept)| kept || !passes));
            // The numbers of the rows that steps read, counted over all.
            let numbers = |steps: &[Step]| {
                let mut at = 0;
                let each = steps.iter().flat_map(|step| {
                    let begin = at + step.skip;
                    at = begin + step.read;
                    begin..at
                });
                (each.collect::<Vec<usize>>(), steps.iter().map(|s| s.skip + s.read).sum::<usize>())
            };
            let ((all, end), (left, left_end)) = (numbers(&steps), numbers(&refined(&steps, &runs)));
            prop_assert_eq!(end, left_end);
            prop_assert_eq!(left, all.into_iter().zip(&kept).filter(|(_, kept)| *kept).map(|(row, _)| row).collect::<Vec<_>>());
        }
    }
}
