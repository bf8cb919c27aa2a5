//! `flowc check`: everything but running.

use crate::cli::{Check, Format};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::lock::{self, Locks};
use crate::report;
use crate::world::Program;
use flowc_core::explain::{guarantees, tally};
use serde_json::{Value, json};

/// Checks programs, each by itself, and brings `flow.lock` up to date.
pub fn check(words: &Check, console: &Console) -> Result<Exit, Failure> {
    let programs = words.files.iter().map(|file| Program::open(file, &words.params.params));
    let programs = programs.collect::<Result<Vec<_>, _>>()?;
    all(&programs, words.locked, words.format, console)
}

/// Checks the program inside an executable.
pub fn program(program: &Program, locked: bool, format: Format, console: &Console) -> Result<Exit, Failure> {
    all(std::slice::from_ref(program), locked, format, console)
}

fn all(programs: &[Program], locked: bool, format: Format, console: &Console) -> Result<Exit, Failure> {
    let (mut exit, mut found, mut locks) = (Exit::Fine, Found::default(), Locks::default());
    for program in programs {
        let locks = (!locked).then_some(&mut locks);
        exit = exit.worst(one(program, locks, format, &mut found, console)?);
    }
    locks.write(console);
    if format == Format::Json {
        write_json(found, console);
    }
    Ok(exit)
}

/// What goes into the JSON document.
#[derive(Default)]
struct Found {
    diagnostics: Vec<Value>,
    proved: Vec<Value>,
}

fn one(
    program: &Program,
    locks: Option<&mut Locks>,
    format: Format,
    found: &mut Found,
    console: &Console,
) -> Result<Exit, Failure> {
    let outcome = match locks {
        None => lock::check_locked(program)?,
        Some(locks) => {
            let mut outcome = program.check_against(&crate::world::catalog());
            locks.take(program, &mut outcome, console)?;
            outcome
        }
    };
    let exit = report::check_exit(&outcome);
    for bad in &outcome.bad_params {
        console.failure(&Failure::usage(format!("--param {}: {}", bad.name, bad.message)));
    }
    match format {
        Format::Json => {
            found.diagnostics.extend(report::diagnostics_json(&outcome.diagnostics, &outcome.sources));
            let all = outcome.checked.iter().flat_map(|checked| guarantees(checked, &outcome.sources));
            found.proved.extend(all.filter(|g| g.proved).map(|g| report::proved_json(&g)));
        }
        Format::Text => {
            console.out(&report::diagnostics_text(&outcome.diagnostics, &outcome.sources, console.color_out));
            let verdict = report::tally(&outcome.diagnostics).unwrap_or_else(|| "fine".to_string());
            let decided = outcome.checked.as_ref().and_then(tally);
            let parts: Vec<String> = [Some(verdict), decided].into_iter().flatten().collect();
            console.err_line(&format!("{}: {}", program.path, parts.join(", ")));
        }
    }
    Ok(exit)
}

fn write_json(found: Found, console: &Console) {
    let document = json!({ "diagnostics": found.diagnostics, "proved": found.proved });
    console.out_line(&format!("{document:#}"));
}
