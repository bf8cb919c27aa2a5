//! The command line of flowc, as a library: `main.rs` only calls [`main`]. This crate is the composition root: the only one that knows all others, and the
//! only one that talks to the user.

pub mod cli;
pub mod commands;
pub mod console;
pub mod exit;
pub mod lock;
mod lsp;
pub mod pages;
pub mod payload;
pub mod preview;
pub mod progress;
pub mod report;
pub mod steps;
pub mod suite;
pub mod world;

use clap::{CommandFactory, FromArgMatches, Parser};
use cli::{Cli, Packaged};
use console::Console;
use exit::{Exit, Failure};
use payload::Payload;
use std::process::ExitCode;

/// Runs the command that the process's arguments say; an executable with a program inside runs that program.
pub fn main() -> ExitCode {
    let own = std::env::current_exe().and_then(|path| Payload::read(&path));
    let exit = match own {
        Ok(Some(payload)) => packaged(payload),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Console::new(cli::When::Auto).failure(&Failure::world(error.to_string()).help("build the program again"));
            Exit::World
        }
        // An executable that cannot read itself has no program to run.
        Ok(None) | Err(_) => plain(),
    };
    exit.into()
}

fn plain() -> Exit {
    match Cli::try_parse() {
        Ok(cli) => {
            let console = Console::new(cli.global.color);
            finish(commands::execute(cli, &console), &console)
        }
        Err(error) => words_are_wrong(&error),
    }
}

fn packaged(payload: Payload) -> Exit {
    // clap wants names that live as long as the process does.
    let name: &'static str = payload.name.clone().leak();
    let about = format!("{name}: a flowc program. Called alone, it runs.");
    let command = Packaged::command().name(name).bin_name(name).about(about);
    match command.try_get_matches().and_then(|matches| Packaged::from_arg_matches(&matches)) {
        Ok(words) => {
            let console = Console::new(words.global.color);
            finish(commands::execute_packaged(words, payload, &console), &console)
        }
        Err(error) => words_are_wrong(&error),
    }
}

/// Help and version are results; everything else is a wrong word.
fn words_are_wrong(error: &clap::Error) -> Exit {
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Fine }
}

fn finish(end: Result<Exit, Failure>, console: &Console) -> Exit {
    end.unwrap_or_else(|failure| {
        console.failure(&failure);
        failure.exit
    })
}
