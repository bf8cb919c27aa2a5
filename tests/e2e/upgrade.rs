//! Programs that change while their steps remember something, over real Delta tables: what is kept or migrated gives what the new program gives of all rows from
//! the beginning; what is not is said by `flowc plan`, and stops a run.

use crate::support::Project;
use serde_json::Value;

const READINGS: &str =
    "id: integer, t: long, v: integer, x: float, site: string?, day: date, price: decimal(8, 2), u: integer";

/// Rows by two: a number and its second.
fn reading(n: i64, second: i64) -> String {
    let site = if n % 4 == 3 { "null".to_string() } else { format!("\"s{}\"", n % 3) };
    format!(
        "{{\"id\": {}, \"t\": {}, \"v\": {}, \"x\": {}.25, \"site\": {site}, \"day\": \"2026-01-{:02}\", \"price\": {}.75, \"u\": {}}}",
        n % 3,
        second * 1000,
        (n * 7) % 5 + 1,
        (n * 5) % 7,
        n % 9 + 1,
        n * 11 % 13,
        n % 2
    )
}

fn rows(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| reading(n, n * 2)).collect()
}

fn add(project: &Project, numbers: std::ops::Range<i64>) {
    let rows = rows(numbers.clone());
    project.table("readings", READINGS, &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let others =
        numbers.map(|n| format!("{{\"id\": {}, \"t\": {}, \"w\": {}, \"name\": \"n{n}\"}}", n % 3, n * 1000 + 500, n));
    let others: Vec<String> = others.collect();
    project.table(
        "others",
        "id: integer, t: long, w: integer, name: string?",
        &others.iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

/// The program with these flows, the last of which is `result`.
fn program(flows: &str) -> String {
    format!(
        "source readings = delta(\"readings\") {{\n    start version 0\n    event_time at = timestamp_millis(t)\n    watermark 1s\n}}\n\
         source others = delta(\"others\") {{\n    start version 0\n    event_time at = timestamp_millis(t)\n    watermark 1s\n}}\n\
         flow unread = others |> select id\n\
         {flows}\nsink out = result -> delta(\"out\")\n"
    )
}

/// What happens when `old` has run over the first rows and `new` takes its place: what `flowc plan` says, and the project.
fn changed(old: &str, new: &str) -> (Project, Value) {
    let project = Project::new();
    add(&project, 0..10);
    project.write("p.flow", &program(old));
    project.run("p.flow");
    project.write("p.flow", &program(new));
    let ran = project.flowc(&["plan", "p.flow", "--format", "json"]);
    let stops = ran.json()["stops"] == true;
    (project, ran.expect(i32::from(stops)).json())
}

fn fates(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["fate"].as_str().unwrap())).collect()
}

fn words(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap().iter();
    let changes = steps.flat_map(|step| step["changes"].as_array().cloned().unwrap_or_default());
    changes.map(|change| change.as_str().unwrap().to_string()).collect()
}

/// What the new program gives when it goes on, and when it begins with the first row.
fn both(project: &Project, new: &str) -> (Vec<Value>, Vec<Value>) {
    add(project, 10..16);
    project.flowc(&["run", "p.flow", "--drain"]).expect(0);
    let fresh = Project::new();
    add(&fresh, 0..10);
    add(&fresh, 10..16);
    fresh.write("p.flow", &program(new));
    fresh.flowc(&["run", "p.flow", "--drain"]).expect(0);
    (project.rows("out"), fresh.rows("out"))
}

/// The new program goes on with the state of the old one, and nothing tells.
#[track_caller]
fn goes_on(old: &str, new: &str, fate: &str, changes: &[&str]) {
    let (project, plan) = changed(old, new);
    assert_eq!(plan["stops"], false, "{plan:#}");
    let found = fates(&plan);
    assert!(found.iter().any(|step| step.ends_with(fate)), "{found:?}");
    assert_eq!(words(&plan), changes, "{plan:#}");
    let open = plan["steps"].as_array().unwrap().iter().map(|step| step["remembered"]["entries"].as_u64().unwrap());
    assert!(open.sum::<u64>() > 0, "something is open: {plan:#}");
    let (found, wanted) = both(&project, new);
    assert_eq!(found, wanted);
    assert!(!found.is_empty());
}

/// The new program is another one: plan says why, and a run stops before it has done anything.
#[track_caller]
fn stops(old: &str, new: &str, why: &str) {
    let (project, plan) = changed(old, new);
    assert_eq!(plan["stops"], true, "{plan:#}");
    let steps = plan["steps"].as_array().unwrap();
    let lost = steps.iter().find(|step| step["fate"] == "changed").unwrap();
    assert!(lost["why"].as_str().unwrap().contains(why), "{lost:#}");
    let reads = &plan["rebuild"][0]["sources"][0]["reads"];
    assert!(reads.as_str().unwrap().starts_with("version 0"), "{plan:#}");
    let before = project.files();
    let refused = project.flowc(&["run", "p.flow"]).expect(1);
    assert!(refused.stderr.contains("R0412") && refused.stderr.contains(why), "{}", refused.stderr);
    let mut after = project.files();
    after.retain(|path, _| !path.ends_with("flow.lock"));
    let kept: Vec<_> = before.iter().filter(|(path, _)| !path.ends_with("flow.lock")).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), kept, "nothing was written");
    // What it says to type does what it says.
    let step = lost["step"].as_str().unwrap();
    project.flowc(&["run", "p.flow", "--rebuild", step]).expect(0);
    let (found, wanted) = both(&project, new);
    assert_eq!(found, wanted);
}

const WINDOW: &str = "flow result = readings
    |> aggregate n = count(), total = sum(v), best = max(v) by id, window tumble(15s)
    |> select id, window_start, n, total, best";

#[test]
fn what_results_are_called_and_the_order_of_things_is_no_part_of_a_step() {
    let new = "flow result = readings
    |> extend unused = v + 1, w = v * 2
    |> aggregate best = max(v), sum_of_v = sum(v), count = count() by id, window tumble(15s)
    |> select id, window_start, n = count, total = sum_of_v, best";
    goes_on(WINDOW, new, "kept", &[]);
}

#[test]
fn keys_in_another_order_are_the_same_keys() {
    let old = "flow result = readings |> aggregate n = count() by id, site, even = v % 2, window session(3s)
    |> select id, site, even, n";
    let new = "flow result = readings |> aggregate n = count() by is_even = v % 2, site, id, window session(3s)
    |> select id, site, even = is_even, n";
    goes_on(old, new, "kept", &[]);
    let old = "flow result = readings |> dedup by id, site within 1h |> select id, site, t";
    let new = "flow result = readings |> dedup by site, id within 1h |> select id, site, t";
    goes_on(old, new, "kept", &[]);
}

#[test]
fn what_happens_to_rows_before_a_step_is_no_part_of_it() {
    // Every row of the first part passes.
    let new = WINDOW.replace("readings\n", "readings\n    |> where t >= 0\n");
    goes_on(WINDOW, &new, "kept", &[]);
}

#[test]
fn an_aggregate_that_is_gone_is_dropped() {
    let new = "flow result = readings
    |> aggregate n = count(), best = max(v) by id, window tumble(15s)
    |> select id, window_start, n, total = 0 as long, best";
    let old = WINDOW.replace("total, best", "total = total * 0, best");
    goes_on(&old, new, "migrated", &["- `sum(v)`"]);
}

#[test]
fn what_an_aggregate_has_widens() {
    let flow = |v: &str, x: &str, day: &str, price: &str| {
        format!(
            "flow result = readings
    |> extend v2 = {v}, x2 = {x}, day2 = {day}, price2 = {price}
    |> aggregate total = sum(v2), mean = avg(v2), least = min(v2), first = first(v2), last = last(v2), all = collect_list(v2),
                 set = collect_set(v2), different = count_distinct(v2), spread = stddev(v2), middle = percentile(v2, 0.5), by = min_by(v2, x2),
                 sum_x = sum(x2), max_x = max(x2), max_day = max(day2), first_day = first(day2), sum_p = sum(price2), max_p = max(price2)
       by v2, key_x = x2 , window tumble(15s)
    |> select v2 = v2 as long, key_x = key_x as double, window_start, total, mean, least = least as long, first = first as long, last = last as long,
              all = \"{{all}}\", set = \"{{set}}\", different, spread, middle, by = by as long, sum_x, max_x = max_x as double, max_day = max_day as timestamp,
              first_day = first_day as timestamp, sum_p = sum_p as decimal(30, 2), max_p = max_p as decimal(30, 2)"
        )
    };
    let old = flow("v", "x", "day", "price");
    let new = flow("v as long", "x as double", "day as timestamp", "price as decimal(12, 2)");
    let (project, plan) = changed(&old, &new);
    assert_eq!(fates(&plan), ["result |> aggregate migrated"], "{plan:#}");
    assert!(words(&plan).contains(&"`sum(v2)` from integer to long".to_string()), "{plan:#}");
    assert!(words(&plan).contains(&"`max(price2)` from decimal(8, 2) to decimal(12, 2)".to_string()), "{plan:#}");
    let (found, wanted) = both(&project, &new);
    assert_eq!(found, wanted);
}

#[test]
fn the_keys_of_every_step_widen() {
    let word = "from integer to long";
    let steps = [
        "aggregate n = count() by k, window session(5s) |> select k = k as long, n, t = 0 as long",
        "dedup by k within 1h |> select k = k as long, n = 0 as long, t",
        "join others on others.id == k within 4s |> select k = k as long, n = others.w as long, t",
        "expect { once: unique (k) within 1h else drop } |> select k = k as long, n = 0 as long, t",
    ];
    for step in steps {
        let flow = |k: &str| format!("flow result = readings |> extend k = {k} |> {step}");
        let (project, plan) = changed(&flow("id"), &flow("id as long"));
        assert!(words(&plan).iter().any(|change| change.ends_with(word)), "{step}: {plan:#}");
        assert_eq!(plan["stops"], false, "{plan:#}");
        let (found, wanted) = both(&project, &flow("id as long"));
        assert_eq!(found, wanted, "{step}");
    }
}

/// A union whose second input lags behind: rows wait in what is behind it.
fn waiting(first: &str, second: &str, step: &str) -> String {
    format!(
        "flow lagging = others |> where w < 4 |> select {second}
flow result = readings |> select {first} |> union lagging |> {step}"
    )
}

#[test]
fn rows_that_wait_get_new_columns_and_lose_old_ones() {
    let dedup = "dedup by id within 3s |> select id, t, k = k as long";
    let old = waiting("id, t, at, k = v", "id, t, at, k = w", dedup);
    let new = waiting("id, t, at, k = v as long", "id, t, at, k = w as long", dedup);
    goes_on(&old, &new, "migrated", &["`k` from integer to long"]);
    let less = dedup.replace("k = k as long", "k = 1 as long");
    let old =
        waiting("id, t, at, k = v", "id, t, at, k = w", &dedup.replace("k = k as long", "k = (k * 0 + 1) as long"));
    goes_on(&old, &waiting("id, t, at, k = v", "id, t, at, k = w", &less), "migrated", &["- column `k`"]);
}

const JOIN: &str = "flow result = readings
    |> left join others on others.id == id within 4s
    |> select id, t, w = others.w, site = null as string?";

#[test]
fn the_rows_of_a_join_get_a_column_that_is_null_for_what_was_remembered() {
    let new = JOIN.replace("site = null as string?", "site");
    let (project, plan) = changed(JOIN, &new);
    assert_eq!(words(&plan), ["+ left column `site` (null for what was remembered)"], "{plan:#}");
    let text = project.flowc(&["plan", "p.flow"]).expect(0).stdout;
    assert!(text.contains("migrated  result |> join") && text.contains("(null for what was remembered)"), "{text}");
    let (found, wanted) = both(&project, &new);
    let without = |rows: &[Value]| -> Vec<Value> {
        let mut rows = rows.to_vec();
        rows.iter_mut().for_each(|row| row["site"] = Value::Null);
        rows.sort_by_key(Value::to_string);
        rows
    };
    assert_eq!(without(&found), without(&wanted));
    let sites = |rows: &[Value], late: bool| {
        rows.iter().filter(|row| (row["t"].as_i64().unwrap() >= 20_000) == late && !row["site"].is_null()).count()
    };
    assert_eq!((sites(&found, false), sites(&found, true)), (0, sites(&wanted, true)));
    assert!(sites(&wanted, false) > 0 && sites(&wanted, true) > 0);
}

#[test]
fn the_rows_of_a_join_lose_a_column() {
    let old = JOIN.replace("site = null as string?", "site = if x > 99 then site else null");
    goes_on(&old, JOIN, "migrated", &["- left column `x`", "- left column `site`"]);
}

#[test]
fn a_column_that_was_never_null_may_be_now() {
    let flow = |k: &str| {
        format!(
            "flow result = readings |> extend k = {k}
    |> left join others on others.id == id within 4s |> select id, t, k = if t < 0 then null else k, w = others.w"
        )
    };
    goes_on(&flow("v"), &flow("if v < 99 then v else null"), "kept", &[]);
    // And the other way, as long as nothing that is remembered is null.
    goes_on(&flow("if v < 99 then v else null"), &flow("v"), "kept", &[]);
    stops(&flow("site"), &flow("site ?? \"\""), "`k` cannot be null any more, but is in what is remembered");
}

#[test]
fn a_result_that_was_never_null_may_be_now() {
    let flow = |k: &str, of: &str| {
        format!(
            "flow result = readings |> extend k = {k} |> aggregate n = count(), best = {of} by id, window session(3s)
    |> select id, n, best = if n < 0 then null else best"
        )
    };
    let (sometimes, never) = ("if v < 99 then v else null", "v");
    goes_on(&flow(never, "max(k)"), &flow(sometimes, "max(k)"), "kept", &[]);
    // And the other way, as long as no group that is open has none.
    goes_on(&flow(sometimes, "max(k)"), &flow(never, "max(k)"), "kept", &[]);
    goes_on(&flow(sometimes, "sum(k)"), &flow(never, "sum(k)"), "kept", &[]);
    let none = "if v > 99 then v else null";
    stops(
        &flow(none, "max(k)"),
        &flow(never, "max(k)"),
        "`max(k)` cannot be null any more, but is in what is remembered",
    );
}

#[test]
fn the_rows_of_the_best_get_wider_and_lose_columns() {
    let flow = |columns: &str, more: &str| {
        format!(
            "flow a = readings |> aggregate n = count(), more = max(v) by id, window tumble(6s)
flow b = others |> where w < 4 |> aggregate n = count(), more = max(w) by id, window tumble(6s)
flow result = a |> union b |> extend {columns} |> top 2 by n desc, id, more per window_start
    |> select id, window_start, n, more = {more}"
        )
    };
    let (narrow, wide) = (flow("wide = more", "wide as long"), flow("wide = more as long", "wide as long"));
    goes_on(&narrow, &wide, "migrated", &["`wide` from integer to long"]);
    let less = flow("wide = 1", "more as long").replace("|> extend wide = 1 ", "");
    goes_on(&flow("wide = more", "more as long"), &less, "migrated", &["- column `wide`"]);
    stops(&wide, &wide.replace("by n desc, id, more", "by n, id, more"), "it was `the first 2 by n desc nulls last");
}

#[test]
fn another_operand_filter_key_time_condition_or_order_is_another_step() {
    let join = |on: &str| {
        format!(
            "flow result = readings |> left join others on others.id == id and {on} within 4s |> select id, t, w = others.w"
        )
    };
    stops(WINDOW, &WINDOW.replace("sum(v)", "sum(u)"), "`sum(u)` was not computed of the rows before");
    stops(WINDOW, &WINDOW.replace("sum(v)", "sum(v * 2)"), "`sum(v * 2)` was not computed of the rows before");
    let may_be_null = WINDOW.replace("n, total,", "n, total = if n > 0 then total else null,");
    let filtered = may_be_null.replace("sum(v)", "sum(v) where v > 1");
    stops(&may_be_null, &filtered, "`sum(v) where v > 1` was not computed");
    stops(&WINDOW.replace("by id", "by id = u"), &WINDOW.replace("by id", "by id = v"), "`u` is no key any more");
    stops(&join("others.w > v"), &join("others.w > u"), "it was `left join within 4s of at and at where right.w > v`");
    stops(
        "flow result = readings |> dedup by id within 9s |> select id, t",
        "flow result = readings |> dedup by id within 8s |> select id, t",
        "it was `dedup within 9s of at`",
    );
}

#[test]
fn a_rule_that_compares_other_columns_is_another_rule() {
    let flow = |key: &str| {
        format!("flow result = readings |> expect {{ once: unique ({key}) within 9s else drop }} |> select id, t")
    };
    stops(&flow("id"), &flow("u"), "`id` is no key any more");
    // Under another name it begins with an empty memory.
    let (project, plan) = changed(&flow("id"), &flow("u").replace("once:", "other:"));
    assert_eq!(plan["stops"], false, "{plan:#}");
    project.run("p.flow");
}

#[test]
fn a_column_under_another_name_does_not_lose_what_is_remembered() {
    let old = JOIN.replace("site = null as string?", "site");
    let new = old.replace("readings\n", "readings\n    |> rename place = site\n").replace(", site", ", site = place");
    stops(&old, &new, "came as `site` went, of the same type");
}

#[test]
fn what_is_migrated_stays_as_it_was_until_the_first_epoch_is_over() {
    let new = JOIN.replace("site = null as string?", "site");
    let (project, _) = changed(JOIN, &new);
    let state = || project.read(".flow/p/checkpoint.json");
    let before = state();
    // Nothing new: nothing is written.
    project.run("p.flow");
    assert_eq!(state(), before);
    // The old program goes on as if nothing had been.
    project.write("p.flow", &program(JOIN));
    let plan = project.flowc(&["plan", "p.flow", "--format", "json"]).expect(0).json();
    assert_eq!(fates(&plan), ["result |> join kept"]);
}
