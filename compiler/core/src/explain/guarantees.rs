//! What has to hold of every row, and what became of it, for people and programs to read.

use crate::checked::{Checked, Decision, Obligation, ObligationKind, Owner, Reason};
use flowc_ir::Origin;
use flowc_syntax::span::{FileId, SourceMap};
use serde::Serialize;

/// Something that has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    /// The name of the rule or constraint, or of the column.
    pub name: String,
    /// The flow whose rule it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The sink whose constraint it is, or its table's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// `rule`, `constraint`, `table constraint`, `generated column`, `not null`.
    pub kind: &'static str,
    /// What has to be true.
    pub condition: String,
    /// Whether every row fulfils it; if not, every row is tested.
    pub proved: bool,
    /// The program's file that it stands in.
    pub file: String,
    /// Where it begins.
    pub start: Place,
    /// The facts that prove it, in the order of the program.
    pub facts: Vec<String>,
}

/// A place in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// What has to hold of a program's rows.
pub fn guarantees(checked: &Checked, sources: &SourceMap) -> Vec<Guarantee> {
    checked.obligations.iter().map(|o| guarantee(o, sources)).collect()
}

/// `3 proved, 1 open`; none where nothing has to hold.
pub fn tally(checked: &Checked) -> Option<String> {
    let proved = checked.obligations.iter().filter(|o| matches!(o.decision, Decision::Proved(_))).count();
    let open = checked.obligations.len() - proved;
    let parts = [(proved, "proved"), (open, "open")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn guarantee(obligation: &Obligation, sources: &SourceMap) -> Guarantee {
    let (file, start) = place(obligation.origin, sources);
    let (flow, sink) = match &obligation.owner {
        Owner::Flow(name) => (Some(name.clone()), None),
        Owner::Sink(name) => (None, Some(name.clone())),
    };
    let (proved, facts) = match &obligation.decision {
        Decision::Proved(facts) => (true, facts.iter().map(|f| fact(f, sources)).collect()),
        Decision::Open => (false, vec![]),
    };
    Guarantee {
        name: obligation.name.clone(),
        flow,
        sink,
        kind: kind(obligation.kind),
        condition: obligation.condition.clone(),
        proved,
        file,
        start,
        facts,
    }
}

fn kind(kind: ObligationKind) -> &'static str {
    match kind {
        ObligationKind::Rule => "rule",
        ObligationKind::Constraint => "constraint",
        ObligationKind::TableConstraint => "table constraint",
        ObligationKind::GeneratedColumn => "generated column",
        ObligationKind::NotNull => "not null",
    }
}

fn place(at: Origin, sources: &SourceMap) -> (String, Place) {
    let (line, column) = sources.line_column(FileId(at.file), at.start);
    (sources.file(FileId(at.file)).name.clone(), Place { line, column })
}

/// ``value between -40 and 999 (`where` of `clean`, sensor.flow:20)``
fn fact(reason: &Reason, sources: &SourceMap) -> String {
    match reason.origin {
        None => format!("{} ({})", reason.text, reason.source),
        Some(at) => {
            let (file, start) = place(at, sources);
            let file = file.rsplit(['/', '\\']).next().unwrap_or(&file).to_string();
            format!("{} ({}, {file}:{})", reason.text, reason.source, start.line)
        }
    }
}

impl Guarantee {
    /// ``constraint `sane` of sink `out` ``
    pub(super) fn title(&self) -> String {
        let owner = match (&self.flow, &self.sink) {
            (Some(flow), _) => format!("`{flow}`"),
            (_, sink) => format!("sink `{}`", sink.as_deref().unwrap_or_default()),
        };
        match self.kind {
            "not null" => format!("column `{}` of the table of {owner}", self.name),
            "table constraint" => format!("constraint `{}` of the table of {owner}", self.name),
            "generated column" => format!("generated column `{}` of the table of {owner}", self.name),
            kind => format!("{kind} `{}` of {owner}", self.name),
        }
    }
}
