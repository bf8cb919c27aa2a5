//! What windowed aggregates come to, by their definition, row by row.

use super::tests::{Row, hop};
use flowc_ir::graph::Window;
use std::collections::BTreeMap;

/// The windows of a row, by the definition.
fn windows_of(window: &Window, t: i64) -> Vec<(i64, i64)> {
    match window {
        Window::Tumble { size, align } => windows_of(&hop(*size, *size, align.offset), t),
        Window::Hop { size, slide, align } => {
            let last = (t - align.offset).div_euclid(*slide) * slide + align.offset;
            let starts = (0..=size / slide + 1).map(|i| last - i * slide);
            starts.filter(|start| *start <= t && t < start + size).map(|start| (start, start + size)).collect()
        }
        Window::Cumulate { size, step, align } => {
            let start = (t - align.offset).div_euclid(*size) * size + align.offset;
            (1..=size / step).map(|i| (start, start + i * step)).filter(|(_, end)| *end > t).collect()
        }
        Window::Session { .. } => unreachable!(),
    }
}

/// The sessions of rows with their windows.
fn sessions(gap: i64, rows: &[Row]) -> Vec<((i64, i64), Vec<Row>)> {
    let mut times: Vec<i64> = rows.iter().filter_map(|r| r.1).collect();
    times.sort();
    let parts: Vec<&[i64]> = times.chunk_by(|a, b| b - a <= gap).collect();
    let session = |part: &&[i64]| {
        let (first, last) = (part[0], part[part.len() - 1]);
        let within = |r: &&Row| r.1.is_some_and(|t| first <= t && t <= last);
        ((first, last + gap), rows.iter().filter(within).cloned().collect())
    };
    parts.iter().map(session).collect()
}

/// The lines of a window's rows, without its bounds: as [`calls`] has them.
fn results(rows: &[Row]) -> String {
    let text = |value: Option<String>| value.unwrap_or("-".into());
    let double = |x: f64| format!("{x:?}");
    let xs: Vec<f64> = rows.iter().filter_map(|r| r.3).collect();
    let passing: Vec<&Row> = rows.iter().filter(|r| r.4).collect();
    let mut distinct = xs.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let mut ns: Vec<i64> = rows.iter().map(|r| r.2).collect();
    let list = format!("{ns:?}");
    let least = rows.iter().filter(|r| r.3.is_some()).min_by(|a, b| a.3.partial_cmp(&b.3).unwrap());
    ns.sort();
    let middle = (ns[(ns.len() - 1) / 2] as f64 + ns[ns.len() / 2] as f64) / 2.0;
    [
        rows.len().to_string(),
        text((!passing.is_empty()).then(|| passing.iter().map(|r| r.2).sum::<i64>().to_string())),
        text((!xs.is_empty()).then(|| double(xs.iter().sum()))),
        text(xs.iter().copied().reduce(f64::max).map(double)),
        rows[0].2.to_string(),
        text(passing.last().and_then(|r| r.3).map(double)),
        list,
        distinct.len().to_string(),
        text(least.map(|r| r.2.to_string())),
        double(middle),
        text(rows.iter().filter_map(|r| r.0.clone()).min()),
        text((!xs.is_empty()).then(|| double(xs.iter().sum::<f64>() / xs.len() as f64))),
        xs.len().to_string(),
        passing.len().to_string(),
    ]
    .join(" ")
}

/// What comes out of all rows, by the definition.
pub(super) fn expected(window: &Window, keyed: bool, rows: &[Row]) -> Vec<String> {
    let mut keys: Vec<Option<String>> = rows.iter().map(|r| r.0.clone().filter(|_| keyed)).collect();
    keys.sort();
    keys.dedup();
    let mut found = vec![];
    for key in keys {
        let of = rows.iter().filter(|r| r.1.is_some() && (!keyed || r.0 == key)).cloned().collect::<Vec<Row>>();
        let mut all: BTreeMap<(i64, i64), Vec<Row>> = BTreeMap::new();
        if let Window::Session { gap } = window {
            all.extend(sessions(*gap, &of));
        } else {
            for row in of {
                let windows = windows_of(window, row.1.unwrap());
                windows.into_iter().for_each(|bounds| all.entry(bounds).or_default().push(row.clone()));
            }
        }
        found.extend(all.into_iter().map(|((start, end), rows)| ((end, start, key.clone()), rows)));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let line = |((end, start, key), rows): &((i64, i64, Option<String>), Vec<Row>)| {
        let key = if keyed { key.clone().unwrap_or("-".into()) + " " } else { String::new() };
        format!("{key}{start} {end} {}", results(rows))
    };
    found.iter().map(line).collect()
}
