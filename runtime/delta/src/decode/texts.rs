//! Texts and bytes of any length, each behind its length or as a number in a dictionary, into the two buffers of an array. Lengths are looked at first, so that
//! the bytes have their room before any is copied. Knows encodings; nothing of pages and nulls.

use super::hybrid::{Hybrid, Piece};
use super::{Damaged, Decoder, indices};
use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use bytes::{Buf, Bytes};
use parquet::basic::Encoding;
use std::sync::Arc;

/// Short values of a dictionary are copied so many bytes at a time, of which the next value overwrites what is too much: a copy of constant length is no call.
const SHORT: usize = 16;

/// The values of a page that are left.
#[derive(Debug)]
enum Values {
    Plain(Bytes),
    Numbers(Hybrid),
}

/// See the module.
#[derive(Debug)]
pub struct Texts {
    /// The dictionary's bytes, [`SHORT`] more than it has, and where each value is.
    dictionary: Vec<u8>,
    places: Vec<(u32, u32)>,
    values: Values,
    /// Where each value ends, and the first one begins.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    /// Ends before nulls get their places among them.
    dense: Vec<i32>,
    /// Rows of a batch, and how many bytes the last one had.
    rows: usize,
    before: usize,
    text: bool,
}

impl Texts {
    /// Texts, or bytes.
    pub fn new(text: bool) -> Texts {
        Texts {
            dictionary: vec![],
            places: vec![],
            values: Values::Plain(Bytes::new()),
            offsets: vec![],
            bytes: vec![],
            dense: vec![],
            rows: 0,
            before: 0,
            text,
        }
    }

    fn dense(&mut self, count: usize, spread: bool) -> Result<(), Damaged> {
        let ends = if spread { &mut self.dense } else { &mut self.offsets };
        match &mut self.values {
            Values::Plain(page) => plain(page, count, ends, &mut self.bytes),
            Values::Numbers(numbers) => {
                let mut left = count;
                while left > 0 {
                    let one;
                    let (numbers, times) = match numbers.take(left)? {
                        Piece::Equal(number, times) => {
                            one = [number];
                            (&one[..], times)
                        }
                        Piece::Each(numbers) => (numbers, 1),
                    };
                    left -= numbers.len() * times;
                    for _ in 0..times {
                        gather((&self.dictionary, &self.places), numbers, ends, &mut self.bytes)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Appends the next values of a page, and where they end.
fn plain(page: &mut Bytes, count: usize, ends: &mut Vec<i32>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    let short = EARLY;
    let (bytes, mut at, mut end, first) = (&page[..], 0usize, out.len(), ends.len());
    ends.reserve(count);
    for _ in 0..count {
        let length = *bytes.get(at..).and_then(|b| b.first_chunk::<4>()).ok_or(short)?;
        let length = u32::from_le_bytes(length) as usize;
        (at, end) = (at + 4 + length, end + length);
        if at > bytes.len() {
            return Err(short);
        }
        ends.push(i32::try_from(end).map_err(|_| LARGE)?);
    }
    let (mut from, mut begin) = (0, out.len());
    out.reserve(end - begin);
    for end in &ends[first..] {
        let length = *end as usize - begin;
        out.extend_from_slice(&bytes[from + 4..from + 4 + length]);
        (from, begin) = (from + 4 + length, begin + length);
    }
    page.advance(at);
    Ok(())
}

/// More than an array can have.
const LARGE: Damaged = Damaged("texts of more than two gigabytes in a batch");

/// Appends values of a dictionary, and where they end.
fn gather(
    (dictionary, places): (&[u8], &[(u32, u32)]),
    numbers: &[u32],
    ends: &mut Vec<i32>,
    out: &mut Vec<u8>,
) -> Result<(), Damaged> {
    let (mut end, first) = (out.len(), ends.len());
    for number in numbers {
        let (_, length) = places.get(*number as usize).ok_or(super::BEYOND)?;
        end += *length as usize;
        // Checked below: what is too much for one number stays too much.
        ends.push(end as i32);
    }
    i32::try_from(end).map_err(|_| LARGE)?;
    let mut at = out.len();
    out.resize(end + SHORT, 0);
    for (number, end) in numbers.iter().zip(&ends[first..]) {
        let (from, length) = (places[*number as usize].0 as usize, *end as usize - at);
        if length <= SHORT {
            out[at..at + SHORT].copy_from_slice(&dictionary[from..from + SHORT]);
        } else {
            out[at..at + length].copy_from_slice(&dictionary[from..from + length]);
        }
        at += length;
    }
    out.truncate(end);
    Ok(())
}

impl Decoder for Texts {
    fn dictionary(&mut self, bytes: Bytes, count: usize) -> Result<(), Damaged> {
        let short = Damaged("a dictionary that ends early");
        self.places.clear();
        let mut at = 0usize;
        for _ in 0..count {
            let length = *bytes.get(at..).and_then(|b| b.first_chunk::<4>()).ok_or(short)?;
            let length = u32::from_le_bytes(length);
            let value = bytes.get(at + 4..).and_then(|b| b.get(..length as usize)).ok_or(short)?;
            if self.text && std::str::from_utf8(value).is_err() {
                return Err(NO_TEXT);
            }
            self.places.push((u32::try_from(at + 4).map_err(|_| short)?, length));
            at += 4 + length as usize;
        }
        self.dictionary.clear();
        self.dictionary.extend_from_slice(&bytes[..at]);
        self.dictionary.resize(at + SHORT, 0);
        Ok(())
    }

    fn page(&mut self, encoding: Encoding, bytes: Bytes) -> Result<(), Damaged> {
        self.values = match encoding {
            Encoding::PLAIN => Values::Plain(bytes),
            _ => Values::Numbers(indices(encoding, bytes)?),
        };
        Ok(())
    }

    fn begin(&mut self, rows: usize) {
        if self.offsets.is_empty() {
            self.offsets.reserve_exact(rows + 1);
            self.offsets.push(0);
            // As many bytes a row as the last batch had, and a little more.
            self.bytes.reserve(self.before.checked_div(self.rows).unwrap_or(0) * (rows + rows / 32));
        }
        self.rows = rows;
    }

    fn read(&mut self, count: usize) -> Result<(), Damaged> {
        self.dense(count, false)
    }

    fn read_spread(&mut self, count: usize, valid: &BooleanBuffer) -> Result<(), Damaged> {
        self.dense.clear();
        self.dense(count, true)?;
        // A null ends where the value before it does.
        super::validity::spread(&self.dense, valid, &mut self.offsets, |ends| ends.last().copied().unwrap_or(0));
        Ok(())
    }

    fn skip(&mut self, count: usize) -> Result<(), Damaged> {
        match &mut self.values {
            Values::Plain(page) => {
                let mut at = 0usize;
                for _ in 0..count {
                    let length = *page.get(at..).and_then(|b| b.first_chunk::<4>()).ok_or(EARLY)?;
                    at += 4 + u32::from_le_bytes(length) as usize;
                }
                if at > page.len() {
                    return Err(EARLY);
                }
                page.advance(at);
                Ok(())
            }
            Values::Numbers(numbers) => numbers.skip(count),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, Damaged> {
        let (offsets, bytes) = (std::mem::take(&mut self.offsets), std::mem::take(&mut self.bytes));
        self.before = bytes.len();
        array(self.text, offsets, bytes, nulls)
    }

    fn numbers(&mut self) -> Option<&mut Hybrid> {
        match &mut self.values {
            Values::Plain(_) => None,
            Values::Numbers(numbers) => Some(numbers),
        }
    }

    fn entries(&self) -> Result<ArrayRef, Damaged> {
        let count = self.places.len();
        let numbers: Vec<u32> = (0..count as u32).collect();
        let (mut offsets, mut bytes) = (vec![0], vec![]);
        gather((&self.dictionary, &self.places), &numbers, &mut offsets, &mut bytes)?;
        offsets.push(bytes.len() as i32);
        let nulls = BooleanBuffer::collect_bool(count + 1, |entry| entry < count);
        array(self.text, offsets, bytes, Some(NullBuffer::new(nulls)))
    }
}

fn array(text: bool, offsets: Vec<i32>, bytes: Vec<u8>, nulls: Option<NullBuffer>) -> Result<ArrayRef, Damaged> {
    let (offsets, bytes) = (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes));
    if text {
        return Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(|_| NO_TEXT)?));
    }
    Ok(Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(|_| Damaged("other values than rows"))?))
}

const EARLY: Damaged = Damaged("values that end early");
const NO_TEXT: Damaged = Damaged("encountered non UTF-8 data");
