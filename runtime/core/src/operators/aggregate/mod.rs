//! Groups and aggregates bounded input. Each worker aggregates what it gets; at the end their groups are merged. No result depends on who got what, on how
//! rows were cut into batches, or on their order beyond their places in the input. Knows nothing of where rows come from.

mod accumulator;
mod collections;
pub(crate) mod exact;
mod extremes;
mod groups;
mod sketch;
mod sums;

use super::{Blocking, Fault, Outputs, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::text::row_text;
use accumulator::{Accumulator, Failed, Rows};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType as A, SchemaRef};
use arrow::record_batch::RecordBatch;
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::arrow_types::{to_arrow, to_arrow_schema};
use flowc_ir::graph::{self, AggregateCall};
use flowc_ir::{DataType, Schema, Value};
use groups::Groups;
use std::sync::{Arc, Mutex, PoisonError};

/// The operator.
#[derive(Debug)]
pub struct Aggregate {
    spec: graph::Aggregate,
    input: Schema,
    output: SchemaRef,
    batch_rows: usize,
    workers: Vec<Mutex<Option<Worker>>>,
}

/// What a worker has.
#[derive(Debug)]
struct Worker {
    /// None: there are no keys, and one group.
    groups: Option<Groups>,
    accumulators: Vec<Box<dyn Accumulator>>,
}

impl Worker {
    fn count(&self) -> usize {
        self.groups.as_ref().map_or(1, Groups::len)
    }
}

impl Aggregate {
    /// For rows of `input`; `output` has the keys and the results.
    pub(crate) fn new(
        spec: &graph::Aggregate,
        input: &Schema,
        output: &Schema,
        workers: usize,
        batch_rows: usize,
    ) -> Result<Aggregate, RunError> {
        let workers = (0..workers).map(|_| Mutex::new(None)).collect();
        let (spec, input, output) = (spec.clone(), input.clone(), to_arrow_schema(output));
        Ok(Aggregate { spec, input, output, batch_rows, workers })
    }

    fn worker(&self) -> Result<Worker, RunError> {
        let types: Vec<A> = self.spec.keys.iter().map(|k| to_arrow(&self.input.fields[*k].ty.data)).collect();
        let groups = (!types.is_empty()).then(|| Groups::new(&types)).transpose()?;
        let accumulators = self.spec.aggregates.iter().map(|call| accumulator(call, &self.input));
        Ok(Worker { groups, accumulators: accumulators.collect::<Result<_, _>>()? })
    }

    /// The columns of a part of the groups.
    fn part(&self, worker: &mut Worker, order: &[u32]) -> Result<RecordBatch, Fault> {
        let mut columns = match &worker.groups {
            Some(groups) => groups.columns(order)?,
            None => vec![],
        };
        let keys = columns.len();
        for (call, accumulator) in self.spec.aggregates.iter().zip(&mut worker.accumulators) {
            match accumulator.finish(order) {
                Ok(column) => columns.push(column),
                Err(Failed::Run(error)) => return Err(error.into()),
                Err(Failed::Group(group, failure)) => {
                    let code = failure.code.code();
                    let mut error = RunError::data(code, failure.message).at(call.origin);
                    if let Some(groups) = &worker.groups {
                        let fields: Vec<_> = self.output.fields()[..keys].to_vec();
                        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
                        error.row = row_text(&RecordBatch::try_new(schema, groups.columns(&[group])?)?, 0);
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.output), columns)?)
    }
}

/// The accumulator for a call.
fn accumulator(call: &AggregateCall, input: &Schema) -> Result<Box<dyn Accumulator>, RunError> {
    use collections::{Distinct, Lists, Percentiles};
    use extremes::{Choice, Chosen, Numbers, is_number};
    use sums::{Count, Decimals, Doubles, Integers, Variances};
    let types: Vec<&DataType> = call.args.iter().map(|arg| &input.fields[*arg].ty.data).collect();
    let arg = |i: usize| types.get(i).copied().ok_or_else(|| internal("an aggregate lacks an operand"));
    let arrow = |i: usize| arg(i).map(to_arrow);
    let element = || match to_arrow(&call.ty.data) {
        A::List(field) => Ok(field),
        other => Err(internal(format!("a collection has the type {other}"))),
    };
    Ok(match call.function {
        F::Count => Box::<Count>::default(),
        F::CountDistinct => Box::new(Distinct::new(&arrow(0)?, None)?),
        F::ApproxCountDistinct => Box::new(sketch::Sketches::new(&arrow(0)?)?),
        F::Sum | F::Avg => match arg(0)? {
            DataType::Decimal { scale, .. } => Box::new(Decimals::new(&call.ty, call.function == F::Avg, *scale)),
            data if data.is_floating() => Box::new(Doubles::new(call.function == F::Avg)),
            _ => Box::new(Integers::new(&call.ty)),
        },
        F::Min | F::Max if is_number(&arrow(0)?) => Box::new(Numbers::new(&arrow(0)?, call.function == F::Max)),
        F::Min => Box::new(Chosen::new(Choice::Least, &arrow(0)?, Some(&arrow(0)?))?),
        F::Max => Box::new(Chosen::new(Choice::Greatest, &arrow(0)?, Some(&arrow(0)?))?),
        F::First => Box::new(Chosen::new(Choice::First, &arrow(0)?, None)?),
        F::Last => Box::new(Chosen::new(Choice::Last, &arrow(0)?, None)?),
        F::MinBy => Box::new(Chosen::new(Choice::Least, &arrow(0)?, Some(&arrow(1)?))?),
        F::MaxBy => Box::new(Chosen::new(Choice::Greatest, &arrow(0)?, Some(&arrow(1)?))?),
        F::Stddev => Box::new(Variances::new(true)),
        F::Variance => Box::new(Variances::new(false)),
        F::CollectList => Box::new(Lists::new(element()?)),
        F::CollectSet => Box::new(Distinct::new(&arrow(0)?, Some(element()?))?),
        F::Percentile => match call.constants.first() {
            Some(Value::Double(fraction)) if (0.0..=1.0).contains(fraction) => Box::new(Percentiles::new(*fraction)),
            other => return Err(internal(format!("percentile has the fraction {other:?}"))),
        },
    })
}

impl Blocking for Aggregate {
    fn push(&self, worker: usize, batch: Batch) -> Result<(), Fault> {
        let mut state = self.workers[worker].lock().unwrap_or_else(PoisonError::into_inner);
        let worker = match &mut *state {
            Some(worker) => worker,
            none => none.insert(self.worker()?),
        };
        let (data, first) = (&batch.data, batch.order.first_row());
        let pick =
            |positions: &[usize]| positions.iter().map(|c| Arc::clone(data.column(*c))).collect::<Vec<ArrayRef>>();
        let groups = match &mut worker.groups {
            Some(groups) => groups.assign(&pick(&self.spec.keys), first)?,
            None => vec![0; data.num_rows()],
        };
        let count = worker.count();
        for (call, accumulator) in self.spec.aggregates.iter().zip(&mut worker.accumulators) {
            let args = pick(&call.args);
            let filter = call.filter.map(|c| data.column(c).as_boolean());
            accumulator.update(&Rows { groups: &groups, filter, args: &args, first, count })?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<Outputs<'static>, Fault> {
        let mut states = vec![];
        for worker in &self.workers {
            states.extend(worker.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        let mut states = states.into_iter();
        let mut all = match states.next() {
            Some(first) => first,
            None => self.worker()?,
        };
        for other in states {
            let map = match (&mut all.groups, &other.groups) {
                (Some(groups), Some(others)) => groups.merge(others)?,
                _ => vec![0],
            };
            let count = all.count();
            for (mine, theirs) in all.accumulators.iter_mut().zip(other.accumulators) {
                mine.merge(theirs, &map, count)?;
            }
        }
        let order = all.groups.as_ref().map_or(vec![0], Groups::in_order);
        let whole = self.part(&mut all, &order)?;
        let (rows, step) = (whole.num_rows(), self.batch_rows);
        Ok(Box::new((0..rows).step_by(step).map(move |from| Ok(whole.slice(from, step.min(rows - from))))))
    }
}

#[cfg(test)]
mod tests;
