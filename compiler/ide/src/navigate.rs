//! From a name to what it stands for and back: definitions, references. Must not know how names are resolved.

use crate::TextRange;
use crate::analysis::{Analysis, touches};
use crate::occurrences::{Occurrence, Target, occurrences};
use crate::workspace::Workspace;
use flowc_core::load::{join, parent};
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
    pub(crate) fn everywhere(
        &mut self,
        analysis: &Analysis,
        target: &Target,
        mut f: impl FnMut(&Analysis, &Occurrence),
    ) {
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
}
