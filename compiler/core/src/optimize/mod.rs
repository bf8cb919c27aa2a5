//! A plan made better without changing what it does.
//!
//! Laws that every rule keeps: the same rows come out of every sink, in the same order; a run that fails still fails, and one that does not still does
//! not. Within a program the failure that is reported stays the same; across fused steps it is the first by row instead of the first by step. So what can
//! fail is computed even where nobody reads it. The graph keeps the laws of [`flowc_ir::verify`], checked after each rule in debug builds.

pub(crate) mod analysis;
mod common;
mod crossing;
mod edit;
mod filters;
mod fuse;
mod predicate;
mod prune;
mod simplify;
#[cfg(test)]
mod tests;
mod tidy;

use flowc_ir::plan::Plan;
use flowc_ir::verify::debug_verify;

/// A rule, with its name for messages.
type Rule = (&'static str, fn(&mut Plan));

/// The rules in the order in which they help each other: what is simpler fuses into less, what is fused shows what nobody reads.
const RULES: &[Rule] = &[
    ("simplify", simplify::run),
    ("push filters", filters::run),
    ("fuse", fuse::run),
    ("tidy", tidy::run),
    ("prune columns", prune::run),
    ("leave out what passes all on", fuse::leave_out_identities),
    ("fuse again", fuse::run),
    ("tidy again", tidy::run),
    ("simplify again", simplify::run),
    ("prune columns again", prune::run),
    ("leave out again", fuse::leave_out_identities),
    ("common subexpressions", common::run),
    ("predicates", predicate::run),
];

/// Applies all rules.
pub fn optimize(mut plan: Plan) -> Plan {
    for (name, rule) in RULES {
        rule(&mut plan);
        debug_verify(&plan, name);
    }
    plan
}
