//! Definitions, references, renaming.

use super::support::{MAIN, apply, cursor, open, open_with};

const HEAD: &str = "source readings = delta(\"data/sensor\")\n\ntable device = delta(\"data/device\")\n\n";

fn definition(text: &str) -> String {
    let (text, at) = cursor(&format!("{HEAD}{text}"));
    let mut workspace = open(&text);
    workspace.definition(MAIN, at).map_or("nothing".to_string(), |p| {
        let line = text[..p.start].matches('\n').count() + 1;
        format!("{line}: {}", &text[p.range()])
    })
}

fn rename(text: &str, name: &str) -> Result<String, String> {
    let (text, at) = cursor(&format!("{HEAD}{text}"));
    let mut workspace = open(&text);
    let edits = workspace.rename(MAIN, at, name)?;
    Ok(apply(&text, &edits)[HEAD.len()..].to_string())
}

#[test]
fn definitions() {
    assert_eq!(definition("flow a = rea$0dings"), "1: readings");
    assert_eq!(definition("flow a = readings |> extend x = 1 |> where $0x > 1"), "5: x");
    assert_eq!(definition("flow a = readings |> where $0id > 1"), "1: readings");
    assert_eq!(definition("flow a = readings |> left join device on device.$0id == id"), "3: device");
    assert_eq!(definition("fn f(a: long) -> long = $0a"), "5: a");
    assert_eq!(definition("fn f(a: long) -> long = a\nflow b = readings |> extend x = $0f(1)"), "5: f");
    assert_eq!(definition("param p: long = 1\nflow b = readings |> where id > $0p"), "5: p");
    assert_eq!(definition("flow a = readings |> where upper($0) > 1"), "nothing");
}

#[test]
fn renaming_changes_every_name() {
    let text = "flow a = readings |> extend $0x = 1 |> where x > 1 |> select id, x\n\nflow b = a |> extend y = x\n";
    let expected = "flow a = readings |> extend z = 1 |> where z > 1 |> select id, z\n\nflow b = a |> extend y = z\n";
    assert_eq!(rename(text, "z").as_deref(), Ok(expected));
    let text = "flow a = readings |> where id > 1\n\nflow b = $0a |> limit 1\n\nsink out = a -> console()\n";
    let expected =
        "flow `a b` = readings |> where id > 1\n\nflow b = `a b` |> limit 1\n\nsink out = `a b` -> console()\n";
    assert_eq!(rename(text, "a b").as_deref(), Ok(expected));
}

#[test]
fn a_column_without_a_name_of_its_own_gets_one() {
    let text =
        "flow a = readings |> left join device on device.id == id |> select id, device.site |> where $0site == \"x\"\n";
    let expected = "flow a = readings |> left join device on device.id == id |> select id, place = device.site |> where place == \"x\"\n";
    assert_eq!(rename(text, "place").as_deref(), Ok(expected));
}

#[test]
fn what_cannot_be_renamed() {
    let refused = |text: &str, name: &str| rename(text, name).expect_err("refused");
    assert!(refused("flow a = readings |> where $0value > 1", "x").contains("the table calls this column"));
    assert!(refused("flow a = readings |> extend x = up$0per(\"a\")", "x").contains("function of the language"));
    assert!(refused("flow $0a = readings", "device").contains("already"));
    assert!(refused("flow a = readings |> extend $0x = 1 |> where x > 1", "value").contains("already"));
}

#[test]
fn functions_are_renamed_across_files() {
    let library = "/w/library.flow";
    let text = format!("use \"library.flow\"\n\n{HEAD}flow a = readings |> extend x = twice(value)\n");
    let mut workspace = open_with(&text, &[(library, "fn twice(x: double?) -> double? = x * 2.0\n")]);
    let at = text.find("twice").unwrap();
    let edits = workspace.rename(MAIN, at, "double_of").unwrap();
    let places: Vec<(&str, &str)> = edits.iter().map(|e| (e.path.as_str(), e.text.as_str())).collect();
    assert_eq!(places, [(library, "double_of"), (MAIN, "double_of")]);
    let place = workspace.definition(MAIN, at).unwrap();
    assert_eq!((place.path.as_str(), place.start), (library, 3));
    let uses = workspace.references(MAIN, at, false);
    assert_eq!(uses.len(), 1);
}
