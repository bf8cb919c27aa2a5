//! The texts that the editor has open, with their lines, kept up to date by the editor's changes. Must not know what the texts mean.

use flowc_ide::{LineIndex, Position};
use lsp_types::TextDocumentContentChangeEvent;
use std::sync::Arc;

/// A text that is open.
#[derive(Debug, Clone)]
pub struct Document {
    /// The editor's number of this state of the text.
    pub version: i32,
    /// The text.
    pub text: Arc<str>,
    /// Its lines.
    pub lines: LineIndex,
}

impl Document {
    /// A text that was just opened.
    pub fn new(version: i32, text: String) -> Self {
        let lines = LineIndex::new(&text);
        Document { version, text: text.into(), lines }
    }

    /// The text after the editor's changes, each made in what the one before left.
    pub fn change(&mut self, version: i32, changes: Vec<TextDocumentContentChangeEvent>) {
        let mut text = self.text.to_string();
        for change in changes {
            match change.range {
                None => text = change.text,
                Some(range) => {
                    let at = |p: lsp_types::Position| {
                        self.lines.offset(&text, Position { line: p.line, column: p.character })
                    };
                    let (start, end) = (at(range.start), at(range.end));
                    text.replace_range(start..end.max(start), &change.text);
                }
            }
            self.lines = LineIndex::new(&text);
        }
        (self.version, self.text) = (version, text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_one_after_another() {
        let mut document = Document::new(1, "a😀b\nc".into());
        let change = |from: (u32, u32), to: (u32, u32), text: &str| TextDocumentContentChangeEvent {
            range: Some(lsp_types::Range {
                start: lsp_types::Position::new(from.0, from.1),
                end: lsp_types::Position::new(to.0, to.1),
            }),
            range_length: None,
            text: text.into(),
        };
        document
            .change(2, vec![change((0, 1), (0, 3), "x\ny"), change((1, 2), (2, 0), "-"), change((9, 0), (9, 9), "!")]);
        assert_eq!((&*document.text, document.version), ("ax\nyb-c!", 2));
        let whole = TextDocumentContentChangeEvent { range: None, range_length: None, text: "new".into() };
        document.change(3, vec![whole]);
        assert_eq!(&*document.text, "new");
    }
}
