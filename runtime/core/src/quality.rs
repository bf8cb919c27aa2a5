//! What expectations came to: counts of rules, in epochs' reports, in the state and in commits. Plain data; knows nothing of how rows are judged.

use crate::operators::expect::SAMPLES;
use flowc_ir::Origin;
use flowc_ir::graph::{Operator, Policy};
use flowc_ir::plan::Plan;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// How many rows a rule saw, and what became of them. `passed + failed` are the rows that came in. A removed row is counted once, by the first rule that
/// removed it (of those that drop before those that quarantine), so over the rules of an `expect`: in = out + dropped + quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that pass, after repairs.
    pub passed: u64,
    /// Rows that do not.
    pub failed: u64,
    /// Rows that this rule dropped.
    pub dropped: u64,
    /// Rows that this rule quarantined.
    pub quarantined: u64,
    /// Rows that this rule changed, and that pass it since.
    pub repaired: u64,
}

impl Counts {
    /// Adds those of other rows.
    pub fn add(&mut self, other: &Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.quarantined += other.quarantined;
        self.repaired += other.repaired;
    }
}

/// What a rule came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationReport {
    /// The flow.
    pub flow: String,
    /// The rule.
    pub name: String,
    /// What happens to rows that fail.
    pub policy: Policy,
    /// How many rows; of a rule that judges epochs: how many epochs.
    #[serde(flatten)]
    pub counts: Counts,
    /// Whether it judges epochs, not rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub judges_epoch: bool,
    /// The first rows that failed, column by column, as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "rows_as_objects")]
    pub samples: Vec<Vec<(String, String)>>,
    /// The condition, in the program's text.
    #[serde(skip)]
    pub origin: Origin,
}

/// How the rows of an `expect` reconcile: `rows = passed + dropped + quarantined`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlowReport {
    /// The flow.
    pub flow: String,
    /// Rows that came in.
    pub rows: u64,
    /// Rows that went on.
    pub passed: u64,
    /// Rows that were dropped.
    pub dropped: u64,
    /// Rows that were quarantined.
    pub quarantined: u64,
}

/// What an `expect` came to in an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Its rows.
    pub flow: FlowReport,
    /// Its rules, in declared order.
    pub rules: Vec<ExpectationReport>,
}

impl Judgement {
    /// Those of several expectations, apart: how their rows reconcile, and all rules.
    pub fn apart(judgements: &[Judgement]) -> (Vec<FlowReport>, Vec<ExpectationReport>) {
        let flows = judgements.iter().map(|j| j.flow.clone()).collect();
        (flows, judgements.iter().flat_map(|j| j.rules.clone()).collect())
    }
}

/// What is known of an epoch's expectations when some were judged again: the later judgement counts.
pub fn latest(earlier: &[Judgement], later: &[Judgement]) -> Vec<Judgement> {
    let same = |a: &Judgement, b: &Judgement| {
        let names = |j: &Judgement| j.rules.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
        a.flow.flow == b.flow.flow && names(a) == names(b)
    };
    let kept = earlier.iter().filter(|j| !later.iter().any(|other| same(j, other)));
    kept.chain(later).cloned().collect()
}

/// Says where in the program the rules stand: what comes from the state directory does not know.
pub fn place(rules: &mut [ExpectationReport], plan: &Plan) {
    for (_, node) in plan.graph.iter() {
        let Operator::Expect(expect) = &node.operator else { continue };
        for rule in rules.iter_mut().filter(|r| r.flow == expect.flow) {
            if let Some(known) = expect.rules.iter().find(|known| known.name == rule.name) {
                rule.origin = known.origin;
            }
        }
    }
}

/// Adds those of another epoch. The expectations of a flow are told apart by their order.
pub fn add_flows(all: &mut Vec<FlowReport>, these: &[FlowReport]) {
    for (index, flow) in these.iter().enumerate() {
        let nth = these[..index].iter().filter(|f| f.flow == flow.flow).count();
        match all.iter_mut().filter(|f| f.flow == flow.flow).nth(nth) {
            Some(sum) => {
                sum.rows += flow.rows;
                sum.passed += flow.passed;
                sum.dropped += flow.dropped;
                sum.quarantined += flow.quarantined;
            }
            None => all.push(flow.clone()),
        }
    }
}

/// Adds those of another epoch. A rule is known by its flow and its name.
pub fn add_rules(all: &mut Vec<ExpectationReport>, these: &[ExpectationReport]) {
    for rule in these {
        match all.iter_mut().find(|r| r.flow == rule.flow && r.name == rule.name) {
            Some(sum) => {
                sum.counts.add(&rule.counts);
                sum.policy = rule.policy;
                let room = SAMPLES.saturating_sub(sum.samples.len());
                sum.samples.extend(rule.samples.iter().take(room).cloned());
            }
            None => all.push(rule.clone()),
        }
    }
}

/// Rows of names and values as JSON objects.
mod rows_as_objects {
    use super::IndexMap;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(rows: &[Vec<(String, String)>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(rows.iter().map(|row| row.iter().map(|(k, v)| (k, v)).collect::<IndexMap<_, _>>()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<(String, String)>>, D::Error> {
        let rows: Vec<IndexMap<String, String>> = Vec::deserialize(from)?;
        Ok(rows.into_iter().map(|row| row.into_iter().collect()).collect())
    }
}
