//! Reading a source again from an earlier version on: for which sinks that comes to the same, and what they forget for it. Knows nothing of how epochs are run.

use crate::error::RunError;
use crate::flow::operator_name;
use crate::jobs::Inputs;
use crate::state::Checkpoint;
use flowc_ir::graph::Operator;
use flowc_ir::plan::{Plan, SinkMode};

/// The first step before a sink that remembers rows. Not that of records of changes: of a record that comes again it keeps nothing that it does not have.
pub(crate) fn remembering(plan: &Plan, inputs: &Inputs) -> Option<String> {
    let mut operators = inputs.nodes.iter().map(|node| &plan.graph.nodes[*node].operator);
    operators.find_map(|operator| match operator {
        Operator::Watermark(_) | Operator::Upsert(_) => None,
        other => operator_name(other),
    })
}

/// Forgets how far a source was read for the sinks behind it, so that they read it from where it starts. A row that comes again takes the place of itself where rows are
/// kept by a key; elsewhere it would be there twice, and so it would be counted by what a step remembers: then nothing is forgotten, and the error says of which sink.
pub(crate) fn forget(plan: &Plan, inputs: &[Inputs], state: &mut Checkpoint, source: &str) -> Result<(), RunError> {
    let Some(index) = plan.sources.iter().position(|spec| spec.name == source) else { return Ok(()) };
    let reads = plan.sinks.iter().zip(inputs).filter(|(_, inputs)| inputs.sources.contains(&index));
    // What is computed whole reads everything anyway.
    let reads: Vec<_> = reads.filter(|(spec, _)| !spec.whole).collect();
    for (spec, inputs) in &reads {
        let has_read = state.sinks.get(&spec.name).is_some_and(|sink| sink.sources.contains_key(source));
        if !has_read {
            continue;
        }
        if !matches!(spec.mode, SinkMode::Merge { .. } | SinkMode::Scd2 { .. }) {
            let text =
                format!("sink `{}` only adds rows: those that `{source}` gives again would be there twice", spec.name);
            return Err(RunError::data("R0415", text).at(spec.origin).help(format!(
                "compute the sink again from the beginning: --full-refresh={0}; or keep its rows by a key: `mode merge on …`",
                spec.name
            )));
        }
        if let Some(step) = remembering(plan, inputs) {
            let text = format!(
                "the step `{step}` before sink `{}` remembers rows: those that `{source}` gives again would count twice",
                spec.name
            );
            return Err(RunError::data("R0415", text)
                .at(spec.origin)
                .help(format!("compute the sink again from the beginning: --full-refresh={}", spec.name)));
        }
    }
    for (spec, _) in reads {
        if let Some(sink) = state.sinks.get_mut(&spec.name) {
            sink.sources.shift_remove(source);
        }
    }
    Ok(())
}
