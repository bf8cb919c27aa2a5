//! Calling something otherwise, so that the program stays what it is, or refusing to. Must not know how names are resolved.

use crate::TextRange;
use crate::analysis::{Analysis, range};
use crate::diagnostics::Edit;
use crate::navigate::{Place, at};
use crate::occurrences::{Occurrence, Target, occurrences};
use crate::workspace::Workspace;
use flowc_core::facts::{Shape, ShapeColumn};
use flowc_ir::types::quote_name;
use flowc_syntax::ast::{Assignment, Ast, Flow, FlowRef, Item, StepKind};
use flowc_syntax::span::{FileId, Span};
use std::collections::BTreeSet;

/// Why something cannot be called otherwise: a sentence for people.
pub type RenameError = String;

impl Workspace {
    /// The name at a place that could be another, and its stretch.
    pub fn prepare_rename(&mut self, path: &str, offset: usize) -> Result<(TextRange, String), RenameError> {
        let (analysis, file) = self.at(path);
        let found = named(&analysis, file, offset)?;
        Ok((range(found.span), analysis.outcome.sources.text(found.span).trim_matches('`').to_string()))
    }

    /// The edits that call something `name`.
    pub fn rename(&mut self, path: &str, offset: usize, name: &str) -> Result<Vec<Edit>, RenameError> {
        let (analysis, file) = self.at(path);
        let found = named(&analysis, file, offset)?;
        let name = name.trim().trim_matches('`');
        if name.is_empty() || name.contains(['\n', '\r']) {
            return Err("a name is a word, or any text of one line".into());
        }
        let targets: Vec<Target> = match found.target {
            Target::Column(id) => together(&analysis, id).into_iter().map(Target::Column).collect(),
            other => vec![other],
        };
        for target in &targets {
            taken(&analysis, target, name)?;
        }
        let text = quote_name(name);
        let mut edits = vec![];
        for target in &targets {
            self.everywhere(&analysis, target, |analysis, occurrence| {
                let (span, text) = renamed(analysis, occurrence, &targets, &text);
                let place = Place::new(analysis, span);
                let edit = Edit { range: place.range(), path: place.path, text };
                // A name that reads a column and makes another one of the same name stands for both.
                if !edits.iter().any(|e: &Edit| e.path == edit.path && e.range == edit.range) {
                    edits.push(edit);
                }
            });
        }
        edits.sort_by(|a, b| (&a.path, a.range.start).cmp(&(&b.path, b.range.start)));
        Ok(edits)
    }
}

/// What stands at a byte, if it can be called otherwise.
fn named(analysis: &Analysis, file: Option<FileId>, offset: usize) -> Result<Occurrence, RenameError> {
    let nothing = || "there is no name here that can be changed".to_string();
    let found = file.and_then(|file| at(analysis, file, offset)).ok_or_else(nothing)?;
    let found = made_of_stored(analysis, &found).unwrap_or(found);
    match &found.target {
        Target::BuiltIn(name) => Err(format!("`{name}` is a function of the language")),
        Target::File(_) => Err(nothing()),
        Target::Column(id) => column(analysis, *id).map(|()| found),
        _ => Ok(found),
    }
}

/// The column that is made where one of a table is named: `select id` makes one that can have another name.
fn made_of_stored(analysis: &Analysis, found: &Occurrence) -> Option<Occurrence> {
    let Target::Column(id) = found.target else { return None };
    let columns = &analysis.facts.columns;
    columns.get(id).filter(|column| column.stored)?;
    let made = columns.iter().position(|column| column.span == found.span && !column.stored)?;
    Some(Occurrence { span: found.span, target: Target::Column(made), defines: true })
}

/// Refuses columns whose names the program does not give.
fn column(analysis: &Analysis, id: usize) -> Result<(), RenameError> {
    let columns = &analysis.facts.columns;
    let all = together(analysis, id);
    let name = columns.get(id).map_or("", |c| c.name.as_str());
    let other = format!("`|> rename other = {}` gives it another name in the flow", quote_name(name));
    if columns.get(id).is_some_and(|c| c.stored) {
        return Err(format!("the table calls this column `{name}`; {other}"));
    }
    if all.iter().any(|id| columns.get(*id).is_some_and(|c| c.stored)) {
        return Err(format!("it stands for the column `{name}` that a table has, or is united with it; {other}"));
    }
    let names = occurrences(analysis);
    let is_made = |id: &usize| names.iter().any(|o| o.defines && o.target == Target::Column(*id));
    if !all.iter().any(is_made) {
        return Err(format!("no name in the program makes the column `{name}`; {other}"));
    }
    let Some(checked) = &analysis.outcome.checked else { return Ok(()) };
    for sink in &checked.sinks {
        let writes = analysis.trees.iter().flat_map(Ast::declarations).any(|item| match item {
            Item::Sink(x) => x.name.text == sink.name && has_one(analysis, &x.input, &all),
            _ => false,
        });
        let existing = sink.existing.as_ref().is_some_and(|info| info.schema.field(name).is_some());
        if writes && existing {
            return Err(format!("the table that `{}` writes calls this column `{name}`; {other}", sink.name));
        }
    }
    Ok(())
}

/// Whether rows have one of these columns.
fn has_one(analysis: &Analysis, rows: &FlowRef, ids: &BTreeSet<usize>) -> bool {
    let shape = analysis.facts.relations.get(&rows.name.text);
    shape.is_some_and(|s| s.columns.iter().any(|c| c.id.is_some_and(|id| ids.contains(&id))))
}

/// The columns that have to have one name: one takes the place of another, or they are united.
fn together(analysis: &Analysis, id: usize) -> BTreeSet<usize> {
    let links = links(analysis);
    let mut found = BTreeSet::from([id]);
    loop {
        let before = found.len();
        for link in &links {
            if !link.is_disjoint(&found) {
                found.extend(link);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Sets of columns that have one name because of one place.
fn links(analysis: &Analysis) -> Vec<BTreeSet<usize>> {
    let facts = &analysis.facts;
    let flows = analysis.trees.iter().flat_map(Ast::declarations);
    let flows = flows.filter_map(|item| if let Item::Flow(flow) = item { Some(flow) } else { None });
    let mut links = vec![];
    for step in flows.flat_map(|flow: &Flow| &flow.steps) {
        let made = |span: Span| {
            let within = move |at: Span| at.file == span.file && span.start <= at.start && at.end <= span.end;
            facts.columns.iter().enumerate().filter(move |(_, c)| within(c.span))
        };
        match &step.kind {
            StepKind::Extend(_) | StepKind::Expect(_) | StepKind::Explode { .. } => {
                let before = facts.steps.get(&step.span).map(|s| s.before.columns.as_slice()).unwrap_or_default();
                for (id, column) in made(step.span) {
                    let replaced = before.iter().find(|c| c.table.is_none() && c.name == column.name);
                    links.extend(replaced.and_then(|c| c.id).map(|old| BTreeSet::from([old, id])));
                }
            }
            StepKind::Union(others) => {
                for (id, column) in others.iter().flat_map(|other| made(other.span)) {
                    links.push(column.from.iter().copied().chain([id]).collect());
                }
            }
            _ => {}
        }
    }
    links
}

/// The edit of a name: the stretch, and what is to stand there.
fn renamed(analysis: &Analysis, occurrence: &Occurrence, targets: &[Target], text: &str) -> (Span, String) {
    let plain = (occurrence.span, text.to_string());
    let Some((value, form)) = implicit(analysis, occurrence.span) else { return plain };
    // What the value makes under its own name: that of what is renamed, or of another column that keeps its name.
    let made = analysis.facts.columns.iter().enumerate().find(|(_, c)| c.span == occurrence.span);
    let own = made.is_some_and(|(id, _)| targets.contains(&Target::Column(id)));
    match (occurrence.defines || own, made, form) {
        // What it is read from is called otherwise, too.
        (true, ..) if is_read(analysis, occurrence.span, targets) => plain,
        (true, _, Form::Before) => (Span { end: value.start, ..value }, format!("{text} = ")),
        (true, _, Form::Behind) => (Span { start: value.end, ..value }, format!(" as {text}")),
        (false, Some((_, column)), Form::Before) => (occurrence.span, format!("{} = {text}", quote_name(&column.name))),
        (false, Some((_, column)), Form::Behind) => {
            (occurrence.span, format!("{text} as {}", quote_name(&column.name)))
        }
        (false, None, _) => plain,
    }
}

/// Whether a name reads one of these columns.
fn is_read(analysis: &Analysis, span: Span, targets: &[Target]) -> bool {
    analysis.facts.reads.get(&span).is_some_and(|id| targets.contains(&Target::Column(*id)))
}

/// How a name is given to a value that has none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `name = value`
    Before,
    /// `value as name`
    Behind,
}

/// The value of a column that has no name of its own: `select device.site`.
fn implicit(analysis: &Analysis, name: Span) -> Option<(Span, Form)> {
    let find = |all: &[Assignment]| {
        all.iter()
            .find(|a| {
                a.name.is_none()
                    && a.value.span.file == name.file
                    && a.value.span.end == name.end
                    && a.value.span.start <= name.start
            })
            .map(|a| (a.value.span, Form::Before))
    };
    let items = analysis.trees.iter().flat_map(Ast::declarations);
    let flows = items.filter_map(|item| if let Item::Flow(flow) = item { Some(flow) } else { None });
    flows.flat_map(|flow| &flow.steps).find_map(|step| match &step.kind {
        // An element takes the name of what it is an element of.
        StepKind::Explode { value, column: None } if value.span.file == name.file && value.span.end == name.end => {
            Some((value.span, Form::Behind))
        }
        StepKind::Extend(all)
        | StepKind::Select(all)
        | StepKind::Dedup { keys: all, .. }
        | StepKind::Top { per: all, .. } => find(all),
        StepKind::Aggregate(aggregate) => find(&aggregate.keys).or_else(|| find(&aggregate.aggregates)),
        _ => None,
    })
}

/// Refuses a name that something else beside it has.
fn taken(analysis: &Analysis, target: &Target, name: &str) -> Result<(), RenameError> {
    let taken = match target {
        Target::Column(id) => {
            let steps = analysis.facts.steps.values().flat_map(|s| [&s.before, &s.after]);
            let mut shapes = steps.chain(analysis.facts.relations.values());
            let has = |shape: &Shape, of: &dyn Fn(&ShapeColumn) -> bool| shape.columns.iter().any(of);
            shapes.any(|shape| {
                has(shape, &|c| c.id == Some(*id))
                    && has(shape, &|c| c.table.is_none() && c.name == name && c.id != Some(*id))
            })
        }
        Target::Local(function, _) => analysis.declarations().any(|(n, item)| match item {
            Item::Function(f) if n.text == *function => f.params.iter().any(|(p, _)| p.text == name),
            _ => false,
        }),
        target => analysis.declarations().filter(|(n, _)| n.text == name).any(|(_, item)| {
            matches!(
                (target, item),
                (Target::Relation(_), Item::Source(_) | Item::Table(_) | Item::Flow(_))
                    | (Target::Sink(_), Item::Sink(_))
                    | (Target::Function(_), Item::Function(_))
                    | (Target::Param(_), Item::Param(_))
            )
        }),
    };
    if taken { Err(format!("there is a `{name}` already")) } else { Ok(()) }
}
