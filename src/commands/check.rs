//! `flowc check`: everything but running.

use crate::cli::{Check, Format};
use crate::commands::later;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::report;
use crate::world::Program;
use serde_json::{Value, json};

/// Checks programs, each by itself.
pub fn check(words: &Check, console: &Console) -> Result<Exit, Failure> {
    if words.locked {
        return Err(later("`--locked`"));
    }
    let programs = words.files.iter().map(|file| Program::open(file, &words.params.params));
    let programs = programs.collect::<Result<Vec<_>, _>>()?;
    let mut exit = Exit::Fine;
    let mut found = vec![];
    for program in &programs {
        exit = exit.worst(one(program, words.format, &mut found, console));
    }
    if words.format == Format::Json {
        write_json(found, console);
    }
    Ok(exit)
}

/// Checks the program inside an executable.
pub fn program(program: &Program, format: Format, console: &Console) -> Result<Exit, Failure> {
    let mut found = vec![];
    let exit = one(program, format, &mut found, console);
    if format == Format::Json {
        write_json(found, console);
    }
    Ok(exit)
}

fn one(program: &Program, format: Format, found: &mut Vec<Value>, console: &Console) -> Exit {
    let outcome = program.check();
    let exit = report::check_exit(&outcome);
    for bad in &outcome.bad_params {
        console.failure(&Failure::usage(format!("--param {}: {}", bad.name, bad.message)));
    }
    match format {
        Format::Json => found.extend(report::diagnostics_json(&outcome.diagnostics, &outcome.sources)),
        Format::Text => {
            console.out(&report::diagnostics_text(&outcome.diagnostics, &outcome.sources, console.color_out));
            let verdict = report::tally(&outcome.diagnostics).unwrap_or_else(|| "fine".to_string());
            console.err_line(&format!("{}: {verdict}", program.path));
        }
    }
    exit
}

fn write_json(diagnostics: Vec<Value>, console: &Console) {
    let document = json!({ "diagnostics": diagnostics, "proved": [] });
    console.out_line(&format!("{document:#}"));
}
