//! `flowc show` and `flowc new`.

use crate::support::Project;

#[test]
fn a_table_is_shown() {
    let project = Project::example("sensor");
    project.run("sensor.flow");
    let shown = project.flowc(&["show", "warehouse/sensor_result", "--rows", "2"]).expect(0).stdout;
    for part in ["id", "celsius", "double", "plausible", "day", "5"] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    let json = project.flowc(&["show", "warehouse/sensor_result", "--format", "json", "--rows", "2"]).expect(0).json();
    assert_eq!(json["version"], 0, "{json:#}");
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(2), "{json:#}");
}

#[test]
fn versions_and_changes_are_shown() {
    let project = Project::example("sensor");
    project.run("append.flow");
    let old =
        project.flowc(&["show", "warehouse/sensor", "--version", "0", "--rows", "10", "--format", "json"]).expect(0);
    assert_eq!(old.json()["rows"].as_array().map(Vec::len), Some(5));
    let changes = ["show", "warehouse/sensor", "--changes", "0..1"];
    let shown = project.flowc(&changes).expect(0).stdout;
    assert_eq!(shown.lines().filter(|line| line.starts_with("| + |")).count(), project.rows("warehouse/sensor").len());
    let shown = project.flowc(&[&changes[..], &["--format", "json"]].concat()).expect(0).json();
    assert_eq!(shown["changes"][1]["rows"][0]["#weight"], 1, "{shown:#}");
    project.flowc(&["show", "warehouse/sensor", "--changes", "1..0"]).expect(2);
    project.flowc(&["show", "warehouse/sensor", "--version", "7"]).expect(1);
}

#[test]
fn what_is_no_table_is_told() {
    let project = Project::example("sensor");
    let ran = project.flowc(&["show", "warehouse/nothing"]).expect(1);
    assert!(ran.stderr.contains("warehouse/nothing"), "{}", ran.stderr);
}

#[test]
fn a_new_project_runs() {
    let project = Project::new();
    let made = project.flowc(&["new", "weather"]).expect(0);
    assert!(made.stdout.contains("flowc run weather/weather.flow"), "{}", made.stdout);
    let checked = project.flowc(&["check", "weather/weather.flow", "weather/append.flow"]).expect(0);
    assert_eq!(checked.stdout, "", "a new project has nothing to be warned of");
    let ran = project.run("weather/weather.flow");
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    assert_eq!(project.rows("weather/warehouse/readings").len(), 4);
    project.write("weather/incoming/sensor-2.csv", "id,timestamp,value\n3,1,50.0\n");
    project.run("weather/append.flow");
    assert_eq!(project.run("weather/weather.flow").stdout.lines().count(), 1);
}

#[test]
fn nothing_is_overwritten() {
    let project = Project::new();
    project.write("weather/README.md", "mine");
    let ran = project.flowc(&["new", "weather"]).expect(2);
    assert!(ran.stderr.contains("README.md"), "{}", ran.stderr);
    assert_eq!(project.files().len(), 1);
    assert_eq!(project.read("weather/README.md"), "mine");
}
