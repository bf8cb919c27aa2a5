//! A program cut short: what makes the rows at a place, and nothing else. The texts keep their length: what the rows do not need is blank, so that every place in
//! the cut program is the same place of the program. Must not know how rows are made, nor what is shown of them.

use crate::analysis::Analysis;
use crate::occurrences::{Target, occurrences};
use crate::workspace::Workspace;
use flowc_core::checked::{Checked, Input};
use flowc_core::load::FixedLoader;
use flowc_core::pipeline::CheckOutcome;
use flowc_syntax::SourceMap;
use flowc_syntax::ast::{Ast, Flow, Item};
use flowc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::fmt;

/// Rows that can be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsOf {
    /// The source, table or flow, or a side output of it as it is written: `clean.rejected`.
    pub name: String,
    /// How many steps of the flow they have gone through; 0: what the flow reads. None: all of them.
    pub steps: Option<usize>,
}

/// A program that makes the rows that are looked at.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The program, before anything was proved of it.
    pub checked: Checked,
    /// What in it has the rows.
    pub input: Input,
    /// What the rows are of: `clean |> where`.
    pub title: String,
    /// The texts that places of the program refer to.
    pub sources: SourceMap,
    /// Whether they are those from before a syntax error that is there now.
    pub outdated: bool,
}

/// Why there are no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutError {
    /// A table is not read yet: who asks again later may get them.
    Pending,
    /// A sentence for people.
    Wrong(String),
}

impl fmt::Display for CutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CutError::Pending => f.write_str("a table is still being read"),
            CutError::Wrong(why) => f.write_str(why),
        }
    }
}

impl From<String> for CutError {
    fn from(why: String) -> Self {
        CutError::Wrong(why)
    }
}

impl Workspace {
    /// What has rows at a byte: the flow at its name, or as far as the step on the line of the byte; a source or table.
    pub fn rows_at(&mut self, path: &str, offset: usize) -> Option<RowsOf> {
        let (now, file) = self.at(path);
        let file = file?;
        let here = |item: &&Item| (item.span().start as usize..=item.span().end as usize).contains(&offset);
        let whole = |name: &str| Some(RowsOf { name: name.to_string(), steps: None });
        match now.tree(file).declarations().filter(here).last()? {
            Item::Flow(flow) if offset <= flow.name.span.end as usize => whole(&flow.name.text),
            Item::Flow(flow) => {
                let steps = Some(steps_before(&now, flow, offset));
                Some(RowsOf { name: flow.name.text.clone(), steps })
            }
            Item::Source(source) => whole(&source.name.text),
            Item::Table(table) => whole(&table.name.text),
            _ => None,
        }
    }

    /// The program that makes these rows. What is wrong with it elsewhere does not matter; while the text has a syntax error where it does, the program is that from
    /// before.
    pub fn cut(&mut self, path: &str, of: &RowsOf) -> Result<Cut, CutError> {
        let (now, _) = self.at(path);
        let why = match self.cut_of(&now, of) {
            Ok(cut) => return Ok(cut),
            Err(why) => why,
        };
        let good = self.last_good(now.path(FileId(0))).filter(|good| !std::sync::Arc::ptr_eq(good, &now));
        let before = good.and_then(|good| self.cut_of(&good, of).ok());
        before.map(|cut| Cut { outdated: true, ..cut }).ok_or(why)
    }

    fn cut_of(&self, analysis: &Analysis, of: &RowsOf) -> Result<Cut, CutError> {
        let none = || CutError::Wrong(format!("there is no flow, source or table `{}` here", of.name));
        let main = analysis.trees.first().ok_or_else(none)?;
        let (name, output) = named(main, &of.name);
        if main.broken.iter().any(|broken| broken.text == name) {
            return Err(format!("`{name}` has a syntax error").into());
        }
        let (kept, title) = match relation(main, name).ok_or_else(none)? {
            // What a flow puts aside is that of all its steps.
            Item::Flow(flow) if output.is_none() => shortened(analysis, flow, of.steps)?,
            other => (other.span(), of.name.clone()),
        };
        let (outcome, path) = (self.check_only(analysis, kept), analysis.path(FileId(0)));
        if outcome.pending {
            return Err(CutError::Pending);
        }
        let Some(checked) = outcome.checked else { return Err(mistake(&outcome, path).into()) };
        let input = input_of(&checked, name).ok_or_else(none)?;
        let input = match output {
            None => input,
            Some(output) => side_output(&checked, input, output)
                .ok_or_else(|| CutError::Wrong(format!("`{name}` has no rows that are `{output}`")))?,
        };
        Ok(Cut { checked, input, title, sources: outcome.sources, outdated: false })
    }

    /// Checks a program of which there is nothing but one stretch and what that needs. Nothing is proved: rows of a sample are judged like any others.
    fn check_only(&self, analysis: &Analysis, stretch: Span) -> CheckOutcome {
        let kept = needed(analysis, stretch);
        let files = analysis.outcome.sources.files().map(|(id, file)| {
            let spans = kept.iter().filter(|span| span.file == id);
            (file.name.clone(), blanked(&file.text, spans))
        });
        let loader = FixedLoader { files: files.collect() };
        let loaded = flowc_core::load::load(analysis.path(FileId(0)), &loader);
        self.checked_anew(analysis.path(FileId(0)), loaded).0
    }
}

/// How many steps of a flow there are up to the one at a byte. A step is there as soon as the byte is on its line.
fn steps_before(now: &Analysis, flow: &Flow, offset: usize) -> usize {
    let whole = now.text(flow.span.file).as_bytes();
    let line = whole.iter().skip(offset).position(|b| *b == b'\n');
    let end_of_line = line.map_or(whole.len(), |length| offset + length);
    flow.steps.iter().take_while(|step| (step.span.start as usize) < end_of_line).count()
}

/// A flow as far as some of its steps: its stretch, and what its rows are called.
fn shortened(analysis: &Analysis, flow: &Flow, steps: Option<usize>) -> Result<(Span, String), String> {
    let text = |span: Span| analysis.outcome.sources.text(span);
    let name = &flow.name.text;
    let Some(count) = steps else { return Ok((flow.span, name.clone())) };
    let Some(last) = count.checked_sub(1) else {
        let title = format!("{name} = {}", text(flow.input.span));
        return Ok((Span { end: flow.input.span.end, ..flow.span }, title));
    };
    match flow.steps.get(last) {
        Some(step) => {
            let title = format!("{name} |> {}", text(step.keyword));
            Ok((Span { end: step.span.end, ..flow.span }, title))
        }
        None => Err(format!("`{name}` has {} steps", flow.steps.len())),
    }
}

/// The source, table or flow that a name begins with, and its side output: what stands behind the last point, unless the whole is a name.
fn named<'a>(tree: &Ast, name: &'a str) -> (&'a str, Option<&'a str>) {
    let of_output = name.rsplit_once('.').filter(|_| relation(tree, name).is_none());
    of_output.map_or((name, None), |(name, output)| (name, Some(output)))
}

fn relation<'a>(tree: &'a Ast, name: &str) -> Option<&'a Item> {
    tree.declarations().find(|item| is_relation(item) && item.name().is_some_and(|n| n.text == name))
}

fn is_relation(item: &Item) -> bool {
    matches!(item, Item::Source(_) | Item::Table(_) | Item::Flow(_))
}

/// The stretches of the program that a stretch needs, itself among them: the declarations that it names, those that they name, and so on.
fn needed(analysis: &Analysis, stretch: Span) -> Vec<Span> {
    let names = occurrences(analysis);
    let mut declared: BTreeMap<Target, Span> = BTreeMap::new();
    for (name, item) in analysis.declarations() {
        let target = match item {
            Item::Param(_) => Target::Param(name.text.clone()),
            Item::Function(_) => Target::Function(name.text.clone()),
            Item::Source(_) | Item::Table(_) | Item::Flow(_) => Target::Relation(name.text.clone()),
            Item::Use(_) | Item::Sink(_) | Item::Test(_) => continue,
        };
        // What holds the stretch is there already, and not as a whole.
        if !holds(item.span(), stretch) {
            declared.insert(target, item.span());
        }
    }
    let uses = analysis.trees.iter().flat_map(Ast::declarations).filter(|item| matches!(item, Item::Use(_)));
    let mut kept: Vec<Span> = uses.map(Item::span).collect();
    let mut open = vec![stretch];
    while let Some(span) = open.pop() {
        kept.push(span);
        for name in names.iter().filter(|name| holds(span, name.span)) {
            open.extend(declared.remove(&name.target));
        }
    }
    kept
}

fn holds(outer: Span, inner: Span) -> bool {
    outer.file == inner.file && outer.start <= inner.start && inner.end <= outer.end
}

/// A text of which nothing but some stretches is left; all else is blank, line for line.
fn blanked<'a>(text: &str, kept: impl Iterator<Item = &'a Span>) -> String {
    let mut out: Vec<u8> = text.bytes().map(|b| if b == b'\n' { b } else { b' ' }).collect();
    for span in kept {
        let stretch = span.start as usize..span.end as usize;
        if let (Some(to), Some(from)) = (out.get_mut(stretch.clone()), text.get(stretch)) {
            to.copy_from_slice(from.as_bytes());
        }
    }
    // Whole stretches of the text, and spaces: it is UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

/// What is put aside of a flow or source, if it puts it aside.
fn side_output(checked: &Checked, input: Input, output: &str) -> Option<Input> {
    match (input, output) {
        (Input::Flow(index), "rejected") if !checked.flows[index].rejected.is_empty() => Some(Input::Rejected(index)),
        (Input::Flow(index), "late") if checked.flows[index].late.is_some() => Some(Input::Late(index)),
        (Input::Source(index), "malformed") if checked.sources[index].spec.quarantine.is_some() => {
            Some(Input::Malformed(index))
        }
        _ => None,
    }
}

/// The first mistake, with its place.
fn mistake(outcome: &CheckOutcome, main: &str) -> String {
    let Some(first) = outcome.diagnostics.iter().find(|d| d.is_error()) else {
        return "the program has a mistake".into();
    };
    let file = &outcome.sources.file(first.span.file).name;
    let (line, _) = outcome.sources.line_column(first.span.file, first.span.start);
    let place = if file == main { format!("line {line}") } else { format!("{file}, line {line}") };
    format!("{place}: {} ({})", first.message, first.code)
}

fn input_of(checked: &Checked, name: &str) -> Option<Input> {
    let flow = checked.flows.iter().position(|flow| flow.name == name).map(Input::Flow);
    let source = || checked.sources.iter().position(|source| source.spec.name == name).map(Input::Source);
    let table = || checked.tables.iter().position(|table| table.spec.name == name).map(Input::Table);
    flow.or_else(source).or_else(table)
}
