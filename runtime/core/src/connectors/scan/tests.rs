//! Any bytes are taken apart, each of them once, in whatever portions they are read; malformed lines cost what they are long.

use super::*;
use proptest::prelude::*;

impl<R: Read> Records<R> {
    /// Counts what a scan looked at; a failing one is repeated once.
    pub(super) fn look(&mut self, scan: &Scan) {
        self.looked += match scan {
            Scan::Record { all, .. } => *all as u64,
            Scan::More => (self.buffer.len() - self.start) as u64,
            Scan::Malformed { seen, .. } => 2 * *seen as u64,
        };
    }

    /// What is used of the file.
    fn used(&self) -> usize {
        self.offset as usize + self.start
    }
}

fn dialect() -> Dialect {
    Dialect::new(false, ',', '"', "").unwrap()
}

/// Gives at most so many bytes at a time.
struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.len().min(self.1).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

/// A record as the tests see it: line, fields or what is wrong, text.
type Seen = (u64, Result<Vec<Option<(String, bool)>>, &'static str>, Vec<u8>);

/// All records; each byte must be in exactly one of them, or in the end of its line.
fn all(bytes: &[u8], portion: usize, limit: usize, forget: bool) -> Vec<Seen> {
    let mut records = Records::limited(Slowly(bytes, portion), &dialect(), limit);
    let (mut record, mut seen, mut line) = (Record::default(), vec![], 1);
    let mut at = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    loop {
        let next = records.next(&mut record).unwrap();
        if next == Next::End {
            assert_eq!(at, bytes.len(), "bytes are left over");
            return seen;
        }
        let (text, used) = (records.text().to_vec(), &bytes[at..records.used()]);
        assert!(used.starts_with(&text) && !used.is_empty());
        let behind = &used[text.len()..];
        let cut = text.len() == limit && next != Next::Record;
        assert!(cut || [&b""[..], b"\n", b"\r", b"\r\n"].contains(&behind), "{behind:?} is lost");
        assert!(!cut || behind.iter().rposition(|b| *b != b'\n' && *b != b'\r').is_none_or(|i| i + 3 >= behind.len()));
        assert_eq!(record.line, line);
        line += line_ends(used);
        at = records.used();
        seen.push(match next {
            Next::Malformed(what) => (record.line, Err(what), text),
            _ => {
                let fields = (0..record.len()).map(|i| record.field(i).map(|(t, q)| (t.to_string(), q)));
                (record.line, Ok(fields.collect()), text)
            }
        });
        if forget {
            records.failed = Failed::default();
        }
    }
}

fn shown(text: &str) -> Vec<String> {
    let show = |(line, what, _): Seen| match what {
        Ok(fields) => {
            let fields: Vec<String> = fields.into_iter().map(|f| f.map_or("?".into(), |(t, _)| t)).collect();
            format!("{line}: {}", fields.join("|"))
        }
        Err(what) => format!("{line}! {what}"),
    };
    all(text.as_bytes(), 1 << 20, RECORD_BYTES, false).into_iter().map(show).collect()
}

#[test]
fn one_stray_quote_costs_one_line() {
    let open = "1,a\n2,\"b\n3,c\n4,\"d\ne\"\n5,f\n";
    assert_eq!(
        shown(open),
        ["1: 1|a", "2! there is text behind the closing quote of a field", "3: 3|c", "4: 4|d\ne", "6: 5|f"]
    );
    assert_eq!(shown("1,a\n2,\"b\n3,c"), ["1: 1|a", "2! a quoted field has no end", "3: 3|c"]);
    assert_eq!(
        shown("\"1\"x\r\n2,c\r\n\"\r\n"),
        ["1! there is text behind the closing quote of a field", "2: 2|c", "3! a quoted field has no end"]
    );
    // Old line ends are counted in quotes, too.
    assert_eq!(shown("\"a\rb\r\nc\"\rd\r"), ["1: a\rb\r\nc", "4: d"]);
}

#[test]
fn records_that_are_too_long_are_cut() {
    let seen = |text: &str| {
        let short = |(line, what, text): Seen| (line, what.err(), String::from_utf8(text).unwrap());
        all(text.as_bytes(), 3, 8, false).into_iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(seen("12345678\n"), [(1, Some(TOO_LONG), "12345678".into())], "what shows its end is beyond");
    assert_eq!(seen("1234567\n8"), [(1, None, "1234567".into()), (2, None, "8".into())]);
    assert_eq!(seen("123456789012\r\n3"), [(1, Some(TOO_LONG), "12345678".into()), (2, None, "3".into())]);
    let open = seen("1,\"2\n3\n4\n5\n6\",7\n");
    assert_eq!(open[0], (1, Some(UNCLOSED_FOR_LONG), "1,\"2".into()));
    assert_eq!(open[1], (2, None, "3".into()));
}

#[test]
fn malformed_files_are_read_in_linear_time() {
    // Each line opens a quoted field, and would be read to the end of the file, were it not known what comes of it.
    for line in ["a\",\"b\n", "\"a\n", "\"\"\"\n", "a,\"b\",\"c\n", "\",\"\n", "x\"\",\"\n\n", "\"\"x,\"\n"] {
        let mut malformed = 0;
        for end in ["", "\"", "\"x", "\","] {
            let bytes = line.repeat(20_000) + end;
            let mut records = Records::new(bytes.as_bytes(), &dialect());
            let mut record = Record::default();
            loop {
                match records.next(&mut record).unwrap() {
                    Next::Record => {}
                    Next::Malformed(_) => malformed += 1,
                    Next::End => break,
                }
            }
            assert!(records.looked < 8 * bytes.len() as u64, "{line:?}: {} of {}", records.looked, bytes.len());
        }
        assert!(malformed > 0, "{line:?}");
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'"'),
        2 => Just(b','),
        2 => Just(b'\n'),
        1 => Just(b'\r'),
        2 => Just(b'a'),
        1 => any::<u8>(),
    ];
    proptest::collection::vec(byte, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_byte_is_taken_once_however_it_is_read(bytes in bytes(), portion in 1..20usize, limit in 1..60usize) {
        let whole = all(&bytes, 1 << 20, RECORD_BYTES, false);
        prop_assert_eq!(&whole, &all(&bytes, portion, RECORD_BYTES, false));
        // What is remembered of a record that is none changes nothing.
        prop_assert_eq!(&whole, &all(&bytes, 1 << 20, RECORD_BYTES, true));
        let cut = all(&bytes, 1 << 20, limit, false);
        prop_assert_eq!(cut, all(&bytes, portion, limit, false));
    }

    #[test]
    fn no_byte_is_looked_at_often(bytes in bytes()) {
        let mut records = Records::new(bytes.as_slice(), &dialect());
        let mut record = Record::default();
        while records.next(&mut record).unwrap() != Next::End {}
        prop_assert!(records.looked <= 8 * bytes.len() as u64 + 8, "{} of {}", records.looked, bytes.len());
    }
}
