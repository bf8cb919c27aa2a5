//! `flow.lock` as a file: beside the programs that it is for, or inside a built executable. What it says, and how it is compared with live tables, is the
//! compiler's matter ([`flowc_core::lock`]); when a table changed, the Delta log's.

use crate::console::Console;
use crate::exit::Failure;
use crate::payload::write_atomically;
use crate::world::{Program, describe};
use flowc_core::lock::drift::{Change, Drift, Moment, When};
use flowc_core::lock::place::{Harmless, sentence};
use flowc_core::lock::{Lock, LockError, User, damaged, missing};
use flowc_core::pipeline::{CheckOutcome, Declared};
use flowc_ir::catalog::{Answer, Replay};
use flowc_ir::plan::{Connector, Plan};
use flowc_ir::{Origin, Type};
use flowc_runtime::RunError;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file's name.
pub const NAME: &str = "flow.lock";

/// Where a program's lock is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file beside it.
    Beside(PathBuf),
    /// In the executable that it is built into: the text. It stays as it was when it was built.
    Inside(String),
}

/// What is at the place of a lock.
#[derive(Debug, Clone)]
pub enum Kept {
    /// Nothing.
    None,
    /// A lock, and its text.
    Lock(Lock, String),
    /// A text that is none.
    Damaged(LockError),
}

/// Reads a program's lock.
pub fn read(place: &Place) -> Result<Kept, Failure> {
    let text = match place {
        Place::Inside(text) => text.clone(),
        Place::Beside(path) => match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Kept::None),
            Err(e) => return Err(Failure::world(format!("cannot read `{}`: {}", path.display(), describe(&e)))),
        },
    };
    Ok(match Lock::parse(&text) {
        Ok(lock) => Kept::Lock(lock, text),
        Err(why) => Kept::Damaged(why),
    })
}

/// Checks a program against its lock: no table is opened. A lock that is missing or damaged is a mistake of its own.
pub fn check_locked(program: &Program) -> Result<CheckOutcome, Failure> {
    let shown = match &program.lock {
        Place::Beside(path) => shown(program, path),
        Place::Inside(_) => format!("{NAME} in `{}`", program.name),
    };
    let mistake = match read(&program.lock)? {
        Kept::Lock(lock, _) => return Ok(program.check_against(&lock.catalog(&program.base()))),
        Kept::None => missing(&shown),
        Kept::Damaged(why) => damaged(&shown, &why.to_string()),
    };
    let nothing = Lock::default();
    let outcome = program.check_against(&nothing.catalog(&program.base()));
    Ok(CheckOutcome { checked: None, diagnostics: vec![mistake], ..outcome })
}

/// The lock's path as the user would write it: beside the program as it was named.
fn shown(program: &Program, path: &Path) -> String {
    let beside = Path::new(&program.path).with_file_name(NAME);
    if std::path::absolute(&beside).is_ok_and(|p| p == *path) {
        beside.display().to_string()
    } else {
        path.display().to_string()
    }
}

/// Finds out since when a table differs from what is locked. What cannot be found out about the past is left out.
fn date(drift: &mut Drift) {
    let newest = drift.answer.found.as_ref().ok().and_then(|info| info.version);
    if let (Connector::Delta { location }, Some(was), Some(newest)) =
        (&drift.answer.connector, drift.was.version, newest)
        && was < newest
    {
        let turns = flowc_delta::history::turns(location, was).unwrap_or_default();
        let moment = |turn: flowc_delta::history::Turn| Moment {
            when: When { version: turn.version, after: turn.after, what: turn.what },
            info: turn.info,
        };
        drift.date(&turns.into_iter().filter(|t| t.version <= newest).map(moment).collect::<Vec<_>>());
    }
}

/// Shows in a program's diagnostics how its tables differ from what is locked: at the mistakes that come from it; what else differs as `harmless` says.
pub fn show_drift(program: &Program, outcome: &mut CheckOutcome, lock: &Lock, harmless: Harmless) {
    let mut drifts = lock.drift(&program.base(), &outcome.answers);
    if !drifts.is_empty() {
        drifts.iter_mut().for_each(date);
        let mut told = std::mem::take(outcome);
        flowc_core::lock::place::place(&mut told, &drifts, &|catalog| program.check_against(catalog), harmless);
        *outcome = told;
    }
}

/// Whether a run may begin: what the program reads must be what it was last checked against. Of columns that it does not read, of columns that came, and of
/// what flowc takes care of by itself, it need not know.
pub fn gate(program: &Program, outcome: &CheckOutcome, plan: &Plan, lock: &Lock) -> Result<(), RunError> {
    let mut drifts = lock.drift(&program.base(), &outcome.answers);
    if drifts.is_empty() {
        return Ok(());
    }
    // The columns that it would read of the tables as they were: those that are gone too.
    let was = drifts.iter().map(|d| Answer { found: Ok(d.was.clone()), ..d.answer.clone() }).collect();
    let nothing = Lock::default();
    let nothing = nothing.catalog("");
    let rest = Replay { answers: outcome.answers.clone(), rest: &nothing, hypothetical: false };
    let before = program.check_against(&Replay { answers: was, rest: &rest, hypothetical: false });
    let before = before.checked.map(|checked| checked.lower().optimize());
    for drift in &mut drifts {
        let (then, now) =
            (before.as_ref().map(|p| columns_read(p, drift)).unwrap_or_default(), columns_read(plan, drift));
        let stops = |change: &Change| {
            let Some(column) = change.column() else { return false };
            match change {
                Change::Retyped(_, was, is) if was.data == is.data && !is.nullable => false,
                // Where the program's `schema` fits both, nothing has changed for it.
                Change::Retyped(..) => now.contains_key(column) && then.get(column) != now.get(column),
                Change::Dropped(_) | Change::Renamed(..) => then.contains_key(column),
                _ => false,
            }
        };
        drift.changes.retain(|(change, _)| stops(change));
        let declared = outcome
            .declared
            .iter()
            .find(|d| d.role != "sink" && d.connector == drift.answer.connector && d.version == drift.answer.version);
        if let (Some(declared), false) = (declared, drift.changes.is_empty()) {
            date(drift);
            return Err(changed(program, declared, &drift.changes));
        }
    }
    Ok(())
}

/// The columns of a table that a plan reads, with the types that it reads them as.
fn columns_read<'a>(plan: &'a Plan, drift: &Drift) -> BTreeMap<&'a str, &'a Type> {
    let (of, at) = (&drift.answer.connector, drift.answer.version);
    let sources = plan.sources.iter().filter(|s| s.connector == *of && at.is_none()).map(|s| &s.schema);
    let tables = plan.tables.iter().filter(|t| t.connector == *of && t.version == at).map(|t| &t.schema);
    sources.chain(tables).flat_map(|schema| schema.fields.iter().map(|f| (f.name.as_str(), &f.ty))).collect()
}

fn changed(program: &Program, declared: &Declared, found: &[(Change, Option<When>)]) -> RunError {
    let sentences: Vec<String> = found.iter().map(|(change, when)| sentence(change, when.as_ref())).collect();
    let message = format!(
        "{} `{}` is not what the program was last checked against: {}",
        declared.role,
        declared.name,
        sentences.join("; ")
    );
    let lines: Vec<String> = found.iter().flat_map(|(change, _)| change.diff()).collect();
    let on = match &program.lock {
        Place::Beside(_) => format!(
            "run `flowc check {}`: it says what this means for the program, and accepts it if the program is right with it",
            words(program)
        ),
        Place::Inside(_) => "build the program again: that checks it against the table as it is now".to_string(),
    };
    let help = format!("nothing was read, and nothing was written; {on}\n    {}", lines.join("\n    "));
    let origin = Origin { file: declared.span.file.0, start: declared.span.start, end: declared.span.end };
    RunError::data(flowc_runtime::codes::CHANGED_SINCE_CHECKED, message).help(help).at(origin)
}

/// The words of a command that name this program and its parameters.
fn words(program: &Program) -> String {
    let quoted = |text: &str| {
        let plain = text.chars().all(|c| c.is_alphanumeric() || "_-./:=+,@%".contains(c));
        if plain && !text.is_empty() { text.to_string() } else { format!("'{}'", text.replace('\'', "'\\''")) }
    };
    let params = program.params.iter().map(|(name, value)| format!(" --param {}", quoted(&format!("{name}={value}"))));
    format!("{}{}", quoted(&program.path), params.collect::<String>())
}

/// What a run is held against: the program's lock; for tables that it does not have, what the last run was checked against, kept with the state. An executable
/// is held against what it was built against, and nothing else.
pub fn baseline(program: &Program, state: &Path) -> Result<Option<Lock>, Failure> {
    let of = |kept: Kept| if let Kept::Lock(lock, _) = kept { Some(lock) } else { None };
    let own = of(read(&program.lock)?);
    if matches!(program.lock, Place::Inside(_)) {
        return Ok(own);
    }
    let mut all = own.unwrap_or_default();
    if let Some(last) = of(read(&Place::Beside(state.join(NAME)))?) {
        all.complete(&last, &program.base());
    }
    Ok(Some(all))
}

/// Keeps what a run was checked against, for the next one. It is of use, but nothing depends on it: failing to write it is no failure of the run.
pub fn remember(program: &Program, outcome: &CheckOutcome, state: &Path) {
    let path = state.join(NAME);
    let text = inside(program, outcome);
    let same = std::fs::read_to_string(&path).is_ok_and(|old| old == text);
    if !same && matches!(program.lock, Place::Beside(_)) {
        let _ = write_atomically(&path, |to| to.write_all(text.as_bytes()));
    }
}

/// The locks of the programs of one command, by their files. Each is read once and written once, at the end, so that all programs see the same.
#[derive(Debug, Default)]
pub struct Locks {
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug)]
struct File {
    kept: Kept,
    /// What is to be written.
    next: Lock,
    /// What programs with mistakes use: it stays as it was, so that they see the differences again.
    held: Vec<(PathBuf, CheckOutcome)>,
}

impl Locks {
    /// Tells a program's drift, and remembers what its lock is to be.
    pub fn take(&mut self, program: &Program, outcome: &mut CheckOutcome, console: &Console) -> Result<(), Failure> {
        let path = match &program.lock {
            Place::Beside(path) => path,
            Place::Inside(_) => {
                if let Kept::Lock(lock, _) = read(&program.lock)? {
                    show_drift(program, outcome, &lock, Harmless::Built);
                }
                return Ok(());
            }
        };
        if !self.files.contains_key(path) {
            let kept = read(&program.lock)?;
            if let Kept::Damaged(why) = &kept {
                let then = if matches!(why, LockError::Newer(_)) { "it is left alone" } else { "it is written anew" };
                console.err_line(&format!("{}: {why}; {then}", shown(program, path)));
            }
            let next = if let Kept::Lock(lock, _) = &kept { lock.clone() } else { Lock::default() };
            self.files.insert(path.clone(), File { kept, next, held: vec![] });
        }
        let Some(file) = self.files.get_mut(path) else { return Ok(()) };
        if let Kept::Lock(lock, _) = &file.kept {
            show_drift(program, outcome, lock, Harmless::Warned);
        }
        if outcome.checked.is_some() {
            file.next.record(user(program, outcome), &outcome.answers);
        } else {
            file.held.push((program.base.clone(), outcome.clone()));
        }
        Ok(())
    }

    /// Writes what changed. A place that cannot be written is told, and no more: the check itself has its result.
    pub fn write(self, console: &Console) {
        for (path, mut file) in self.files {
            if matches!(file.kept, Kept::Damaged(LockError::Newer(_))) {
                continue;
            }
            let before = match &file.kept {
                Kept::Lock(lock, text) => Some((lock, text)),
                _ => None,
            };
            if let Some((lock, _)) = before {
                for (base, outcome) in &file.held {
                    file.next.hold(lock, &base.to_string_lossy(), &outcome.answers);
                }
            }
            let folder = path.parent().unwrap_or(Path::new("."));
            file.next.keep_programs(|name| folder.join(name).exists());
            let text = file.next.to_text();
            if before.is_some_and(|(_, old)| *old == text) || before.is_none() && file.next.entries().is_empty() {
                continue;
            }
            if let Err(error) = write_atomically(&path, |to| to.write_all(text.as_bytes())) {
                console.err_line(&format!("cannot write `{}`: {}", path.display(), describe(&error)));
            }
        }
    }
}

fn user<'a>(program: &'a Program, outcome: &'a CheckOutcome) -> User<'a> {
    User {
        program: Path::new(&program.path).file_name().and_then(|n| n.to_str()).unwrap_or(&program.path),
        with_params: !program.params.is_empty(),
        base: program.base.to_str().unwrap_or_default(),
        relative: &outcome.relative,
    }
}

/// The lock that a built executable takes along: what its program was checked against.
pub fn inside(program: &Program, outcome: &CheckOutcome) -> String {
    let mut lock = Lock::default();
    lock.record(user(program, outcome), &outcome.answers);
    lock.to_text()
}
