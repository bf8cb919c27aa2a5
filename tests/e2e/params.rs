//! Values for params on the command line.

use crate::support::Project;

const PROGRAM: &str = r#"
param n: integer
param greeting: string = "hello"
param day: date = @2026-11-22
source numbers = generate(rows: 3)
flow lines = numbers |> select message = "{greeting} {id + n} {day}"
sink out = lines -> console()
"#;

#[test]
fn values_are_read_by_their_types() {
    let project = Project::new();
    project.write("p.flow", PROGRAM);
    let ran = project.flowc(&["run", "p.flow", "--param", "n=10", "--param", "day=2026-01-02"]).expect(0);
    assert_eq!(ran.stdout, "hello 10 2026-01-02\nhello 11 2026-01-02\nhello 12 2026-01-02\n");
}

#[test]
fn wrong_values_are_wrong_words() {
    let project = Project::new();
    project.write("p.flow", PROGRAM);
    for params in [
        vec!["--param", "n=ten"],
        vec!["--param", "n=3000000000"],
        vec!["--param", "n=1", "--param", "m=1"],
        vec!["--param", "n"],
    ] {
        let mut words = vec!["run", "p.flow"];
        words.extend(&params);
        let ran = project.flowc(&words);
        assert_eq!(ran.status, 2, "{params:?}\n{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout, "", "{params:?}");
        assert!(ran.stderr.contains("error"), "{params:?}: {}", ran.stderr);
    }
}

#[test]
fn a_param_without_a_value_is_a_mistake_of_the_program() {
    let project = Project::new();
    project.write("p.flow", PROGRAM);
    let ran = project.flowc(&["run", "p.flow"]).expect(1);
    assert!(ran.stderr.contains("--param n="), "{}", ran.stderr);
}
