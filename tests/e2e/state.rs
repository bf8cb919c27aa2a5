//! State directories that versions of flowc have left, under `tests/golden/state`: each is read and gone on with, and what is written today has the form of the
//! newest of them. A change that breaks one of these needs a new version of the format, which reads the old ones; the old directories stay.

use crate::support::{Project, root};
use arrow::ipc::reader::StreamReader;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// When the input files of the golden directories were written, as their states know it.
const WRITTEN: Duration = Duration::from_secs(1_700_000_000);

/// The newest version of the format.
const NEWEST: &str = "format-5";

fn copy(from: &Path, to: &Path, place: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        let target = to.join(&name);
        if path.is_dir() {
            copy(&path, &target, place);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        match String::from_utf8(bytes) {
            Ok(text) => fs::write(&target, text.replace("@ROOT@", place)).unwrap(),
            Err(binary) => fs::write(&target, binary.into_bytes()).unwrap(),
        }
        File::options().write(true).open(&target).unwrap().set_modified(SystemTime::UNIX_EPOCH + WRITTEN).unwrap();
    }
}

/// The project of a golden directory; `state`: with the state that was left.
fn project(format: &str, program: &str, state: bool) -> Project {
    let (project, golden) = (Project::new(), root().join("tests/golden/state").join(format));
    let place = project.path().display().to_string();
    for part in ["a", "b"].into_iter().filter(|part| golden.join(part).exists()) {
        copy(&golden.join(part), &project.path().join(part), &place);
    }
    fs::copy(golden.join(format!("{program}.flow")), project.path().join(format!("{program}.flow"))).unwrap();
    if state {
        copy(&golden.join("state"), &project.path().join(".flow").join(program), &place);
    }
    project
}

fn add_later(project: &Project, format: &str) {
    let later = root().join("tests/golden/state").join(format).join("later");
    for side in fs::read_dir(later).unwrap() {
        let side = side.unwrap();
        copy(&side.path(), &project.path().join(side.file_name()), "");
    }
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    lines.sort();
    lines
}

/// What came out before the state was left and what comes out of going on, together, is what comes out of all rows at once.
fn goes_on(format: &str, program: &str) {
    let file = format!("{program}.flow");
    let going_on = project(format, program, true);
    let before = fs::read_to_string(root().join("tests/golden/state").join(format).join("out.jsonl")).unwrap();
    let plan = going_on.flowc(&["plan", &file, "--format", "json"]).expect(0).json();
    let fates: BTreeSet<&str> = plan["steps"].as_array().unwrap().iter().map(|s| s["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, BTreeSet::from(["kept"]), "{plan:#}");
    // Nothing comes out twice.
    assert_eq!(going_on.run(&file).stdout, "", "{format}");
    add_later(&going_on, format);
    let after = going_on.flowc(&["run", &file, "--drain"]).expect(0).stdout;
    let all = project(format, program, false);
    add_later(&all, format);
    let wanted = all.flowc(&["run", &file, "--drain"]).expect(0).stdout;
    assert_eq!(sorted(&format!("{before}{after}")), sorted(&wanted), "{format}");
    assert!(after.lines().count() > 5, "{format}: {after}");
    // What goes on is written in the newest form.
    let checkpoint: Value = serde_json::from_str(&going_on.read(&format!(".flow/{program}/checkpoint.json"))).unwrap();
    assert_eq!(checkpoint["format"], NEWEST.trim_start_matches("format-").parse::<u64>().unwrap());
}

#[test]
fn a_state_of_version_1_goes_on() {
    goes_on("format-1", "rules");
}

#[test]
fn a_state_of_version_2_goes_on() {
    goes_on("format-2", "steps");
}

#[test]
fn a_state_of_version_3_goes_on() {
    goes_on("format-3", "steps");
}

#[test]
fn a_state_of_version_4_goes_on() {
    goes_on("format-4", "steps");
}

#[test]
fn a_state_of_version_5_goes_on() {
    goes_on("format-5", "steps");
}

/// The paths of a document with the types that stand there; of lists, what their elements have. Forms stand as they are: states are found by them.
fn keys(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(_) if path.ends_with(".form") => drop(found.insert(format!("{path} = {value}"))),
        Value::Object(map) => map.iter().for_each(|(key, value)| keys(&format!("{path}.{key}"), value, found)),
        Value::Array(list) => list.iter().for_each(|value| keys(&format!("{path}[]"), value, found)),
        Value::Null => drop(found.insert(format!("{path}: null"))),
        Value::Bool(_) => drop(found.insert(format!("{path}: boolean"))),
        Value::Number(_) => drop(found.insert(format!("{path}: number"))),
        Value::String(_) => drop(found.insert(format!("{path}: string"))),
    }
}

/// What a state directory is made of: the keys of its documents, and the columns of the segments of each step.
fn structure(state: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let document = |name: &str| -> Value { serde_json::from_slice(&fs::read(state.join(name)).unwrap()).unwrap() };
    let checkpoint = document("checkpoint.json");
    keys("checkpoint", &checkpoint, &mut found);
    for epoch in ["epochs/1.json", "epochs/2.json"] {
        keys(epoch, &document(epoch), &mut found);
    }
    for sink in checkpoint["sinks"].as_object().unwrap().values() {
        for (step, state_of) in sink["operators"].as_object().unwrap() {
            for segment in state_of["segments"].as_array().unwrap() {
                let bytes = fs::read(state.join("operators").join(segment["file"].as_str().unwrap())).unwrap();
                assert!(bytes.starts_with(b"flowc operators 2\n"), "what a file of segments begins with");
                let place = |key: &str| segment[key].as_u64().unwrap() as usize;
                let (offset, length) = (place("offset"), place("length"));
                let schema = StreamReader::try_new(&bytes[offset..offset + length], None).unwrap().schema();
                let columns =
                    schema.fields().iter().map(|f| format!("{} {} {}", f.name(), f.data_type(), f.is_nullable()));
                let mut metadata: Vec<_> = schema.metadata().iter().filter(|(key, _)| *key != "latest").collect();
                metadata.sort();
                found.insert(format!("{step} {metadata:?}: {}", columns.collect::<Vec<_>>().join(", ")));
            }
        }
    }
    found
}

#[test]
fn what_is_written_today_has_the_form_of_the_newest_version() {
    let today = project(NEWEST, "steps", false);
    // As the golden directory came about: two runs.
    for side in ["a", "b"] {
        fs::rename(today.path().join(side).join("2.json"), today.path().join(format!("{side}.json"))).unwrap();
    }
    today.run("steps.flow");
    for side in ["a", "b"] {
        fs::rename(today.path().join(format!("{side}.json")), today.path().join(side).join("2.json")).unwrap();
    }
    today.run("steps.flow");
    let golden = structure(&root().join("tests/golden/state").join(NEWEST).join("state"));
    let found = structure(&today.path().join(".flow/steps"));
    let (gone, come): (Vec<_>, Vec<_>) = (golden.difference(&found).collect(), found.difference(&golden).collect());
    assert!(gone.is_empty() && come.is_empty(), "gone: {gone:#?}\ncome: {come:#?}");
    assert!(found.len() > 150, "{}", found.len());
}
