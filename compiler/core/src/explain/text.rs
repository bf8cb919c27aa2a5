//! The explanation as text.

use super::expression::name;
use super::{Actual, Certainty, ColumnPart, Estimate, Explanation, Guarantee, InputPart, Read, SinkPart, StepPart};
use std::fmt;

/// A line with its word in front, so that the eye finds it.
fn line(f: &mut fmt::Formatter<'_>, word: &str, text: &str) -> fmt::Result {
    writeln!(f, "    {word:<11} {text}")
}

fn columns(columns: &[ColumnPart]) -> String {
    columns.iter().map(|c| format!("{}: {}", name(&c.name), c.ty)).collect::<Vec<_>>().join(", ")
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_string();
    for (place, group) in digits.as_bytes()[first..].chunks(3).enumerate() {
        if place > 0 || first > 0 {
            text.push(',');
        }
        text.extend(group.iter().map(|digit| char::from(*digit)));
    }
    text
}

fn rows(number: u64) -> String {
    format!("{} row{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        _ => format!("{:.2} s", microseconds as f64 / 1e6),
    }
}

/// An estimate in words.
pub(super) fn about(estimate: Estimate) -> String {
    let sure = match estimate.certainty {
        Certainty::Exact => "",
        Certainty::AtMost => "at most ",
        Certainty::About => "about ",
    };
    format!("{sure}{}", rows(estimate.rows))
}

fn estimated(f: &mut fmt::Formatter<'_>, estimate: Option<Estimate>) -> fmt::Result {
    estimate.map_or(Ok(()), |estimate| line(f, "estimate", &about(estimate)))
}

fn happened(f: &mut fmt::Formatter<'_>, actual: Option<&Actual>) -> fmt::Result {
    let Some(Actual { rows_in, rows_out, microseconds }) = actual else { return Ok(()) };
    let share = match rows_in {
        0 => String::new(),
        _ => format!(" ({:.1}%)", *rows_out as f64 * 100.0 / *rows_in as f64),
    };
    let time = duration(*microseconds);
    line(f, "actual", &format!("{} in, {} out{share}, {time}", rows(*rows_in), grouped(*rows_out)))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pipeline {}", self.pipeline)?;
        if let Some(analysis) = &self.analysis {
            let took = duration(analysis.duration.max(0).unsigned_abs());
            let at = flowc_ir::Value::Timestamp(analysis.started - analysis.started.rem_euclid(1_000_000));
            let at = flowc_ir::cast::format::text_of(&at, &flowc_ir::DataType::Timestamp);
            writeln!(
                f,
                "epoch {} of {at}, which took {took}; the times below are those of all workers together",
                analysis.epoch
            )?;
        }
        for input in &self.inputs {
            write!(f, "\n{input}")?;
        }
        for step in &self.steps {
            write!(f, "\n{step}")?;
        }
        for sink in &self.sinks {
            write!(f, "\n{sink}")?;
        }
        if !self.guarantees.is_empty() {
            writeln!(f, "\nguarantees")?;
        }
        for guarantee in &self.guarantees {
            write!(f, "{guarantee}")?;
        }
        Ok(())
    }
}

impl fmt::Display for InputPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_ref().map(|v| format!(", {v}")).unwrap_or_default();
        writeln!(f, "{} {}: {}{version}", self.kind, name(&self.name), self.location)?;
        let of = match self.read.columns {
            Some(all) if all > self.columns.len() => format!(" ({} of {all} columns)", self.columns.len()),
            _ => String::new(),
        };
        let columns_read = if self.columns.is_empty() { "no column".to_string() } else { columns(&self.columns) };
        line(f, "reads", &format!("{columns_read}{of}"))?;
        if let Some(condition) = &self.pushed_down {
            line(f, "pushed down", condition)?;
        }
        if let Some(pruned) = &self.pruned {
            line(f, "left out", pruned)?;
        }
        if let Some(updates) = self.updates {
            line(f, "changes", updates)?;
        }
        if let Some(judged) = &self.quarantine {
            let aside = format!("{}.malformed", name(&self.name));
            line(f, "malformed", &format!("put aside in {aside}; rows are judged by {}", columns(judged)))?;
        }
        let files = match &self.read {
            Read { files: Some(all), files_after_pruning: Some(left), .. } => line(
                f,
                "files",
                &format!(
                    "{left} of {all} are read, {} skipped by the pushed-down condition",
                    all.saturating_sub(*left)
                ),
            ),
            Read { files: Some(all), .. } => line(f, "files", &all.to_string()),
            _ => Ok(()),
        };
        files?;
        estimated(f, self.estimate)?;
        match &self.actual {
            Some(actual) => {
                line(f, "actual", &format!("{}, read in {}", rows(actual.rows_out), duration(actual.microseconds)))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for StepPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {}: {} ({})", self.number, self.name, self.operator)?;
        line(f, "from", &self.reads.join(", "))?;
        for (i, does) in self.does.iter().enumerate() {
            line(f, if i == 0 { "does" } else { "" }, does)?;
        }
        line(f, "columns", &columns(&self.columns))?;
        if let Some(key) = &self.changing_by {
            let by = if key.is_empty() { "no key is known".to_string() } else { format!("by {}", key.join(", ")) };
            line(f, "changing", &format!("rows are replaced or removed, {by}"))?;
        }
        let mut kinds: Vec<&str> = self.runs.iter().map(|(_, how)| how.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for (i, kind) in kinds.iter().enumerate() {
            let parts = self.runs.iter().filter(|(_, how)| how == kind).map(|(part, _)| part.as_str());
            let meaning = match *kind {
                "jit" => "machine code",
                "arrow" => "vectorized",
                "row" => "row by row",
                "copy" => "passed on",
                "adaptive" => "chosen by the rows that pass",
                other => other,
            };
            line(f, if i == 0 { "runs" } else { "" }, &format!("{meaning}: {}", parts.collect::<Vec<_>>().join(", ")))?;
        }
        line(f, "state", self.state.as_deref().unwrap_or("none"))?;
        if let Some(side) = &self.side {
            line(f, "side", side)?;
        }
        if !self.waits_for.is_empty() {
            line(f, "watermark", &super::waiting::text(&self.waits_for))?;
        }
        estimated(f, self.estimate)?;
        happened(f, self.actual.as_ref())
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.proved { "proved" } else { "open" };
        line(f, verdict, &format!("{}: {}", self.title(), self.condition))?;
        if !self.proved {
            return line(f, "", "tested at run time");
        }
        for (i, fact) in self.facts.iter().enumerate() {
            line(f, "", &format!("{:<8}{fact}", if i == 0 { "because" } else { "" }))?;
        }
        Ok(())
    }
}

impl fmt::Display for SinkPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sink {}: {}", name(&self.name), self.location)?;
        line(f, "from", &self.reads)?;
        line(f, "mode", &self.mode)?;
        line(f, "columns", &columns(&self.columns))?;
        if !self.partition_by.is_empty() {
            line(f, "partitions", &self.partition_by.join(", "))?;
        }
        for (column, sql) in &self.generated {
            line(f, "generated", &format!("{column}: {sql}"))?;
        }
        for (constraint, sql) in &self.constraints {
            line(f, "constraint", &format!("{constraint}: {sql}"))?;
        }
        match &self.actual {
            Some(actual) => {
                line(f, "actual", &format!("{}, written in {}", rows(actual.rows_in), duration(actual.microseconds)))
            }
            None => Ok(()),
        }
    }
}
