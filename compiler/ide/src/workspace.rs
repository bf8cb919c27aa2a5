//! The files that are being edited, and the programs checked as of now. Each question is answered of the texts as they are at that moment; what nothing
//! changed is not checked again. Must not know what the answers look like.

use crate::analysis::Analysis;
use crate::diagnostics::{self, Problem};
use crate::tables::Tables;
use flowc_core::facts::Facts;
use flowc_core::load::{self, LoadError, Loaded, Loader};
use flowc_core::pipeline::{self, CheckOutcome, Input};
use flowc_syntax::ast::{Ast, Item};
use flowc_syntax::span::FileId;
use flowc_syntax::{Diagnostic, Parses};
use indexmap::IndexMap;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// Names the files and folders of a folder, for completing paths.
pub trait PathLister {
    /// The names in the folder; a folder's ends in `/`.
    fn list(&self, folder: &str) -> Vec<String>;
}

/// The texts that are open and what is known of their programs. A path is a file's absolute path.
pub struct Workspace {
    open: BTreeMap<String, Arc<str>>,
    disk: Box<dyn Loader + Send>,
    /// What is known of the tables.
    pub tables: Tables,
    params: IndexMap<String, String>,
    programs: BTreeMap<String, Checked>,
    /// What was parsed last of each file of each program.
    parsed: RefCell<BTreeMap<(String, FileId), Parses>>,
    /// Programs that are not open but may use files that are.
    known: BTreeSet<String>,
    /// Programs as they were checked before.
    replaced: Vec<Arc<Analysis>>,
}

/// A program as it was checked last.
#[derive(Default)]
struct Checked {
    /// As the texts are now, or were when last asked.
    now: Arc<Analysis>,
    /// When its texts had no syntax error.
    good: Option<Arc<Analysis>>,
    tables: Option<u64>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("open", &self.open.keys()).finish_non_exhaustive()
    }
}

/// Files as they are in the editor, else as they are on disk.
struct Texts<'a> {
    open: &'a BTreeMap<String, Arc<str>>,
    disk: &'a dyn Loader,
}

impl Loader for Texts<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match self.open.get(path) {
            Some(text) => Ok(text.to_string()),
            None => self.disk.load(path),
        }
    }
}

impl Workspace {
    /// Nothing is open; other files come from `disk`.
    pub fn new(disk: Box<dyn Loader + Send>) -> Self {
        Workspace {
            open: BTreeMap::new(),
            disk,
            tables: Tables::default(),
            params: IndexMap::new(),
            programs: BTreeMap::new(),
            parsed: RefCell::default(),
            known: BTreeSet::new(),
            replaced: vec![],
        }
    }

    /// A file is open with this text, or has it now.
    pub fn set_text(&mut self, path: &str, text: impl Into<Arc<str>>) {
        self.open.insert(path.to_string(), text.into());
    }

    /// A file is no longer open.
    pub fn close(&mut self, path: &str) {
        self.open.remove(path);
        self.programs.remove(path);
        self.parsed.borrow_mut().retain(|(program, _), _| program != path);
    }

    /// Files changed that are not open, or more than one can tell: everything is read again when it is asked for.
    pub fn disk_changed(&mut self) {
        self.parsed.borrow_mut().clear();
        self.programs.values_mut().for_each(|p| p.tables = None);
    }

    /// Values of params, as on the command line; programs that have no such param do without.
    pub fn set_params(&mut self, params: IndexMap<String, String>) {
        self.params = params;
        self.programs.values_mut().for_each(|p| p.tables = None);
    }

    /// Programs that are not open. Files that they use are judged as parts of them.
    pub fn set_known_programs(&mut self, paths: impl IntoIterator<Item = String>) {
        self.known = paths.into_iter().collect();
    }

    /// What newer texts have replaced. Freeing a large program takes as long as checking a part of it: that can be done by whoever has the time.
    pub fn take_replaced(&mut self) -> Vec<Arc<Analysis>> {
        std::mem::take(&mut self.replaced)
    }

    /// The text of an open file.
    pub fn text(&self, path: &str) -> Option<&Arc<str>> {
        self.open.get(path)
    }

    /// The paths of the open files.
    pub fn open_files(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }

    /// The program of this file, as its texts are now.
    pub fn program(&mut self, path: &str) -> Arc<Analysis> {
        let texts = Texts { open: &self.open, disk: self.disk.as_ref() };
        let before = self.programs.get(path);
        if let Some(before) = before.filter(|b| b.tables == Some(self.tables.revision()))
            && is_current(&before.now, &self.open)
        {
            return before.now.clone();
        }
        let parse = |file: FileId, text: &str| self.parse(path, file, text);
        let loaded = load::load_with(path, &texts, &parse);
        let trees = loaded.trees.clone();
        let sound = !loaded.diagnostics.iter().any(Diagnostic::is_error);
        let (outcome, facts) = self.checked_anew(path, loaded);
        let now = Arc::new(Analysis { outcome, facts, trees, proved: OnceLock::new() });
        let entry = self.programs.entry(path.to_string()).or_default();
        self.replaced.push(std::mem::replace(&mut entry.now, now.clone()));
        entry.tables = Some(self.tables.revision());
        if sound || entry.good.is_none() {
            self.replaced.extend(entry.good.replace(now.clone()));
        }
        now
    }

    /// Checks a program against the tables as they are known, with the params that it declares.
    pub(crate) fn checked_anew(&self, path: &str, loaded: Loaded) -> (CheckOutcome, Facts) {
        let (name, base) = (stem(path), load::parent(path));
        let declared = |name: &String| {
            let mut all = loaded.trees.iter().flat_map(Ast::declarations);
            all.any(|item| matches!(item, Item::Param(p) if p.name.text == *name))
        };
        let params = self.params.iter().filter(|(name, _)| declared(name));
        let params = params.map(|(name, value)| (name.clone(), value.clone())).collect();
        let input = Input { name: &name, path, base, params: &params };
        pipeline::analyze(&input, loaded, &self.tables)
    }

    /// The program of this file when its texts had no syntax error last; it was asked for before.
    pub fn last_good(&self, path: &str) -> Option<Arc<Analysis>> {
        self.programs.get(path).and_then(|p| p.good.clone())
    }

    /// A program as it would be with another text of its file; nothing of it is kept.
    pub(crate) fn speculate(&mut self, path: &str, text: &str) -> Arc<Analysis> {
        let program = self.programs_of(path).into_iter().next().unwrap_or_else(|| path.to_string());
        let (before, known) = (self.open.insert(path.to_string(), text.into()), self.programs.remove(&program));
        let parsed = std::mem::take(&mut *self.parsed.borrow_mut());
        let guess = self.program(&program);
        match before {
            Some(text) => drop(self.open.insert(path.to_string(), text)),
            None => drop(self.open.remove(path)),
        }
        match known {
            Some(known) => drop(self.programs.insert(program, known)),
            None => drop(self.programs.remove(&program)),
        }
        *self.parsed.borrow_mut() = parsed;
        guess
    }

    fn parse(&self, program: &str, file: FileId, text: &str) -> (Ast, Vec<Diagnostic>) {
        self.parsed.borrow_mut().entry((program.to_string(), file)).or_default().parse(file, text)
    }

    /// The programs that a file is judged as part of: itself, unless it only declares what other programs use, and there is one that uses it.
    pub fn programs_of(&mut self, path: &str) -> Vec<String> {
        let own = self.program(path);
        if own.trees.first().is_none_or(|tree| tree.declarations().any(is_of_program)) {
            return vec![path.to_string()];
        }
        let others: BTreeSet<String> = self.open.keys().chain(&self.known).filter(|p| *p != path).cloned().collect();
        let mut found: Vec<String> = vec![];
        for other in others {
            if self.program(&other).file(path).is_some() {
                found.push(other);
            }
        }
        if found.is_empty() {
            found.push(path.to_string());
        }
        found
    }

    /// The paths of all programs that are open or known.
    pub fn all_programs(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.open.keys().chain(&self.known).collect();
        all.into_iter().cloned().collect()
    }

    /// The program that a question about a place of a file is answered from.
    pub(crate) fn at(&mut self, path: &str) -> (Arc<Analysis>, Option<FileId>) {
        let program = self.programs_of(path).into_iter().next().unwrap_or_else(|| path.to_string());
        let analysis = self.program(&program);
        let file = analysis.file(path);
        (analysis, file)
    }

    /// What is wrong in a file: everything that its programs find there.
    pub fn problems(&mut self, path: &str) -> Vec<Problem> {
        let mut found: Vec<Problem> = vec![];
        for program in self.programs_of(path) {
            let analysis = self.program(&program);
            let alone = program == path && !analysis.trees.iter().any(|t| t.declarations().any(is_of_program));
            for (file, problem) in diagnostics::problems(&analysis) {
                let unused = alone && diagnostics::is_unused(problem.code);
                if file == path && !unused && !found.contains(&problem) {
                    found.push(problem);
                }
            }
        }
        found
    }
}

/// Whether a declaration makes a file a program by itself.
fn is_of_program(item: &Item) -> bool {
    !matches!(item, Item::Use(_) | Item::Function(_) | Item::Param(_))
}

/// Whether the open files still have the texts that a program was checked with.
fn is_current(analysis: &Analysis, open: &BTreeMap<String, Arc<str>>) -> bool {
    let mut files = analysis.outcome.sources.files();
    files.all(|(_, file)| open.get(&file.name).is_none_or(|text| Arc::ptr_eq(text, &file.text) || *text == file.text))
}

/// A program's name: its file's, without the ending.
fn stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".flow").unwrap_or(name).to_string()
}
