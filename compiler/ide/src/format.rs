//! The canonical form of a text as one small edit. Must not know how texts are laid out.

use crate::TextRange;

/// The smallest stretch whose replacement brings the text into canonical form; none: it is broken, or in that form already.
pub fn format(text: &str) -> Option<(TextRange, String)> {
    let formatted = flowc_syntax::format(text).ok()?;
    if formatted == text {
        return None;
    }
    let same =
        |a: &mut dyn Iterator<Item = (char, char)>| a.take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
    let head: usize = same(&mut text.chars().zip(formatted.chars()));
    let tail: usize = same(&mut text[head..].chars().rev().zip(formatted[head..].chars().rev()));
    Some((head..text.len() - tail, formatted[head..formatted.len() - tail].to_string()))
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn only_what_differs_is_replaced() {
        let text = "# ä\nflow a=b\n";
        let (range, new) = format(text).unwrap();
        assert_eq!((&text[range.clone()], new.as_str()), ("=", " = "));
        assert_eq!(format("flow a = b\n"), None);
        assert_eq!(format("flow a = = b\n"), None);
    }
}
