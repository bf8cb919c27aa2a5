//! Programs that end at a step.

use super::support::{MAIN, open, open_with, read_tables};
use flowc_ide::{Cut, CutError, LensAction, RowsOf, Workspace};

const TEXT: &str = "param least: double = 0.0\n\nfn kelvin(c: double) -> double = c + 273.15\n\nsource readings = delta(\"data/sensor\")\n\ntable device = delta(\"data/device\")\n\ntable known = delta(\"data/device\")\n\n# ä😀\nflow warm = readings\n    |> where value > least and id in known.id\n    |> left join device on device.id == id\n    |> extend k = kelvin(value)\n    |> select id, k, device.site\n\nflow counted = warm\n    |> aggregate n = count() by site\n    |> where n > 1\n\nsink out = counted -> delta(\"out\")\n\nsink raw = warm -> delta(\"raw\")\n\ntest \"one\" {\n    given readings [{ id: 1, timestamp: 1, value: 1.0 }]\n    then counted []\n}\n";

fn rows(name: &str, steps: Option<usize>) -> RowsOf {
    RowsOf { name: name.into(), steps }
}

fn cut(text: &str, of: &RowsOf) -> Result<Cut, CutError> {
    open(text).cut(MAIN, of)
}

/// The title, and the columns that come out.
fn shown(cut: &Cut) -> String {
    let plan = cut.checked.lower_rows(cut.input).optimize();
    let columns: Vec<&str> = plan.sinks[0].schema.fields.iter().map(|f| f.name.as_str()).collect();
    format!("{}: {}", cut.title, columns.join(", "))
}

#[test]
fn the_rows_behind_each_step_are_those_of_a_program() {
    let steps = |name: &str, steps| shown(&cut(TEXT, &rows(name, steps)).unwrap());
    let joined = "device.id, device.site, device.address";
    assert_eq!(steps("warm", Some(0)), "warm = readings: id, timestamp, value");
    assert_eq!(steps("warm", Some(1)), "warm |> where: id, timestamp, value");
    assert_eq!(steps("warm", Some(2)), format!("warm |> left join: id, timestamp, value, {joined}"));
    assert_eq!(steps("warm", Some(3)), format!("warm |> extend: id, timestamp, value, {joined}, k"));
    assert_eq!(steps("warm", Some(4)), "warm |> select: id, k, site");
    assert_eq!(steps("warm", None), "warm: id, k, site");
    assert_eq!(steps("counted", None), "counted: site, n");
    assert_eq!(steps("readings", None), "readings: id, timestamp, value");
    assert_eq!(steps("device", None), "device: id, site, address");
}

#[test]
fn nothing_else_is_left_of_the_program_and_its_places_stay() {
    let cut = cut(TEXT, &rows("warm", Some(1))).unwrap();
    let (_, file) = cut.sources.files().next().unwrap();
    assert_eq!(file.text.len(), TEXT.len());
    let lines: Vec<(usize, &str)> = file.text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).collect();
    let begins: Vec<&str> = lines.iter().map(|(_, line)| line.trim().split(' ').next().unwrap()).collect();
    assert_eq!(begins, ["param", "source", "table", "flow", "|>"], "{lines:?}");
    assert!(lines.iter().all(|(number, line)| TEXT.lines().nth(*number) == Some(line)), "{lines:?}");
    assert!(lines[2].1.contains("known"), "a table that is looked into is needed, one that is joined later is not");
}

#[test]
fn a_mistake_matters_where_it_is_needed() {
    let behind = TEXT
        .replace("n > 1", "n > oops")
        .replace("test \"one\"", "test one")
        .replace("kelvin(c: double)", "kelvin(c: dubble)");
    assert!(cut(&behind, &rows("warm", Some(2))).is_ok());
    assert_eq!(cut(&behind, &rows("warm", None)).unwrap_err().to_string(), "line 3: there is no type `dubble` (E0216)");
    assert_eq!(cut(TEXT, &rows("warm", Some(9))).unwrap_err().to_string(), "`warm` has 4 steps");
    assert_eq!(cut(TEXT, &rows("out", None)).unwrap_err().to_string(), "there is no flow, source or table `out` here");
}

#[test]
fn a_syntax_error_leaves_the_rows_from_before() {
    let mut workspace = open(TEXT);
    workspace.set_text(MAIN, TEXT.replace("extend k =", "extend k"));
    let cut = workspace.cut(MAIN, &rows("counted", None)).unwrap();
    assert!(cut.outdated);
    workspace.set_text(MAIN, TEXT.replace("where n > 1", "where n > "));
    let cut = workspace.cut(MAIN, &rows("warm", None)).unwrap();
    assert!(!cut.outdated, "what is broken is not needed");
}

#[test]
fn a_table_that_is_not_read_is_waited_for() {
    let mut workspace: Workspace = open("");
    workspace.set_text(MAIN, TEXT);
    assert_eq!(workspace.cut(MAIN, &rows("warm", None)).unwrap_err(), CutError::Pending);
    read_tables(&mut workspace);
    assert!(workspace.cut(MAIN, &rows("warm", None)).is_ok());
}

#[test]
fn functions_of_other_files_come_with_it() {
    let text = "use \"library.flow\"\n\nsource readings = delta(\"data/sensor\")\n\nflow warm = readings\n    |> extend k = hot(coalesce(value, 0.0))\n    |> where k\n";
    let library = "fn hot(c: double) -> boolean = warmer(c, 20.0)\n\nfn warmer(a: double, b: double) -> boolean = a > b\n\nfn wrong(a: double) -> long = a\n";
    let mut workspace = open_with(text, &[("/w/library.flow", library)]);
    let cut = workspace.cut(MAIN, &rows("warm", Some(1))).unwrap();
    assert_eq!(shown(&cut), "warm |> extend: id, timestamp, value, k");
}

#[test]
fn the_cursor_says_which_rows() {
    let at = |place: &str| open(TEXT).rows_at(MAIN, TEXT.find(place).unwrap());
    assert_eq!(at("warm ="), Some(rows("warm", None)));
    assert_eq!(at("readings\n    |> where"), Some(rows("warm", Some(0))));
    assert_eq!(at("|> left"), Some(rows("warm", Some(2))), "on the line of the step");
    assert_eq!(at("value > least"), Some(rows("warm", Some(1))));
    assert_eq!(at("device ="), Some(rows("device", None)));
    assert_eq!(at("sink out"), None);
    assert_eq!(at("# ä"), None);
    assert_eq!(
        open("").cut(MAIN, &rows("a", None)).unwrap_err().to_string(),
        "there is no flow, source or table `a` here"
    );
}

const ASIDE: &str = "source readings = delta(\"data/sensor\") {\n    event_time at = timestamp_millis(timestamp)\n    watermark 1m\n}\n\nflow clean = readings\n    |> expect {\n        known: id is not null else quarantine\n    }\n\nflow hours = clean\n    |> aggregate n = count() by id, window tumble(1h)\n\nsink out = hours -> delta(\"out\")\n\nsink bad = clean.rejected -> delta(\"bad\")\n\nsink late = hours.late -> delta(\"late\")\n";

#[test]
fn what_is_put_aside_has_rows_of_its_own() {
    let of = |name: &str| cut(ASIDE, &rows(name, None)).map_err(|why| why.to_string());
    assert_eq!(shown(&of("clean.rejected").unwrap()), "clean.rejected: id, timestamp, value, at, _failed, _epoch");
    assert_eq!(shown(&of("hours.late").unwrap()), "hours.late: id, timestamp, value, at");
    assert_eq!(of("clean.late").unwrap_err(), "`clean` has no rows that are `late`");
    assert_eq!(of("readings.malformed").unwrap_err(), "`readings` has no rows that are `malformed`");
    assert_eq!(of("none.late").unwrap_err(), "there is no flow, source or table `none.late` here");
    let lenses = open(ASIDE).lenses(MAIN);
    let previews = lenses.iter().filter_map(|lens| match &lens.action {
        LensAction::Preview(of) => Some(format!("{}: {}", lens.title, of.name)),
        _ => None,
    });
    let expected = [
        "Preview rows: readings",
        "Preview rows: clean",
        "Preview rejected rows: clean.rejected",
        "Preview rows: hours",
        "Preview late rows: hours.late",
    ];
    assert_eq!(previews.collect::<Vec<_>>(), expected);
}
