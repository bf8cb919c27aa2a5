//! The tree-sitter grammar of flow programs, for Rust. Must not need a tool: the parser is generated and committed.

use tree_sitter_language::LanguageFn;

unsafe extern "C" {
    fn tree_sitter_flow() -> *const ();
}

// SAFETY: the generated parser defines this function, and it returns a language of the version of the headers beside it.
/// The grammar, for `tree_sitter::Parser::set_language`.
pub const LANGUAGE: LanguageFn = unsafe { LanguageFn::from_raw(tree_sitter_flow) };

/// What colours a program.
pub const HIGHLIGHTS: &str = include_str!("../../queries/highlights.scm");
/// What folds.
pub const FOLDS: &str = include_str!("../../queries/folds.scm");
/// How lines are indented.
pub const INDENTS: &str = include_str!("../../queries/indents.scm");
/// Which names are defined and used where.
pub const LOCALS: &str = include_str!("../../queries/locals.scm");
/// Which stretches are in other languages.
pub const INJECTIONS: &str = include_str!("../../queries/injections.scm");
/// What an editor selects as a whole.
pub const TEXTOBJECTS: &str = include_str!("../../queries/textobjects.scm");
