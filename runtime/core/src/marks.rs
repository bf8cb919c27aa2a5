//! How far event time has come at each node of a flow, once all rows before it are through: the watermark of a source is that of its rows, that of any other
//! node the least of those of its inputs, less what a step may hold rows back. It never goes back. Knows nothing of what steps do.

use crate::epoch::Remembering;
use crate::flow::{Flow, Station, operator_name};
use crate::state::{EpochRecord, OperatorState};
use flowc_ir::graph::{Graph, Operator};
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// How far event time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Rows have no times: they hold nothing back.
    Timeless,
    /// So far, but for too long nothing has come: others need not wait. None: no time is known.
    Idle(Option<i64>),
    /// So far. None: no time is known.
    At(Option<i64>),
}

impl Mark {
    /// Of the rows of both.
    fn and(self, other: Mark) -> Mark {
        match (self, other) {
            (Mark::Timeless, mark) | (mark, Mark::Timeless) => mark,
            (Mark::At(a), Mark::At(b)) => Mark::At(a.min(b)),
            (Mark::At(a), Mark::Idle(_)) | (Mark::Idle(_), Mark::At(a)) => Mark::At(a),
            (Mark::Idle(a), Mark::Idle(b)) => Mark::Idle(a.min(b)),
        }
    }

    fn map(self, f: impl FnOnce(Option<i64>) -> Option<i64>) -> Mark {
        match self {
            Mark::Timeless => Mark::Timeless,
            Mark::Idle(time) => Mark::Idle(f(time)),
            Mark::At(time) => Mark::At(f(time)),
        }
    }

    fn time(self) -> Option<i64> {
        match self {
            Mark::Timeless => None,
            Mark::Idle(time) | Mark::At(time) => time,
        }
    }
}

/// The marks of a flow at the end of an epoch.
#[derive(Debug)]
pub(crate) struct Marks<'a> {
    graph: &'a Graph,
    /// What has seen the epoch's rows; empty: there are none.
    stations: &'a [Station],
    /// Sources that hold back no other one.
    idle: &'a [String],
    /// What every source has reached, whatever its rows say.
    advanced: Option<i64>,
    /// What each operator, by its name, had reached before the epoch.
    before: BTreeMap<&'a str, Option<i64>>,
}

impl<'a> Marks<'a> {
    /// `before`: what operators remember of earlier epochs.
    pub(crate) fn new(flow: &'a Flow, record: &'a EpochRecord, before: &'a Remembering) -> Self {
        Marks {
            graph: &flow.graph,
            stations: &flow.stations,
            idle: &record.idle,
            advanced: record.watermark.filter(|to| *to != i64::MAX),
            before: before.iter().map(|(name, state)| (name.as_str(), state.watermark)).collect(),
        }
    }

    /// Of an epoch without rows, in which these sources are idle. `before`: what operators remember of earlier epochs.
    pub(crate) fn without_rows(
        graph: &'a Graph,
        idle: &'a [String],
        before: &'a IndexMap<String, OperatorState>,
    ) -> Self {
        let before = before.iter().map(|(name, state)| (name.as_str(), state.watermark)).collect();
        Marks { graph, stations: &[], idle, advanced: None, before }
    }

    /// The watermark at the inputs of an operator that remembers something; of a source, its own. None: no time is known. All rows of its inputs must be
    /// through.
    pub(crate) fn reached(&self, node: usize) -> Option<i64> {
        self.known(node, self.at(node)).time()
    }

    /// What is known of a node's inputs, or of a source itself.
    fn at(&self, node: usize) -> Mark {
        match (&self.graph.nodes[node].operator, self.stations.get(node)) {
            (Operator::Watermark(spec), station @ (None | Some(Station::Watermark(_)))) => {
                let seen = match station {
                    Some(Station::Watermark(seen)) => seen.watermark(),
                    _ => None,
                };
                let time = seen.max(self.advanced);
                if self.idle.contains(&spec.source) { Mark::Idle(time) } else { Mark::At(time) }
            }
            (Operator::Late, _) => {
                let of = self.graph.nodes[node].inputs[0].0 as usize;
                self.at(of)
            }
            _ => self.inputs(node),
        }
    }

    fn inputs(&self, node: usize) -> Mark {
        let inputs = &self.graph.nodes[node].inputs;
        inputs.iter().fold(Mark::Timeless, |mark, input| mark.and(self.behind(input.0 as usize)))
    }

    /// What is known of the rows that come out of a node.
    fn behind(&self, node: usize) -> Mark {
        let mark = self.known(node, self.at(node));
        let held = self.graph.nodes[node].operator.holds_back();
        mark.map(|time| time.map(|time| time.saturating_sub(held)))
    }

    /// It does not go back behind what an earlier epoch has reached.
    fn known(&self, node: usize, mark: Mark) -> Mark {
        let name = operator_name(&self.graph.nodes[node].operator);
        let before = name.and_then(|name| self.before.get(name.as_str()).copied()).flatten();
        mark.map(|time| time.max(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_holds_the_others_back_unless_it_is_idle() {
        use Mark::*;
        assert_eq!(At(Some(5)).and(At(Some(3))), At(Some(3)));
        assert_eq!(At(Some(5)).and(At(None)), At(None));
        assert_eq!(At(Some(5)).and(Idle(Some(3))), At(Some(5)));
        assert_eq!(Idle(Some(5)).and(Idle(Some(3))), Idle(Some(3)));
        assert_eq!(Timeless.and(At(Some(5))), At(Some(5)));
        assert_eq!(Timeless.and(Timeless).time(), None);
    }
}
