//! The canonical form of a text as one small edit. Must not know how texts are laid out.

use crate::TextRange;
use flowc_syntax::FileId;

/// The smallest stretch whose replacement brings the text into canonical form; none: it is broken, or in that form already.
pub fn format(text: &str) -> Option<(TextRange, String)> {
    let formatted = flowc_syntax::format(text).ok()?;
    if formatted == text {
        return None;
    }
    let (head, tail) = ends(text, &formatted);
    Some((head..text.len() - tail, formatted[head..formatted.len() - tail].to_string()))
}

/// The declarations that a stretch of the text touches, each brought into canonical form by one edit; those that are broken stay.
pub fn format_within(text: &str, within: &TextRange) -> Vec<(TextRange, String)> {
    let (tree, _) = flowc_syntax::parse(FileId::default(), text);
    let places = tree.declarations().map(|item| crate::analysis::range(item.span()));
    let touched = places.filter(|place| place.start <= within.end && within.start <= place.end);
    let edit = |place: TextRange| {
        let own = text.get(place.clone())?;
        let formatted = flowc_syntax::format(own).ok()?;
        let formatted = formatted.trim_end();
        let (head, tail) = ends(own, formatted);
        let edit = || (place.start + head..place.end - tail, formatted[head..formatted.len() - tail].to_string());
        (formatted != own).then(edit)
    };
    touched.filter_map(edit).collect()
}

/// How many bytes two texts share at their begins, and of the rest at their ends.
fn ends(text: &str, formatted: &str) -> (usize, usize) {
    let same =
        |a: &mut dyn Iterator<Item = (char, char)>| a.take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
    let head: usize = same(&mut text.chars().zip(formatted.chars()));
    let tail: usize = same(&mut text[head..].chars().rev().zip(formatted[head..].chars().rev()));
    (head, tail)
}

#[cfg(test)]
mod tests {
    use super::{format, format_within};

    #[test]
    fn only_what_differs_is_replaced() {
        let text = "# ä\nflow a=b\n";
        let (range, new) = format(text).unwrap();
        assert_eq!((&text[range.clone()], new.as_str()), ("=", " = "));
        assert_eq!(format("flow a = b\n"), None);
        assert_eq!(format("flow a = = b\n"), None);
    }

    #[test]
    fn declarations_are_formatted_for_themselves() {
        let text = "flow a=b\n\nflow c=\n\n## doc\nflow d=e|>where x>1\n";
        let edits = format_within(text, &(0..text.len()));
        let mut out = text.to_string();
        for (range, new) in edits.into_iter().rev() {
            out.replace_range(range, &new);
        }
        assert_eq!(out, "flow a = b\n\nflow c=\n\n## doc\nflow d = e\n    |> where x > 1\n");
        assert_eq!(format_within(text, &(0..3)).len(), 1);
    }
}
