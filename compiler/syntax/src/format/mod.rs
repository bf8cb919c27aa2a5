//! The canonical form of a program: what it means and every comment stay, the layout does not.
//!
//! Works on the grammar's tokens, not on the tree, so that nothing a person wrote (parentheses, how a number is written) is lost.
//! Must not know types or meaning.

mod doc;
mod layout;

use crate::ast::Ast;
use crate::diagnostic::Diagnostic;
use crate::grammar::{FlowParser, Rule};
use crate::lex::lex;
use crate::parse::parse;
use crate::span::FileId;
use layout::Layout;
use pest::Parser;

/// The program in canonical form, or what is wrong with it: a broken program is left as it is.
///
/// `format(format(x)) == format(x)`, and the tree of the result differs from that of `text` in nothing but spans.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let (ast, diagnostics) = parse(FileId::default(), text);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    Ok(format_parsed(&ast, text).unwrap_or_else(|| text.to_string()))
}

/// None if the grammar takes the text for something else than the tree says, which a test rules out.
fn format_parsed(ast: &Ast, text: &str) -> Option<String> {
    let tokens = lex(text);
    let file = FlowParser::parse(Rule::file, text).ok()?.next()?;
    let items: Vec<_> = file.into_inner().filter(|p| p.as_rule() == Rule::item).collect();
    if items.len() != ast.items.len() {
        return None;
    }
    let mut layout = Layout::new(text, &tokens);
    let document = layout.file(items);
    let out = doc::print(&document);
    let out = out.trim_matches([' ', '\n']);
    Some(if out.is_empty() { String::new() } else { format!("{out}\n") })
}
