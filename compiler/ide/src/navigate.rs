//! From a name to what it stands for and back: definitions, references, renaming. Must not know how names are resolved.

use crate::TextRange;
use crate::analysis::{Analysis, range, touches};
use crate::diagnostics::Edit;
use crate::occurrences::{Occurrence, Target, occurrences};
use crate::workspace::Workspace;
use flowc_core::load::{join, parent};
use flowc_ir::types::quote_name;
use flowc_syntax::ast::{Assignment, Ast, Item, StepKind};
use flowc_syntax::span::{FileId, Span};
use std::collections::BTreeSet;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub path: String,
    /// The first byte and the one behind the last.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Place {
    /// The bytes.
    pub fn range(&self) -> TextRange {
        self.start..self.end
    }

    pub(crate) fn new(analysis: &Analysis, span: Span) -> Self {
        Place { path: analysis.path(span.file).to_string(), start: span.start as usize, end: span.end as usize }
    }
}

/// Why something cannot be called otherwise: a sentence for people.
pub type RenameError = String;

/// The name at a byte. Of two (a column that is passed on is read and made by one name) it is the one that is read.
pub(crate) fn at(analysis: &Analysis, file: FileId, offset: usize) -> Option<Occurrence> {
    occurrences(analysis).into_iter().find(|o| touches(o.span, file, offset))
}

/// Where something is made.
fn definition(analysis: &Analysis, target: &Target) -> Option<Place> {
    match target {
        Target::Column(id) => Some(Place::new(analysis, analysis.facts.columns.get(*id)?.span)),
        Target::File(path) => {
            let path = join(parent(analysis.path(FileId(0))), path);
            analysis.file(&path).map(|_| Place { path, start: 0, end: 0 })
        }
        target => {
            let found = occurrences(analysis).into_iter().find(|o| o.defines && o.target == *target)?;
            Some(Place::new(analysis, found.span))
        }
    }
}

impl Workspace {
    /// Where what a name stands for is made.
    pub fn definition(&mut self, path: &str, offset: usize) -> Option<Place> {
        let (analysis, file) = self.at(path);
        let file = file?;
        let found = at(&analysis, file, offset)?;
        definition(&analysis, &found.target)
    }

    /// The names that stand for the same, in all programs that have it.
    pub fn references(&mut self, path: &str, offset: usize, with_definition: bool) -> Vec<Place> {
        let (analysis, file) = self.at(path);
        let Some(found) = file.and_then(|file| at(&analysis, file, offset)) else { return vec![] };
        let mut places = BTreeSet::new();
        self.everywhere(&analysis, &found.target, |analysis, occurrence| {
            if with_definition || !occurrence.defines {
                places.insert(Place::new(analysis, occurrence.span));
            }
        });
        places.into_iter().collect()
    }

    /// Calls `f` for each name that stands for `target` of a program; functions and params of used files have names in other programs too.
    fn everywhere(&mut self, analysis: &Analysis, target: &Target, mut f: impl FnMut(&Analysis, &Occurrence)) {
        let mut each = |analysis: &Analysis| {
            occurrences(analysis).iter().filter(|o| o.target == *target).for_each(|o| f(analysis, o));
        };
        each(analysis);
        if !matches!(target, Target::Function(_) | Target::Param(_)) {
            return;
        }
        let Some(home) = definition(analysis, target).map(|place| place.path) else { return };
        let own = analysis.path(FileId(0)).to_string();
        for other in self.all_programs().into_iter().filter(|p| *p != own) {
            let other = self.program(&other);
            if definition(&other, target).is_some_and(|place| place.path == home) {
                each(&other);
            }
        }
    }

    /// The name at a place that could be another, and its stretch.
    pub fn prepare_rename(&mut self, path: &str, offset: usize) -> Result<(TextRange, String), RenameError> {
        let (analysis, file) = self.at(path);
        let nothing = || "there is no name here that can be changed".to_string();
        let found = file.and_then(|file| at(&analysis, file, offset)).ok_or_else(nothing)?;
        match &found.target {
            Target::BuiltIn(name) => return Err(format!("`{name}` is a function of the language")),
            Target::File(_) => return Err(nothing()),
            Target::Column(id) if analysis.facts.columns.get(*id).is_some_and(|c| c.stored) => {
                let name = &analysis.facts.columns[*id].name;
                return Err(format!(
                    "the table calls this column `{name}`; `|> rename other = {}` gives it another name in the flow",
                    quote_name(name)
                ));
            }
            _ => {}
        }
        Ok((range(found.span), analysis.outcome.sources.text(found.span).trim_matches('`').to_string()))
    }

    /// The edits that call something `name`.
    pub fn rename(&mut self, path: &str, offset: usize, name: &str) -> Result<Vec<Edit>, RenameError> {
        self.prepare_rename(path, offset)?;
        let name = name.trim().trim_matches('`');
        if name.is_empty() || name.contains(['\n', '\r']) {
            return Err("a name is a word, or any text of one line".into());
        }
        let (analysis, file) = self.at(path);
        let Some(found) = file.and_then(|file| at(&analysis, file, offset)) else { return Ok(vec![]) };
        taken(&analysis, &found.target, name)?;
        let text = quote_name(name);
        let mut edits = vec![];
        self.everywhere(&analysis, &found.target, |analysis, occurrence| {
            let implicit = occurrence.defines.then(|| implicit(analysis, occurrence.span)).flatten();
            let (span, text) = match implicit {
                // A column that takes the name of what it is gets one of its own.
                Some(value) => (Span { end: value.start, ..value }, format!("{text} = ")),
                None => (occurrence.span, text.clone()),
            };
            let place = Place::new(analysis, span);
            let edit = Edit { range: place.range(), path: place.path, text };
            if !edits.contains(&edit) {
                edits.push(edit);
            }
        });
        edits.sort_by(|a, b| (&a.path, a.range.start).cmp(&(&b.path, b.range.start)));
        Ok(edits)
    }
}

/// The value of a column that has no name of its own: `select device.site`.
fn implicit(analysis: &Analysis, name: Span) -> Option<Span> {
    let find = |all: &[Assignment]| {
        all.iter()
            .find(|a| {
                a.name.is_none()
                    && a.value.span.file == name.file
                    && a.value.span.end == name.end
                    && a.value.span.start <= name.start
            })
            .map(|a| a.value.span)
    };
    let items = analysis.trees.iter().flat_map(Ast::declarations);
    let flows = items.filter_map(|item| if let Item::Flow(flow) = item { Some(flow) } else { None });
    flows.flat_map(|flow| &flow.steps).find_map(|step| match &step.kind {
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
            let shapes = analysis.facts.steps.values().flat_map(|s| [&s.before, &s.after]);
            let mut beside = shapes.filter(|s| s.columns.iter().any(|c| c.id == Some(*id)));
            beside.any(|s| s.columns.iter().any(|c| c.table.is_none() && c.name == name && c.id != Some(*id)))
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
