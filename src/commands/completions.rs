//! `flowc completions`: a completion script for a shell.

use crate::cli::{Cli, Completions};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use clap::CommandFactory;

/// Writes the script.
pub fn completions(words: &Completions, console: &Console) -> Result<Exit, Failure> {
    let mut script = vec![];
    clap_complete::generate(words.shell, &mut Cli::command(), "flowc", &mut script);
    console.out(&String::from_utf8_lossy(&script));
    Ok(Exit::Fine)
}
