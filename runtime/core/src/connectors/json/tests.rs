//! Any bytes are lines, each byte in one of them, in whatever portions they are read.

use super::*;
use proptest::prelude::*;

fn lines(bytes: &[u8], portion: usize, limit: usize) -> Vec<(u64, Line, Vec<u8>)> {
    let mut lines = Lines::new(BufReader::with_capacity(portion, bytes), limit);
    let mut seen = vec![];
    loop {
        match lines.next().unwrap() {
            Line::End => return seen,
            line => seen.push((lines.line, line, lines.text().to_vec())),
        }
    }
}

#[test]
fn lines_end_in_either_way_and_are_cut() {
    let expected = |text: &str, line| (line, Line::Whole, text.as_bytes().to_vec());
    let text = b"\xEF\xBB\xBFa\r\n\nb\rc\n\xEF";
    let mut all = vec![expected("a", 1), expected("", 2), expected("b\rc", 3)];
    all.push((4, Line::Whole, vec![0xEF]));
    assert_eq!(lines(text, 2, 100), all);
    let cut = lines(b"1234\n1234\r\n12345\n12345\r\n1", 3, 4);
    let kinds: Vec<Line> = cut.iter().map(|l| l.1).collect();
    assert_eq!(kinds, [Line::Whole, Line::Whole, Line::Cut, Line::Cut, Line::Whole]);
    assert!(cut[..4].iter().all(|l| l.2 == b"1234"), "{cut:?}");
}

#[test]
fn the_place_of_a_mistake_is_one_in_the_line() {
    assert_eq!(object(b"{\"a\": 1,}").unwrap_err(), "it is not JSON: trailing comma at byte 9");
    assert_eq!(object(b"[1]").unwrap_err(), "it is not a JSON object");
    assert_eq!(object(b"{\"a\": \"\xFF\"}").unwrap_err(), "it is not UTF-8");
    assert_eq!(object(b" \t"), Ok(None));
    let deep = [b"{\"a\":".repeat(100_000), b"1".to_vec(), b"}".repeat(100_000)].concat();
    assert!(object(&deep).unwrap_err().contains("recursion limit"));
}

proptest! {
    #[test]
    fn every_byte_is_in_one_line(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..80),
        portion in 1..10usize,
        limit in 1..30usize,
    ) {
        let whole = lines(&bytes, 1 << 10, 1 << 10);
        prop_assert_eq!(&whole, &lines(&bytes, portion, 1 << 10));
        prop_assert_eq!(lines(&bytes, 1 << 10, limit), lines(&bytes, portion, limit));
        let mut expected: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
        if expected.last() == Some(&&b""[..]) {
            expected.pop();
        }
        let texts: Vec<&[u8]> = whole.iter().map(|l| l.2.as_slice()).collect();
        let bare = |line: &&[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        let mut expected: Vec<Vec<u8>> = expected.iter().map(bare).collect();
        if let Some(first) = expected.first_mut().filter(|f| f.starts_with(b"\xEF\xBB\xBF")) {
            first.drain(..3);
        }
        prop_assert_eq!(texts, expected);
        prop_assert!(whole.iter().enumerate().all(|(i, l)| l.0 == i as u64 + 1));
    }
}
