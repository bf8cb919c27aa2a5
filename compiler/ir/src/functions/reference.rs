//! The reference pages and the editor's completion list, made from the table.

use super::{Category, SPECIAL_FORMS, all};
use serde::Serialize;
use std::fmt::Write;

/// What an editor shows of a function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Completion {
    /// Its name.
    pub name: &'static str,
    /// Its group.
    pub category: Category,
    /// Its overloads.
    pub signatures: Vec<&'static str>,
    /// What it computes.
    pub doc: &'static str,
    /// Whether a row can fail.
    pub fails: bool,
    /// Calls and their results.
    pub examples: Vec<(&'static str, &'static str)>,
}

/// All functions that can be called by name, by category and name.
pub fn completions() -> Vec<Completion> {
    let functions = all().iter().filter(|f| f.category != Category::Operator).map(|f| Completion {
        name: f.name,
        category: f.category,
        signatures: f.signatures.to_vec(),
        doc: f.doc,
        fails: f.fails,
        examples: f.examples.to_vec(),
    });
    let forms = SPECIAL_FORMS.iter().map(|(name, signature, doc)| Completion {
        name,
        category: Category::Conditional,
        signatures: vec![signature],
        doc,
        fails: false,
        examples: vec![],
    });
    let mut list: Vec<_> = functions.chain(forms).collect();
    list.sort_by_key(|c| (c.category, c.name));
    list
}

impl Category {
    /// All, in the order of the reference.
    pub const ALL: [Category; 11] = [
        Category::Operator,
        Category::Math,
        Category::String,
        Category::Regex,
        Category::DateTime,
        Category::Conditional,
        Category::Hash,
        Category::Json,
        Category::Array,
        Category::Map,
        Category::Struct,
    ];

    /// Its heading in the reference.
    pub fn title(self) -> &'static str {
        match self {
            Category::Operator => "Operators",
            Category::Math => "Numbers",
            Category::String => "Strings",
            Category::Regex => "Regular expressions",
            Category::DateTime => "Dates and times",
            Category::Conditional => "Choice among values",
            Category::Hash => "Hashes and encodings",
            Category::Json => "JSON texts",
            Category::Array => "Arrays",
            Category::Map => "Maps",
            Category::Struct => "Structs",
        }
    }
}

/// The reference of the functions and operators, as a Markdown page.
pub fn reference_markdown() -> String {
    let mut page = String::from("# Functions and operators\n\n");
    page.push_str(
        "Made from the table of functions. In signatures `N` stands for any numeric type, `I` for any integer type, `O` for any type that \
         can be compared, other capital letters for any type (the same one wherever the letter stands); `decimal` and `struct` stand for \
         any decimal and any struct, `any` for anything; `= 1` shows what is taken when an operand is left out; `...` that it may be \
         repeated. Unless said otherwise a null operand makes the result null.\n",
    );
    let list = completions();
    for category in Category::ALL {
        let operators = all().iter().filter(|f| f.category == category && category == Category::Operator);
        let mut entries: Vec<Completion> = operators
            .map(|f| Completion {
                name: f.name,
                category,
                signatures: f.signatures.to_vec(),
                doc: f.doc,
                fails: f.fails,
                examples: f.examples.to_vec(),
            })
            .collect();
        entries.extend(list.iter().filter(|c| c.category == category).cloned());
        if entries.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n## {}", category.title());
        for entry in entries {
            write_entry(&mut page, &entry);
        }
    }
    page
}

fn write_entry(page: &mut String, entry: &Completion) {
    // Writing to a String does not fail.
    let _ = writeln!(page, "\n### `{}`\n\n```\n{}\n```\n\n{}", entry.name, entry.signatures.join("\n"), entry.doc);
    if entry.fails {
        page.push_str("\nA row can fail.\n");
    }
    if !entry.examples.is_empty() {
        let lines: Vec<String> = entry.examples.iter().map(|(call, result)| format!("{call}  # {result}")).collect();
        let _ = writeln!(page, "\n```text\n{}\n```", lines.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `FLOWC_BLESS=1 cargo test -p flowc-ir` writes the page anew.
    #[test]
    fn the_page_is_made_of_this_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/functions.md");
        let page = super::reference_markdown();
        if std::env::var_os("FLOWC_BLESS").is_some() {
            std::fs::write(&path, &page).expect("the page can be written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == page, "docs/reference/functions.md is not up to date: run with FLOWC_BLESS=1");
    }

    #[test]
    fn completions_have_what_an_editor_shows() {
        let list = super::completions();
        let json = serde_json::to_value(&list).expect("completions are data");
        let upper = json.as_array().and_then(|a| a.iter().find(|c| c["name"] == "upper")).expect("upper");
        assert_eq!(upper["category"], "string");
        assert_eq!(upper["signatures"][0], "upper(text: string) -> string");
        assert!(list.iter().any(|c| c.name == "coalesce") && list.iter().all(|c| c.name != "add"));
    }
}
