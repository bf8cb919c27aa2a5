//! The further condition of a lookup, over pairs of rows. Only the columns that it reads are taken for each pair: most pairs may fail, and what stays out is
//! never copied (late materialization: Abadi, Myers, DeWitt, Madden, "Materialization Strategies in a Column-Oriented DBMS", ICDE 2007). Knows nothing of how
//! pairs are found.

use super::probe::Pairs;
use super::{Matching, Seen};
use crate::operators::transform::run_kernel;
use crate::operators::{Fault, internal};
use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::Kernel;
use flowc_ir::plan::KernelSlot;
use flowc_ir::{Expr, ExprKind, Program, ProgramStep};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The condition.
#[derive(Debug)]
pub(super) struct Condition {
    /// Over the stream's columns and all of the table's.
    kernel: Arc<dyn Kernel>,
    /// For each of them nulls to stand in for it; none: it is read.
    unread: Vec<Option<ArrayRef>>,
    schema: SchemaRef,
}

/// The columns that a program reads.
fn reads(program: &Program) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    let mut note = |e: &Expr| {
        if let ExprKind::Column(slot) = e.kind {
            columns.insert(slot);
        }
    };
    for step in &program.steps {
        match step {
            ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => {
                e.walk(&mut note)
            }
        }
    }
    program.outputs.iter().for_each(|output| output.value.walk(&mut note));
    columns
}

impl Condition {
    /// `kernel`: of the program. There are at most so many pairs at once.
    pub(super) fn new(program: &Program, kernel: Arc<dyn Kernel>, batch_rows: usize) -> Condition {
        let (reads, schema) = (reads(program), to_arrow_schema(&program.input));
        let unread = |(i, field): (usize, &Arc<Field>)| {
            (!reads.contains(&i)).then(|| new_null_array(field.data_type(), batch_rows))
        };
        let unread = schema.fields().iter().enumerate().map(unread).collect();
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        Condition { kernel, unread, schema }
    }

    /// The columns of these pairs; with nulls in the place of those that it does not read, unless all are wanted.
    fn columns(
        &self,
        matching: &Matching,
        (input, seen): (&RecordBatch, &Seen),
        pairs: &Pairs,
        all: bool,
    ) -> Result<RecordBatch, Fault> {
        let (streams, count) = (input.num_columns(), pairs.len());
        let mut columns = Vec::with_capacity(self.unread.len());
        for (i, unread) in self.unread.iter().enumerate() {
            columns.push(match unread {
                Some(nulls) if !all && nulls.len() >= count => nulls.slice(0, count),
                _ if i < streams => pairs.of_stream(input.column(i), input.num_rows())?,
                _ => matching.taken(seen, pairs, i - streams)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Which pairs meet it.
    pub(super) fn admitted(
        &self,
        matching: &Matching,
        (input, seen): (&RecordBatch, &Seen),
        pairs: &Pairs,
    ) -> Result<BooleanBuffer, Fault> {
        let run = |all: bool| {
            let batch = self.columns(matching, (input, seen), pairs, all)?;
            run_kernel(KernelSlot::Residual(matching.node), &*self.kernel, &matching.context, &batch)
        };
        let result = match run(false) {
            // A row that fails is told with all that it has.
            Err(Fault::Row(_)) => run(true)?,
            other => other?,
        };
        if result.num_rows() != pairs.len() {
            return Err(internal("the condition of a lookup removed rows").into());
        }
        let yes = result.column(0).as_boolean();
        Ok(match yes.nulls() {
            Some(nulls) => yes.values() & nulls.inner(),
            None => yes.values().clone(),
        })
    }
}
