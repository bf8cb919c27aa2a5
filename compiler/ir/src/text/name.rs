//! Names and string literals as the text writes them.

use crate::types::quote_name;

/// Words that mean something in an expression: columns of these names are quoted.
const RESERVED: &[&str] = &["null", "true", "false", "nan", "inf", "let", "in"];

/// A name, in backticks unless it is a plain word.
pub(super) fn quote(name: &str) -> String {
    let quoted = quote_name(name);
    // Numbers may have these behind them: `NaNf`.
    let word = name.to_ascii_lowercase();
    if RESERVED.contains(&word.trim_end_matches('f')) || RESERVED.contains(&word.as_str()) {
        return format!("`{name}`");
    }
    if quoted.starts_with('`') { format!("`{}`", escape(name, '`')) } else { quoted }
}

/// A string literal.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", escape(text, '"'))
}

fn escape(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
