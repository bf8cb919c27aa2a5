//! The end of an epoch, step by step: changes are netted as they are read, then meet the rows of the other side, those that go before those that come, and then the
//! rows come out whose matches have become some, or none. What comes out is made a batch at a time.

use super::super::Fault;
use super::super::internal;
use super::super::kept::{Stepwise, account, drained, no_nulls, parts};
use super::super::stateful::Emitted;
use super::super::transform::run_kernel;
use super::side::NONE;
use super::{ChangingJoin, Kept, LEFT, RIGHT, Work};
use crate::error::RunError;
use crate::spill::SpillBuffer;
use crate::zset::weights;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{filter, filter_record_batch, not, take};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use flowc_ir::graph::JoinKind;
use flowc_ir::plan::KernelSlot;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Whose changes meet the other side, one after the other: a side, and whether rows come.
const TURNS: [(usize, bool); 4] = [(LEFT, false), (RIGHT, false), (RIGHT, true), (LEFT, true)];

/// Changes on their way to the other side's rows.
#[derive(Debug)]
struct Meeting {
    turn: usize,
    rows: Vec<u32>,
    /// The row to go on with.
    at: usize,
    /// The row of the other side to go on with; none: its key's first.
    other: Option<u32>,
}

#[derive(Debug)]
enum Phase {
    /// Changes are read.
    Read,
    /// They meet the other side.
    Meet(Meeting),
    /// Rows of a side come out by themselves: from this one on.
    Single(usize, Vec<u32>, usize),
    Over,
}

/// See the module.
pub(super) struct Run<'a> {
    join: &'a ChangingJoin,
    input: Box<dyn Iterator<Item = Result<(usize, RecordBatch), RunError>> + Send>,
    phase: Phase,
    /// The keys whose rows weigh something else than before the epoch, and what they weighed.
    keys: Vec<u32>,
    totals: HashMap<u32, [i64; 2]>,
    out: VecDeque<Emitted>,
}

/// The columns of the two sides of what comes out; none: nulls.
type Columns = [Option<Vec<ArrayRef>>; 2];

impl<'a> Run<'a> {
    pub(super) fn new(join: &'a ChangingJoin, rows: BTreeMap<(usize, u32, u32), SpillBuffer>) -> Run<'a> {
        let of_side = |((side, ..), buffer): ((usize, u32, u32), SpillBuffer)| {
            drained([buffer].into_iter()).map(move |batch| batch.map(|batch| (side, batch)))
        };
        let input = Box::new(rows.into_iter().flat_map(of_side));
        Run { join, input, phase: Phase::Read, keys: vec![], totals: HashMap::new(), out: VecDeque::new() }
    }

    fn most(&self) -> usize {
        self.join.surroundings.batch_rows.max(1)
    }

    /// Nets changes; those of rows with a null in their key come out at once, if they do.
    fn read(&mut self, work: &mut Work, side: usize, mut batch: RecordBatch) -> Result<(), Fault> {
        let shape = &self.join.shape;
        let of = |batch: &RecordBatch, columns: &[usize]| -> Vec<ArrayRef> {
            columns.iter().map(|column| Arc::clone(batch.column(*column))).collect()
        };
        if let Some(valid) = no_nulls(&of(&batch, shape.keys(side))).filter(|valid| valid.null_count() > 0) {
            let valid = BooleanArray::new(valid.into_inner(), None);
            let keyless = filter_record_batch(&batch, &not(&valid)?)?;
            batch = filter_record_batch(&batch, &valid)?;
            self.keyless(&mut work.memory, side, &keyless)?;
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (columns, keys) = (of(&batch, &shape.kept[side]), of(&batch, shape.keys(side)));
        let (memory, weights) = (&mut work.memory, weights(&batch)?);
        let keys = memory.keys.assign(&memory.keys.encode(&keys, batch.num_rows())?, &[])?;
        memory.sides[side].find(&columns, &keys, |rows, place, row| rows.add(row, weights[place]))?;
        Ok(account(&mut work.held, &self.join.surroundings.budget, memory.bytes(), &shape.spec.name)?)
    }

    fn keyless(&mut self, memory: &mut Kept, side: usize, batch: &RecordBatch) -> Result<(), Fault> {
        let shape = &self.join.shape;
        let all = weights(batch)?;
        if side == RIGHT && shape.kind() == JoinKind::Mark {
            memory.null_keys = all.iter().fold(memory.null_keys, |sum, weight| sum.wrapping_add(*weight));
        }
        if !shape.single(side) || !shape.comes_out(0) {
            return Ok(());
        }
        for batch in parts(batch.clone(), self.most()) {
            let columns = shape.kept[side].iter().map(|column| Arc::clone(batch.column(*column))).collect();
            let marks = vec![None; batch.num_rows()];
            self.single(side, columns, weights(&batch)?.to_vec(), marks)?;
        }
        Ok(())
    }

    /// The next pairs that changes make.
    fn meet(&mut self, work: &mut Work, meeting: &mut Meeting) -> Result<(), Fault> {
        let (shape, most) = (&self.join.shape, self.most());
        let ((side, _), memory) = (TURNS[meeting.turn], &mut work.memory);
        let other = 1 - side;
        let mut pairs: [Vec<u32>; 2] = [vec![], vec![]];
        while let Some(row) = meeting.rows.get(meeting.at).copied().filter(|_| pairs[side].len() < most) {
            let key = memory.sides[side].key(row);
            if shape.pairs() {
                let mut candidate = meeting.other.take().unwrap_or_else(|| memory.sides[other].head(key));
                while candidate != NONE && pairs[side].len() < most {
                    if memory.sides[other].weight(candidate) != 0 {
                        pairs[side].push(row);
                        pairs[other].push(candidate);
                    }
                    candidate = memory.sides[other].following(candidate);
                }
                if candidate != NONE {
                    meeting.other = Some(candidate);
                    break;
                }
            }
            memory.sides[side].apply(row);
            if !memory.sides[LEFT].counts() && !memory.sides[RIGHT].counts() && shape.kind() != JoinKind::Inner {
                self.weigh(memory, side, row, key);
            }
            meeting.at += 1;
        }
        if pairs[side].is_empty() {
            return Ok(());
        }
        self.pair(memory, side, pairs)
    }

    /// Adds a change to the weight of its key's rows.
    fn weigh(&mut self, memory: &mut Kept, side: usize, row: u32, key: u32) {
        self.totals.entry(key).or_insert_with(|| {
            self.keys.push(key);
            [memory.total(LEFT, key), memory.total(RIGHT, key)]
        });
        memory.add_total(side, key, memory.sides[side].delta(row));
    }

    /// Changes of a side beside rows of the other: counts those that match, and gives out what they make.
    fn pair(&mut self, memory: &mut Kept, side: usize, mut pairs: [Vec<u32>; 2]) -> Result<(), Fault> {
        let shape = &self.join.shape;
        let other = 1 - side;
        let mut columns = [self.spread(memory, LEFT, &pairs[LEFT])?, self.spread(memory, RIGHT, &pairs[RIGHT])?];
        if let Some(admitted) = self.admitted(&columns, pairs[LEFT].len())? {
            for (rows, columns) in pairs.iter_mut().zip(&mut columns) {
                let mut yes = admitted.iter().map(|yes| yes == Some(true));
                rows.retain(|_| yes.next() == Some(true));
                let left = columns.iter().map(|column| filter(column, &admitted));
                *columns = left.collect::<Result<_, _>>()?;
            }
        }
        let mut weights = Vec::with_capacity(pairs[side].len());
        for (row, match_) in pairs[side].iter().zip(&pairs[other]) {
            let (delta, weight) = (memory.sides[side].delta(*row), memory.sides[other].weight(*match_));
            if memory.sides[side].counts() && memory.sides[side].is_new(*row) {
                memory.sides[side].count(*row, weight);
            }
            if memory.sides[other].counts() {
                memory.sides[other].count(*match_, delta);
            }
            weights.push(delta.wrapping_mul(weight));
        }
        if shape.kind().yields_right() {
            self.emit(columns.map(Some), weights, None)?;
        }
        Ok(())
    }

    /// The columns of rows, many of which may be neighbours of their like.
    fn spread(&self, memory: &Kept, side: usize, rows: &[u32]) -> Result<Vec<ArrayRef>, Fault> {
        let mut different = rows.to_vec();
        different.dedup();
        let columns = memory.sides[side].columns(&different)?;
        if different.len() == rows.len() {
            return Ok(columns);
        }
        let mut place = 0;
        let places: UInt32Array = rows
            .iter()
            .map(|row| {
                place += usize::from(different[place] != *row);
                Some(place as u32)
            })
            .collect();
        Ok(columns.iter().map(|column| take(column, &places, None)).collect::<Result<_, _>>()?)
    }

    /// Which pairs meet the further condition; none: all.
    fn admitted(&self, columns: &[Vec<ArrayRef>; 2], pairs: usize) -> Result<Option<BooleanArray>, Fault> {
        let shape = &self.join.shape;
        let Some(kernel) = &shape.residual else { return Ok(None) };
        let ones: ArrayRef = Arc::new(Int64Array::from(vec![1; pairs]));
        let side = |side: usize| self.side(side, Some(columns[side].clone()), Arc::clone(&ones));
        let columns = side(LEFT).into_iter().chain(side(RIGHT)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(pairs));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&shape.pair), columns, &options)?;
        let result = run_kernel(KernelSlot::Residual(shape.node), &**kernel, &shape.context, &batch)?;
        if result.num_rows() != pairs {
            return Err(internal("the condition of a join removed rows").into());
        }
        Ok(Some(result.column(0).as_boolean().clone()))
    }

    /// The columns of a side, with a column of weights in its place.
    fn side(&self, side: usize, kept: Option<Vec<ArrayRef>>, weights: ArrayRef) -> Vec<ArrayRef> {
        let shape = &self.join.shape;
        let nulls = || shape.types(side).iter().map(|data| new_null_array(data, weights.len())).collect();
        let mut columns = kept.unwrap_or_else(nulls);
        columns.insert(shape.weights[side], weights);
        columns
    }

    /// Gives out rows.
    fn emit(&mut self, [left, right]: Columns, weights: Vec<i64>, marks: Option<BooleanArray>) -> Result<(), Fault> {
        let (shape, rows) = (&self.join.shape, weights.len());
        if rows == 0 {
            return Ok(());
        }
        // The right side's weight means nothing: it is the same in all rows, so that equal rows are equal.
        let ones: ArrayRef = match right {
            Some(_) => Arc::new(Int64Array::from(vec![1; rows])),
            None => new_null_array(&DataType::Int64, rows),
        };
        let mut columns = self.side(LEFT, left, Arc::new(Int64Array::from(weights)));
        if shape.kind().yields_right() {
            columns.extend(self.side(RIGHT, right, ones));
        }
        columns.extend(marks.map(|marks| Arc::new(marks) as ArrayRef));
        self.out.push_back(Emitted::Rows(RecordBatch::try_new(Arc::clone(&shape.output), columns)?));
        Ok(())
    }

    /// Gives out rows of a side by themselves. `marks`: whether they have a match, where that is asked for.
    fn single(
        &mut self,
        side: usize,
        columns: Vec<ArrayRef>,
        weights: Vec<i64>,
        marks: Vec<Option<bool>>,
    ) -> Result<(), Fault> {
        let marks = (self.join.shape.kind() == JoinKind::Mark).then(|| BooleanArray::from(marks));
        let columns = if side == LEFT { [Some(columns), None] } else { [None, Some(columns)] };
        self.emit(columns, weights, marks)
    }

    /// The rows of a side that may come out by themselves, or not any more.
    fn singles(&self, work: &Work, side: usize) -> Vec<u32> {
        let (shape, memory) = (&self.join.shape, &work.memory);
        if !shape.single(side) {
            return vec![];
        }
        let rows = &memory.sides[side];
        let others = |row: &u32| rows.change(*row).is_none() && rows.weight(*row) != 0;
        let mut found: Vec<u32> = rows.changed().iter().map(|changed| changed.row).collect();
        if shape.kind() == JoinKind::Mark && (work.null_keys > 0) != (memory.null_keys > 0) {
            found.extend((0..rows.len() as u32).filter(others));
            return found;
        }
        let turned = |key: &&u32| {
            let before = self.totals.get(*key).map_or(0, |totals| totals[1 - side]);
            (before > 0) != (memory.total(1 - side, **key) > 0)
        };
        for key in self.keys.iter().filter(turned) {
            let mut row = rows.head(*key);
            while row != NONE {
                found.extend(Some(row).filter(others));
                row = rows.following(row);
            }
        }
        found
    }

    /// Rows of a side by themselves: as they came out before, taken away; as they do now, added.
    fn give(&mut self, work: &Work, side: usize, rows: &[u32]) -> Result<(), Fault> {
        let (shape, memory) = (&self.join.shape, &work.memory);
        let mark = |matches: i64, null_keys: i64| match matches > 0 {
            true => Some(true),
            false => (null_keys <= 0).then_some(false),
        };
        let (mut out, mut weights, mut marks) = (vec![], vec![], vec![]);
        for row in rows.iter().copied() {
            let (weight, matches) = (memory.sides[side].weight(row), memory.matches(side, row));
            let change = memory.sides[side].change(row);
            let weighed = change.map_or(weight, |change| change.weight);
            let matched = match change {
                Some(change) if memory.sides[side].counts() => change.matches,
                _ if memory.sides[side].counts() => matches,
                _ => self.totals.get(&memory.sides[side].key(row)).map_or(matches, |totals| totals[1 - side]),
            };
            let (then, now) = (mark(matched, work.null_keys), mark(matches, memory.null_keys));
            let times = |weight: i64, matches: i64| if shape.comes_out(matches) { weight } else { 0 };
            let (less, more) = (times(weighed, matched), times(weight, matches));
            let changes = match shape.kind() {
                JoinKind::Mark if then != now => [(less.wrapping_neg(), then), (more, now)],
                _ => [(more.wrapping_sub(less), now), (0, now)],
            };
            for (weight, mark) in changes.into_iter().filter(|(weight, _)| *weight != 0) {
                out.push(row);
                weights.push(weight);
                marks.push(mark);
            }
        }
        let columns = memory.sides[side].columns(&out)?;
        self.single(side, columns, weights, marks)
    }
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.out
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let join = self.join;
        let mut work = join.work();
        let work = &mut *work;
        let meeting = |work: &Work, turn: usize| {
            let (side, comes) = TURNS[turn];
            Phase::Meet(Meeting { turn, rows: work.memory.sides[side].growing(comes), at: 0, other: None })
        };
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Read => match self.input.next().transpose()? {
                Some((side, batch)) => {
                    self.read(work, side, batch)?;
                    self.phase = Phase::Read;
                }
                None => self.phase = meeting(work, 0),
            },
            Phase::Meet(mut next) if next.at < next.rows.len() => {
                self.meet(work, &mut next)?;
                self.phase = Phase::Meet(next);
            }
            Phase::Meet(done) if done.turn + 1 < TURNS.len() => self.phase = meeting(work, done.turn + 1),
            Phase::Meet(_) => self.phase = Phase::Single(LEFT, self.singles(work, LEFT), 0),
            Phase::Single(side, rows, next) if next < rows.len() => {
                // A row may come out twice.
                let end = rows.len().min(next + (self.most() / 2).max(1));
                self.give(work, side, &rows[next..end])?;
                self.phase = Phase::Single(side, rows, end);
            }
            Phase::Single(LEFT, ..) => self.phase = Phase::Single(RIGHT, self.singles(work, RIGHT), 0),
            Phase::Single(..) => {
                work.memory.sides.iter_mut().try_for_each(super::side::Side::forget)?;
                account(&mut work.held, &join.surroundings.budget, work.memory.bytes(), &join.shape.spec.name)?;
            }
            Phase::Over => return Ok(true),
        }
        Ok(false)
    }
}
