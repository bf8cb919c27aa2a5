//! Hover and signature help.

use super::support::{MAIN, cursor, open};

const HEAD: &str = "source readings = delta(\"data/sensor\")\n\ntable device = delta(\"data/device\")\n\n";

fn hover(text: &str) -> String {
    let (text, at) = cursor(&format!("{HEAD}{text}"));
    open(&text).hover(MAIN, at).map_or("nothing".to_string(), |h| format!("[{}]\n{}", &text[h.range.clone()], h.text))
}

#[test]
fn what_things_are() {
    let flow = "## Adds.\nfn add(a: long, b: long) -> long = a + b\n\nparam limit: double = 1.5\n\nflow a = readings\n    |> where value is not null\n    |> extend double_value = value * 2.0\n    |> select id, double_value\n\nsink out = a -> console()\n";
    let at = |marked: &str| {
        let plain = marked.replace("$0", "");
        assert!(flow.contains(&plain), "{plain}");
        hover(&flow.replacen(&plain, marked, 1))
    };
    let places = [
        "where va$0lue is",
        "extend double_value = va$0lue",
        "select id, dou$0ble_value",
        "extend dou$0ble_value",
        "flow a = rea$0dings",
        "sink out = $0a",
        "fn ad$0d",
        "li$0mit: double",
        "|> whe$0re",
        "value *$0 2.0",
        "= $0a + b",
    ];
    let all: Vec<String> = places.iter().map(|place| format!("=== {place}\n{}", at(place))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn functions_of_the_language_are_documented() {
    let text = hover("flow a = readings |> extend x = upp$0er(\"a\")");
    assert!(text.contains("upper(text: string) -> string") && text.contains("# \"ASS\""), "{text}");
    let text = hover("flow a = readings |> aggregate x = su$0m(value)");
    assert!(text.contains("sum("), "{text}");
}

#[test]
fn signatures_know_the_parameter() {
    let help = |text: &str| {
        let (text, at) = cursor(&format!("{HEAD}{text}"));
        open(&text).signature_help(MAIN, at)
    };
    let found = help("flow a = readings |> extend x = substring(\"a\", $0").expect("a call");
    assert!(found.signatures[0].starts_with("substring(") && found.active == 1, "{found:?}");
    let found =
        help("fn f(a: long, b: long) -> long = a\nflow a = readings |> extend x = f(min(1, 2), $0)").expect("a call");
    assert_eq!((found.signatures[0].as_str(), found.active), ("f(a: long, b: long) -> long", 1));
    assert_eq!(help("flow a = readings |> where (id > $0"), None);
}

#[test]
fn what_is_known_of_a_column() {
    let flow = "source gauges = delta(\"data/gauge\") {\n    event_time at\n    watermark 1m\n}\n\nflow a = gauges\n    |> where level is not null and id > 0\n    |> left join device on device.id == id\n    |> extend percent = level / 100.0, tens = id * 10\n    |> where kind != \"a\"\n    |> select id, kind, percent, at, site = device.site\n\nflow b = a\n    |> aggregate n = count(), worst = max(percent) by kind, window tumble(1h)\n\nsink out = b -> delta(\"out\") { partition by kind }\n";
    let at = |marked: &str| {
        let plain = marked.replace("$0", "");
        assert!(flow.contains(&plain), "{plain}");
        hover(&flow.replacen(&plain, marked, 1))
    };
    let mut workspace = open(&format!("{HEAD}{flow}"));
    assert!(workspace.problems(MAIN).iter().all(|p| p.severity == flowc_ide::Severity::Warning));
    let places = [
        "where lev$0el is",
        "extend percent = lev$0el",
        "extend per$0cent",
        "te$0ns",
        "where ki$0nd",
        "select id, ki$0nd",
        "event_time a$0t",
        "percent, a$0t",
        "site = device.si$0te",
        "aggregate $0n =",
        "wor$0st =",
        "partition by ki$0nd",
    ];
    let all: Vec<String> = places.iter().map(|place| format!("=== {place}\n{}", at(place))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_is_known_of_a_flow_is_not_known_of_its_side_outputs() {
    let flow = "flow a = readings |> expect { r: id > 9 else quarantine } |> extend x = id\n\nsink out = a -> delta(\"out\") { partition by id }\n\nsink bad = a.rejected -> delta(\"bad\") { partition by id }\n";
    let at = |place: &str| {
        let at = flow.find(place).unwrap() + place.find("by id").unwrap() + 3;
        hover(&format!("{}$0{}", &flow[..at], &flow[at..]))
    };
    assert!(at("delta(\"out\") { partition by id").contains("known: not null; at least 10"));
    assert!(!at("delta(\"bad\") { partition by id").contains("known"));
}
