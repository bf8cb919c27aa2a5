//! The commands, one a module. Each takes its words and the console, does its work, and says how it ended.

pub mod build;
pub mod check;
pub mod completions;
pub mod explain;
pub mod fmt;
pub mod new;
pub mod plan;
pub mod replay;
pub mod run;
pub mod show;
pub mod status;
pub mod test;

use crate::cli::{Cli, Command, Format, Packaged, PackagedCommand};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::payload::Payload;
use crate::report;
use crate::world::Program;
use flowc_core::pipeline::CheckOutcome;
use serde_json::json;

/// Does what the command line says.
pub fn execute(cli: Cli, console: &Console) -> Result<Exit, Failure> {
    match cli.command {
        Command::New(words) => new::new(&words, console),
        Command::Check(words) => check::check(&words, console),
        Command::Build(words) => build::build(&words, console),
        Command::Run(words) => run::file(&words, console),
        Command::Explain(words) => explain::explain(&words, console),
        Command::Fmt(words) => fmt::fmt(&words, console),
        Command::Show(words) => show::show(&words, console),
        Command::Test(words) => test::test(&words, console),
        Command::Completions(words) => completions::completions(&words, console),
        Command::Status(words) => status::program(&Program::open(&words.file, &[])?, &words.flags, console),
        Command::Lineage(_) => Err(later("`flowc lineage`")),
        Command::Lsp(_) => crate::lsp::serve(),
        Command::Replay(words) => replay::replay(&words, console),
        Command::Plan(words) => plan::file(&words, console),
    }
}

/// Does what the command line of a built executable says.
pub fn execute_packaged(words: Packaged, payload: Payload, console: &Console) -> Result<Exit, Failure> {
    match words.command {
        None => run::program(&payload.program(&words.run.params.params)?, &words.run, console),
        Some(PackagedCommand::Check(words)) => {
            check::program(&payload.program(&words.params.params)?, words.locked, words.format, console)
        }
        Some(PackagedCommand::Explain(words)) => {
            explain::program(&payload.program(&words.params.params)?, &words.flags, console)
        }
        Some(PackagedCommand::Status(words)) => status::program(&payload.program(&[])?, &words, console),
    }
}

/// What flowc will do, but does not do yet.
pub fn later(what: &str) -> Failure {
    Failure::usage(format!("{what} is not supported yet")).help("docs/cli.md lists what this version does")
}

/// Checks a program and tells what is wrong with it on standard error; ends the command if anything is, with a document where documents are asked for.
pub fn checked(program: &Program, format: Format, console: &Console) -> Result<CheckOutcome, Exit> {
    let mut outcome = program.check();
    // What is wrong with tests is no matter here, as long as the rest is right.
    if outcome.checked.is_some() {
        let tests = std::mem::take(&mut outcome.tests);
        let of_tests = CheckOutcome { tests, ..CheckOutcome::default() };
        outcome.diagnostics.retain(|d| !of_tests.is_of_test(d));
    }
    console.err(&report::diagnostics_text(&outcome.diagnostics, &outcome.sources, console.color_err));
    for bad in &outcome.bad_params {
        console.failure(&Failure::usage(format!("--param {}: {}", bad.name, bad.message)));
    }
    match report::check_exit(&outcome) {
        Exit::Fine => Ok(outcome),
        exit => {
            if format == Format::Json {
                let document =
                    json!({ "diagnostics": report::diagnostics_json(&outcome.diagnostics, &outcome.sources) });
                console.out_line(&document.to_string());
            }
            if let Some(tally) = report::tally(&outcome.diagnostics) {
                console.err_line(&format!("{}: {tally}", program.path));
            }
            Err(exit)
        }
    }
}
