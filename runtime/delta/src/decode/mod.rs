//! Decodes the columns of Parquet files that have no nesting, straight into the buffers of arrays; the Parquet crate finds pages and decompresses them. What a
//! footer says is otherwise encoded, and columns with nesting, are for that crate's own reader, whose arrays are the same. Memory: a page and a dictionary a
//! column. Knows Parquet; nothing of tables.

pub mod coded;
pub mod column;
mod hybrid;
pub mod local;
mod numbers;
pub mod rows;
mod texts;
mod unpack;
mod validity;

#[cfg(test)]
mod tests;

use arrow::array::ArrayRef;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use bytes::Bytes;
use hybrid::Hybrid;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

impl From<Damaged> for ParquetError {
    fn from(damaged: Damaged) -> ParquetError {
        ParquetError::General(damaged.0.into())
    }
}

/// A number that the dictionary does not have.
const BEYOND: Damaged = Damaged("dictionary index out of bounds");

/// Decodes the values of one column, those that are not null.
pub trait Decoder: Send {
    /// The values that those of pages are numbers of.
    fn dictionary(&mut self, bytes: Bytes, count: usize) -> Result<(), Damaged>;

    /// The values of the next page.
    fn page(&mut self, encoding: Encoding, bytes: Bytes) -> Result<(), Damaged>;

    /// Makes room for so many rows.
    fn begin(&mut self, rows: usize);

    /// The next values, as rows without nulls.
    fn read(&mut self, count: usize) -> Result<(), Damaged>;

    /// The next values, so many as bits are set: a row for each bit.
    fn read_spread(&mut self, count: usize, valid: &BooleanBuffer) -> Result<(), Damaged>;

    /// Passes over values.
    fn skip(&mut self, count: usize) -> Result<(), Damaged>;

    /// The rows as an array; begins anew.
    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, Damaged>;

    /// The values of the page, as numbers in the dictionary; none: they are none, or are not given out as such.
    fn numbers(&mut self) -> Option<&mut Hybrid> {
        None
    }

    /// The dictionary's values, and a null behind them, of decoders that give out numbers.
    fn entries(&self) -> Result<ArrayRef, Damaged> {
        Err(Damaged("no dictionary"))
    }
}

/// The values of a page that are numbers in a dictionary: the width of a number stands before them.
fn indices(encoding: Encoding, bytes: Bytes) -> Result<Hybrid, Damaged> {
    if !matches!(encoding, Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY) {
        return Err(Damaged("an encoding that the footer does not name"));
    }
    // A page of nulls has no values, and may have no width.
    let width = bytes.first().copied().unwrap_or(0);
    Hybrid::new(bytes.slice(1.min(bytes.len())..), width.into())
}
