//! The program as a replay runs it: rows that an `expect` rejected, read from the table that a sink keeps them in, enter their flow where the `expect`
//! stands, and go on into every sink that takes what follows from them by adding it. Rows that fail again go to the rejects' sink.
//!
//! Made from the program before anything was proved of it: what earlier steps guarantee does not hold of rows that do not come through them, so every test
//! is run. Rules that judge epochs are left out: the rows of a replay are no sample of what arrives. Knows nothing of how a replay runs.

mod carry;
mod entry;
mod reach;

use crate::checked::{Checked, CheckedSink, Input};
use crate::lower::is_whole;
use entry::Entries;
use flowc_ir::Origin;
use flowc_ir::graph::Operator;
use flowc_ir::plan::{Connector, Plan, SinkMode};
use flowc_ir::types::quote_name;
use reach::Reach;
use std::collections::BTreeMap;

/// A program that replays the rejected rows of a flow.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The program: its sinks are the one of the rejected rows, and those that take what passes.
    pub checked: Checked,
    /// The flow.
    pub flow: String,
    /// The sink of its rejected rows.
    pub sink: String,
    /// Sinks that get nothing of the replay.
    pub left_out: Vec<LeftOut>,
    /// Columns that the table does not have as they are needed, by their name in the source: why.
    missing: BTreeMap<String, String>,
    origin: Origin,
}

/// A sink that a replay does not write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub sink: String,
    /// Why.
    pub why: String,
}

/// What is wrong with a row that cannot enter the flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// `_failed` names no rule of the flow's several expectations.
    Unnamed,
    /// This column is null, and the flow knows it never to be.
    Null(String),
}

/// Why rows cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of reason it is.
    pub reason: Reason,
    /// The reason.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Where in the program.
    pub origin: Option<Origin>,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The program does not write the rejected rows of a flow to the table.
    NoRejects,
    /// The table holds something that is computed from rejected rows.
    Derived,
    /// The table cannot give the flow its columns.
    Columns,
    /// Sinks cannot take the rows.
    Sinks,
}

impl Refusal {
    fn new(reason: Reason, origin: Origin, message: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal { reason, message: message.into(), help: help.into(), origin: Some(origin) }
    }
}

/// The sink that writes the rejected rows of a flow to the Delta table that `is_it` knows by its location.
pub fn rejects_sink(checked: &Checked, is_it: &dyn Fn(&str) -> bool) -> Result<usize, Refusal> {
    let writes = |sink: &CheckedSink| matches!(&sink.connector, Connector::Delta { location } if is_it(location));
    let found: Vec<usize> = (0..checked.sinks.len()).filter(|i| writes(&checked.sinks[*i])).collect();
    let [index] = found.as_slice() else { return Err(no_single_sink(checked, &found)) };
    let sink = &checked.sinks[*index];
    let name = quote_name(&sink.name);
    match sink.input {
        Input::Rejected(_) => Ok(*index),
        Input::Flow(flow) if Reach::reads_rejected(checked, sink.input) => {
            let message = format!(
                "sink `{name}` writes `{}`, which is computed from rejected rows: the table does not hold them as they were rejected",
                checked.flows[flow].name
            );
            let help = "let a sink write the rejected rows themselves, for example `sink rejects = FLOW.rejected -> delta(\"…\")`: its table can be replayed";
            Err(Refusal::new(Reason::Derived, sink.origin, message, help))
        }
        Input::Malformed(_) => {
            let message = format!("sink `{name}` writes malformed records: they never were rows");
            let help = "mend the file and give it another name: the next run reads it";
            Err(Refusal::new(Reason::NoRejects, sink.origin, message, help))
        }
        _ => {
            let message = format!("sink `{name}` writes the table, but not the rows that a flow rejected");
            Err(Refusal::new(Reason::NoRejects, sink.origin, message, rejects_sinks(checked)))
        }
    }
}

fn no_single_sink(checked: &Checked, found: &[usize]) -> Refusal {
    let Some(first) = found.first() else {
        let message = format!("no sink of `{}` writes this table", checked.pipeline);
        let help = format!(
            "{}; if the table's place depends on a parameter, give it as `flowc run` gets it: --param NAME=VALUE",
            rejects_sinks(checked)
        );
        return Refusal { reason: Reason::NoRejects, message, help, origin: None };
    };
    let names: Vec<String> = found.iter().map(|i| format!("`{}`", checked.sinks[*i].name)).collect();
    let message =
        format!("the sinks {} write the same table: whose rows these are cannot be told", names.join(" and "));
    let help = "give each flow's rejected rows a table of their own";
    Refusal::new(Reason::NoRejects, checked.sinks[*first].origin, message, help)
}

/// Which tables can be replayed.
fn rejects_sinks(checked: &Checked) -> String {
    let rejects = checked.sinks.iter().filter(|s| matches!(s.input, Input::Rejected(_)));
    let tables = rejects.filter_map(|s| match &s.connector {
        Connector::Delta { location } => Some(format!("{location} (sink `{}`)", s.name)),
        _ => None,
    });
    let tables: Vec<String> = tables.collect();
    match tables.is_empty() {
        true => "let a sink write rejected rows: `sink rejects = FLOW.rejected -> delta(\"…\")`".to_string(),
        false => format!("what it rejects is in {}", tables.join(", ")),
    }
}

impl Replay {
    /// The program that replays what this sink of it keeps. `checked` is one of which nothing was proved.
    pub fn of(checked: &Checked, sink: usize) -> Result<Replay, Refusal> {
        let rejects = &checked.sinks[sink];
        let Input::Rejected(target) = rejects.input else {
            let message = format!("sink `{}` writes no rejected rows", rejects.name);
            return Err(Refusal::new(Reason::NoRejects, rejects.origin, message, rejects_sinks(checked)));
        };
        if rejects.mode == SinkMode::Overwrite || is_whole(checked, rejects) {
            let message = format!("sink `{}` is computed anew, as a whole, by each run", rejects.name);
            let help = "run the mended program: `flowc run` judges all rows again";
            return Err(Refusal::new(Reason::Sinks, rejects.origin, message, help));
        }
        let flow = &checked.flows[target];
        if let (Some(first), Some(last)) = (flow.rejected.first(), flow.rejected.last())
            && let Some(step) = flow.steps[first.first..=last.step].iter().find(|s| s.waits_for_watermark())
        {
            return Err(remembers(&format!("{} |> {}", flow.name, step.keyword), step.origin));
        }
        let mut program = checked.clone();
        program.obligations = vec![];
        let entries = Entries::new(checked, target, rejects)?;
        entries.build(&mut program);
        let reach = Reach::cut(&mut program, target);
        reach.leave_out_epochs(&mut program);
        let (sinks, left_out) = choose(checked, sink, &reach)?;
        program.sinks = sinks.into_iter().map(|index| checked.sinks[index].clone()).collect();
        Ok(Replay {
            checked: program,
            flow: checked.flows[target].name.clone(),
            sink: rejects.name.clone(),
            left_out,
            missing: entries.missing,
            origin: rejects.origin,
        })
    }

    /// The optimized plan: columns that nothing needs are not asked of the table.
    pub fn plan(&self) -> Result<Plan, Refusal> {
        let plan = self.checked.lower().optimize();
        for node in &plan.graph.nodes {
            if matches!(
                node.operator,
                Operator::WindowAggregate(_) | Operator::Dedup(_) | Operator::Top(_) | Operator::Join(_)
            ) {
                return Err(remembers(&node.label, node.origin));
            }
            if let Operator::Unique(unique) = &node.operator {
                let message = format!(
                    "rule `{}` of `{}` remembers the rows of ordinary runs: whether a row is the first cannot be told in a replay",
                    unique.rule, unique.flow
                );
                let help = "let the rule stand in the `expect` that rejects the rows: then it has judged them already";
                return Err(Refusal::new(Reason::Sinks, node.origin, message, help));
            }
        }
        let wanted = plan.sources.iter().flat_map(|source| &source.schema.fields);
        let lacks: Vec<&str> = wanted.filter_map(|f| self.missing.get(&f.name)).map(String::as_str).collect();
        if lacks.is_empty() {
            return Ok(plan);
        }
        let message =
            format!("the rejected rows lack what `{}` needs from its `expect` on: {}", self.flow, lacks.join("; "));
        let help = "let the flow have the columns that it had when it rejected the rows (a column of a joined table is kept by `extend site = device.site` before the `expect`), \
                    or add them to the table";
        Err(Refusal::new(Reason::Columns, self.origin, message, help))
    }
}

impl Replay {
    /// What is wrong with a row, if it is a test at the flow's entry that failed, by the place and the message of the failure.
    pub fn unfit(&self, at: Option<Origin>, message: &str) -> Option<Unfit> {
        let what = message.strip_suffix(" does not hold").filter(|_| at == Some(self.origin))?;
        if what == entry::NAMED {
            return Some(Unfit::Unnamed);
        }
        what.strip_prefix(entry::VALUED).map(|column| Unfit::Null(column.to_string()))
    }
}

/// A step that remembers the rows of ordinary runs stands where the rows of a replay would go.
fn remembers(step: &str, origin: Origin) -> Refusal {
    let message = format!(
        "`{step}` remembers the rows of ordinary runs, and what these rows belong to may be over: what follows from them cannot be told in a replay"
    );
    let help = "compute what stands behind it anew: `flowc run --full-refresh`; or let a sink take the rows before this step, and the step read its table";
    Refusal::new(Reason::Sinks, origin, message, help)
}

/// The sinks of a replay, and those that it leaves out.
fn choose(checked: &Checked, rejects: usize, reach: &Reach) -> Result<(Vec<usize>, Vec<LeftOut>), Refusal> {
    let (mut taking, mut left_out) = (vec![rejects], vec![]);
    for (index, sink) in checked.sinks.iter().enumerate().filter(|(index, _)| *index != rejects) {
        let mut leave = |why: &str| left_out.push(LeftOut { sink: sink.name.clone(), why: why.to_string() });
        match (reach.gets(sink.input), reach.has(sink.input)) {
            (false, false) => {}
            (false, true) => leave("it has had these rows since they were rejected"),
            (true, true) => {
                let message = format!(
                    "sink `{}` takes both the rows that pass and those that are rejected: it has the rejected ones already, and would get them twice",
                    sink.name
                );
                let help = "write rejected rows to a sink of their own, or compute this one anew with `flowc run --full-refresh`";
                return Err(Refusal::new(Reason::Sinks, sink.origin, message, help));
            }
            (true, false) if is_whole(checked, sink) => leave(
                "it is computed from the whole of its sources: the next `flowc run` that computes it judges all rows again",
            ),
            (true, false) => taking.push(index),
        }
    }
    if taking.len() > 1 {
        taking.sort_unstable();
        return Ok((taking, left_out));
    }
    let reasons: Vec<String> = left_out.iter().map(|l| format!("`{}`: {}", l.sink, l.why)).collect();
    let message = match reasons.is_empty() {
        true => "no sink reads the rows that pass: they would be lost".to_string(),
        false => format!("no sink takes the rows that pass by adding them: {}", reasons.join("; ")),
    };
    let help = "nothing was done; `flowc run` with the mended program computes such sinks from their sources";
    Err(Refusal::new(Reason::Sinks, checked.sinks[rejects].origin, message, help))
}

#[cfg(test)]
mod tests;
