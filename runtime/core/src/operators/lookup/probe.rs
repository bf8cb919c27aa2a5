//! A batch of the stream on its way through a lookup: candidates are gathered about a batch at a time, so that no output has to be large.

use super::{Matching, NONE, Seen, Snapshot};
use crate::operators::Fault;
use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter_record_batch, take};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::graph::LookupKind;
use std::sync::Arc;

/// Rows of the stream, each beside a row of the table.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) stream: Vec<u32>,
    /// [`NONE`] where there is no such row.
    pub(super) table: Vec<u32>,
}

impl Pairs {
    fn with_capacity(count: usize) -> Pairs {
        Pairs { stream: Vec::with_capacity(count), table: Vec::with_capacity(count) }
    }

    pub(super) fn len(&self) -> usize {
        self.stream.len()
    }

    /// A column of a batch of so many rows, for each pair. Where each row is in one pair it stays as it is.
    pub(super) fn of_stream(&self, column: &ArrayRef, rows: usize) -> Result<ArrayRef, Fault> {
        if self.len() == rows && (0..).zip(&self.stream).all(|(row, stream)| row == *stream) {
            return Ok(Arc::clone(column));
        }
        Ok(take(column, &UInt32Array::from(self.stream.clone()), None)?)
    }

    /// The pairs at these places.
    fn only(&self, places: &BooleanBuffer) -> Pairs {
        let mut pairs = Pairs::with_capacity(places.count_set_bits());
        places.set_indices().for_each(|pair| pairs.push(self.stream[pair], self.table[pair]));
        pairs
    }

    fn push(&mut self, stream: u32, table: u32) {
        self.stream.push(stream);
        self.table.push(table);
    }
}

/// A batch of the stream on its way.
pub(super) struct Probe<'a> {
    pub(super) matching: &'a Matching,
    pub(super) input: RecordBatch,
    pub(super) seen: Seen,
    /// The next candidate of each row.
    pub(super) next: Vec<u32>,
    /// The row to go on with.
    pub(super) row: usize,
    /// Whether that row has had a match.
    pub(super) matched: bool,
}

impl Probe<'_> {
    /// The next candidates, at most about a batch of them; whether the last row has none left.
    fn gather(&mut self) -> (Pairs, usize) {
        let mut row = self.row;
        let batch = self.matching.batch_rows.min(self.next.len() - row);
        let mut pairs = Pairs::with_capacity(batch);
        if self.seen.single().is_some_and(Snapshot::is_unique) {
            let rows = (row as u32..).zip(&self.next[row..row + batch]);
            rows.filter(|(_, candidate)| **candidate != NONE).for_each(|(row, candidate)| pairs.push(row, *candidate));
            return (pairs, row + batch);
        }
        while row < self.next.len() && pairs.stream.len() < self.matching.batch_rows {
            match (self.next[row], self.seen.of(row)) {
                (NONE, _) | (_, None) => row += 1,
                (candidate, Some(snapshot)) => {
                    pairs.push(row as u32, candidate);
                    self.next[row] = snapshot.following(candidate);
                }
            }
        }
        // Rows before `row` have no candidates left.
        (pairs, row)
    }

    /// The next rows of an inner or left lookup; none at the end.
    pub(super) fn join(&mut self) -> Result<Option<RecordBatch>, Fault> {
        if self.row >= self.next.len() {
            return Ok(None);
        }
        let (candidates, end) = self.gather();
        let admitted = self.admitted(&candidates)?;
        let pairs = match (self.matching.kind, admitted) {
            (LookupKind::Left, admitted) => self.with_unmatched(&candidates, admitted.as_ref(), end),
            (_, Some(admitted)) => candidates.only(&admitted),
            (_, None) => candidates,
        };
        self.row = end;
        self.matching.joined(&self.input, &self.seen, &pairs).map(Some)
    }

    /// Which candidates meet the further condition; none: there is no condition.
    fn admitted(&self, candidates: &Pairs) -> Result<Option<BooleanBuffer>, Fault> {
        let condition = self.matching.residual.as_ref();
        condition.map(|c| c.admitted(self.matching, (&self.input, &self.seen), candidates)).transpose()
    }

    /// The candidates that are admitted, and for rows that have none left and had no match a pair without a row of the table.
    fn with_unmatched(&mut self, candidates: &Pairs, admitted: Option<&BooleanBuffer>, end: usize) -> Pairs {
        let mut pairs = Pairs::with_capacity(candidates.len());
        let mut pair = 0;
        for row in self.row..self.next.len().min(end + 1) {
            while pair < candidates.stream.len() && candidates.stream[pair] as usize == row {
                if admitted.is_none_or(|admitted| admitted.value(pair)) {
                    pairs.push(row as u32, candidates.table[pair]);
                    self.matched = true;
                }
                pair += 1;
            }
            if row < end {
                if !self.matched {
                    pairs.push(row as u32, NONE);
                }
                self.matched = false;
            }
        }
        pairs
    }

    /// The rows, each with whether it has a match.
    pub(super) fn mark(&mut self) -> Result<RecordBatch, Fault> {
        let keys: Vec<&ArrayRef> = self.matching.stream_keys.iter().map(|c| self.input.column(*c)).collect();
        let null_key = self.seen.snapshots.iter().any(|snapshot| snapshot.null_key);
        let mark = |(row, head): (usize, &u32)| match *head {
            _ if keys.iter().any(|key| key.is_null(row)) => None,
            NONE => (!null_key).then_some(false),
            _ => Some(true),
        };
        let marks: BooleanArray = self.next.iter().enumerate().map(mark).collect();
        let columns = self.input.columns().iter().cloned().chain([Arc::new(marks) as ArrayRef]).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.input.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.matching.schema), columns, &options)?)
    }

    /// The rows that have a match (semi) or none (anti).
    pub(super) fn filter(&mut self) -> Result<RecordBatch, Fault> {
        let mut found = vec![false; self.next.len()];
        if self.matching.residual.is_none() {
            found = self.next.iter().map(|head| *head != NONE).collect();
        } else {
            while self.row < self.next.len() {
                let (candidates, end) = self.gather();
                if let Some(admitted) = self.admitted(&candidates)? {
                    admitted.set_indices().for_each(|pair| found[candidates.stream[pair] as usize] = true);
                }
                // One match is enough.
                if end < found.len() && found[end] {
                    self.next[end] = NONE;
                }
                self.row = end;
            }
        }
        let wanted = self.matching.kind == LookupKind::Semi;
        let keep: BooleanArray = found.into_iter().map(|f| Some(f == wanted)).collect();
        let kept = filter_record_batch(&self.input, &keep)?;
        Ok(kept.with_schema(Arc::clone(&self.matching.schema))?)
    }
}
