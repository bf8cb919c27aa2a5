//! Which sources may hold back a step that waits for event time: those whose watermarks are merged before it, the least of which is the step's own. Knows nothing
//! of rows: how far a source is, `status` tells while a pipeline runs.

use super::streaming::duration;
use flowc_ir::graph::{Graph, NodeId, Operator};
use serde::Serialize;

/// A source whose watermark a step waits for. Durations are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The source.
    pub source: String,
    /// How far behind the greatest event time of its rows its watermark is.
    pub delay: i64,
    /// How much further the steps between hold it back, because what comes out of them may lie so far behind.
    pub held_back: i64,
    /// After so long without rows it is left out of account; none: it never is.
    pub idle: Option<i64>,
}

/// Whether what an operator gives out and forgets is a matter of the watermark.
pub(super) fn waits(operator: &Operator) -> bool {
    match operator {
        Operator::WindowAggregate(_) => true,
        Operator::Dedup(dedup) => dedup.within.is_some(),
        Operator::Top(top) => top.window.is_some(),
        Operator::Join(join) => join.within.is_some(),
        _ => false,
    }
}

/// The holders of the rows that come out of each node of a graph.
pub(super) struct Waiting<'a> {
    graph: &'a Graph,
    behind: Vec<Vec<Holder>>,
}

impl<'a> Waiting<'a> {
    pub(super) fn of(graph: &'a Graph) -> Self {
        let mut waiting = Waiting { graph, behind: vec![] };
        // Inputs come first.
        for (id, node) in graph.iter() {
            let behind = match &node.operator {
                Operator::Watermark(spec) => {
                    vec![Holder { source: spec.source.clone(), delay: spec.delay, held_back: 0, idle: spec.idle }]
                }
                // Late rows are as late as those that are not.
                Operator::Late => node.inputs.first().map(|of| waiting.before(*of)).unwrap_or_default(),
                operator => {
                    let held = operator.holds_back();
                    let further = |h: Holder| Holder { held_back: h.held_back.saturating_add(held), ..h };
                    waiting.before(id).into_iter().map(further).collect()
                }
            };
            waiting.behind.push(behind);
        }
        waiting
    }

    /// Those of the rows that go into a node, in the order of its inputs. Of a source that comes in by several ways, the way that holds it back most.
    pub(super) fn before(&self, id: NodeId) -> Vec<Holder> {
        let mut found: Vec<Holder> = vec![];
        for holder in self.graph.node(id).inputs.iter().flat_map(|input| &self.behind[input.0 as usize]) {
            match found.iter_mut().find(|known| known.source == holder.source) {
                Some(known) => known.held_back = known.held_back.max(holder.held_back),
                None => found.push(holder.clone()),
            }
        }
        found
    }
}

/// What a step waits for, in words.
pub(super) fn text(holders: &[Holder]) -> String {
    let one = |holder: &Holder| {
        let held = match holder.held_back {
            0 => String::new(),
            held => format!(" and, for the steps between, {}", duration(held)),
        };
        // There is nothing to leave a single one out of.
        let idle = holder.idle.filter(|_| holders.len() > 1);
        let idle = idle.map_or(String::new(), |idle| format!("; left out after {} without rows", duration(idle)));
        format!("`{}` (its latest event time less {}{held}{idle})", holder.source, duration(holder.delay))
    };
    let all: Vec<String> = holders.iter().map(one).collect();
    match all.split_last() {
        Some((last, [])) => format!("that of {last}"),
        Some((last, rest)) => format!("the least of those of {} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_waits_for_in_words() {
        let holder =
            |source: &str, held_back, idle| Holder { source: source.into(), delay: 5_000_000, held_back, idle };
        assert_eq!(text(&[holder("a", 0, Some(1))]), "that of `a` (its latest event time less 5s)");
        let three = [holder("a", 0, None), holder("b", 1, Some(60_000_000)), holder("c", 0, Some(1_000_000))];
        assert_eq!(
            text(&three),
            "the least of those of `a` (its latest event time less 5s), \
             `b` (its latest event time less 5s and, for the steps between, 1us; left out after 1m without rows) \
             and `c` (its latest event time less 5s; left out after 1s without rows)"
        );
    }
}
