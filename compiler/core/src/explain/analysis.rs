//! What was estimated and what an epoch did, beside each part of an explanation. It must not know where epochs are recorded: whoever asks brings what the nodes did.

use super::selectivity::share;
use super::{Explanation, InputPart, is_end};
use flowc_ir::graph::{JoinKind, LookupKind, Node, NodeId, Operator, Window};
use flowc_ir::plan::Plan;
use flowc_ir::{Program, ProgramStep};
use serde::Serialize;

/// What a node of the graph did in an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Actual {
    /// Rows that went in; 0 where rows begin.
    pub rows_in: u64,
    /// Rows that came out; 0 where rows end.
    pub rows_out: u64,
    /// The time that all workers together spent in it, in microseconds.
    pub microseconds: u64,
}

/// How many rows are expected to come out of a node, if an epoch reads all that the tables hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// So many.
    pub rows: u64,
    /// How sure that is.
    pub certainty: Certainty,
}

/// How sure an estimate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It follows from the tables' statistics.
    Exact,
    /// They are not more.
    AtMost,
    /// If each row finds one row in a table that it is looked up in, or each row of the larger side of a join one of the smaller;
    /// and if the values of a column lie evenly between the least and the greatest.
    About,
}

/// The epoch that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Analysis {
    /// Its number.
    pub epoch: u64,
    /// When it started: microseconds since 1970-01-01T00:00:00Z.
    pub started: i64,
    /// How long it took, in microseconds.
    pub duration: i64,
    /// What the nodes of the plan's graph did, in their order.
    #[serde(skip)]
    pub nodes: Vec<Actual>,
}

impl Estimate {
    fn but(self, certainty: Certainty) -> Estimate {
        Estimate { certainty: self.certainty.max(certainty), ..self }
    }

    fn share(self, share: f64) -> Estimate {
        Estimate { rows: (self.rows as f64 * share).ceil() as u64, ..self.but(Certainty::About) }
    }

    fn no_more_than(self, rows: u64) -> Estimate {
        Estimate { rows: self.rows.min(rows), ..self.but(Certainty::AtMost) }
    }
}

fn filters(program: &Program) -> bool {
    program.steps.iter().any(|step| matches!(step, ProgramStep::Filter(_)))
}

/// What comes out of a node, after what goes in. None: that is not known.
fn after(operator: &Operator, inputs: &[Option<Estimate>]) -> Option<Estimate> {
    let first = inputs.first().copied().flatten();
    match operator {
        Operator::Transform(program) if filters(program) => first.map(|rows| rows.but(Certainty::AtMost)),
        Operator::Transform(_) | Operator::Sort(_) | Operator::Expect(_) | Operator::Watermark(_) => first,
        Operator::Unique(_) => first,
        Operator::Lookup(lookup) => match lookup.kind {
            LookupKind::Semi | LookupKind::Anti => first.map(|rows| rows.but(Certainty::AtMost)),
            LookupKind::Mark => first,
            LookupKind::Inner | LookupKind::Left => first.map(|rows| rows.but(Certainty::About)),
        },
        Operator::Aggregate(spec) if spec.keys.is_empty() => Some(Estimate { rows: 1, certainty: Certainty::Exact }),
        Operator::Aggregate(_) | Operator::KeyedAggregate(_) | Operator::Dedup(_) | Operator::Top(_) => {
            first.map(|rows| rows.but(Certainty::AtMost))
        }
        Operator::WindowAggregate(spec) => {
            let windows = match &spec.window {
                Window::Hop { size, slide, .. } => size.div_euclid(*slide) + i64::from(size % slide != 0),
                Window::Cumulate { size, step, .. } => size.div_euclid(*step),
                Window::Tumble { .. } | Window::Session { .. } => 1,
            };
            let times = |rows: Estimate| Estimate { rows: rows.rows.saturating_mul(windows.max(1) as u64), ..rows };
            first.map(|rows| times(rows).but(Certainty::AtMost))
        }
        Operator::Limit(most) => first.map(|rows| rows.no_more_than(*most)),
        Operator::Union => inputs.iter().copied().reduce(|a, b| {
            let (a, b) = (a?, b?);
            Some(Estimate { rows: a.rows.saturating_add(b.rows), certainty: a.certainty.max(b.certainty) })
        })?,
        Operator::Source(_) | Operator::TableScan(_) | Operator::Sink(_) => first,
        Operator::Join(join) => match join.kind {
            JoinKind::Semi | JoinKind::Anti => first.map(|rows| rows.but(Certainty::AtMost)),
            JoinKind::Mark => first,
            // A key of the one side is one of the other's, which are different: as with most keys.
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                let second = inputs.get(1).copied().flatten()?;
                Some(Estimate { rows: first?.rows.max(second.rows), certainty: Certainty::About })
            }
        },
        Operator::Malformed(_) | Operator::Late | Operator::Explode { .. } | Operator::Upsert(_) => None,
    }
}

/// The source or table whose rows a node has, as they are.
fn read_by<'a>(plan: &Plan, inputs: &'a [InputPart], mut node: NodeId) -> Option<&'a InputPart> {
    while let Operator::Watermark(_) = plan.graph.node(node).operator {
        node = *plan.graph.node(node).inputs.first()?;
    }
    let (name, kind) = match plan.graph.node(node).operator {
        Operator::Source(id) => (&plan.sources[id.0 as usize].name, "source"),
        Operator::TableScan(id) => (&plan.tables[id.0 as usize].name, "table"),
        _ => return None,
    };
    inputs.iter().find(|input| input.name == *name && input.kind == kind)
}

/// What is expected to come out of each node.
pub(super) fn estimates(plan: &Plan, inputs: &[InputPart]) -> Vec<Option<Estimate>> {
    let mut estimates: Vec<Option<Estimate>> = vec![];
    for (id, node) in plan.graph.iter() {
        let before: Vec<Option<Estimate>> = node.inputs.iter().map(|input| estimates[input.0 as usize]).collect();
        estimates.push(match &node.operator {
            Operator::Source(_) | Operator::TableScan(_) => read_by(plan, inputs, id).and_then(|input| {
                let less = input.pushed_down.is_some() || input.pruned.is_some();
                let certainty = if less { Certainty::AtMost } else { Certainty::Exact };
                Some(Estimate { rows: input.read.rows?, certainty })
            }),
            // Of rows that change it is not known how often they do.
            _ if node.kind.is_changing() => None,
            operator => after(operator, &before).map(|rows| match operator {
                Operator::Transform(program) => {
                    let input = read_by(plan, inputs, node.inputs[0]);
                    match input.and_then(|input| share(program, &input.read.spans)) {
                        Some(share) => rows.share(share),
                        None => rows,
                    }
                }
                _ => rows,
            }),
        });
    }
    estimates
}

impl Explanation {
    /// Puts beside each part what is expected of it, and what it did in an epoch, if one is known.
    pub fn analyze(&mut self, plan: &Plan, analysis: Option<Analysis>) {
        let estimates = estimates(plan, &self.inputs);
        let actual = |node: usize| analysis.as_ref().and_then(|analysis| analysis.nodes.get(node).cloned());
        let mut steps = self.steps.iter_mut();
        for (index, Node { operator, .. }) in plan.graph.nodes.iter().enumerate() {
            match operator {
                Operator::Source(id) => {
                    let name = &plan.sources[id.0 as usize].name;
                    for input in self.inputs.iter_mut().filter(|i| i.kind == "source" && i.name == *name) {
                        (input.estimate, input.actual) = (estimates[index], actual(index));
                    }
                }
                Operator::TableScan(id) => {
                    let name = &plan.tables[id.0 as usize].name;
                    for input in self.inputs.iter_mut().filter(|i| i.kind == "table" && i.name == *name) {
                        (input.estimate, input.actual) = (estimates[index], actual(index));
                    }
                }
                Operator::Sink(id) => {
                    let sink = self.sinks.iter_mut().find(|sink| sink.name == plan.sinks[id.0 as usize].name);
                    sink.into_iter().for_each(|sink| sink.actual = actual(index));
                }
                operator if is_end(operator) => {}
                _ => steps.next().into_iter().for_each(|step| {
                    (step.estimate, step.actual) = (estimates[index], actual(index));
                }),
            }
        }
        self.analysis = analysis;
    }
}
