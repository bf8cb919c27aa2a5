//! What a run shows of itself: bars on a terminal, a line an epoch elsewhere, JSON for programs, and the summary at the end. Knows reports only.

use crate::console::{Console, Results};
use flowc_runtime::quality::{ExpectationReport, FlowReport};
use flowc_runtime::{EpochReport, Merged, Observer, Progress, RunSummary, SinkReport, SourceReport};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::Mutex;

/// Bars, one a source: what is read of what there is, rows a second, the epoch.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<Vec<(String, ProgressBar)>>,
    console: Console,
}

impl Bars {
    /// Bars on standard error.
    pub fn new(console: Console) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Bars { all, bars: Mutex::new(vec![]), console }
    }

    /// The bar of a source; a new one is a spinner as long as the number of rows is not known.
    fn with_bar(&self, name: &str, total: Option<u64>, change: impl FnOnce(&ProgressBar)) {
        let Ok(mut bars) = self.bars.lock() else { return };
        if !bars.iter().any(|(n, _)| n == name) {
            let bar = self.all.add(ProgressBar::no_length());
            bar.set_style(style(total.is_some()));
            bar.set_prefix(name.to_string());
            bars.push((name.to_string(), bar));
        }
        if let Some((_, bar)) = bars.iter().find(|(n, _)| n == name) {
            if let Some(total) = total.filter(|t| bar.length() != Some(*t)) {
                bar.set_length(total);
                bar.set_style(style(true));
            }
            change(bar);
        }
    }

    /// A writer to standard output that takes the bars away while it writes.
    pub fn between(&self) -> Between {
        Between(self.all.clone())
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        let Ok(mut bars) = self.bars.lock() else { return };
        for (_, bar) in bars.drain(..) {
            bar.finish_and_clear();
        }
    }
}

/// Standard output, seen from between bars.
#[derive(Debug)]
pub struct Between(MultiProgress);

impl Write for Between {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| Results.write_all(buffer).and_then(|()| Results.flush()))?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn style(known: bool) -> ProgressStyle {
    let template = if known {
        "{prefix:12!} [{wide_bar}] {human_pos}/{human_len} rows  {msg}"
    } else {
        "{prefix:12!} {spinner} {human_pos} rows  {msg}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Observer for Bars {
    fn progress(&self, progress: &Progress) {
        let rate = group(progress.rows_per_second());
        for source in &progress.sources {
            self.with_bar(&source.name, source.total, |bar| {
                bar.set_position(source.rows);
                let failed = match progress.violations {
                    0 => String::new(),
                    n => format!("  {} violations", group(n)),
                };
                bar.set_message(format!("{rate} rows/s  epoch {}{failed}", progress.epoch));
            });
        }
    }

    fn epoch(&self, report: &EpochReport) {
        self.clear();
        self.console.err_line(&self.console.dim(&epoch_line(report)));
    }
}

/// A line an epoch on standard error.
#[derive(Debug)]
pub struct Lines(pub Console);

impl Observer for Lines {
    fn epoch(&self, report: &EpochReport) {
        self.0.err_line(&epoch_line(report));
    }
}

/// A JSON document an epoch on standard output.
#[derive(Debug)]
pub struct JsonLines(pub Console);

impl Observer for JsonLines {
    fn epoch(&self, report: &EpochReport) {
        self.0.out_line(&epoch_json(report).to_string());
    }
}

/// What an epoch did that read nothing.
pub const ONLY_TIME: &str = "event time went on";

/// An epoch in one line.
pub fn epoch_line(report: &EpochReport) -> String {
    let mut read: Vec<String> = report.sources.iter().map(|s| format!("{} {}", s.name, taken(s))).collect();
    if read.is_empty() {
        // Flows that start from tables: what they read is a version, not what is new.
        read.extend(report.tables.iter().map(|(name, at)| match at.0["version"].as_u64() {
            Some(version) => format!("{name} version {version}"),
            None => name.clone(),
        }));
    }
    let wrote: Vec<String> = report.sinks.iter().map(|s| format!("{} {}", s.name, wrote(s))).collect();
    if read.is_empty() {
        read.push(ONLY_TIME.to_string());
    }
    let resumed = if report.resumed { " (resumed)" } else { "" };
    format!("epoch {}{resumed}: {} -> {}", report.epoch, read.join("; "), wrote.join("; "))
}

/// An epoch for programs.
pub fn epoch_json(report: &EpochReport) -> Value {
    tagged("epoch", serde_json::to_value(report).unwrap_or(Value::Null))
}

/// A summary for programs; `error` where the run stopped.
pub fn summary_json(summary: Option<&RunSummary>, error: Option<Value>) -> Value {
    let mut value = tagged("summary", serde_json::to_value(summary).unwrap_or(Value::Null));
    if summary.is_none() {
        value["expectations"] = json!([]);
    }
    if let Some(error) = error {
        value["error"] = error;
    }
    value
}

/// The fields of `value` behind a field `type`.
fn tagged(kind: &str, value: Value) -> Value {
    let mut all = serde_json::Map::new();
    all.insert("type".into(), kind.into());
    if let Value::Object(fields) = value {
        all.extend(fields);
    }
    Value::Object(all)
}

/// What a run came to, in a line.
pub fn verdict(name: &str, summary: &RunSummary) -> String {
    let verdict = match summary.epochs {
        0 => "nothing new, nothing committed".to_string(),
        1 => format!("epoch {} committed", summary.last_epoch),
        n => format!("{n} epochs committed, up to epoch {}", summary.last_epoch),
    };
    format!("{name}: {verdict}\n")
}

/// A summary for people, below its first line: every source and every sink, reconciled.
pub fn summary_text(summary: &RunSummary) -> String {
    let names = summary.sources.iter().map(|s| &s.name).chain(summary.sinks.iter().map(|s| &s.name));
    let width = names.chain(summary.expects.iter().map(|f| &f.flow)).map(|name| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for source in &summary.sources {
        text.push_str(&format!("  source {:width$}  {}\n", source.name, read(source)));
    }
    for (index, flow) in summary.expects.iter().enumerate() {
        text.push_str(&format!("  expect {:width$}  {}\n", flow.flow, reconciled(flow)));
        // The rules of a flow's several expectations stand below its last.
        if summary.expects[index + 1..].iter().all(|later| later.flow != flow.flow) {
            let rules = summary.expectations.iter().filter(|r| r.flow == flow.flow);
            text.push_str(&rule_lines(&rules.collect::<Vec<_>>()));
        }
    }
    for sink in &summary.sinks {
        text.push_str(&format!("  sink   {:width$}  {}\n", sink.name, wrote(sink)));
    }
    text.push_str(&crate::steps::summary(&summary.steps));
    text
}

/// How the rows of an `expect` add up.
fn reconciled(flow: &FlowReport) -> String {
    let mut parts = vec![format!("{} passed", group(flow.passed))];
    let removed = [(flow.dropped, "dropped"), (flow.quarantined, "quarantined")];
    parts.extend(removed.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", group(n))));
    format!("{} = {}", rows(flow.rows), parts.join(" + "))
}

/// A line a rule.
pub fn rule_lines(rules: &[&ExpectationReport]) -> String {
    let width = rules.iter().map(|r| r.name.chars().count()).max().unwrap_or(0);
    let line = |rule: &&ExpectationReport| {
        let (what, counts) = (if rule.judges_epoch { " epochs" } else { "" }, &rule.counts);
        let mut parts = vec![format!("{}{what} passed", group(counts.passed))];
        let removed = [
            (counts.failed, "failed"),
            (counts.dropped, "dropped"),
            (counts.quarantined, "quarantined"),
            (counts.repaired, "repaired"),
        ];
        parts.extend(removed.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", group(n))));
        format!("    {:width$}  {:10}  {}\n", rule.name, rule.policy.word(), parts.join(", "))
    };
    rules.iter().map(line).collect()
}

fn read(source: &SourceReport) -> String {
    if source.range.is_empty() { taken(source) } else { format!("{} ({})", taken(source), source.range) }
}

/// The rows, and what is none beside them.
pub fn taken(source: &SourceReport) -> String {
    match source.malformed {
        0 => rows(source.rows),
        malformed => format!("{}, {} malformed", rows(source.rows), group(malformed)),
    }
}

/// What a sink got.
pub fn wrote(sink: &SinkReport) -> String {
    let done = &sink.committed;
    let mut parts = vec![done.merged.map_or_else(|| rows(done.rows), merged)];
    if done.files > 0 {
        parts.push(format!("{} file{}", group(done.files), if done.files == 1 { "" } else { "s" }));
    }
    parts.extend(done.version.map(|v| format!("version {v}")));
    if done.already {
        parts.push("already there".into());
    }
    parts.join(", ")
}

/// `1 inserted, 2 deleted`
fn merged(merged: Merged) -> String {
    let Merged { inserted, updated, deleted } = merged;
    let did = [(inserted, "inserted"), (updated, "updated"), (deleted, "deleted")];
    let did: Vec<String> =
        did.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", group(*n))).collect();
    if did.is_empty() { "nothing changed".to_string() } else { did.join(", ") }
}

/// `1 row`, `2 rows`
pub fn rows(n: u64) -> String {
    format!("{} row{}", group(n), if n == 1 { "" } else { "s" })
}

/// A number with its thousands set apart.
pub fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_runtime::Committed;

    fn report() -> EpochReport {
        let committed = Committed { version: Some(3), rows: 1200, files: 1, bytes: 10, already: false, merged: None };
        EpochReport {
            epoch: 2,
            sources: vec![SourceReport { name: "sensor".into(), range: "version 3..5".into(), rows: 1, malformed: 0 }],
            sinks: vec![SinkReport { name: "out".into(), committed }],
            ..EpochReport::default()
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([group(0), group(999), group(1000), group(1234567)], ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn an_epoch_has_one_line() {
        assert_eq!(epoch_line(&report()), "epoch 2: sensor 1 row -> out 1,200 rows, 1 file, version 3");
        let tables = [("device".to_string(), flowc_runtime::Position(json!({ "version": 4 })))].into_iter().collect();
        let whole = EpochReport { sources: vec![], tables, ..report() };
        assert_eq!(epoch_line(&whole), "epoch 2: device version 4 -> out 1,200 rows, 1 file, version 3");
    }

    #[test]
    fn malformed_rows_are_counted_beside_the_others() {
        let source = SourceReport { name: "in".into(), range: "2 files".into(), rows: 97, malformed: 1003 };
        let committed = EpochReport { sources: vec![source.clone()], ..report() };
        assert!(epoch_line(&committed).starts_with("epoch 2: in 97 rows, 1,003 malformed -> "));
        let summary = RunSummary { sources: vec![source], ..RunSummary::default() };
        assert!(summary_text(&summary).contains("source in  97 rows, 1,003 malformed (2 files)"));
        assert_eq!(epoch_json(&committed)["sources"][0]["malformed"], 1003);
    }

    #[test]
    fn an_epoch_has_one_document() {
        let value = epoch_json(&report());
        assert_eq!(value["type"], "epoch");
        assert_eq!(value["epoch"], 2);
        assert_eq!(value["sinks"][0]["version"], 3);
        assert_eq!(value["sources"][0]["rows"], 1);
    }
}
