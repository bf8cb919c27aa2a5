//! What a lock keeps, what it passes over, and what it answers.

use super::*;
use flowc_ir::text::parse_program;

fn table(columns: &str, version: u64) -> TableInfo {
    let program = parse_program(&format!("program ({columns}) {{ }}")).expect("columns");
    TableInfo { schema: program.input, version: Some(version), ..TableInfo::default() }
}

fn delta(location: &str) -> Connector {
    Connector::Delta { location: location.into() }
}

fn csv(glob: &str, header: bool) -> Connector {
    Connector::Csv { glob: glob.into(), header, delimiter: ',', quote: '"', null: String::new() }
}

fn answer(connector: Connector, found: Result<TableInfo, CatalogError>) -> Answer {
    Answer { connector, version: None, found }
}

fn relative() -> BTreeMap<String, String> {
    ["w/sensor", "../shared/t", "in/*.csv"].iter().map(|p| (load::join("/p", p), p.to_string())).collect()
}

fn record(lock: &mut Lock, program: &str, with_params: bool, answers: &[Answer]) {
    lock.record(User { program, with_params, base: "/p", relative: &relative() }, answers);
}

fn rich() -> TableInfo {
    let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
    TableInfo {
        partition_by: vec!["day".into()],
        constraints: vec![pair("sane", "value > 0")],
        generated: vec![pair("day", "CAST(at AS DATE)")],
        properties: [pair("delta.appendOnly", "true"), pair("delta.columnMapping.maxColumnId", "7"), pair("team", "x")]
            .into_iter()
            .collect(),
        features: vec!["appendOnly".into(), "checkConstraints".into()],
        unwritable: vec!["rowTracking".into()],
        column_ids: [("value".to_string(), 2)].into_iter().collect(),
        append_only: true,
        description: Some("all of it".into()),
        files: Some((3, 900)),
        rows: Some(12),
        ..table(
            "value: double? \"degrees\", `a b`: array<struct<`null`: long?, `x``y`: map<string, decimal(10, 2)?>>>, at: timestamp, day: date?"
                .replace("``", "\\`")
                .as_str(),
            7,
        )
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut lock = Lock::default();
    let pinned = Answer { version: Some(VersionSpec::Number(3)), ..answer(delta("/p/w/sensor"), Ok(rich())) };
    let timed = Answer { version: Some(VersionSpec::Timestamp(1_767_225_600_000_000)), ..pinned.clone() };
    let answers = [
        answer(delta("/p/w/sensor"), Ok(rich())),
        pinned,
        timed,
        answer(delta("/shared/t"), Err(CatalogError::NotFound)),
        answer(csv("/p/in/*.csv", true), Err(CatalogError::Inferred(table("id: long, `taken at`: date", 0).schema))),
        answer(
            Connector::Json { glob: "/p/in/*.csv".into() },
            Err(CatalogError::Inferred(table("id: long", 0).schema)),
        ),
    ];
    record(&mut lock, "s.flow", false, &answers);
    let text = lock.to_text();
    let read = Lock::parse(&text).expect("its own text");
    assert_eq!(read, lock);
    assert_eq!(read.to_text(), text);
    let locations: Vec<&str> = lock.entries().iter().map(|e| e.location.as_str()).collect();
    assert_eq!(locations, ["../shared/t", "in/*.csv", "in/*.csv", "w/sensor", "w/sensor", "w/sensor"]);
    for line in [
        r#"        { "name": "value", "type": "double?", "comment": "degrees", "id": 2 },"#,
        r#"      "constraints": ["#,
        r#"        { "name": "sane", "sql": "value > 0" }"#,
        r#"      "names": ["id", "taken at"]"#,
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
    }
    assert!(!text.contains("team") && !text.contains("maxColumnId"), "{text}");
}

#[test]
fn it_answers_what_was_asked_wherever_the_directory_is() {
    let mut lock = Lock::default();
    let sensor = answer(delta("/p/w/sensor"), Ok(table("id: long", 7)));
    let absolute = answer(delta("/data/t"), Ok(table("x: date", 1)));
    let files = Err(CatalogError::Inferred(table("id: long", 0).schema));
    record(&mut lock, "s.flow", false, &[sensor, absolute, answer(csv("/p/in/*.csv", true), files)]);
    let catalog = lock.catalog("/elsewhere/clone");
    assert_eq!(catalog.table(&delta("/elsewhere/clone/w/sensor"), None), Ok(table("id: long", 7)));
    assert_eq!(catalog.table(&delta("/data/t"), None), Ok(table("x: date", 1)));
    let names = match catalog.table(&csv("/elsewhere/clone/in/*.csv", true), None) {
        Err(CatalogError::Inferred(schema)) => schema.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(names, "id: string?");
    let why = |connector: &Connector, version| match catalog.table(connector, version) {
        Err(CatalogError::NotLocked(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&delta("/p/w/sensor"), None), "no table is opened, and there is no entry for it");
    let third = Some(VersionSpec::Number(3));
    assert_eq!(why(&delta("/data/t"), third), "it is there as it is now, not at version 3");
    assert_eq!(
        why(&csv("/elsewhere/clone/in/*.csv", false), None),
        "it is there with another connector, or other options"
    );
}

#[test]
fn commits_of_rows_leave_it_alone() {
    let mut lock = Lock::default();
    let now = |info: TableInfo| [answer(delta("/p/w/sensor"), Ok(info))];
    record(&mut lock, "s.flow", false, &now(rich()));
    let before = lock.to_text();
    let more = TableInfo { version: Some(20), files: Some((9, 1)), rows: None, ..rich() };
    record(&mut lock, "s.flow", false, &now(more.clone()));
    assert_eq!(lock.to_text(), before);
    let changed = TableInfo { constraints: vec![], ..more };
    record(&mut lock, "s.flow", false, &now(changed.clone()));
    assert!(lock.to_text().contains("\"version\": 20"), "{}", lock.to_text());
    // An older version than before is another table.
    record(&mut lock, "s.flow", false, &now(TableInfo { version: Some(2), ..changed }));
    assert!(lock.to_text().contains("\"version\": 2,"), "{}", lock.to_text());
}

#[test]
fn entries_live_as_long_as_a_program_uses_them() {
    let mut lock = Lock::default();
    let of = |place: &str| answer(delta(place), Ok(table("id: long", 1)));
    let programs = |lock: &Lock| -> Vec<String> {
        lock.entries().iter().map(|e| format!("{}: {}", e.location, e.programs.join(", "))).collect()
    };
    record(&mut lock, "a.flow", false, &[of("/p/w/sensor"), of("/x")]);
    record(&mut lock, "b.flow", false, &[of("/p/w/sensor")]);
    assert_eq!(programs(&lock), ["/x: a.flow", "w/sensor: a.flow, b.flow"]);
    // With parameters a program may ask for other places: nothing is said of those that it asks for without.
    record(&mut lock, "a.flow", true, &[of("/p/w/sensor"), of("/prod")]);
    record(&mut lock, "a.flow", false, &[of("/p/w/sensor")]);
    assert_eq!(programs(&lock), ["/prod: a.flow --param", "w/sensor: a.flow, b.flow"]);
    lock.keep_programs(|name| name == "a.flow");
    assert_eq!(programs(&lock), ["/prod: a.flow --param", "w/sensor: a.flow"]);
}

#[test]
fn what_a_wrong_program_uses_is_held() {
    let (mut lock, of) = (Lock::default(), |columns: &str| answer(delta("/p/w/sensor"), Ok(table(columns, 1))));
    record(&mut lock, "a.flow", false, &[of("id: long")]);
    let before = lock.clone();
    record(&mut lock, "b.flow", false, &[of("id: long?")]);
    assert_eq!(lock.drift("/p", &[of("id: long?")]).len(), 0);
    lock.hold(&before, "/p", &[of("id: long?")]);
    assert_eq!(lock.drift("/p", &[of("id: long?")]).len(), 1);
}

#[test]
fn what_is_no_lock_says_why() {
    let why = |text: &str| Lock::parse(text).expect_err("no lock").to_string();
    assert!(why("{").contains("not JSON"));
    assert_eq!(why("{}"), "it has no format number");
    assert_eq!(why(r#"{"format": 9}"#), "its format is 9, this flowc reads 1");
    assert_eq!(why("{\n<<<<<<< ours\n"), "line 2 is left over from a merge");
    let table = |column: &str| {
        format!(
            r#"{{"format": 1, "tables": [{{"location": "t", "connector": "delta", "programs": [], "columns": [{column}]}}]}}"#
        )
    };
    assert!(why(&table(r#"{"name": "a", "type": "text"}"#)).contains("`t`: the type of `a`"));
    assert!(Lock::parse(&table(r#"{"name": "a", "type": "string?"}"#)).is_ok());
}
