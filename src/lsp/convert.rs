//! Between the protocol's places and the library's: URIs and paths, lines with UTF-16 columns and bytes.

use flowc_ide::{LineIndex, Position, TextRange};
use lsp_types::Uri;
use std::str::FromStr;

/// The path of a file's URI; none: it is no file.
pub fn path(uri: &Uri) -> Option<String> {
    let url = url::Url::parse(uri.as_str()).ok()?;
    Some(url.to_file_path().ok()?.to_string_lossy().into_owned())
}

/// The URI of a file.
pub fn uri(path: &str) -> Option<Uri> {
    Uri::from_str(url::Url::from_file_path(path).ok()?.as_str()).ok()
}

/// A place in a text.
pub fn position(text: &str, lines: &LineIndex, offset: usize) -> lsp_types::Position {
    let at = lines.position(text, offset);
    lsp_types::Position::new(at.line, at.column)
}

/// A stretch of a text.
pub fn range(text: &str, lines: &LineIndex, range: &TextRange) -> lsp_types::Range {
    lsp_types::Range { start: position(text, lines, range.start), end: position(text, lines, range.end) }
}

/// The byte at a place.
pub fn offset(text: &str, lines: &LineIndex, at: lsp_types::Position) -> usize {
    lines.offset(text, Position { line: at.line, column: at.character })
}
