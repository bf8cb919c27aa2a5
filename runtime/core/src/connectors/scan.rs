//! CSV text (RFC 4180) taken apart into records: quotes, line ends in fields. Knows nothing of columns and types.
//!
//! A record that has not the form of one, because a quote is never closed or text stands behind a closing one, is malformed by its first line: what
//! follows is read on from the next line, so that one stray quote costs one line and not the rest of the file. No byte is looked at more than a few
//! times, whatever is in the file: see [`Failed`].

use super::records::{RECORD_BYTES, TOO_LONG};
use crate::error::RunError;
use std::io::Read;
use std::ops::Range;

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) null: String,
}

impl Dialect {
    /// From the connector's options.
    pub(crate) fn new(header: bool, delimiter: char, quote: char, null: &str) -> Result<Self, RunError> {
        let byte = |c: char, what: &str| {
            let text = format!("the {what} of a CSV file must be an ASCII character, not `{c}`");
            u8::try_from(c).ok().filter(u8::is_ascii).ok_or_else(|| RunError::data("R0209", text))
        };
        let (delimiter, quote) = (byte(delimiter, "delimiter")?, byte(quote, "quote")?);
        Ok(Dialect { header, delimiter, quote, null: null.to_string() })
    }

    /// Whether a field is null: empty without quotes, or the text that stands for null.
    pub(crate) fn is_null(&self, text: &str, quoted: bool) -> bool {
        !quoted && (text.is_empty() || (!self.null.is_empty() && text == self.null))
    }
}

/// A record: its fields' texts one after the other, where each ends, whether it was quoted, and the line where the record begins.
#[derive(Debug, Default, Clone)]
pub(crate) struct Record {
    text: Vec<u8>,
    fields: Vec<(usize, bool)>,
    pub(crate) line: u64,
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field and whether it was quoted. Not UTF-8: none.
    pub(crate) fn field(&self, i: usize) -> Option<(&str, bool)> {
        let start = if i == 0 { 0 } else { self.fields[i - 1].0 };
        let (end, quoted) = self.fields[i];
        Some((std::str::from_utf8(&self.text[start..end]).ok()?, quoted))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }
}

/// Bytes that are read at once; few in tests, so that they see more than one portion.
const PORTION: usize = if cfg!(test) { 64 } else { 1 << 18 };

/// What was taken from the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record.
    Record,
    /// A line that begins no record, and why.
    Malformed(&'static str),
    /// There is nothing more.
    End,
}

/// What a look at the text behind the last record comes to.
enum Scan {
    /// A record of so many bytes, without its line end and with it, on so many lines.
    Record { text: usize, all: usize, lines: u64 },
    /// It does not end before the buffer does.
    More,
    /// It is none; so many bytes show it.
    Malformed { what: &'static str, seen: usize },
}

/// What the last record that was none showed of what is behind it, in places of the file. Whoever opens a quoted field where it did, comes to the same end
/// as it did: so a line that is read again is read to its end at most, unless it is found wrong before. (Of two ways to read on, one inside a quoted field
/// and one outside, the one outside ends its record with the line; and once both stand at the same place in the same way, the next field that they open is
/// the same.)
#[derive(Debug, Default)]
struct Failed {
    what: &'static str,
    /// Where quoted fields were opened, in order.
    opened: Vec<u64>,
    /// How far it was read.
    reach: u64,
}

/// Reads records.
#[derive(Debug)]
pub(crate) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    /// What is used of the buffer.
    start: usize,
    /// Where the buffer begins in the file.
    offset: u64,
    end: bool,
    line: u64,
    /// The last record in the buffer, without its line end, or a copy of it if it is malformed.
    last: Result<Range<usize>, Vec<u8>>,
    failed: Failed,
    delimiter: u8,
    quote: u8,
    limit: usize,
    /// Bytes looked at.
    #[cfg(test)]
    looked: u64,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(input: R, dialect: &Dialect) -> Self {
        Records::limited(input, dialect, RECORD_BYTES)
    }

    /// As `new`, with records of at most so many bytes.
    pub(crate) fn limited(input: R, dialect: &Dialect, limit: usize) -> Self {
        Records {
            input,
            buffer: vec![],
            start: 0,
            offset: 0,
            end: false,
            line: 1,
            last: Ok(0..0),
            failed: Failed::default(),
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            limit,
            #[cfg(test)]
            looked: 0,
        }
    }

    /// The text of the last record, without its line end; of a malformed one its first line, as far as records may be long.
    pub(crate) fn text(&self) -> &[u8] {
        match &self.last {
            Ok(place) => &self.buffer[place.clone()],
            Err(text) => text,
        }
    }

    /// Reads more input behind what is not used yet.
    fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        (self.start, self.last) = (0, Ok(0..0));
        let used = self.buffer.len();
        // No more than what a record may have, and what shows that it is longer.
        let more = used.clamp(PORTION, self.limit.max(PORTION));
        self.buffer.resize(used + more, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[used..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(used + *read.as_ref().unwrap_or(&0));
        self.end = read? == 0;
        Ok(())
    }

    /// Takes the next record.
    pub(crate) fn next(&mut self, record: &mut Record) -> std::io::Result<Next> {
        loop {
            record.clear();
            record.line = self.line;
            if self.offset == 0 && self.start == 0 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.start += 3;
            }
            if self.start == self.buffer.len() && self.end {
                self.last = Ok(self.start..self.start);
                return Ok(Next::End);
            }
            let base = self.offset + self.start as u64;
            let scan = self.scan(record, |at| self.is_known(base + at as u64));
            #[cfg(test)]
            self.look(&scan);
            match scan {
                Scan::Record { text, all, lines } => {
                    self.last = Ok(self.start..self.start + text);
                    self.start += all;
                    self.line += lines;
                    return Ok(Next::Record);
                }
                Scan::More => self.fill()?,
                Scan::Malformed { what, seen } => {
                    record.clear();
                    self.remember(what, seen);
                    let text = self.skip_line()?;
                    self.last = Err(text);
                    return Ok(Next::Malformed(what));
                }
            }
        }
    }

    /// Whether a quoted field that is opened here is known to lead to no record.
    fn is_known(&self, place: u64) -> bool {
        place < self.failed.reach && self.failed.opened.binary_search(&place).is_ok()
    }

    /// Remembers what a record that is none showed.
    fn remember(&mut self, what: &'static str, seen: usize) {
        let base = self.offset + self.start as u64;
        if base + seen as u64 <= self.failed.reach {
            return;
        }
        let mut opened = vec![];
        self.scan(&mut Record::default(), |at| {
            opened.push(base + at as u64);
            false
        });
        self.failed = Failed { what, opened, reach: base + seen as u64 };
    }

    /// Takes the rest of the line; beyond what a record may have it is passed over.
    fn skip_line(&mut self) -> std::io::Result<Vec<u8>> {
        let mut text: Vec<u8> = vec![];
        loop {
            let rest = &self.buffer[self.start..];
            let length = rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
            text.extend_from_slice(&rest[..length.min(self.limit - text.len())]);
            self.start += length;
            let ending = match (self.buffer.get(self.start), self.buffer.get(self.start + 1)) {
                (None, _) if self.end => return Ok(text),
                (None, _) => 0,
                (Some(b'\r'), None) if !self.end => 0,
                (Some(b'\r'), Some(b'\n')) => 2,
                _ => 1,
            };
            if ending > 0 {
                self.start += ending;
                self.line += 1;
                return Ok(text);
            }
            self.fill()?;
        }
    }

    /// Takes a record from the buffer. `known` is asked at each quote that opens a field whether it leads to no record.
    fn scan(&self, record: &mut Record, mut known: impl FnMut(usize) -> bool) -> Scan {
        let rest = &self.buffer[self.start..];
        let input = &rest[..rest.len().min(self.limit)];
        // At the end of what may be seen, the record ends, or is too long, or the rest of it is still to be read.
        let last = self.end && input.len() == rest.len();
        let out = |what| match (last, rest.len() > self.limit) {
            (false, false) => Scan::More,
            _ => Scan::Malformed { what, seen: input.len() },
        };
        let (mut at, mut lines) = (0, 0);
        loop {
            let mut quoted = false;
            if input.get(at) == Some(&self.quote) {
                if known(at) {
                    return Scan::Malformed { what: self.failed.what, seen: at };
                }
                quoted = true;
                at += 1;
                loop {
                    let Some(length) = input[at..].iter().position(|b| *b == self.quote) else {
                        return out(if last { UNCLOSED } else { UNCLOSED_FOR_LONG });
                    };
                    record.text.extend_from_slice(&input[at..at + length]);
                    lines += line_ends(&input[at..at + length]);
                    at += length + 1;
                    if input.get(at) != Some(&self.quote) {
                        break;
                    }
                    record.text.push(self.quote);
                    at += 1;
                }
                if at == input.len() && !last {
                    return out(TOO_LONG);
                }
            } else {
                let stop = |b: &u8| *b == self.delimiter || *b == b'\n' || *b == b'\r';
                let length = match input[at..].iter().position(stop) {
                    Some(length) => length,
                    None if last => input.len() - at,
                    None => return out(TOO_LONG),
                };
                record.text.extend_from_slice(&input[at..at + length]);
                at += length;
            }
            record.fields.push((record.text.len(), quoted));
            let ending = match (input.get(at), input.get(at + 1)) {
                (None, _) => return Scan::Record { text: at, all: at, lines },
                (Some(b'\n'), _) => 1,
                (Some(b'\r'), Some(b'\n')) => 2,
                (Some(b'\r'), None) if !last => return out(TOO_LONG),
                (Some(b'\r'), _) => 1,
                (Some(b), _) if *b == self.delimiter => 0,
                _ => return Scan::Malformed { what: BEHIND_QUOTE, seen: at },
            };
            if ending > 0 {
                return Scan::Record { text: at, all: at + ending, lines: lines + 1 };
            }
            at += 1;
        }
    }
}

const UNCLOSED: &str = "a quoted field has no end";
const UNCLOSED_FOR_LONG: &str = "a quoted field has no end within 64 MiB";
const BEHIND_QUOTE: &str = "there is text behind the closing quote of a field";

/// Lines that end in a text.
fn line_ends(text: &[u8]) -> u64 {
    let ends = text.iter().filter(|b| **b == b'\n').count();
    let alone = |(i, b): (usize, &u8)| *b == b'\r' && text.get(i + 1) != Some(&b'\n');
    let others = if text.contains(&b'\r') { text.iter().enumerate().filter(|x| alone(*x)).count() } else { 0 };
    (ends + others) as u64
}

#[cfg(test)]
mod tests;
