//! Judges rows by the rules of an `expect`: counts, keeps a few failing rows of each rule to be shown, stops at a `fail`. The rules' conditions are boolean
//! columns already, and rows are removed by what stands behind; so this is popcounts of bitmaps. Of rows that change only those that are added are judged, each as often
//! as it is added: a row that is taken away was judged when it came. Knows nothing of epochs' order or of sinks.

use super::incremental::weights;
use super::{Fault, internal};
use crate::batch::{Order, RowOrder};
use crate::error::RunError;
use crate::quality::{Counts, ExpectationReport, FlowReport, Judgement};
use crate::text::row_text;
use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;
use flowc_ir::eval::{Backend, EvalContext};
use flowc_ir::graph::{self, ExpectRule, Policy, ShareCondition};
use flowc_ir::interpret::Interpreter;
use flowc_ir::{DataType, Type, Value};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How many failing rows of a rule are kept to be shown.
pub const SAMPLES: usize = 3;

/// The operator.
#[derive(Debug)]
pub struct Expect {
    spec: graph::Expect,
    /// The rules whose policies remove rows, in the order in which a row's removal is put down to them.
    removing: Vec<usize>,
    seen: Mutex<Seen>,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    rows: u64,
    counts: Vec<Counts>,
    /// For each rule, the first failing rows by their place in the input.
    samples: Vec<BTreeMap<RowOrder, Vec<(String, String)>>>,
}

impl Expect {
    /// Nothing is seen yet.
    pub fn new(spec: &graph::Expect) -> Self {
        let of = |policies: fn(Policy) -> bool| {
            spec.rules.iter().enumerate().filter(move |(_, rule)| policies(rule.policy)).map(|(index, _)| index)
        };
        let removing = of(|p| p == Policy::Drop).chain(of(Policy::quarantines)).collect();
        let counts = vec![Counts::default(); spec.rules.len()];
        let samples = vec![BTreeMap::new(); spec.rules.len()];
        Expect { spec: spec.clone(), removing, seen: Mutex::new(Seen { rows: 0, counts, samples }) }
    }

    /// The failure of the first row that breaks a rule which stops the run.
    pub fn check(&self, batch: &RecordBatch, context: &EvalContext) -> Result<(), Fault> {
        let mut first: Option<(usize, &ExpectRule)> = None;
        let added = Added::of(batch)?;
        for rule in self.spec.rules.iter().filter(|r| r.policy == Policy::Fail) {
            let Some(passes) = rule.passes.map(|c| bitmap(batch, c)).transpose()? else { continue };
            let row = added.among(!&passes).set_indices().next();
            first = match (first, row) {
                (Some((at, known)), Some(row)) if at <= row => Some((at, known)),
                (known, None) => known,
                (_, Some(row)) => Some((row, rule)),
            };
        }
        let Some((row, rule)) = first else { return Ok(()) };
        let text = format!("a row of `{}` fails the rule `{}`", self.spec.flow, rule.name);
        let help = format!(
            "epoch {} was not committed; correct the row, or choose what happens to such rows: `else quarantine`, `else drop`",
            context.epoch
        );
        let mut error = RunError::data("R0112", text).help(help).at(rule.origin);
        error.row = shown(batch, row);
        Err(Fault::Rule(Box::new(error)))
    }

    /// Counts rows that went through [`Expect::check`].
    pub fn observe(&self, order: Order, batch: &RecordBatch) -> Result<(), RunError> {
        let added = Added::of(batch)?;
        let rows = added.rows(batch.num_rows());
        let mut counts = vec![Counts::default(); self.spec.rules.len()];
        let mut failing = vec![];
        for (index, rule) in self.spec.rules.iter().enumerate() {
            let Some(passes) = rule.passes.map(|c| bitmap(batch, c)).transpose()? else {
                counts[index].passed = rows;
                continue;
            };
            let fails = added.among(!&passes);
            counts[index].failed = added.count(&fails);
            counts[index].passed = rows - counts[index].failed;
            if let Some(column) = rule.repaired {
                counts[index].repaired = added.count(&added.among(&bitmap(batch, column)? & &passes));
            }
            if counts[index].failed > 0 {
                failing.push((index, fails));
            }
        }
        self.attribute(&mut counts, &failing, &added);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.rows += rows;
        seen.counts.iter_mut().zip(&counts).for_each(|(all, these)| all.add(these));
        for (index, fails) in failing {
            let samples = &mut seen.samples[index];
            for row in fails.set_indices().take(SAMPLES) {
                let at = order.first_row() + row as RowOrder;
                if samples.len() >= SAMPLES && samples.last_key_value().is_some_and(|(last, _)| *last <= at) {
                    break;
                }
                samples.insert(at, shown(batch, row));
                if samples.len() > SAMPLES {
                    samples.pop_last();
                }
            }
        }
        Ok(())
    }

    /// How often rows have failed rules so far.
    pub fn failed(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).counts.iter().map(|c| c.failed).sum()
    }

    /// Puts every removed row down to one rule: the first that it failed, of those that drop before those that quarantine.
    fn attribute(&self, counts: &mut [Counts], failing: &[(usize, BooleanBuffer)], added: &Added<'_>) {
        let mut removed: Option<BooleanBuffer> = None;
        for index in &self.removing {
            let Some((_, fails)) = failing.iter().find(|(i, _)| i == index) else { continue };
            let before = removed.as_ref().map_or(0, |removed| added.count(removed));
            let all = match &removed {
                Some(removed) => removed | fails,
                None => fails.clone(),
            };
            let new = added.count(&all) - before;
            match self.spec.rules[*index].policy.quarantines() {
                true => counts[*index].quarantined = new,
                false => counts[*index].dropped = new,
            }
            removed = Some(all);
        }
    }

    /// What all rows of the epoch came to; rules that judge epochs are judged now.
    pub fn finish(&self, context: &EvalContext) -> Result<Judgement, RunError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rules = vec![];
        for (index, rule) in self.spec.rules.iter().enumerate() {
            let mut counts = seen.counts[index];
            if let Some(share) = &rule.share {
                counts = self.judge_epoch(rule, share, &seen, context)?;
            }
            rules.push(ExpectationReport {
                flow: self.spec.flow.clone(),
                name: rule.name.clone(),
                policy: rule.policy,
                counts,
                judges_epoch: rule.share.is_some(),
                origin: rule.origin,
                samples: seen.samples[index].values().cloned().collect(),
            });
        }
        let dropped = rules.iter().map(|r| r.counts.dropped).sum();
        let quarantined = rules.iter().map(|r| r.counts.quarantined).sum();
        let passed = seen.rows - dropped - quarantined;
        let flow = FlowReport { flow: self.spec.flow.clone(), rows: seen.rows, passed, dropped, quarantined };
        Ok(Judgement { flow, rules })
    }

    /// One epoch passes or fails.
    fn judge_epoch(
        &self,
        rule: &ExpectRule,
        share: &ShareCondition,
        seen: &Seen,
        context: &EvalContext,
    ) -> Result<Counts, RunError> {
        let shares = share.of.iter().map(|index| match seen.rows {
            0 => 0.0,
            rows => seen.counts[*index].failed as f64 / rows as f64,
        });
        let shares: Vec<f64> = shares.collect();
        let columns = shares
            .iter()
            .map(|s| flowc_ir::arrow_values::build_array(&Type::new(DataType::Double).data, &[Value::Double(*s)]));
        let schema = flowc_ir::arrow_types::to_arrow_schema(&share.program.input);
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(schema, columns.collect(), &options).map_err(internal)?;
        let kernel = Interpreter.compile(&share.program).map_err(internal)?;
        let result = kernel.run(context, &batch).map_err(RunError::from)?;
        let holds = result.num_rows() == 1 && result.column(0).as_boolean().value(0);
        if holds || rule.policy != Policy::Fail {
            return Ok(Counts { passed: u64::from(holds), failed: u64::from(!holds), ..Counts::default() });
        }
        let of = share.of.iter().zip(&shares).map(|(index, share)| {
            format!(
                "`{}`: {} of {} rows ({:.2}%)",
                self.spec.rules[*index].name,
                seen.counts[*index].failed,
                seen.rows,
                share * 100.0
            )
        });
        let text = format!(
            "epoch {} of `{}` fails the rule `{}`; failed {}",
            context.epoch,
            self.spec.flow,
            rule.name,
            of.collect::<Vec<_>>().join(", ")
        );
        let mut error = RunError::data("R0113", text).at(rule.origin);
        let sample = share.of.iter().find_map(|index| seen.samples[*index].values().next());
        error.row = sample.cloned().unwrap_or_default();
        Err(error.help("nothing of the epoch was committed; look at the rows that fail, or allow a greater share"))
    }
}

/// Which rows of a batch are added, and how often.
#[derive(Debug)]
struct Added<'a> {
    /// None: each is, once.
    weights: Option<(&'a [i64], BooleanBuffer)>,
}

impl<'a> Added<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, RunError> {
        let positive = |weights: &'a [i64]| BooleanBuffer::collect_bool(weights.len(), |row| weights[row] > 0);
        Ok(Added { weights: weights(batch)?.map(|weights| (weights, positive(weights))) })
    }

    /// Those of these rows that are added.
    fn among(&self, rows: BooleanBuffer) -> BooleanBuffer {
        self.weights.as_ref().map_or_else(|| rows.clone(), |(_, added)| &rows & added)
    }

    /// How many rows these are, all of which are added.
    fn count(&self, rows: &BooleanBuffer) -> u64 {
        match &self.weights {
            None => rows.count_set_bits() as u64,
            Some((weights, _)) => rows.set_indices().map(|row| weights[row].unsigned_abs()).sum(),
        }
    }

    /// How many rows are added, of a batch of so many.
    fn rows(&self, rows: usize) -> u64 {
        self.weights.as_ref().map_or(rows as u64, |(_, added)| self.count(added))
    }
}

/// The boolean column as bits.
fn bitmap(batch: &RecordBatch, column: usize) -> Result<BooleanBuffer, RunError> {
    let array = batch.columns().get(column).and_then(|c| c.as_boolean_opt());
    let array = array.ok_or_else(|| internal(format!("column {column} is no boolean")))?;
    Ok(match array.nulls() {
        None => array.values().clone(),
        Some(valid) => array.values() & valid.inner(),
    })
}

/// The columns of a row that are the user's own.
fn shown(batch: &RecordBatch, row: usize) -> Vec<(String, String)> {
    row_text(batch, row).into_iter().filter(|(name, _)| !name.starts_with('#')).collect()
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
