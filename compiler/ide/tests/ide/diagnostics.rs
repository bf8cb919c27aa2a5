//! Mistakes and the changes that mend them.

use super::support::{MAIN, apply, open, open_with, read_tables, show};

const SENSOR: &str = "source readings = delta(\"data/sensor\")\n\n";

/// Each first fix makes its mistake go away.
fn mended(text: &str, code: &str) -> String {
    let mut workspace = open(text);
    let problems = workspace.problems(MAIN);
    let problem = problems.iter().find(|p| p.code == code).unwrap_or_else(|| panic!("{}", show(text, &problems)));
    let fix = problem.fixes.first().unwrap_or_else(|| panic!("no fix: {}", show(text, &problems)));
    let after = apply(text, &fix.edits);
    workspace.set_text(MAIN, after.as_str());
    read_tables(&mut workspace);
    let left = workspace.problems(MAIN);
    assert!(!left.iter().any(|p| p.code == code && p.message == problem.message), "{after}\n{}", show(&after, &left));
    after
}

#[test]
fn fixes_do_away_with_their_mistakes() {
    let flow = |steps: &str| format!("{SENSOR}flow a = readings\n    {steps}\n\nsink out = a -> console()\n");
    let cases = [
        (flow("|> where vlaue > 1.0"), "E0202", "where value > 1.0"),
        (flow("|> where value = 1.0"), "E0105", "where value == 1.0"),
        (flow("|> wher value > 1.0"), "E0103", "|> where value > 1.0"),
        (flow("|> extend x = uper(\"a\")"), "E0204", "upper(\"a\")"),
        (flow("|> extend x = lowercase(\"abc\")"), "E0204", "lower(\"abc\")"),
        (flow("|> extend x = id as strng"), "E0216", "as string"),
        (flow("|> where id > 1 && id < 5"), "E0106", "id > 1 and id < 5"),
        (flow("|> extend x = 'a'"), "E0110", "\"a\""),
        (format!("{SENSOR}flow a = redings\n\nsink out = a -> console()\n"), "E0203", "flow a = readings"),
        (format!("{SENSOR}flow a = readings\n\nsink out = a -> consol()\n"), "E0601", "console()"),
        (SENSOR.replace("sensor", "sensr") + "sink out = readings -> console()\n", "E0401", "delta(\"data/sensor\")"),
        ("source r = csv(\"data/readings.csv\")\n\nsink out = r -> console()\n".to_string(), "E0409", "schema {"),
    ];
    let mut wrong = vec![];
    for (text, code, expected) in cases {
        let problems = open(&text).problems(MAIN);
        if !problems.iter().any(|p| p.code == code && !p.fixes.is_empty()) {
            wrong.push(format!("{code}: {expected}\n{}", show(&text, &problems)));
            continue;
        }
        let after = mended(&text, code);
        if !after.contains(expected) {
            wrong.push(after);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn appended_changes_become_a_merge() {
    let text = format!(
        "{SENSOR}flow a = readings |> aggregate n = count() by id\n\nsink out = a -> delta(\"data/out\") {{\n    mode append\n}}\n"
    );
    let code = open(&text).problems(MAIN).iter().find(|p| !p.fixes.is_empty()).map(|p| p.code);
    let after = mended(&text, code.expect("a mistake with a fix"));
    assert!(after.contains("mode merge on id"), "{after}");
}

#[test]
fn a_table_that_is_not_read_yet_makes_no_mistakes() {
    let text = format!("{SENSOR}flow a = readings |> where nothing > 1\n\nsink out = a -> delta(\"data/out\")\n");
    let mut workspace = open(&text);
    assert_eq!(workspace.problems(MAIN).len(), 1, "the table is known");
    let other = text.replace("data/sensor", "data/elsewhere");
    workspace.set_text(MAIN, other.as_str());
    assert_eq!(workspace.problems(MAIN), vec![], "the table is pending");
    read_tables(&mut workspace);
    assert_eq!(workspace.problems(MAIN).len(), 1, "there is no such table");
}

#[test]
fn proofs_come_later() {
    let text = format!("{SENSOR}flow a = readings |> where id > 5 and id < 3\n\nsink out = a -> console()\n");
    let mut workspace = open(&text);
    assert_eq!(workspace.problems(MAIN), vec![]);
    let program = workspace.program(MAIN);
    assert!(!program.is_proved());
    program.prove();
    assert!(program.is_proved());
    assert_eq!(workspace.problems(MAIN).iter().map(|p| p.code).collect::<Vec<_>>(), [flowc_core::codes::DEAD_FILTER]);
}

#[test]
fn what_is_unused_is_marked() {
    let text = format!("{SENSOR}param limit: long = 1\n\nsink out = readings -> console()\n");
    let problems = open(&text).problems(MAIN);
    assert!(problems.iter().any(|p| p.unnecessary && &text[p.range.clone()] == "limit"), "{}", show(&text, &problems));
}

#[test]
fn a_used_file_is_judged_in_its_programs() {
    let library = "/w/library.flow";
    let text = format!(
        "use \"library.flow\"\n\n{SENSOR}flow a = readings |> extend x = twice(value)\n\nsink out = a -> console()\n"
    );
    let mut workspace = open_with(&text, &[(library, "fn twice(x: double) -> double = x * 2.0\n")]);
    assert_eq!(workspace.problems(MAIN).len(), 1, "null operand");
    workspace.set_text(library, "fn twice(x: double?) -> double? = y * 2.0\n");
    assert!(workspace.problems(library).iter().any(|p| p.code == "E0205"));
    workspace.set_text(library, "fn twice(x: double?) -> double? = x * 2.0\nfn other() -> long = 1\n");
    assert_eq!(workspace.problems(library), vec![]);
    assert_eq!(workspace.problems(MAIN), vec![]);
}

#[test]
fn a_rule_gets_a_policy_and_a_function_its_file() {
    let text = format!(
        "## About it.\n\n{SENSOR}flow a = readings\n    |> expect {{ known: (id > twice(2)) }}\n\nsink out = a -> console()\n"
    );
    let library = "fn twice(x: integer) = x * 2\n";
    let mut workspace =
        open_with(&text, &[("/w/lib/units.flow", library), ("/w/other.flow", "fn thrice(x: integer) = x * 3\n")]);
    workspace.set_known_programs(["/w/lib/units.flow".to_string(), "/w/other.flow".to_string()]);
    let found = workspace.assists(MAIN, text.find("twice").unwrap());
    let after: Vec<String> = found.iter().map(|fix| apply(&text, &fix.edits)).collect();
    assert!(after[0].contains("known: (id > twice(2)) else quarantine }"), "{}", after[0]);
    assert_eq!(found.len(), 4);
    assert!(after[3].starts_with("## About it.\n\nuse \"lib/units.flow\"\n\nsource readings"), "{}", after[3]);
    workspace.set_text(MAIN, after[3].as_str());
    assert!(!workspace.problems(MAIN).iter().any(|p| p.code == "E0204"));
    assert_eq!(workspace.assists(MAIN, 0), vec![]);
}

#[test]
fn params_have_the_values_of_the_editor() {
    let text = "param place: string = \"nowhere\"\n\nsource readings = delta(\"data/{place}\")\n\nsink out = readings -> console()\n";
    let mut workspace = open(text);
    assert_eq!(workspace.problems(MAIN)[0].code, "E0401");
    workspace.set_params(
        [("place".to_string(), "sensor".to_string()), ("other".to_string(), "1".to_string())].into_iter().collect(),
    );
    read_tables(&mut workspace);
    assert_eq!(workspace.problems(MAIN), vec![]);
}
