//! What must hold of the targets, the reports and the state, whatever went wrong. Knows nothing of what did.

use super::plans::{Topology, WITHIN};
use super::world::{Part, Target};
use crate::report::EpochReport;
use crate::state::Seen;
use std::collections::{BTreeMap, BTreeSet};

/// Targets by name.
pub(super) type Targets = BTreeMap<String, Target>;

/// Says what does not hold.
pub(super) type Checked = Result<(), String>;

fn sorted(rows: &[String]) -> Vec<String> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// After each run: nothing was committed twice, windows came in the order of their ends.
pub(super) fn orders(topology: Topology, targets: &Targets, drained: bool) -> Checked {
    for (name, target) in targets {
        ensure(target.again.is_empty(), || format!("`{name}` got epochs that it had: {:?}", target.again))?;
    }
    for (name, column) in topology.by_end() {
        // What comes after a run was drained begins anew.
        let Some(target) = targets.get(*name).filter(|_| !drained) else { continue };
        let end = |row: &String| row.split(' ').nth(*column).and_then(|end| end.parse::<i64>().ok());
        let ends: Vec<Option<i64>> = target.rows.iter().map(end).collect();
        ensure(ends.is_sorted(), || format!("the windows of `{name}` are not in order: {ends:?}"))?;
    }
    Ok(())
}

/// After each run without late rows: each target holds only rows that it must hold in the end, each as often.
pub(super) fn only_wanted(targets: &Targets, wanted: &BTreeMap<String, Vec<String>>) -> Checked {
    for (name, target) in targets {
        let mut left: BTreeMap<&String, i64> = BTreeMap::new();
        wanted.get(name).into_iter().flatten().for_each(|row| *left.entry(row).or_default() += 1);
        for row in &target.rows {
            let left = left.entry(row).or_default();
            *left -= 1;
            ensure(*left >= 0, || format!("`{name}` has a row too often, or one that is none of its: {row}"))?;
        }
    }
    Ok(())
}

/// At the end, without late rows: no row is lost, none is there twice.
pub(super) fn equal(targets: &Targets, wanted: &BTreeMap<String, Vec<String>>) -> Checked {
    for (name, rows) in wanted {
        let found = targets.get(name).map_or(&[][..], |target| &target.rows);
        if sorted(found) != sorted(rows) {
            let missing: Vec<&String> = rows.iter().filter(|row| !found.contains(row)).collect();
            let more: Vec<&String> = found.iter().filter(|row| !rows.contains(row)).collect();
            let counts = (found.len(), rows.len());
            return Err(format!("`{name}` has {counts:?} rows; missing {missing:?}, too many {more:?}"));
        }
    }
    let ordered = targets.get("ordered").map(|target| &target.rows);
    ensure(ordered.is_none_or(|rows| *rows == wanted["ordered"]), || "`ordered` is not in order".into())
}

/// The answer of one run over everything is what the model says.
pub(super) fn modelled(topology: Topology, rows: &Part, wanted: &BTreeMap<String, Vec<String>>) -> Checked {
    for (name, lines) in topology.model(rows) {
        let (found, lines) = (sorted(&wanted[name]), sorted(&lines));
        let begins = |(row, line): (&String, &String)| row == line || row.starts_with(&format!("{line} "));
        let same = found.len() == lines.len() && found.iter().zip(&lines).all(begins);
        ensure(same, || format!("one run gives for `{name}` {found:#?}, the model {lines:#?}"))?;
    }
    Ok(())
}

/// The watermarks that reports have told, by sink and step: a sink that is added later begins at the beginning.
#[derive(Debug, Default)]
pub(super) struct Watermarks(BTreeMap<[String; 3], Option<i64>>);

impl Watermarks {
    /// They never go back.
    pub(super) fn advance(&mut self, reports: &[EpochReport]) -> Checked {
        let steps = reports
            .iter()
            .flat_map(|report| report.sinks.iter().flat_map(|sink| report.steps.iter().map(|step| (&sink.name, step))));
        for (sink, step) in steps {
            let known = self.0.entry([sink.clone(), step.kind.clone(), step.name.clone()]).or_default();
            let back = step.watermark < *known;
            ensure(!back, || format!("the watermark of `{}` went from {known:?} to {:?}", step.name, step.watermark))?;
            *known = step.watermark;
        }
        Ok(())
    }
}

/// What a run reported is what was read, and what became visible.
pub(super) fn reports(reports: &[EpochReport], targets: &Targets) -> Checked {
    for report in reports {
        for source in report.sources.iter().filter(|_| !report.resumed) {
            let (from, to) = source.range.split_once("..").unwrap_or_default();
            let rows = to.parse::<u64>().unwrap_or(0) - from.parse::<u64>().unwrap_or(0);
            ensure(source.rows == rows, || {
                format!("epoch {} says {} rows of `{}`, not {rows}", report.epoch, source.rows, source.name)
            })?;
        }
        for sink in report.sinks.iter().filter(|sink| !sink.committed.already) {
            let told = sink.committed.rows;
            let kept = targets.get(&sink.name).and_then(|target| target.epochs.get(&report.epoch));
            // A later epoch may have replaced all.
            ensure(kept.is_none_or(|kept| *kept == told), || {
                format!("epoch {} says {told} rows for `{}`, not {kept:?}", report.epoch, sink.name)
            })?;
        }
    }
    Ok(())
}

fn column(row: &str, place: usize) -> i64 {
    row.split(' ').nth(place).and_then(|n| n.parse().ok()).unwrap_or(i64::MIN)
}

/// At the end, with late rows: which are late depends on how the input was cut, but each row is counted once, as late or not.
pub(super) fn conserved(topology: Topology, rows: &Part, targets: &Targets, seen: &Seen) -> Checked {
    let count = |source: &str| rows.get(source).map_or(0, Vec::len) as u64;
    let held = |name: &str| targets.get(name).map_or(&[][..], |target| target.rows.as_slice());
    let late = |sink: &str, step: &str| {
        let state = seen.checkpoint.as_ref().and_then(|c| c.sinks.get(sink)).and_then(|s| s.operators.get(step));
        state.map_or(0, |state| state.late)
    };
    let counted = |name: &str, place: usize| held(name).iter().map(|row| column(row, place) as u64).sum::<u64>();
    let all = |what: &str, parts: &[u64], all: u64| {
        ensure(parts.iter().sum::<u64>() == all, || format!("{what}: {parts:?} are not {all}"))
    };
    match topology {
        Topology::Windows | Topology::Union => {
            let rows = count("in") + if topology == Topology::Union { count("other") } else { 0 };
            all("rows in windows, late ones", &[counted("out", 3), late("out", "w")], rows)?;
            all("rows in windows, late ones that came out", &[counted("out", 3), held("late").len() as u64], rows)?;
            let windows: BTreeSet<(i64, i64)> =
                held("out").iter().map(|row| (column(row, 0), column(row, 1))).collect();
            ensure(windows.len() == held("out").len(), || "a window came out twice".into())
        }
        Topology::Chain => {
            all("rows in sessions, late ones", &[counted("sessions", 2), late("sessions", "sessions")], count("in"))
        }
        Topology::InnerJoin | Topology::LeftJoin => matched(held("out"), rows),
        Topology::FirstAndBest => {
            let distinct: BTreeSet<&String> = held("first").iter().collect();
            ensure(distinct.len() == held("first").len(), || "a first row came out twice".into())
        }
        Topology::Stateless => Ok(()),
    }
}

/// Each match comes out once, and a row without one only if it has none.
fn matched(found: &[String], rows: &Part) -> Checked {
    let distinct: BTreeSet<&String> = found.iter().collect();
    ensure(distinct.len() == found.len(), || "a match came out twice".into())?;
    let right: BTreeSet<(i64, String)> =
        rows["other"].iter().map(|(id, x)| (*id, super::world::double(x.unwrap_or(0.0)))).collect();
    let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
    for row in found {
        let cells: Vec<&str> = row.split(' ').collect();
        if cells[4] == "null" {
            without.insert(cells[1]);
            continue;
        }
        with.insert(cells[1]);
        let near = column(row, 0).abs_diff(column(row, 4)) <= WITHIN as u64 && cells[3] == cells[7];
        let there = right.contains(&(column(row, 4), cells[5].to_string()));
        ensure(near && there, || format!("no match: {row}"))?;
    }
    let both: Vec<_> = with.intersection(&without).collect();
    ensure(both.is_empty(), || format!("rows with a match came out as rows without one, too: {both:?}"))
}
