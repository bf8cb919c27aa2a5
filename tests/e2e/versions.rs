//! The history of records of changes, in real tables: whatever the order in which records come, how often, and in which runs, it is what the records say when they are
//! sorted by their time.

use crate::support::Project;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PROGRAM: &str = r#"
source records = json("in/*.json") {
    schema {
        op: string?,
        ts: long,
        before: struct<id: long, v: long?>?,
        after: struct<id: long, v: long?>?,
    }
    changes from op, before, after by id
    sequence by timestamp_millis(ts)
}
flow rows = records |> drop ts
flow odd = rows |> where v % 2 == 1
sink all = rows -> delta("all") { mode scd2 on id }
sink odd = odd -> delta("odd") { mode scd2 on id }
sink now = rows -> delta("now") { mode merge on id }
"#;

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What happened to a key at a time: its value, or none where it was deleted.
type Record = (i64, i64, Option<i64>);

fn line((id, ts, v): &Record) -> String {
    match v {
        Some(v) => json!({ "op": "u", "ts": ts, "before": null, "after": { "id": id, "v": v } }).to_string(),
        None => json!({ "op": "d", "ts": ts, "before": { "id": id, "v": 1 }, "after": null }).to_string(),
    }
}

/// Records of each key, each of another time; some come twice. In any order.
fn records(random: &mut Random) -> Vec<Record> {
    let mut records: Vec<Record> = vec![];
    for id in 0..6 {
        for ts in 1..9 {
            let value = (random.below(4) > 0).then(|| random.below(5) as i64);
            let copies = [0, 1, 1, 1, 2][random.below(5) as usize];
            records.extend((0..copies).map(|_| (id, ts * 1000, value)));
        }
    }
    for last in (1..records.len()).rev() {
        records.swap(last, random.below(last as u64 + 1) as usize);
    }
    records
}

/// Key, value, since when, until when: of all records, sorted by their time.
fn expected(records: &[Record], passes: impl Fn(i64) -> bool) -> Vec<(i64, i64, i64, Option<i64>)> {
    let mut keys: BTreeMap<i64, BTreeMap<i64, Option<i64>>> = BTreeMap::new();
    for (id, ts, v) in records {
        keys.entry(*id).or_default().insert(*ts, *v);
    }
    let mut versions = vec![];
    for (id, times) in keys {
        let ends = times.keys().skip(1).map(|ts| Some(*ts)).chain([None]);
        let there = times.iter().zip(ends).filter_map(|((from, v), to)| Some((id, (*v)?, *from, to)));
        versions.extend(there.filter(|(_, v, ..)| passes(*v)));
    }
    versions
}

fn held(project: &Project, table: &str) -> Vec<(i64, i64, i64, Option<i64>)> {
    let time = |value: &Value| value.as_str().map(|text| text[17..19].parse::<i64>().unwrap() * 1000);
    let version = |row: &Value| {
        assert_eq!(row["is_current"], row["valid_to"].is_null(), "{row}");
        let (id, v) = (row["id"].as_i64().unwrap(), row["v"].as_i64().unwrap());
        (id, v, time(&row["valid_from"]).unwrap(), time(&row["valid_to"]))
    };
    let mut versions: Vec<_> = project.rows(table).iter().map(version).collect();
    versions.sort_unstable_by_key(|(id, _, from, _)| (*id, *from));
    versions
}

#[test]
fn the_history_is_that_of_the_records_by_time() {
    for seed in 0..4 {
        let mut random = Random(seed);
        let records = records(&mut random);
        let project = Project::new();
        project.write("p.flow", PROGRAM);
        let (mut left, mut file) = (records.as_slice(), 0);
        while !left.is_empty() {
            // A run takes one file or several, each in an epoch of its own or all in one.
            for _ in 0..=random.below(2) {
                let (some, rest) = left.split_at((1 + random.below(20) as usize).min(left.len()));
                let lines: Vec<String> = some.iter().map(line).collect();
                project.write(&format!("in/{file:03}.json"), &(lines.join("\n") + "\n"));
                (left, file) = (rest, file + 1);
            }
            let words: &[&str] =
                [&["run", "p.flow"][..], &["run", "p.flow", "--epoch-files", "1"]][random.below(2) as usize];
            project.flowc(words).expect(0);
            let seen = &records[..records.len() - left.len()];
            assert_eq!(held(&project, "all"), expected(seen, |_| true), "seed {seed}, {file} files");
            assert_eq!(held(&project, "odd"), expected(seen, |v| v % 2 == 1), "seed {seed}, {file} files");
        }
        let mut now: Vec<i64> = project.rows("now").iter().map(|row| row["id"].as_i64().unwrap()).collect();
        now.sort_unstable();
        let current: Vec<i64> =
            expected(&records, |_| true).iter().filter(|(.., to)| to.is_none()).map(|(id, ..)| *id).collect();
        assert_eq!(now, current);
    }
}

#[test]
fn a_history_is_computed_again_and_goes_on() {
    let project = Project::new();
    project.write("p.flow", PROGRAM);
    let put = |file: &str, records: &[Record]| {
        project.write(file, &(records.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"));
    };
    put("in/1.json", &[(1, 1000, Some(1)), (1, 9000, Some(3)), (2, 5000, None)]);
    project.run("p.flow");
    let plan = project.flowc(&["plan", "p.flow", "--format", "json"]).expect(0).json();
    let steps: Vec<&str> = plan["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["records |> history", "records |> upsert"], "{plan:#}");
    project.flowc(&["run", "p.flow", "--full-refresh=all"]).expect(0);
    put("in/2.json", &[(2, 2000, Some(5)), (1, 4000, None)]);
    project.run("p.flow");
    let wanted = [(1, 1, 1000, Some(4000)), (1, 3, 9000, None), (2, 5, 2000, Some(5000))];
    assert_eq!(held(&project, "all"), wanted);
    assert_eq!(held(&project, "odd"), wanted);
    let status = project.flowc(&["status", "p.flow"]).expect(0).stdout;
    assert!(status.contains("records |> history  5 records"), "{status}");
}

#[test]
fn a_record_without_a_time_stops_the_run_and_is_named() {
    let project = Project::new();
    project.write("p.flow", &PROGRAM.replace("ts: long,", "ts: long?,"));
    project.write("in/1.json", "{\"op\": \"c\", \"after\": {\"id\": 1, \"v\": 77}}\n");
    let ran = project.flowc(&["run", "p.flow"]).expect(1).stderr;
    assert!(ran.contains("R0106") && ran.contains("`sequence by`") && ran.contains("77"), "{ran}");
    // A tombstone has no time.
    project.write("in/1.json", "{\"op\": null}\n{\"op\": \"c\", \"ts\": 1000, \"after\": {\"id\": 1, \"v\": 77}}\n");
    project.run("p.flow");
    assert_eq!(held(&project, "all"), [(1, 77, 1000, None)]);
}
