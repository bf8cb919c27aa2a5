//! Lines and UTF-16 columns of byte offsets, and back: the places of editors' protocols. Must not know what stands in the text.

/// A line and a column from 0; columns count UTF-16 code units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// Where the lines of a text begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// The lines of a text; they end with `\n`, `\r\n` or `\r`.
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends = (0..bytes.len()).filter(|&i| match bytes[i] {
            b'\n' => true,
            b'\r' => bytes.get(i + 1) != Some(&b'\n'),
            _ => false,
        });
        LineIndex { starts: std::iter::once(0).chain(ends.map(|i| i + 1)).collect() }
    }

    /// The place of a byte; one within a character is that of the character.
    pub fn position(&self, text: &str, offset: usize) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|&s| s <= offset) - 1;
        let column = text[self.starts[line]..offset].chars().map(char::len_utf16).sum::<usize>();
        Position { line: line as u32, column: column as u32 }
    }

    /// The byte at a place; behind the end of a line it is that end, behind the text its length.
    pub fn offset(&self, text: &str, position: Position) -> usize {
        let Some(&start) = self.starts.get(position.line as usize) else { return text.len() };
        let end = self.starts.get(position.line as usize + 1).copied().unwrap_or(text.len());
        let line = text[start..end].trim_end_matches(['\n', '\r']);
        let mut column = 0;
        for (at, c) in line.char_indices() {
            if column >= position.column as usize {
                return start + at;
            }
            column += c.len_utf16();
        }
        start + line.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_goes_there_and_back() {
        for text in ["", "a", "ä€😀\r\nb\rc\n", "\n\n", "x\u{feff}\n😀y"] {
            let lines = LineIndex::new(text);
            for (at, _) in text.char_indices().filter(|(_, c)| !matches!(c, '\n' | '\r')) {
                assert_eq!(lines.offset(text, lines.position(text, at)), at, "{text:?} {at}");
            }
            assert_eq!(lines.offset(text, Position { line: 99, column: 0 }), text.len());
            for offset in 0..text.len() + 2 {
                lines.position(text, offset);
            }
        }
    }

    #[test]
    fn columns_count_utf16() {
        let text = "a😀b";
        let lines = LineIndex::new(text);
        assert_eq!(lines.position(text, 5), Position { line: 0, column: 3 });
        assert_eq!(lines.offset(text, Position { line: 0, column: 3 }), 5);
    }
}
