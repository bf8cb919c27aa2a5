//! `flowc build`: an executable that needs neither its source nor flowc.

use crate::support::{Project, Ran};
use serde_json::Value;
use std::process::Command;

/// Builds the sensor example and takes its programs away.
fn built() -> Project {
    let project = Project::example("sensor");
    let made = project.flowc(&["build", "sensor.flow", "-o", "dist"]).expect(0);
    assert_eq!(made.stdout, "dist/sensor\ndist/plan.json\ndist/graph.svg\n");
    std::fs::remove_file(project.path().join("sensor.flow")).unwrap();
    std::fs::remove_file(project.path().join("units.flow")).unwrap();
    project
}

fn sensor(project: &Project, words: &[&str]) -> Ran {
    Ran::of(Command::new(project.path().join("dist/sensor")).args(words).env("NO_COLOR", "1").current_dir("/"))
}

#[test]
fn an_executable_runs_without_its_source() {
    let project = built();
    let first = sensor(&project, &[]).expect(0);
    assert!(first.stdout.starts_with("Sensor 1 reported value 100.0 at 1000\n"), "{}", first.stdout);
    assert_eq!(project.rows("warehouse/sensor_result").len(), 5);
    assert_eq!(sensor(&project, &[]).expect(0).stdout, "", "it goes on from its state");
}

#[test]
fn an_executable_checks_and_explains() {
    let project = built();
    sensor(&project, &["check"]).expect(0);
    let explained = sensor(&project, &["explain"]).expect(0);
    assert!(explained.stdout.contains("sensor_result"), "{}", explained.stdout);
    assert!(sensor(&project, &["status"]).expect(0).stdout.contains("has not run yet"));
    assert!(sensor(&project, &["--help"]).expect(0).stdout.contains("--param"));
    sensor(&project, &["--no-such-flag"]).expect(2);
    sensor(&project, &["--param", "nothing=1"]).expect(2);
}

#[test]
fn an_executable_takes_params() {
    let project = built();
    std::fs::rename(project.path().join("warehouse"), project.path().join("elsewhere")).unwrap();
    sensor(&project, &[]).expect(1);
    let elsewhere = format!("warehouse={}", project.path().join("elsewhere").display());
    sensor(&project, &["--param", &elsewhere]).expect(0);
    assert_eq!(project.rows("elsewhere/sensor_result").len(), 5);
}

#[test]
fn the_base_of_relative_paths_can_be_chosen() {
    let project = Project::example("sensor");
    project.write("other/readme", "");
    std::fs::rename(project.path().join("warehouse"), project.path().join("other/warehouse")).unwrap();
    project.flowc(&["build", "sensor.flow", "-o", "dist"]).expect(1);
    assert!(!project.path().join("dist").exists(), "a program with errors makes nothing");
    project.flowc(&["build", "sensor.flow", "-o", "dist", "--base", "other"]).expect(0);
    sensor(&project, &[]).expect(0);
    assert_eq!(project.rows("other/warehouse/sensor_result").len(), 5);
}

#[test]
fn the_plan_and_the_picture_are_written() {
    let project = built();
    let plan: Value = serde_json::from_str(&project.read("dist/plan.json")).unwrap();
    assert_eq!(plan["pipeline"], "sensor");
    assert_eq!(plan["sources"][0]["name"], "sensor");
    let picture = project.read("dist/graph.svg");
    assert!(picture.starts_with("<svg") || picture.starts_with("<?xml"), "{}", &picture[..60.min(picture.len())]);
    assert!(picture.contains("sensor_result"));
}
