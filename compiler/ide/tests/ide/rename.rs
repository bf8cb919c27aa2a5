//! A program whose columns are called otherwise is as right as it was.

use super::support::{MAIN, apply};
use flowc_core::lock::{Found, Lock};
use flowc_ide::{LoadError, Loader, Problem, Workspace};
use flowc_ir::catalog::{Catalog, CatalogError, TableInfo, location};
use flowc_ir::plan::Connector;
use std::path::{Path, PathBuf};

struct Disk;

impl Loader for Disk {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        std::fs::read_to_string(path).map_err(|_| LoadError::NotFound)
    }
}

/// A workspace with a text in place of a program of this folder, whose lock stands for its tables.
fn open(file: &Path, text: &str, lock: &Lock) -> Workspace {
    let mut workspace = Workspace::new(Box::new(Disk));
    let path = file.to_string_lossy().into_owned();
    workspace.set_text(&path, text);
    let folder = file.parent().expect("a file is in a folder").to_string_lossy().into_owned();
    loop {
        workspace.program(&path);
        let open = workspace.tables.take_open();
        if open.is_empty() {
            return workspace;
        }
        for question in open {
            let found = lock.catalog(&folder).table(&question.connector, question.version);
            let found = found.or_else(|_| elsewhere(lock, &question.connector).ok_or(CatalogError::NotFound));
            workspace.tables.answer(&question, found, vec![]);
        }
    }
}

/// A table of this name in another folder: a lock may be of another warehouse.
fn elsewhere(lock: &Lock, connector: &Connector) -> Option<TableInfo> {
    let last = |place: &str| place.rsplit('/').next().unwrap_or_default().to_string();
    let wanted = last(location(connector)?);
    lock.entries().iter().find_map(|entry| match &entry.found {
        Found::Table(info) if last(&entry.location) == wanted => Some((**info).clone()),
        _ => None,
    })
}

fn examples() -> Vec<PathBuf> {
    let root = std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"))
        .expect("the examples are part of the sources");
    let mut found = vec![];
    for folder in std::fs::read_dir(root).expect("it is a folder").flatten() {
        let files = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        found.extend(files.map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "flow")));
    }
    found.sort();
    found
}

/// What is said, without names.
fn said(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().map(|p| p.code).collect()
}

#[test]
fn columns_of_the_examples_can_be_called_otherwise_or_it_is_said_why_not() {
    let (mut renamed, mut refused, mut programs, mut skipped) = (0, vec![], 0, vec![]);
    for file in examples() {
        let text = std::fs::read_to_string(&file).unwrap();
        let lock = std::fs::read_to_string(file.parent().unwrap().join("flow.lock")).unwrap();
        let lock = Lock::parse(&lock).unwrap();
        let path = file.to_string_lossy().into_owned();
        let mut workspace = open(&file, &text, &lock);
        let before = workspace.problems(&path);
        let analysis = workspace.program(&path);
        if analysis.outcome.checked.is_none() {
            skipped.push(format!("{}: {:?}", file.file_name().unwrap().display(), before.first().map(|p| &p.message)));
            continue;
        }
        programs += 1;
        for column in &analysis.facts.columns {
            let at = column.span.start as usize;
            if column.stored || column.span.file.0 != 0 {
                continue;
            }
            let name = "another_name";
            let edits = match workspace.rename(&path, at, name) {
                Ok(edits) => edits,
                Err(why) => {
                    refused.push(why);
                    continue;
                }
            };
            let mut changed = text.clone();
            for edit in edits.iter().rev() {
                changed.replace_range(edit.range.clone(), &edit.text);
            }
            let mut after = open(&file, &changed, &lock);
            let found = after.problems(&path);
            let word = &text[at..column.span.end as usize];
            assert_eq!(said(&found), said(&before), "{path}: `{word}`\n{changed}\n{found:?}");
            assert!(after.program(&path).outcome.checked.is_some(), "{path}: `{word}`\n{changed}");
            renamed += 1;
        }
    }
    assert!(
        programs > 15 && renamed > 100 && refused.len() < renamed / 4,
        "{programs} programs, {renamed} renamed, refused: {refused:#?}; {skipped:#?}"
    );
}

const HEAD: &str = "source readings = delta(\"data/sensor\")\n\nsource others = delta(\"data/sensor\")\n\ntable device = delta(\"data/device\")\n\n";

fn rename(text: &str) -> Result<String, String> {
    let (text, at) = super::support::cursor(&format!("{HEAD}{text}"));
    let mut workspace = super::support::open(&text);
    let edits = workspace.rename(MAIN, at, "z")?;
    let changed = apply(&text, &edits);
    let codes = said(&workspace.problems(MAIN));
    assert_eq!(said(&super::support::open(&changed).problems(MAIN)), codes, "{changed}");
    Ok(changed[HEAD.len()..].to_string())
}

/// Each text, and what of it is other when the marked column is called `z`.
#[test]
fn every_place_that_names_a_column_follows() {
    let cases = [
        (
            "flow a = readings |> select k = id, v = value\n\nsink out = a -> delta(\"out\") { mode merge on $0k }\n",
            "flow a = readings |> select z = id, v = value\n\nsink out = a -> delta(\"out\") { mode merge on z }\n",
        ),
        (
            "flow a = readings |> select $0k = id, v = value\n\nsink out = a -> delta(\"out\") { mode scd2 on k }\n",
            "flow a = readings |> select z = id, v = value\n\nsink out = a -> delta(\"out\") { mode scd2 on z }\n",
        ),
        (
            "flow a = readings |> extend $0p = id % 4, v = 1\n\nsink out = a -> delta(\"out\") { partition by p }\n",
            "flow a = readings |> extend z = id % 4, v = 1\n\nsink out = a -> delta(\"out\") { partition by z }\n",
        ),
        (
            "flow a = readings |> extend $0x = 1\n\nsink out = a -> delta(\"out\") { partition by d = x + 1 constraint c: x > 0 }\n",
            "flow a = readings |> extend z = 1\n\nsink out = a -> delta(\"out\") { partition by d = z + 1 constraint c: z > 0 }\n",
        ),
        (
            "flow a = readings |> select id, $0x = 1\n\nsink out = a -> console()\n\ntest \"t\" {\n    given readings [{ id: 1, timestamp: 1 }]\n    then a [{ id: 1, x: 1 }]\n    then out [{ x: 1 }]\n}\n",
            "flow a = readings |> select id, z = 1\n\nsink out = a -> console()\n\ntest \"t\" {\n    given readings [{ id: 1, timestamp: 1 }]\n    then a [{ id: 1, z: 1 }]\n    then out [{ z: 1 }]\n}\n",
        ),
        (
            "flow a = readings |> extend $0x = value |> expect { r: x > 0.0 else repair x = 1.0 } |> select x\n",
            "flow a = readings |> extend z = value |> expect { r: z > 0.0 else repair z = 1.0 } |> select z\n",
        ),
        (
            "flow a = readings |> extend x = 1 |> extend x = x + 1 |> where $0x > 1\n",
            "flow a = readings |> extend z = 1 |> extend z = z + 1 |> where z > 1\n",
        ),
        (
            "flow a = readings |> select x = id\n\nflow b = others |> select $0x = id |> union a |> where x > 1\n",
            "flow a = readings |> select z = id\n\nflow b = others |> select z = id |> union a |> where z > 1\n",
        ),
        (
            "flow a = readings |> extend $0x = id |> aggregate n = count() by x |> where x > 1\n",
            "flow a = readings |> extend z = id |> aggregate n = count() by z |> where z > 1\n",
        ),
        (
            "flow a = readings |> extend $0x = id |> rename y = x |> drop y\n",
            "flow a = readings |> extend z = id |> rename y = z |> drop y\n",
        ),
        (
            "flow a = readings |> extend $0x = id |> expect { r: x > 0 else quarantine }\n\nflow b = a.rejected |> where x > 0\n",
            "flow a = readings |> extend z = id |> expect { r: z > 0 else quarantine }\n\nflow b = a.rejected |> where z > 0\n",
        ),
        (
            "flow a = readings |> select $0id, value |> where id > 1\n",
            "flow a = readings |> select z = id, value |> where z > 1\n",
        ),
        (
            "flow a = readings |> extend xs = [id] |> explode xs as $0x |> aggregate n = count() by x\n",
            "flow a = readings |> extend xs = [id] |> explode xs as z |> aggregate n = count() by z\n",
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(rename(text).as_deref(), Ok(wanted));
    }
}

#[test]
fn what_would_be_another_program_is_refused() {
    let refused = |text: &str| rename(text).expect_err("refused");
    assert!(refused("flow a = readings |> extend $0value = 1.0 |> where value > 0.0\n").contains("that a table has"));
    let text = "flow b = others |> select $0id = id + 1, timestamp, value |> union readings\n";
    assert!(refused(text).contains("united"));
    let text = "flow a = readings |> select $0site = \"x\", id\n\nsink out = a -> delta(\"data/device\")\n";
    assert!(refused(text).contains("the table that `out` writes calls this column `site`"));
}
