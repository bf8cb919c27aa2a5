//! Which side of a join is kept in memory and which is matched against it, and why. It must not know of how either is done: whether there is a choice is said by
//! [`flowc_ir::join_side`], which the runtime asks, too.

use super::analysis::Estimate;
use super::text::about;
use flowc_ir::graph::{JoinKind, NodeId, Operator};
use flowc_ir::join_side::is_open;
use flowc_ir::plan::Plan;

/// Of a join of bounded rows. None: it is none. Joins of rows that go on keep both sides.
pub(super) fn of_join(plan: &Plan, join: NodeId, estimates: &[Option<Estimate>]) -> Option<String> {
    let node = plan.graph.node(join);
    let Operator::Join(spec) = &node.operator else { return None };
    if spec.within.is_some() || node.kind.is_changing() {
        return None;
    }
    let fixed = "left is matched against right";
    if !is_open(plan, join) {
        let why = match spec.kind {
            JoinKind::Inner if spec.left_keys.is_empty() => "every pair of rows is tried",
            JoinKind::Inner => "the order of rows counts behind it, or its condition can fail",
            _ => "it goes by the left rows, or by those without a match",
        };
        return Some(format!("{fixed}: {why}"));
    }
    let known = |side: usize| estimates[node.inputs[side].0 as usize];
    let (Some(left), Some(right)) = (known(0), known(1)) else {
        return Some("the one of which more rows come is matched against the other".to_string());
    };
    let chosen = if left.rows < right.rows { "right is matched against left" } else { fixed };
    Some(format!("left: {}, right: {}: {chosen}; the rows that come decide", about(left), about(right)))
}
