//! What steps remember, in words: watermarks of sources, and what is open in steps, or kept. Knows reports only.

use crate::progress::group;
use flowc_runtime::StepReport;
use indicatif::BinaryBytes;

/// A time as people read it, to the millisecond where there is a part of a second.
pub fn time(microseconds: i64) -> String {
    let whole = microseconds - microseconds.rem_euclid(1_000);
    jiff::Timestamp::from_microsecond(whole).map_or_else(|_| microseconds.to_string(), |t| t.to_string())
}

/// The lines of a run's summary: what waits for event time. What a rule with `unique` remembers holds nothing back.
pub fn summary(steps: &[StepReport]) -> String {
    lines(&steps.iter().filter(|step| step.waits() && step.kind != "unique").cloned().collect::<Vec<_>>())
}

/// A line for each source with a watermark, and for each step that remembers something.
pub fn lines(steps: &[StepReport]) -> String {
    let width = steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
    let line = |step: &StepReport| {
        let words = if step.kind == "watermark" { source(step) } else { open(step) };
        format!("  {:9}  {:width$}  {words}\n", step.kind, step.name)
    };
    steps.iter().map(line).collect()
}

fn source(step: &StepReport) -> String {
    let at = step.watermark.map_or("no time is known yet".to_string(), time);
    let idle = if step.idle { ", idle: it holds no other source back" } else { "" };
    format!("{at}{idle}")
}

/// What a step waits with, and for what.
fn open(step: &StepReport) -> String {
    let remembered = &step.remembered;
    let mut parts = vec![];
    // Of what is on disk, parts are counted when they are looked at.
    let about = if remembered.on_disk > 0 { "about " } else { "" };
    match (remembered.windows, remembered.entries) {
        (_, 0) if step.waits() => parts.push("nothing open".to_string()),
        (_, 0) => parts.push("nothing kept".to_string()),
        (0, entries) => parts.push(format!("{about}{} {}", group(entries), singular(&remembered.unit, entries))),
        (windows, entries) => {
            let windows = format!("{} {} open", group(windows), singular("windows", windows));
            parts.push(format!("{windows}, {about}{} {}", group(entries), singular(&remembered.unit, entries)));
        }
    }
    if remembered.on_disk > 0 {
        parts.push(format!("{} on disk", BinaryBytes(remembered.on_disk)));
    }
    match (remembered.first_end, remembered.last_end) {
        (Some(first), Some(last)) if first != last => parts.push(format!("ending {} to {}", time(first), time(last))),
        (Some(end), _) => parts.push(format!("ending {}", time(end))),
        (None, _) => {}
    }
    if remembered.entries > 0 && step.waits() && step.kind != "unique" {
        let at =
            step.watermark.map_or("no time is known yet".to_string(), |at| format!("the watermark is {}", time(at)));
        // Only a session waits then: a row at its end still belongs to it.
        let must_pass = step.kind == "window" && step.watermark.is_some() && step.watermark == remembered.first_end;
        let at = at + if must_pass { " and must pass the first end" } else { "" };
        let held = step.held_by.as_ref().map_or(String::new(), |source| format!(", held by `{source}`"));
        parts.push(at + &held);
    }
    if step.late > 0 {
        parts.push(format!("{} {} too late", group(step.late), singular("rows", step.late)));
    }
    parts.join("; ")
}

/// The word for one, where there is one.
fn singular(plural: &str, n: u64) -> &str {
    if n == 1 { plural.strip_suffix('s').unwrap_or(plural) } else { plural }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_runtime::Remembered;

    #[test]
    fn of_a_step_that_waits_for_no_time_it_says_what_it_keeps() {
        let remembered = Remembered { unit: "groups".into(), entries: 5, ..Remembered::default() };
        let step = StepReport {
            name: "per_country |> aggregate".into(),
            kind: "aggregate".into(),
            remembered,
            ..StepReport::default()
        };
        assert_eq!(lines(std::slice::from_ref(&step)), "  aggregate  per_country |> aggregate  5 groups\n");
        assert_eq!(summary(std::slice::from_ref(&step)), "", "nothing waits");
        let empty = StepReport { remembered: Remembered::default(), ..step };
        assert_eq!(lines(&[empty]), "  aggregate  per_country |> aggregate  nothing kept\n");
    }

    #[test]
    fn it_says_what_is_open_and_who_holds_it() {
        let minute = 60_000_000;
        let remembered = Remembered {
            unit: "groups".into(),
            entries: 3,
            windows: 1,
            first_end: Some(5 * minute),
            last_end: Some(5 * minute),
            ..Remembered::default()
        };
        let window = StepReport {
            name: "per_minute |> aggregate".into(),
            kind: "window".into(),
            watermark: Some(4 * minute + 55_500_000),
            held_by: Some("sensor".into()),
            late: 1,
            remembered,
            ..StepReport::default()
        };
        let join = StepReport {
            name: "placed |> join".into(),
            kind: "join".into(),
            remembered: Remembered { unit: "rows".into(), entries: 4, ..Remembered::default() },
            ..StepReport::default()
        };
        assert_eq!(lines(&[join]), "  join       placed |> join  4 rows\n", "without time nothing waits for it");
        let source = StepReport { name: "sensor".into(), kind: "watermark".into(), ..StepReport::default() };
        let at_end = StepReport { watermark: window.remembered.first_end, late: 0, ..window.clone() };
        assert!(
            lines(&[at_end]).ends_with(
                "ending 1970-01-01T00:05:00Z; the watermark is 1970-01-01T00:05:00Z and must pass the first end, held by `sensor`\n"
            ),
            "a session is open when the watermark is at its end"
        );
        let text = lines(&[source, window]);
        assert_eq!(
            text,
            "  watermark  sensor                   no time is known yet\n  \
             window     per_minute |> aggregate  1 window open, 3 groups; ending 1970-01-01T00:05:00Z; \
             the watermark is 1970-01-01T00:04:55.5Z, held by `sensor`; 1 row too late\n"
        );
    }
}
