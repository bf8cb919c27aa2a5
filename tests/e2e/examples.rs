//! Every example runs, as its README says.

use crate::support::Project;
use serde_json::{Value, json};

#[test]
fn the_sensor_example_does_the_main_job() {
    let project = Project::example("sensor");
    let first = project.run("sensor.flow");
    let lines: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "Sensor 1 reported value 100.0 at 1000",
            "Sensor 2 reported value 200.0 at 2000",
            "Sensor 3 reported value 300.0 at 3000",
            "Sensor 4 reported value 400.0 at 4000",
            "Sensor 5 reported value 500.0 at 5000",
        ]
    );
    let rows = project.rows("warehouse/sensor_result");
    let levels: Vec<_> = rows.iter().map(|r| (r["id"].clone(), r["level"].clone(), r["slot"].clone())).collect();
    assert_eq!(
        levels,
        [
            (json!(1), json!(0), json!(0)),
            (json!(2), json!(0), json!(2000)),
            (json!(3), json!(1), json!(2000)),
            (json!(4), json!(2), json!(4000)),
            (json!(5), json!(2), json!(4000)),
        ]
    );
    assert!(rows.iter().all(|r| r["day"] == "1970-01-01"), "partitioned by day: {rows:?}");
    assert_eq!(rows[0]["celsius"].to_string(), ((100.0f64 - 32.0) * 5.0 / 9.0).to_string());
}

#[test]
fn a_second_run_commits_nothing() {
    let project = Project::example("sensor");
    project.run("sensor.flow");
    let before = project.version("warehouse/sensor_result");
    let second = project.run("sensor.flow");
    assert_eq!(second.stdout, "");
    assert_eq!(project.version("warehouse/sensor_result"), before);
    assert!(second.stderr.contains("nothing new"), "{}", second.stderr);
}

#[test]
fn a_run_after_appending_processes_only_what_was_appended() {
    let project = Project::example("sensor");
    project.run("sensor.flow");
    project.run("append.flow");
    assert_eq!(project.version("warehouse/sensor"), Some(1));
    let third = project.run("sensor.flow");
    assert_eq!(third.stdout, "Sensor 6 reported value 32.0 at 6000\nSensor 7 reported value 212.0 at 7000\n");
    let rows = project.rows("warehouse/sensor_result");
    let ids: Vec<_> = rows.iter().map(|r| r["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7], "the reading without a value is left out, nothing is there twice");
}

#[test]
fn a_file_is_appended_once() {
    let project = Project::example("sensor");
    project.run("append.flow");
    project.run("append.flow");
    assert_eq!(project.version("warehouse/sensor"), Some(1));
    project.write("incoming/z.csv", "id,timestamp,value\n9,9000,50.0\n");
    project.run("append.flow");
    assert_eq!(project.rows("warehouse/sensor").len(), 9);
}

/// The scattering of examples/orders/make.flow, written a second time.
fn pick(id: i64, salt: i64, n: i64) -> i64 {
    (id * 2_654_435_761 + salt * 40_503) % 1_000_003 % n
}

/// A line of an order as make.flow makes it: product, quantity, price in cents.
fn lines(id: i64) -> Vec<(i64, i64, i64)> {
    let first = (pick(id, 12, 210), pick(id, 13, 20_000) + 1);
    match pick(id, 11, 4) {
        1 => vec![(first.0, 1, first.1)],
        2 => vec![(first.0, 2, first.1), (pick(id, 14, 210), 5, pick(id, 15, 900) + 1)],
        _ => vec![],
    }
}

#[test]
fn the_orders_example_cleans_joins_and_sums() {
    const ORDERS: i64 = 20_000;
    let project = Project::example("orders");
    project.flowc(&["run", "make.flow", "--param", &format!("orders={ORDERS}")]).expect(0);
    assert_eq!(project.rows("warehouse/orders").len() as i64, ORDERS);
    project.run("orders.flow");

    // status 0 to 3 is known and not cancelled; products from 200 on do not exist.
    let sold: Vec<(i64, (i64, i64, i64))> = (0..ORDERS)
        .filter(|id| pick(*id, 3, 7) < 4)
        .flat_map(|id| lines(id).into_iter().map(move |line| (id, line)))
        .filter(|(_, line)| line.0 < 200)
        .collect();
    let written = project.rows("warehouse/order_lines");
    assert_eq!(written.len(), sold.len());
    let amount = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
    let mut expected = std::collections::BTreeMap::new();
    for (id, (product, quantity, cents)) in &sold {
        let region = ["\"north\"", "\"south/east\"", "\"São Paulo\"", "\"a=b\"", "null"][pick(*id, 4, 5) as usize];
        let category = ["books", "tools", "toys"][(product % 3) as usize];
        let entry = expected.entry((region.to_string(), category.to_string())).or_insert((0, 0));
        entry.0 += 1;
        entry.1 += quantity * cents;
    }
    let found: std::collections::BTreeMap<_, _> = project
        .rows("warehouse/revenue")
        .iter()
        .map(|r| {
            let key = (r["region"].to_string(), r["category"].as_str().unwrap().to_string());
            (key, (r["lines"].as_i64().unwrap(), r["amount"].to_string()))
        })
        .collect();
    let expected: std::collections::BTreeMap<_, _> =
        expected.into_iter().map(|(key, (lines, cents))| (key, (lines, amount(cents)))).collect();
    assert_eq!(found, expected);

    let strays = (0..ORDERS).filter(|id| pick(*id, 1, 50) != 0 && pick(*id, 2, 5500) >= 5000).count();
    let files = std::fs::read_dir(project.path().join("warehouse/strays")).unwrap().map(|e| e.unwrap().path());
    let files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "csv")).collect();
    let written: usize = files.iter().map(|f| std::fs::read_to_string(f).unwrap().lines().count() - 1).sum();
    assert_eq!(written, strays);

    let again = project.run("orders.flow");
    assert!(again.stderr.contains("nothing new"), "{}", again.stderr);
}

#[test]
fn the_streaming_example_gives_the_same_rows_however_its_files_come() {
    let tables = ["per_minute", "best", "visits", "looked_at", "late"];
    let rows = |project: &Project| tables.map(|table| project.rows(&format!("warehouse/{table}")));

    let together = Project::example("streaming");
    together.flowc(&["run", "shop.flow", "--drain"]).expect(0);
    let expected = rows(&together);
    let minutes: Vec<_> =
        expected[0].iter().map(|r| (r["page"].clone(), r["window_start"].clone(), r["views"].clone())).collect();
    let minute =
        |page: &str, minute: &str, views: i64| (json!(page), json!(format!("2026-11-20T{minute}:00Z")), json!(views));
    let counted = [
        minute("hats", "10:00", 1),
        minute("hats", "10:01", 1),
        minute("shoes", "10:00", 2),
        minute("shoes", "10:01", 2),
        minute("shoes", "10:02", 1),
    ];
    assert_eq!(minutes, counted, "view 3 and view 5 were sent twice");
    let looked: Vec<_> = expected[3].iter().map(|r| (r["id"].as_i64().unwrap(), r["page"].clone())).collect();
    let (hats, shoes) = (json!("hats"), json!("shoes"));
    let none = Value::Null;
    let before = [(100, &hats), (100, &shoes), (100, &shoes), (101, &none), (102, &hats), (102, &shoes), (103, &none)];
    assert_eq!(looked.iter().map(|(id, page)| (*id, page)).collect::<Vec<_>>(), before);
    assert_eq!((expected[1].len(), expected[2].len(), expected[4].len()), (3, 5, 0));

    let apart = Project::example("streaming");
    apart.flowc(&["run", "shop.flow", "--drain", "--epoch-files", "1"]).expect(0);
    assert_eq!(rows(&apart), expected);

    let arriving = Project::example("streaming");
    for file in ["views/2.csv", "orders/2.csv"] {
        std::fs::remove_file(arriving.path().join(file)).unwrap();
    }
    for file in ["views/2.csv", "orders/2.csv"] {
        let ran = arriving.run("shop.flow");
        assert!(ran.stderr.contains(", held by `"), "{}", ran.stderr);
        arriving.write(file, &together.read(file));
    }
    arriving.flowc(&["run", "shop.flow", "--drain"]).expect(0);
    assert_eq!(rows(&arriving), expected);
}
