//! Rows of a column as numbers of values in a dictionary, so that what is asked of a value is asked once, however many rows have it, and values are copied for rows
//! that are kept alone: direct operation on compressed data (Abadi, Madden, Ferreira: "Integrating compression and execution in column-oriented database systems",
//! SIGMOD 2006). Pages whose values are plain give arrays, side by side with the others. Knows numbers and arrays; nothing of pages, and not what is asked.

use super::hybrid::Piece as Numbers;
use super::{BEYOND, Damaged, Decoder};
use arrow::array::{Array, ArrayRef, BooleanArray, NullBufferBuilder, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{concat, filter, take};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The values of a dictionary, and a null behind them.
#[derive(Debug)]
pub struct Entries(pub ArrayRef);

/// Rows of which all values are of one dictionary, or stand in pages without one.
#[derive(Debug)]
pub enum Piece {
    /// For each row the number of its value; null has a number, too.
    Codes(Arc<Entries>, Vec<u32>),
    /// The rows.
    Values(ArrayRef),
}

impl Piece {
    fn rows(&self) -> usize {
        match self {
            Piece::Codes(_, codes) => codes.len(),
            Piece::Values(array) => array.len(),
        }
    }

    fn array(&self, kept: Option<&BooleanBuffer>) -> Result<ArrayRef, ArrowError> {
        match (self, kept) {
            (Piece::Values(array), None) => Ok(Arc::clone(array)),
            (Piece::Values(array), Some(kept)) => filter(array, &BooleanArray::from(kept.clone())),
            (Piece::Codes(entries, codes), None) => take(&entries.0, &UInt32Array::from(codes.clone()), None),
            (Piece::Codes(entries, codes), Some(kept)) => {
                let codes: Vec<u32> = kept.set_indices().map(|row| codes[row]).collect();
                take(&entries.0, &UInt32Array::from(codes), None)
            }
        }
    }
}

/// Rows of a column, in pieces.
#[derive(Debug)]
pub struct Coded {
    pieces: Vec<Piece>,
}

impl Coded {
    /// Rows in at least one piece, all of one type.
    pub fn of(pieces: Vec<Piece>) -> Coded {
        Coded { pieces }
    }

    /// The pieces, at least one.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The values of all rows, or of those whose bit is set.
    pub fn array(&self, kept: Option<&BooleanBuffer>) -> Result<ArrayRef, ArrowError> {
        let mut at = 0;
        let mut arrays = vec![];
        for piece in &self.pieces {
            let these = kept.map(|kept| kept.slice(at, piece.rows()));
            arrays.push(piece.array(these.as_ref())?);
            at += piece.rows();
        }
        match &arrays[..] {
            [one] => Ok(Arc::clone(one)),
            _ => concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
        }
    }
}

/// Reads the rows of a batch in pieces.
#[derive(Debug)]
pub struct Codes {
    /// The values of the decoder's dictionary, once they were asked for.
    entries: Option<Arc<Entries>>,
    pieces: Vec<Piece>,
    /// Numbers before nulls get their places among them.
    dense: Vec<u32>,
    /// How many rows of the decoder each run of plain rows has, and behind which piece it comes.
    plain: Vec<(usize, usize)>,
    plain_nulls: NullBufferBuilder,
    /// Rows of the batch.
    rows: usize,
}

impl Default for Codes {
    fn default() -> Codes {
        let plain_nulls = NullBufferBuilder::new(0);
        Codes { entries: None, pieces: vec![], dense: vec![], plain: vec![], plain_nulls, rows: 0 }
    }
}

impl Codes {
    /// The decoder has got another dictionary.
    pub fn forget(&mut self) {
        self.entries = None;
    }

    /// A batch of so many rows.
    pub fn begin(&mut self, rows: usize) {
        self.rows = rows;
    }

    /// The next rows of a decoder: so many values, a row for each, or for each bit that is set.
    pub fn read(
        &mut self,
        decoder: &mut dyn Decoder,
        count: usize,
        valid: Option<&BooleanBuffer>,
    ) -> Result<(), Damaged> {
        if decoder.numbers().is_none() {
            return self.read_plain(decoder, count, valid);
        }
        let entries = match &self.entries {
            Some(entries) => Arc::clone(entries),
            None => Arc::new(Entries(decoder.entries()?)),
        };
        self.entries = Some(Arc::clone(&entries));
        let null = entries.0.len().saturating_sub(1) as u32;
        let goes_on = self.plain.last().is_none_or(|(piece, _)| *piece < self.pieces.len())
            && matches!(self.pieces.last(), Some(Piece::Codes(of, _)) if Arc::ptr_eq(of, &entries));
        if !goes_on {
            self.pieces.push(Piece::Codes(entries, vec![]));
        }
        let (Some(numbers), Some(Piece::Codes(_, codes))) = (decoder.numbers(), self.pieces.last_mut()) else {
            return Ok(());
        };
        let Some(valid) = valid else { return append(numbers, count, null, codes) };
        self.dense.clear();
        append(numbers, count, null, &mut self.dense)?;
        super::validity::spread(&self.dense, valid, codes, |_| null);
        Ok(())
    }

    fn read_plain(
        &mut self,
        decoder: &mut dyn Decoder,
        count: usize,
        valid: Option<&BooleanBuffer>,
    ) -> Result<(), Damaged> {
        let rows = valid.map_or(count, BooleanBuffer::len);
        if self.plain.is_empty() {
            decoder.begin(self.rows);
        }
        match valid {
            Some(valid) => {
                decoder.read_spread(count, valid)?;
                self.plain_nulls.append_buffer(&NullBuffer::new(valid.clone()));
            }
            None => {
                decoder.read(count)?;
                self.plain_nulls.append_n_non_nulls(rows);
            }
        }
        match self.plain.last_mut() {
            Some((piece, run)) if *piece == self.pieces.len() => *run += rows,
            _ => self.plain.push((self.pieces.len(), rows)),
        }
        Ok(())
    }

    /// The rows that were read; begins anew.
    pub fn finish(&mut self, decoder: &mut dyn Decoder) -> Result<Coded, Damaged> {
        let codes = std::mem::take(&mut self.pieces);
        let runs = std::mem::take(&mut self.plain);
        if runs.is_empty() && !codes.is_empty() {
            return Ok(Coded::of(codes));
        }
        if runs.is_empty() {
            decoder.begin(0);
        }
        let plain = decoder.finish(self.plain_nulls.finish())?;
        if codes.is_empty() {
            return Ok(Coded::of(vec![Piece::Values(plain)]));
        }
        let (mut pieces, mut at) = (vec![], 0);
        let mut runs = runs.into_iter().peekable();
        let mut codes = codes.into_iter().enumerate().peekable();
        while codes.peek().is_some() || runs.peek().is_some() {
            let next = codes.peek().map_or(usize::MAX, |(place, _)| *place);
            if let Some((_, rows)) = runs.next_if(|(place, _)| *place <= next) {
                pieces.push(Piece::Values(plain.slice(at, rows)));
                at += rows;
            } else if let Some((_, piece)) = codes.next() {
                pieces.push(piece);
            }
        }
        Ok(Coded::of(pieces))
    }
}

/// Appends so many numbers, all of which are less than `end`.
fn append(numbers: &mut super::hybrid::Hybrid, count: usize, end: u32, out: &mut Vec<u32>) -> Result<(), Damaged> {
    out.reserve(count);
    let mut left = count;
    while left > 0 {
        left -= match numbers.take(left)? {
            Numbers::Equal(number, times) => {
                if number >= end {
                    return Err(BEYOND);
                }
                out.extend(std::iter::repeat_n(number, times));
                times
            }
            Numbers::Each(numbers) => {
                if numbers.iter().fold(0, |most, n| most.max(*n)) >= end {
                    return Err(BEYOND);
                }
                out.extend_from_slice(numbers);
                numbers.len()
            }
        }
    }
    Ok(())
}
