//! A program that ends at the cursor: its flow as far as the step there, without what is behind it. So the rows between two steps are those of a program. Must not
//! know how rows are made.

use crate::samples::Samples;
use crate::session::PATH;
use flowc_core::checked::{Checked, Input, Observed};
use flowc_core::load::FixedLoader;
use flowc_core::pipeline;
use flowc_ide::Analysis;
use flowc_syntax::ast::{Flow, Item};
use flowc_syntax::span::Span;
use indexmap::IndexMap;

/// What the flow is called; a name that nobody gives.
const NAME: &str = "rows_at_the_cursor_";

/// So often declarations with mistakes are left out.
const ATTEMPTS: usize = 3;

/// A program, and which of its rows are to be looked at.
#[derive(Debug)]
pub(crate) struct Peek {
    pub(crate) checked: Checked,
    pub(crate) observed: Observed,
    /// What stands at the cursor: `clean |> where`.
    pub(crate) title: String,
}

/// The program that ends at a byte; none: no rows are there, or what leads to them is wrong.
pub(crate) fn peek(analysis: &Analysis, samples: &Samples, offset: usize) -> Option<Peek> {
    let tree = analysis.trees.first()?;
    let text = |span: Span| analysis.outcome.sources.text(span);
    let here = |item: &&Item| (item.span().start as usize..=item.span().end as usize).contains(&offset);
    let (body, title) = match tree.items.iter().map(AsRef::as_ref).rev().find(here)? {
        Item::Flow(flow) => cut(analysis, flow, offset),
        Item::Source(source) => (text(source.name.span).to_string(), source.name.text.clone()),
        Item::Table(table) => (text(table.name.span).to_string(), table.name.text.clone()),
        _ => return None,
    };
    let mut kept: Vec<&Item> =
        tree.items.iter().map(AsRef::as_ref).filter(|i| !matches!(i, Item::Sink(_) | Item::Test(_))).collect();
    for _ in 0..ATTEMPTS {
        let mut program = String::new();
        let mut places = vec![];
        for item in &kept {
            let start = program.len();
            program.push_str(text(item.span()));
            places.push(start..program.len());
            program.push_str("\n\n");
        }
        program.push_str(&format!("flow {NAME} = {body}\n"));
        let loader = FixedLoader { files: IndexMap::from([(PATH.to_string(), program)]) };
        let input = pipeline::Input { name: "playground", path: PATH, base: "", params: &IndexMap::new() };
        let outcome = pipeline::check(&input, &loader, samples);
        if let Some(checked) = outcome.checked {
            let index = checked.flows.iter().position(|flow| flow.name == NAME)?;
            return Some(Peek { checked, observed: Observed::Rows(Input::Flow(index)), title });
        }
        // What is wrong elsewhere does not matter here.
        let wrong = |place: &std::ops::Range<usize>| {
            outcome.diagnostics.iter().any(|d| d.is_error() && place.contains(&(d.span.start as usize)))
        };
        let before = kept.len();
        let mut places = places.iter();
        kept.retain(|_| !places.next().is_some_and(wrong));
        if kept.len() == before {
            return None;
        }
    }
    None
}

/// A flow as far as the step at a byte: its text, and what it is called.
fn cut(analysis: &Analysis, flow: &Flow, offset: usize) -> (String, String) {
    let text = |span: Span| analysis.outcome.sources.text(span);
    // The cursor is in a step as soon as it is on its line.
    let end_of_line = {
        let whole = analysis.text(flow.span.file);
        whole[offset.min(whole.len())..].find('\n').map_or(whole.len(), |at| offset + at)
    };
    let last = flow.steps.iter().rev().find(|step| (step.span.start as usize) < end_of_line);
    let end = last.map_or(flow.input.span.end, |step| step.span.end);
    let body = text(Span { end, ..flow.input.span }).to_string();
    let title = match last {
        Some(step) => format!("{} |> {}", flow.name.text, text(step.keyword)),
        None => format!("{} = {}", flow.name.text, text(flow.input.span)),
    };
    (body, title)
}
