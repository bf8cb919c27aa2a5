//! A plan made better without changing what it does.
//!
//! Laws that every rule keeps: the same rows come out of every sink, in the same order; a run that fails still fails, and one that does not still does
//! not (which of several failures is reported may change); the graph keeps the laws of [`flowc_ir::verify`], checked after each rule in debug builds.

pub(crate) mod analysis;

use flowc_ir::plan::Plan;

/// Applies all rules.
pub fn optimize(plan: Plan) -> Plan {
    plan
}
