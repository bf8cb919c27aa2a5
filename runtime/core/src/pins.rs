//! Tables that rows of a changing stream are looked up in: a row that is taken away must be found as it was when it was added. Decides only; reads nothing.

use crate::codes::LOOKUP_MOVED;
use crate::connector::Position;
use crate::error::RunError;
use crate::jobs::Inputs;
use crate::state::SinkState;
use flowc_ir::graph::Operator;
use flowc_ir::plan::{Plan, SinkSpec};
use std::collections::BTreeMap;

/// Stops where a table that rows of a changing stream are looked up in is no longer what it was in the sink's last epoch. A table whose changes are followed is not
/// looked up in, one that is pinned to a version does not move, and `as of` goes by the time of the row.
pub(crate) fn refuse_moved(
    plan: &Plan,
    spec: &SinkSpec,
    inputs: &Inputs,
    known: &SinkState,
    pins: &BTreeMap<usize, Position>,
) -> Result<(), RunError> {
    if spec.whole || known.replace {
        return Ok(());
    }
    let nodes = inputs.nodes.iter().map(|node| &plan.graph.nodes[*node]);
    let looked_up = nodes.filter_map(|node| match &node.operator {
        Operator::Lookup(lookup) if lookup.as_of.is_none() && node.kind.is_changing() => Some(lookup.table.0 as usize),
        _ => None,
    });
    for table in looked_up {
        let (table, now) = (&plan.tables[table], pins.get(&table));
        if known.tables.get(&table.name).is_none_or(|was| Some(was) == now) {
            continue;
        }
        let text = format!(
            "table `{}` has changed, and rows that change are looked up in it for sink `{}`: a row that is taken away would not be found as it was when it was added",
            table.name, spec.name
        );
        let help = format!(
            "nothing was read; compute the sink again with the table as it is now: --full-refresh={}; or make `{}` a Delta table, whose changes are followed",
            spec.name, table.name
        );
        return Err(RunError::data(LOOKUP_MOVED, text).at(table.origin).help(help));
    }
    Ok(())
}
