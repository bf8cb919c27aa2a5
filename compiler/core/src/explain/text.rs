//! The explanation as text.

use super::expression::name;
use super::{ColumnPart, Explanation, Guarantee, InputPart, Read, SinkPart, StepPart};
use std::fmt;

/// A line with its word in front, so that the eye finds it.
fn line(f: &mut fmt::Formatter<'_>, word: &str, text: &str) -> fmt::Result {
    writeln!(f, "    {word:<11} {text}")
}

fn columns(columns: &[ColumnPart]) -> String {
    columns.iter().map(|c| format!("{}: {}", name(&c.name), c.ty)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pipeline {}", self.pipeline)?;
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
        if let Some(updates) = self.updates {
            line(f, "changes", updates)?;
        }
        if let Some(judged) = &self.quarantine {
            let aside = format!("{}.malformed", name(&self.name));
            line(f, "malformed", &format!("put aside in {aside}; rows are judged by {}", columns(judged)))?;
        }
        match self.read {
            Read { files: Some(all), files_after_pruning: Some(left), .. } => line(
                f,
                "files",
                &format!("{left} of {all} are read, {} skipped by the pushed-down condition", all.saturating_sub(left)),
            ),
            Read { files: Some(all), .. } => line(f, "files", &all.to_string()),
            _ => Ok(()),
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
                other => other,
            };
            line(f, if i == 0 { "runs" } else { "" }, &format!("{meaning}: {}", parts.collect::<Vec<_>>().join(", ")))?;
        }
        line(f, "state", self.state.as_deref().unwrap_or("none"))?;
        if self.waits_for.is_empty() { Ok(()) } else { line(f, "watermark", &super::waiting::text(&self.waits_for)) }
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
        Ok(())
    }
}
