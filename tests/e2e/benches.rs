//! The programs of the benchmark do what they are measured for: each over a few rows, with what must come out written by hand.

use crate::support::{Project, root};
use serde_json::{Value, json};

/// The program over these tables; what is written.
fn result(project: &Project, program: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("benches/jobs").join(program)).unwrap();
    project.write(program, &text);
    let words = ["--param", "warehouse=.", "--param", "out=./out", "--drain"];
    project.flowc(&[&["run", program][..], &words].concat()).expect(0);
    project.rows("out")
}

/// Two devices, and readings of them from two minutes: one of no value, one that is not plausible.
fn readings() -> Project {
    let project = Project::new();
    let rows = [
        r#"{"id": 1, "timestamp": 1000, "value": 20.0}"#,
        r#"{"id": 1, "timestamp": 2000, "value": 90.0}"#,
        r#"{"id": 2, "timestamp": 3000, "value": 60.0}"#,
        r#"{"id": 2, "timestamp": 4000, "value": null}"#,
        r#"{"id": 1, "timestamp": 61000, "value": 999.0}"#,
    ];
    project.table("sensor_20m", "id: integer, timestamp: long, value: double?", &rows);
    let devices =
        [r#"{"id": 1, "site": "north", "max_value": 50.0}"#, r#"{"id": 2, "site": "south", "max_value": 60.0}"#];
    project.table("device", "id: integer, site: string, max_value: double", &devices);
    project
}

/// Some columns of rows, in the order of the rows' texts.
fn columns(rows: &[Value], names: &[&str]) -> Vec<Value> {
    let mut found: Vec<Value> = rows.iter().map(|row| names.iter().map(|name| row[*name].clone()).collect()).collect();
    found.sort_by_key(Value::to_string);
    found
}

#[test]
fn readings_are_classified() {
    let rows = result(&readings(), "classify.flow");
    let expected = [json!([1, 0, 194.0, "critical"]), json!([1, 0, 68.0, "normal"]), json!([2, 0, 140.0, "warning"])];
    assert_eq!(columns(&rows, &["id", "minute", "value_f", "severity"]), expected);
}

#[test]
fn readings_are_counted_by_the_minute() {
    let rows = result(&readings(), "minute.flow");
    let expected = [
        json!([1, 1, 999.0, 999.0, 999.0, 999.0]),
        json!([1, 2, 110.0, 20.0, 90.0, 55.0]),
        json!([2, 1, 60.0, 60.0, 60.0, 60.0]),
    ];
    assert_eq!(columns(&rows, &["id", "cnt", "total", "lo", "hi", "mean"]), expected);
}

#[test]
fn readings_above_what_a_device_bears_are_alarms() {
    let rows = result(&readings(), "alarms.flow");
    assert_eq!(columns(&rows, &["site", "cnt", "mean", "hi"]), [json!(["north", 2, 544.5, 999.0])]);
}

#[test]
fn the_latest_readings_are_merged() {
    let project = readings();
    let there = [r#"{"id": 2, "timestamp": 1, "value": 0.5}"#, r#"{"id": 3, "timestamp": 1, "value": 0.5}"#];
    project.table("out", "id: integer?, timestamp: long?, value: double?", &there);
    let rows = result(&project, "latest.flow");
    let expected = [json!([1, 61000, 999.0]), json!([2, 3000, 60.0]), json!([3, 1, 0.5])];
    assert_eq!(columns(&rows, &["id", "timestamp", "value"]), expected);
}

/// Bids on two auctions within ten seconds.
fn auctions() -> Project {
    let project = Project::new();
    let bid = |auction: i64, price: i64, second: i64| {
        format!(
            r#"{{"auction": {auction}, "bidder": 7, "price": {price}, "dateTime": "2026-01-01T00:00:0{second}Z", "extra": "x"}}"#
        )
    };
    let bids = [bid(1, 100, 0), bid(1, 300, 1), bid(2, 200, 4)];
    let bids: Vec<&str> = bids.iter().map(String::as_str).collect();
    project.table("nexmark/bid", "auction: long, bidder: long, price: long, dateTime: timestamp, extra: string", &bids);
    let people = [
        r#"{"id": 7, "name": "Ada", "dateTime": "2026-01-01T00:00:01Z"}"#,
        r#"{"id": 8, "name": "Bo", "dateTime": "2026-01-01T00:00:02Z"}"#,
    ];
    project.table("nexmark/person", "id: long, name: string, dateTime: timestamp", &people);
    let opened = [
        r#"{"id": 1, "seller": 7, "dateTime": "2026-01-01T00:00:09Z"}"#,
        r#"{"id": 2, "seller": 8, "dateTime": "2026-01-01T00:00:10Z"}"#,
    ];
    project.table("nexmark/auction", "id: long, seller: long, dateTime: timestamp", &opened);
    project
}

#[test]
fn nexmark_is_answered() {
    let rows = result(&auctions(), "q1.flow");
    let prices: Vec<f64> = rows.iter().map(|row| row["price"].as_f64().unwrap()).collect();
    assert!((prices.iter().sum::<f64>() - 0.908 * 600.0).abs() < 1e-9, "{prices:?}");
    // Windows of ten seconds from eight before the first bid on; in those that begin at the seconds 2 and 4 only the second auction has a bid.
    let hot = columns(&result(&auctions(), "q5.flow"), &["auction", "num"]);
    assert_eq!(hot, [[1, 2], [1, 2], [1, 2], [1, 2], [1, 2], [2, 1], [2, 1]].map(|pair| json!(pair)));
    assert_eq!(columns(&result(&auctions(), "q7.flow"), &["auction", "price"]), [json!([1, 300])]);
    assert_eq!(columns(&result(&auctions(), "q8.flow"), &["id", "name"]), [json!([7, "Ada"])]);
}
