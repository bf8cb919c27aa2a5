//! The parser that pest makes of `grammar/flow.pest`. Nothing else belongs here.
#![allow(missing_docs)]

use pest_derive::Parser;

/// Recognises the rules of the grammar.
#[derive(Parser)]
#[grammar = "../../../grammar/flow.pest"]
pub(crate) struct FlowParser;
