//! `FLOW.late`: the rows that came too late for a step that waits for the watermark.

use crate::check::Checker;
use crate::check::declarations::Relation;
use crate::check::flow::{Done, FlowBuilder, LateStep};
use crate::check::scope::{Clock, Column, Rows};
use crate::checked::{CheckedLate, Input};
use crate::codes;
use flowc_ir::{Origin, Program};
use flowc_syntax::ast::{Name, Step};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// What the side output is called.
pub(super) const OUTPUT: &str = "late";

/// The step as part of the checked program, if it is the only one.
pub(super) fn checked(steps: &[LateStep]) -> Option<CheckedLate> {
    let [only] = steps else { return None };
    Some(CheckedLate { step: only.step, program: own_columns(&only.rows, Origin::default()) })
}

/// The program that leaves out the columns of joined tables.
pub(super) fn own_columns(rows: &Rows, at: Origin) -> Program {
    let own = rows.columns.iter().filter(|c| c.table.is_none()).cloned().collect();
    let own = Rows { columns: own, ..rows.clone() };
    Program { input: rows.schema(), steps: vec![], outputs: super::steps::passing(&own, at) }
}

/// The rows without the columns of joined tables.
pub(super) fn own_rows(rows: &Rows) -> Rows {
    let own = rows.columns.iter().filter(|c| c.table.is_none());
    let columns: Vec<Column> = own.map(|c| Column { ty: rows.seen_type(c), ..c.clone() }).collect();
    rows.with_columns(columns)
}

impl FlowBuilder {
    /// Remembers that rows can be late for the step that comes next, if they can: one that looks at all rows knows no late ones.
    pub(super) fn can_be_late(&mut self, step: &Step, whole: bool) {
        if !whole && !self.rows.time.punctual {
            let (keyword, rows) = (step.keyword, self.rows.clone());
            self.late.push(LateStep { step: self.next_step(), keyword, rows });
        }
    }
}

impl Checker<'_> {
    /// The rows of `FLOW.late`.
    pub(super) fn late(&self, flow: Done, relation: &Relation<'_>, name: &Name, output: Span) -> Option<Done> {
        if let (Input::Flow(index), [only]) = (flow.input, flow.late.as_slice()) {
            let mut rows = own_rows(&only.rows);
            rows.time = Clock::without_time("late rows of", &name.text);
            return Some(Done::new(Input::Late(index), rows));
        }
        if self.declarations.broken.contains(&name.text) || flow.rows.open {
            return None;
        }
        if let [first, rest @ ..] = flow.late.as_slice()
            && !rest.is_empty()
        {
            let message = format!("rows can be late for several steps of `{}`", name.text);
            let mut found = Diagnostic::error(codes::LATE_FOR_SEVERAL, output, message)
                .label("late for which step?")
                .also(first.keyword, "for this one");
            for other in rest {
                found = found.also(other.keyword, "and for this one");
            }
            self.report(found.help("split the flow in two: each part has late rows of its own"));
            return None;
        }
        let help = match relation {
            Relation::Flow(_) => {
                "rows can be late for windows, `dedup … within` and joins of streams, where every source has a `watermark`"
            }
            _ => "the flow with the windows has them: `FLOW.late`",
        };
        let message = format!("no row is late for the {} `{}`", relation.word(), name.text);
        self.report(
            Diagnostic::error(codes::NOTHING_LATE, output, message)
                .label("no step of it waits for the watermark")
                .help(help),
        );
        None
    }
}
