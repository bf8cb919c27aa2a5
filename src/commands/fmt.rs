//! `flowc fmt`: canonical form, in place.

use crate::cli::Fmt;
use crate::console::{Console, paint};
use crate::exit::{Exit, Failure};
use crate::payload::write_atomically;
use crate::report;
use crate::world::describe;
use flowc_syntax::{Diagnostic, SourceMap};
use similar::{ChangeTag, TextDiff};
use std::io::{Read, Write};
use std::path::Path;

/// Formats, or with `--check` tells what formatting would change.
pub fn fmt(words: &Fmt, console: &Console) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    for file in &words.files {
        exit = exit.worst(one(file, words.check, console)?);
    }
    Ok(exit)
}

fn one(file: &Path, check: bool, console: &Console) -> Result<Exit, Failure> {
    let stdin = file == Path::new("-");
    let name = if stdin { "<standard input>".to_string() } else { file.display().to_string() };
    let text = read(file, stdin).map_err(|why| Failure::usage(format!("cannot read `{name}`: {why}")))?;
    let formatted = match formatted(&name, &text, console) {
        Ok(formatted) => formatted,
        Err(exit) => return Ok(exit),
    };
    if check {
        if formatted == text {
            return Ok(Exit::Fine);
        }
        console.out(&diff(&name, &text, &formatted, console.color_out));
        return Ok(Exit::Wrong);
    }
    if stdin {
        console.out(&formatted);
    } else if formatted != text {
        write_atomically(file, |to| to.write_all(formatted.as_bytes()))
            .map_err(|e| Failure::world(format!("cannot write `{name}`: {}", describe(&e))))?;
    }
    Ok(Exit::Fine)
}

fn read(file: &Path, stdin: bool) -> Result<String, String> {
    let mut bytes = vec![];
    let read = if stdin {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|content| bytes = content)
    };
    read.map_err(|e| describe(&e))?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_string())
}

/// The canonical form; a program that does not parse has none.
fn formatted(name: &str, text: &str, console: &Console) -> Result<String, Exit> {
    let mut sources = SourceMap::default();
    let file = sources.add(name, text);
    let (_, diagnostics) = flowc_syntax::parse(file, text);
    let errors: Vec<Diagnostic> = diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    if errors.is_empty() {
        return flowc_syntax::format(text).map_err(|_| Exit::Wrong);
    }
    console.err(&report::diagnostics_text(&errors, &sources, console.color_err));
    console.err_line(&format!("{name}: left as it is, because it does not parse"));
    Err(Exit::Wrong)
}

/// What would change, as a unified diff.
fn diff(name: &str, before: &str, after: &str, color: bool) -> String {
    let mut out = format!("--- {name}\n+++ {name} (formatted)\n");
    let diff = TextDiff::from_lines(before, after);
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        out.push_str(&paint(color, "36", &hunk.header().to_string()));
        out.push('\n');
        for change in hunk.iter_changes() {
            let line = change.to_string_lossy();
            let line = line.trim_end_matches('\n');
            out.push_str(&match change.tag() {
                ChangeTag::Delete => paint(color, "31", &format!("-{line}")),
                ChangeTag::Insert => paint(color, "32", &format!("+{line}")),
                ChangeTag::Equal => format!(" {line}"),
            });
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changes() {
        let shown = diff("a.flow", "one\ntwo\n", "one\nTWO\n", false);
        assert_eq!(shown, "--- a.flow\n+++ a.flow (formatted)\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n");
    }
}
