//! Whether the runtime may choose which side of a join is kept in memory and which is matched against it: the smaller one is to be kept (as every hash join since
//! DeWitt et al., "Implementation techniques for main memory database systems", SIGMOD 1984), and how large both are is known best when they have been read. The one
//! place that `explain` and the runtime read it from. Knows plans; nothing of how rows are matched, nor of how many there are.
//!
//! Law: the choice decides in which order pairs come out, and nothing else. So it is open where no row comes out without a match, nothing is kept from epoch to
//! epoch, and nothing behind the join looks at the order of its rows.

use crate::aggregates::AggregateFunction;
use crate::failing::can_fail;
use crate::graph::{Aggregate, JoinKind, KeyedAggregate, NodeId, Operator};
use crate::plan::{Plan, SinkMode};

/// Whether either side of this join may be kept. Where it may not, the right one is.
pub fn is_open(plan: &Plan, join: NodeId) -> bool {
    let node = plan.graph.node(join);
    let Operator::Join(spec) = &node.operator else { return false };
    let pairs = spec.kind == JoinKind::Inner && spec.within.is_none() && !spec.left_keys.is_empty();
    // Of pairs for which the condition fails, the first is shown.
    let fails = spec.residual.iter().flat_map(|residual| &residual.outputs).any(|output| can_fail(&output.value));
    pairs && !fails && !node.kind.is_changing() && !order_matters(plan, join)
}

/// Whether something behind a node depends on the order of its rows.
fn order_matters(plan: &Plan, from: NodeId) -> bool {
    let mut behind = vec![false; plan.graph.nodes.len()];
    behind[from.0 as usize] = true;
    // Readers stand behind what they read.
    for (id, node) in plan.graph.iter().filter(|(id, _)| *id > from) {
        if node.inputs.iter().any(|input| behind[input.0 as usize]) {
            if looks_at_order(plan, &node.operator) {
                return true;
            }
            behind[id.0 as usize] = true;
        }
    }
    false
}

fn looks_at_order(plan: &Plan, operator: &Operator) -> bool {
    match operator {
        Operator::Aggregate(aggregate) | Operator::KeyedAggregate(KeyedAggregate { aggregate, .. }) => {
            by_order(aggregate)
        }
        Operator::WindowAggregate(windowed) => !windowed.by_time && by_order(&windowed.aggregate),
        Operator::Dedup(dedup) => !dedup.by_time,
        // Ties stay as they come; the first rows are those that come first; of records of a key the last one counts.
        Operator::Sort(_) | Operator::Limit(_) | Operator::Unique(_) | Operator::Upsert(_) | Operator::Late => true,
        Operator::Sink(sink) => match plan.sinks[sink.0 as usize].mode {
            SinkMode::Append | SinkMode::Overwrite | SinkMode::OverwritePartition => false,
            SinkMode::Merge { .. } | SinkMode::Scd2 { .. } => true,
        },
        // Of `top`, other columns break ties.
        Operator::Top(_)
        | Operator::Transform(_)
        | Operator::Lookup(_)
        | Operator::Union
        | Operator::Explode { .. }
        | Operator::Expect(_)
        | Operator::Watermark(_)
        | Operator::Join(_) => false,
        Operator::Source(_) | Operator::Malformed(_) | Operator::TableScan(_) => false,
    }
}

/// Whether an aggregate goes by the order of its rows.
fn by_order(aggregate: &Aggregate) -> bool {
    use AggregateFunction::{Avg, Count, CountDistinct, Max, Min, Percentile, Sum};
    let free = |function| matches!(function, Count | CountDistinct | Sum | Avg | Min | Max | Percentile);
    aggregate.aggregates.iter().any(|call| !free(call.function))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_plan;

    /// Whether the choice is open for a join, the node 2, with these nodes behind it, the last of which is written.
    fn open(join: &str, behind: &str, mode: &str) -> bool {
        let last = 2 + behind.lines().filter(|line| line.contains("<-")).count();
        let sink = last + 1;
        let columns = "(id: long, n: long)";
        let text = format!(
            r#"plan "p"
source "a" {{"connector":"delta","location":"/a"}}
    columns (id: long)
source "b" {{"connector":"delta","location":"/b"}}
    columns (n: long)
sink "out" {{"connector":"delta","location":"/out"}} <- {last} {mode} whole
    columns {columns}
graph {{
    0: source 0 "a" bounded
        columns (id: long)
    1: source 1 "b" bounded
        columns (n: long)
    2: join "pairs" <- [0, 1] "f |> join" bounded
        columns {columns}
        {join}
{behind}
    {sink}: sink 0 <- [{last}] "out" bounded
}}"#
        );
        let plan = parse_plan(&text).unwrap_or_else(|e| panic!("{e}\n{}", &text[e.at..]));
        is_open(&plan, NodeId(2))
    }

    #[test]
    fn the_choice_is_open_where_nobody_sees_the_order() {
        let inner = "inner keys [0] == [0]";
        let aggregate = |call: &str| {
            format!(
                "    3: aggregate <- [2] \"f |> aggregate\" bounded\n        columns (id: long, n: long)\n        keys [0]\n        {call} [1] : long\n"
            )
        };
        assert!(open(inner, "", "append") && open(inner, "", "overwrite"));
        assert!(!open("left keys [0] == [0]", "", "append"), "a row without a match comes out in its place");
        assert!(!open("inner keys [] == []", "", "append"));
        assert!(!open(inner, "", "merge(id)"), "of two rows of a key the last one counts");
        assert!(open(inner, &aggregate("sum"), "append"));
        assert!(!open(inner, &aggregate("first"), "append"));
        assert!(!open(inner, "    3: limit 5 <- [2] \"f |> limit\" bounded\n", "append"));
        assert!(!open(inner, "    3: sort <- [2] \"f |> sort\" bounded by 1 desc\n", "append"));
    }
}
