//! The signature of the call that is being written, and which parameter is next. Must not know types of operands.

use crate::cursor::Cursor;
use crate::hover::own_signature;
use crate::workspace::Workspace;
use flowc_syntax::ast::Item;

/// The signatures of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHelp {
    /// The overloads.
    pub signatures: Vec<String>,
    /// What it does.
    pub doc: String,
    /// The parameter at the cursor, from 0.
    pub active: usize,
}

impl Workspace {
    /// The call around a byte.
    pub fn signature_help(&mut self, path: &str, offset: usize) -> Option<SignatureHelp> {
        let (now, file) = self.at(path);
        let text = now.text(file?).clone();
        let cursor = Cursor::new(&text, offset);
        let (_, name, at) =
            cursor.open().into_iter().rev().find(|(bracket, name, _)| {
                *bracket == "(" && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            })?;
        let mut depth = 0usize;
        let mut active = 0;
        for token in &cursor.before[at + 1..] {
            match &text[token.range.clone()] {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                "," if depth == 0 => active += 1,
                _ => {}
            }
        }
        let own = now.declarations().find_map(|(n, item)| match item {
            Item::Function(function) if n.text == name => Some(function),
            _ => None,
        });
        if let Some(function) = own {
            let doc = function.doc.clone().unwrap_or_default();
            return Some(SignatureHelp { signatures: vec![own_signature(&now, function)], doc, active });
        }
        if let Some(aggregate) = flowc_ir::aggregates::ALL.iter().find(|a| a.name == name) {
            let signatures = aggregate.signature.split(", ").filter(|s| s.contains("->") || !s.contains(':'));
            let signatures: Vec<String> = if aggregate.signature.matches("->").count() > 1 {
                signatures.map(str::to_string).collect()
            } else {
                vec![aggregate.signature.to_string()]
            };
            return Some(SignatureHelp { signatures, doc: aggregate.doc.to_string(), active });
        }
        let function = flowc_ir::functions::completions().into_iter().find(|f| f.name == name)?;
        let signatures = function.signatures.iter().map(|s| s.to_string()).collect();
        Some(SignatureHelp { signatures, doc: function.doc.to_string(), active })
    }
}
