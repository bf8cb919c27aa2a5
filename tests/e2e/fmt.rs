//! `flowc fmt`.

use crate::support::{Project, flowc};
use std::io::Write;
use std::process::Stdio;

const MESSY: &str = "source  s=generate( rows:3 )\nflow f=s|>where id>1|>select  n=id+1\nsink out=f->console()\n";

#[test]
fn a_program_is_rewritten_in_place_and_means_the_same() {
    let project = Project::new();
    project.write("m.flow", MESSY);
    let before = project.run("m.flow").stdout;
    std::fs::remove_dir_all(project.path().join(".flow")).unwrap();
    project.flowc(&["fmt", "m.flow"]).expect(0);
    let formatted = project.read("m.flow");
    assert!(formatted.contains("source s = generate(rows: 3)"), "{formatted}");
    assert_eq!(project.run("m.flow").stdout, before);
    project.flowc(&["fmt", "m.flow"]).expect(0);
    assert_eq!(project.read("m.flow"), formatted, "formatting twice changes nothing");
    project.flowc(&["fmt", "--check", "m.flow"]).expect(0);
}

#[test]
fn checking_shows_a_diff_and_changes_nothing() {
    let project = Project::new();
    project.write("m.flow", MESSY);
    let ran = project.flowc(&["fmt", "--check", "m.flow"]).expect(1);
    assert!(ran.stdout.contains("-source  s=generate( rows:3 )\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("+source s = generate(rows: 3)\n"), "{}", ran.stdout);
    assert_eq!(project.read("m.flow"), MESSY);
}

#[test]
fn standard_input_goes_to_standard_output() {
    let mut child = flowc().args(["fmt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(MESSY.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("source s = generate(rows: 3)\n"));
}

#[test]
fn what_does_not_parse_stays_as_it_is() {
    let project = Project::new();
    project.write("b.flow", "flow f = s |> where (\n");
    let ran = project.flowc(&["fmt", "b.flow"]).expect(1);
    assert!(ran.stderr.contains("b.flow"), "{}", ran.stderr);
    assert_eq!(project.read("b.flow"), "flow f = s |> where (\n");
}

#[test]
fn state_belongs_to_the_meaning_not_to_the_layout() {
    let project = Project::new();
    project.table("t", "id: long", &[r#"{"id": 1}"#]);
    project.write("m.flow", "source  s=delta(\"t\")\nflow f=s\nsink out=f->delta(\"u\")\n");
    project.run("m.flow");
    project.flowc(&["fmt", "m.flow"]).expect(0);
    project.run("m.flow");
    assert_eq!(project.rows("u").len(), 1);
}

#[test]
fn the_examples_are_formatted() {
    let root = crate::support::root();
    for program in ["examples", "src", "benches/jobs"].iter().flat_map(|dir| crate::docs::programs(&root.join(dir))) {
        let ran = crate::support::Ran::of(flowc().args(["fmt", "--check"]).arg(&program));
        assert_eq!(ran.status, 0, "{}", ran.stdout);
    }
}
