//! The command's own words: help, completions, what comes later, colours, broken pipes.

use crate::support::{Project, Ran, flowc};
use std::io::Read;
use std::process::Stdio;

const COMMANDS: &[&str] =
    &["new", "check", "build", "run", "explain", "fmt", "show", "status", "plan", "test", "completions", "lsp"];
const LATER: &[&str] = &["lineage"];

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS.iter().chain(LATER) {
        let ran = Ran::of(flowc().args([command, "--help"])).expect(0);
        assert!(ran.stdout.contains("Example:") && ran.stdout.contains(&format!("flowc {command}")), "{}", ran.stdout);
    }
}

#[test]
fn what_comes_later_is_one_clear_answer() {
    for command in LATER {
        let ran = Ran::of(flowc().args([command, "x.flow"])).expect(2);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains("not supported yet"), "{}", ran.stderr);
    }
    let project = Project::example("sensor");
    project.flowc(&["run", "sensor.flow", "--follow", "--drain"]).expect(2);
    project.flowc(&["run", "sensor.flow", "--every", "5s"]).expect(2);
    project.flowc(&["build", "sensor.flow", "-o", "d", "--target", "flink"]).expect(2);
}

#[test]
fn wrong_words_are_told_on_standard_error() {
    for words in
        [vec!["frobnicate"], vec![], vec!["run"], vec!["run", "a.flow", "--workers", "0"], vec!["run", "no.flow"]]
    {
        let ran = Ran::of(flowc().args(&words)).expect(2);
        assert_eq!(ran.stdout, "", "{words:?}");
        assert!(!ran.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = Ran::of(flowc().args(["completions", shell])).expect(0);
        assert!(ran.stdout.contains("explain"), "{shell}");
    }
}

#[test]
fn colours_are_there_when_asked_for_only() {
    let project = Project::new();
    project.write("w.flow", "flow f = nothing\n");
    let plain = project.flowc(&["check", "w.flow"]).expect(1);
    assert!(!plain.stdout.contains('\x1b'), "{}", plain.stdout);
    let coloured = project.flowc(&["check", "--color", "always", "w.flow"]).expect(1);
    assert!(coloured.stdout.contains('\x1b'), "{}", coloured.stdout);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let project = Project::new();
    project.write("g.flow", "source s = generate(rows: 200000)\nsink out = s -> console()\n");
    for words in [vec!["completions", "bash"], vec!["run", "g.flow"]] {
        let mut command = flowc();
        command.args(&words).current_dir(project.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!told.contains("panicked"), "{words:?}: {told}");
    }
}
