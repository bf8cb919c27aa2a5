//! The composition root: the one place that knows both the compiler and the runtime. It loads files, answers the compiler's questions about tables, compiles
//! programs, and gives the runtime its connectors. Says nothing to the user: that is the commands' matter.

use crate::exit::{Exit, Failure};
use crate::lock::Place;
use flowc_core::explain::{Read, Span};
use flowc_core::load::{FixedLoader, LoadError, Loader};
use flowc_core::pipeline::{self, CheckOutcome};
use flowc_delta::{DeltaCatalog, DeltaConnectors};
use flowc_ir::catalog::{Catalog, TableInfo};
use flowc_ir::eval::Backend;
use flowc_ir::plan::{Executable, Plan};
use flowc_runtime::Connectors;
use flowc_runtime::FileCatalog;
use flowc_runtime::connectors::FileConnectors;
use flowc_runtime::connectors::console::Out;
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A program to compile: where it stands, and how its files are read.
#[derive(Debug, Clone)]
pub struct Program {
    /// The pipeline's name: the file's stem.
    pub name: String,
    /// The file, as the user gave it: what messages show.
    pub path: String,
    /// The absolute directory that relative locations start from.
    pub base: PathBuf,
    /// Values of params, as text.
    pub params: IndexMap<String, String>,
    /// The files, for a program inside an executable; none: the file system.
    pub files: Option<IndexMap<String, String>>,
    /// What its tables were when it was last checked.
    pub lock: Place,
}

impl Program {
    /// The program of this file. It must exist: a file that does not is a wrong word on the command line.
    pub fn open(file: &Path, params: &[String]) -> Result<Program, Failure> {
        let missing = |why: String| Failure::usage(format!("cannot read `{}`: {why}", file.display()));
        let found = std::fs::metadata(file).map_err(|e| missing(describe(&e)))?;
        if found.is_dir() {
            return Err(missing("it is a directory".into()).help("name the program's file, for example sensor.flow"));
        }
        let bytes = std::fs::read(file).map_err(|e| missing(describe(&e)))?;
        if std::str::from_utf8(&bytes).is_err() {
            return Err(Failure::wrong(format!("`{}` is not UTF-8 text", file.display())));
        }
        let absolute = std::path::absolute(file).map_err(|e| missing(e.to_string()))?;
        let base = absolute.parent().map(Path::to_path_buf).unwrap_or_default();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (params, lock) = (parse_params(params)?, Place::Beside(base.join(crate::lock::NAME)));
        Ok(Program { name, path: file.display().to_string(), base, params, files: None, lock })
    }

    /// Where the state of its runs is kept unless the user says otherwise.
    pub fn state(&self) -> PathBuf {
        self.base.join(".flow").join(&self.name)
    }

    /// The directory that relative locations start from, as text.
    pub fn base(&self) -> String {
        self.base.to_string_lossy().into_owned()
    }

    /// The program's file, absolute; none for a program inside an executable.
    pub fn file(&self) -> Option<String> {
        let name = Path::new(&self.path).file_name().filter(|_| self.files.is_none())?;
        Some(self.base.join(name).to_string_lossy().into_owned())
    }

    /// Parses, resolves, and checks against the live tables. Mistakes that come from a change of a table since it was locked say so.
    pub fn check(&self) -> CheckOutcome {
        let mut outcome = self.check_against(&catalog());
        if outcome.checked.is_none()
            && let Ok(crate::lock::Kept::Lock(lock, _)) = crate::lock::read(&self.lock)
        {
            crate::lock::show_drift(self, &mut outcome, &lock, flowc_core::lock::place::Harmless::Silent);
        }
        outcome
    }

    /// Parses, resolves, and checks against the tables of a catalog.
    pub fn check_against(&self, catalog: &dyn Catalog) -> CheckOutcome {
        let base = self.base();
        let input = pipeline::Input { name: &self.name, path: &self.path, base: &base, params: &self.params };
        match &self.files {
            Some(files) => pipeline::check(&input, &FixedLoader { files: files.clone() }, catalog),
            None => pipeline::check(&input, &FileLoader, catalog),
        }
    }
}

/// `name=value` pairs; the last of a name counts.
pub fn parse_params(params: &[String]) -> Result<IndexMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_string(), value.to_string())),
        _ => Err(Failure::usage(format!("`--param {text}` has no value")).help("write --param name=value")),
    };
    params.iter().map(pair).collect()
}

/// What an input or output error is, in a few words and without the number of the operating system.
pub fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_string(),
        _ => error.to_string(),
    }
}

/// Reads files from the file system.
#[derive(Debug, Clone, Copy)]
pub struct FileLoader;

impl Loader for FileLoader {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match std::fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| LoadError::Unreadable("it is not UTF-8 text".into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(LoadError::NotFound),
            Err(error) => Err(LoadError::Unreadable(describe(&error))),
        }
    }
}

/// Asks the tables and files themselves.
pub fn catalog() -> DeltaCatalog {
    DeltaCatalog::new(Arc::new(FileCatalog))
}

/// Delta tables, files, generated rows, and a console that writes to `out`.
pub fn connectors(out: Out) -> Arc<dyn Connectors> {
    Arc::new(DeltaConnectors::new(Arc::new(FileConnectors::with_console(out))))
}

/// The optimized plan of a program without errors.
pub fn plan(outcome: &CheckOutcome) -> Result<Plan, Failure> {
    let checked = outcome.checked.as_ref().ok_or_else(|| broken("there is no checked program"))?;
    Ok(checked.lower().optimize())
}

/// What the tables and files that a plan reads have, and what of it is left after pruning.
pub fn reads(outcome: &CheckOutcome, plan: &Plan) -> Result<IndexMap<String, Read>, Failure> {
    let Some(checked) = &outcome.checked else { return Ok(IndexMap::new()) };
    let of = |info: &TableInfo| Read {
        files: info.files.map(|(files, _)| files),
        files_after_pruning: None,
        columns: Some(info.schema.len()),
        rows: info.rows,
        spans: info.bounds.iter().filter_map(Span::of).collect(),
    };
    let sources = checked.sources.iter().map(|s| (s.spec.name.clone(), of(&s.info)));
    let mut all: IndexMap<String, Read> =
        sources.chain(checked.tables.iter().map(|t| (t.spec.name.clone(), of(&t.info)))).collect();
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let threads = threads.map_err(|e| Failure::world(format!("cannot start threads: {e}")))?;
    for source in &plan.sources {
        // What cannot be told now is left out; a run will say why.
        if let (Some(read), Ok(Some(pruned))) =
            (all.get_mut(&source.name), threads.block_on(flowc_delta::prune_report(source)))
        {
            read.files = Some(pruned.files as u64);
            read.files_after_pruning = Some(pruned.left as u64);
            read.rows = pruned.rows;
            read.spans = pruned.bounds.iter().filter_map(Span::of).collect();
        }
    }
    Ok(all)
}

/// Machine code for every program of the plan.
pub fn executable(plan: Plan) -> Result<Executable, Failure> {
    compile(plan, &backend())
}

/// The code generator for this machine.
pub fn backend() -> flowc_codegen::Cranelift {
    flowc_codegen::Cranelift
}

/// Kernels by a backend of choice.
pub fn compile(plan: Plan, backend: &dyn Backend) -> Result<Executable, Failure> {
    Executable::compile(plan, backend).map_err(|why| broken(&why))
}

fn broken(why: &str) -> Failure {
    let help = "this is a mistake in flowc, not in the program: please report it with the program";
    Failure { exit: Exit::World, message: format!("the compiler failed: {why}"), help: Some(help.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_split_at_the_first_equals_sign() {
        let params = parse_params(&["a=1".into(), "b=x=y".into(), "a=2".into()]).unwrap();
        assert_eq!(params.get("a").map(String::as_str), Some("2"));
        assert_eq!(params.get("b").map(String::as_str), Some("x=y"));
        assert_eq!(parse_params(&["a".into()]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_program_that_is_not_there_is_a_wrong_word() {
        let failure = Program::open(Path::new("no/such.flow"), &[]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.message, "cannot read `no/such.flow`: there is no such file");
    }
}
