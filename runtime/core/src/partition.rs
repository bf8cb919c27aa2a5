//! Computing one partition of a sink's target again: for which sinks its rows can be told from the others, and what the epoch reads for it. Knows nothing of how
//! epochs are run, nor of how a target keeps its partitions.

use crate::backfill::remembering;
use crate::codes::{NO_SUCH_PARTITION, NOT_APART, PARTITION_REMEMBERED};
use crate::connector::{Partition, Position};
use crate::error::RunError;
use crate::jobs::{Group, Inputs, Planner, located};
use crate::pins;
use crate::state::{Checkpoint, EpochRecord, SinkState};
use flowc_ir::plan::{Plan, SinkMode, SinkSpec, Updates};
use std::collections::BTreeMap;

/// Finds the sink of a partition, and whether its rows can be computed apart from all others.
pub(crate) fn check(plan: &Plan, inputs: &[Inputs], (sink, partition): (&str, &Partition)) -> Result<usize, RunError> {
    let index = sink_of(plan, sink)?;
    let spec = &plan.sinks[index];
    apart(plan, spec, &inputs[index], partition).map_err(|e| e.at(spec.origin))?;
    Ok(index)
}

/// The sink of this name.
pub(crate) fn sink_of(plan: &Plan, sink: &str) -> Result<usize, RunError> {
    plan.sinks.iter().position(|spec| spec.name == sink).ok_or_else(|| {
        let names: Vec<String> = plan.sinks.iter().map(|spec| format!("`{}`", spec.name)).collect();
        let text = format!("there is no sink `{sink}` to compute again");
        RunError::data("R0414", text).help(format!("the program has {}", names.join(", ")))
    })
}

fn apart(plan: &Plan, spec: &SinkSpec, inputs: &Inputs, partition: &Partition) -> Result<(), RunError> {
    let name = &spec.name;
    let whole = format!("compute the sink again as a whole: --full-refresh={name}");
    let not_apart = |why: &str| {
        let text =
            format!("the rows of partition `{partition}` of sink `{name}` cannot be told from the others: {why}");
        RunError::data(NOT_APART, text).help(whole.clone())
    };
    if spec.whole {
        return Err(not_apart("the sink is computed whole each time that what it reads has changed"));
    }
    if let Some(step) = remembering(plan, inputs) {
        let text = format!(
            "the step `{step}` before sink `{name}` remembers rows: partition `{partition}` cannot be computed apart from what it remembers"
        );
        return Err(RunError::data(PARTITION_REMEMBERED, text).help(whole));
    }
    let (SinkMode::Merge { keys } | SinkMode::Scd2 { keys }) = &spec.mode else { return Ok(()) };
    if let Some(column) = partition.0.keys().find(|column| !keys.contains(column)) {
        let why = format!(
            "`{column}` is not part of its key ({}), so a row may leave a partition for another",
            keys.join(", ")
        );
        return Err(not_apart(&why));
    }
    let from_now = |source: &&usize| {
        let source = &plan.sources[**source];
        source.updates == Updates::Follow && source.start.is_none()
    };
    if matches!(spec.mode, SinkMode::Scd2 { .. })
        && let Some(source) = inputs.sources.iter().find(from_now)
    {
        let source = &plan.sources[*source].name;
        let why = format!(
            "without `start`, source `{source}` begins with its rows as they are, and not with what became of them"
        );
        return Err(not_apart(&format!("its history cannot be computed again: {why}"))
            .help("say in the source's declaration from which version on its changes are read: `start version N`"));
    }
    Ok(())
}

/// The epoch that computes a partition again: from the beginning of the sink's sources to where they have been read for it.
pub(crate) async fn record(
    planner: &Planner<'_>,
    state: &Checkpoint,
    (name, partition): (&str, &Partition),
    now: i64,
) -> Result<EpochRecord, RunError> {
    let plan = planner.plan;
    let sink = check(plan, planner.inputs, (name, partition))?;
    let (spec, inputs) = (&plan.sinks[sink], &planner.inputs[sink]);
    let known = state.sinks.get(name).filter(|known| known.epoch.is_some() && !known.replace);
    let known = known.ok_or_else(|| {
        let text = format!("sink `{name}` has nothing yet that could be computed again");
        let help = "run without --refresh-partition: the sink is filled from the beginning of its sources";
        RunError::data(NO_SUCH_PARTITION, text).at(spec.origin).help(help)
    })?;
    planner.world.sinks[sink].has_partition(partition).await.map_err(|e| located(e, spec.origin))?;
    let mut ranges = BTreeMap::new();
    for &source in &inputs.sources {
        let spec = &plan.sources[source];
        if let Some(to) = known.sources.get(&spec.name) {
            let range = planner.world.sources[source].range_to(to).await.map_err(|e| located(e, spec.origin))?;
            ranges.extend(range.map(|range| (source, range)));
        }
    }
    let pins = pinned(planner, inputs, known).await?;
    pins::refuse_moved(plan, spec, inputs, known, &pins)?;
    let group = Group::of(plan, sink, inputs, &SinkState::default());
    let record = planner.record(&group, &[sink], state, (ranges, pins), now);
    // What its steps remember is none of its business.
    Ok(EpochRecord { partition: Some(partition.clone()), pending: false, ..record })
}

/// The versions of the sink's tables: of those that are read as streams the one that was read, of those that rows are looked up in the one of now, as ever.
async fn pinned(
    planner: &Planner<'_>,
    inputs: &Inputs,
    known: &SinkState,
) -> Result<BTreeMap<usize, Position>, RunError> {
    let mut pins = BTreeMap::new();
    for &table in &inputs.lookups {
        let pin = planner.world.tables[table].pin().await;
        pins.insert(table, pin.map_err(|e| located(e, planner.plan.tables[table].origin))?);
    }
    for &table in &inputs.scans {
        pins.extend(known.tables.get(&planner.plan.tables[table].name).map(|pin| (table, pin.clone())));
    }
    Ok(pins)
}
