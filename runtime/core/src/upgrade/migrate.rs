//! What was stored for one form of a step, as another form of it stores it: columns in other places, of wider types, without those that are gone, with nulls for
//! those that are new. Knows how operators lay out what they store, and nothing of files.

use super::form::{Form, StepKind};
use super::settle::Move;
use crate::error::RunError;
use crate::operators::internal;
use crate::operators::stateful::Stored;
use crate::operators::{part_of, rekeyed, saved_types, yields_null};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatchOptions, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Field, FieldRef, Schema as ArrowSchema, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::arrow_types::{to_arrow, to_arrow_field};
use flowc_ir::graph::{Graph, Node, Operator};
use std::sync::Arc;

/// Why nothing came of it.
#[derive(Debug)]
pub(super) enum Unmoved {
    /// What is remembered does not fit the new form: why, in words.
    Unfit(String),
    /// It cannot be read.
    Run(RunError),
}

impl From<RunError> for Unmoved {
    fn from(error: RunError) -> Self {
        Unmoved::Run(error)
    }
}

/// A column of the new layout.
type Placed = (FieldRef, ArrayRef);

/// A step that takes over the state of its old form.
#[derive(Debug)]
pub(super) struct Migration<'a> {
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) old: &'a Form,
    pub(super) new: &'a Form,
    pub(super) moved: &'a Move,
}

fn never_null(what: &str) -> Unmoved {
    Unmoved::Unfit(format!("`{what}` cannot be null any more, but is in what is remembered"))
}

fn lacking(column: &str) -> RunError {
    internal(format!("what a step remembers was stored without the column `{column}`"))
}

fn named<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, RunError> {
    batch.column_by_name(name).ok_or_else(|| lacking(name))
}

/// Values of a type that grows to another one (see [`super::settle`]), as values of that.
pub(crate) fn widened(column: &ArrayRef, to: &A) -> Result<ArrayRef, RunError> {
    Ok(match (column.data_type(), to) {
        (from, to) if from == to => Arc::clone(column),
        (A::Date32, A::Timestamp(unit, Some(zone))) => {
            // Arrow would ask for the rules of the zone.
            let moments = cast(column, &A::Timestamp(*unit, None)).map_err(internal)?;
            let moments = moments.as_primitive_opt::<TimestampMicrosecondType>().cloned();
            Arc::new(moments.ok_or_else(|| internal("a date is no moment"))?.with_timezone(Arc::clone(zone)))
        }
        (A::List(_), A::List(element)) => {
            let list = column.as_list::<i32>();
            let values = widened(list.values(), element.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls).map_err(internal)?)
        }
        (A::Struct(_), A::Struct(fields)) => {
            let parts = column.as_struct();
            let wide = parts.columns().iter().zip(fields).map(|(part, field)| widened(part, field.data_type()));
            let wide = wide.collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), wide, parts.nulls().cloned()).map_err(internal)?)
        }
        (A::Map(..), A::Map(entry, sorted)) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = widened(&entries, entry.data_type())?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(Arc::clone(entry), offsets, entries, nulls, *sorted).map_err(internal)?)
        }
        _ => cast(column, to).map_err(internal)?,
    })
}

/// Columns in the place of others; what the batch says of itself stays.
fn relaid(batch: &RecordBatch, columns: Vec<Placed>) -> Result<RecordBatch, RunError> {
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(ArrowSchema::new_with_metadata(fields, batch.schema().metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(internal)
}

impl Migration<'_> {
    /// All of it.
    pub(super) fn run(&self, stored: &Stored) -> Result<Stored, Unmoved> {
        let segments = stored.segments.iter().map(|segment| self.segment(segment));
        Ok(Stored { notes: stored.notes.clone(), segments: segments.collect::<Result<_, _>>()? })
    }

    fn segment(&self, batch: &RecordBatch) -> Result<RecordBatch, Unmoved> {
        match (self.new.kind, part_of(batch).as_str()) {
            (StepKind::Aggregate, _) => self.groups(batch),
            (StepKind::Dedup, "kept") => self.firsts(batch),
            (StepKind::Dedup, "waiting") | (StepKind::Top, "rows") | (StepKind::Join, "left") => {
                self.rows((0, &self.input(0).fields), 1, batch)
            }
            (StepKind::Join, "right") => self.rows((1, &self.input(1).fields), 1, batch),
            (StepKind::ChangingJoin, part) => {
                let side = usize::from(part == "right");
                self.rows((side, &super::form::unweighted(self.input(side)).fields), 0, batch)
            }
            (StepKind::Upsert, "rows") => {
                let Operator::Upsert(spec) = &self.node.operator else { return Err(internal("no upsert").into()) };
                let (_, fields) = crate::operators::upsert::kept_fields(spec, self.input(0));
                self.rows((0, &fields), 1, batch)
            }
            (StepKind::Unique, _) => {
                let types = |form: &Form| form.keys.iter().map(|key| to_arrow(&key.ty.data)).collect::<Vec<_>>();
                Ok(rekeyed(batch, &types(self.old), &types(self.new), &self.moved.keys)?)
            }
            // Numbers of rows.
            _ => Ok(batch.clone()),
        }
    }

    fn input(&self, place: usize) -> &Schema {
        &self.graph.node(self.node.inputs[place]).schema
    }

    /// Groups of a windowed aggregate: what says which window, then the keys, then what accumulators have.
    fn groups(&self, batch: &RecordBatch) -> Result<RecordBatch, Unmoved> {
        let schema = batch.schema();
        let own = |field: &&FieldRef| !field.name().starts_with("key_") && !field.name().starts_with("value_");
        let mut columns: Vec<Placed> = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .filter(|(field, _)| own(field))
            .map(|(field, column)| (Arc::clone(field), Arc::clone(column)))
            .collect();
        // Names of sessions that are gone.
        if columns.len() == batch.num_columns() {
            return Ok(batch.clone());
        }
        for (place, (key, from)) in self.new.keys.iter().zip(&self.moved.keys).enumerate() {
            let column = widened(named(batch, &format!("key_{from}"))?, &to_arrow(&key.ty.data))?;
            if !key.ty.nullable && column.null_count() > 0 {
                return Err(never_null(&key.name));
            }
            columns.push((Arc::new(Field::new(format!("key_{place}"), column.data_type().clone(), true)), column));
        }
        let Operator::WindowAggregate(spec) = &self.node.operator else { return Err(internal("no windows").into()) };
        for (place, (call, from)) in spec.aggregate.aggregates.iter().zip(&self.moved.calls).enumerate() {
            let types = saved_types(call, self.input(0))?;
            let part = |(part, data): (usize, &A)| widened(named(batch, &format!("value_{from}_{part}"))?, data);
            let parts = types.iter().enumerate().map(part).collect::<Result<Vec<_>, _>>()?;
            let (old, new) = (&self.old.calls[*from], &self.new.calls[place]);
            if old.nullable && !new.nullable && yields_null(call, self.input(0), &parts, batch.num_rows())? {
                return Err(never_null(&new.computes));
            }
            let named = |(part, column): (usize, ArrayRef)| {
                (Arc::new(Field::new(format!("value_{place}_{part}"), column.data_type().clone(), true)), column)
            };
            columns.extend(parts.into_iter().enumerate().map(named));
        }
        Ok(relaid(batch, columns)?)
    }

    /// Keys of `dedup` with their times.
    fn firsts(&self, batch: &RecordBatch) -> Result<RecordBatch, Unmoved> {
        let mut columns: Vec<Placed> = vec![];
        for (place, (key, from)) in self.new.keys.iter().zip(&self.moved.keys).enumerate() {
            let column = widened(named(batch, &format!("key{from}"))?, &to_arrow(&key.ty.data))?;
            columns.push((Arc::new(Field::new(format!("key{place}"), column.data_type().clone(), true)), column));
        }
        let time = named(batch, "time")?;
        columns.push((Arc::new(Field::new("time", A::Int64, false)), Arc::clone(time)));
        Ok(relaid(batch, columns)?)
    }

    /// Kept rows of an input, of these columns, behind so many others (their numbers), and before what else is stored of them.
    fn rows(
        &self,
        (input, fields): (usize, &[flowc_ir::Field]),
        leading: usize,
        batch: &RecordBatch,
    ) -> Result<RecordBatch, Unmoved> {
        let (Some(places), Some(old)) = (self.moved.rows.get(input), self.old.rows.get(input)) else {
            return Err(lacking("#row").into());
        };
        let schema = batch.schema();
        let stays =
            |place: usize| Some((Arc::clone(schema.fields().get(place)?), Arc::clone(batch.columns().get(place)?)));
        let mut columns: Vec<Placed> = (0..leading).filter_map(stays).collect();
        for (field, place) in fields.iter().zip(places) {
            let data = to_arrow(&field.ty.data);
            let column = match place {
                None => new_null_array(&data, batch.num_rows()),
                Some(place) => {
                    let stored = batch.columns().get(place + leading).ok_or_else(|| lacking(&field.name))?;
                    widened(stored, &data)?
                }
            };
            if !field.ty.nullable && column.null_count() > 0 {
                return Err(never_null(&super::form::words(&field.name)));
            }
            columns.push((Arc::new(to_arrow_field(field)), column));
        }
        columns.extend((leading + old.len()..batch.num_columns()).filter_map(stays));
        Ok(relaid(batch, columns)?)
    }
}

/// Whether kept rows that were stored under a form in words have the columns that the step needs: they stand where they stood.
pub(super) fn same_columns(graph: &Graph, node: &Node, stored: &Stored) -> bool {
    let fits = |input: usize, batch: &RecordBatch| {
        let fields = &graph.node(node.inputs[input]).schema.fields;
        let nulls = |(field, column): (&flowc_ir::Field, &ArrayRef)| field.ty.nullable || column.null_count() == 0;
        let types = batch.columns().iter().skip(1).map(|column| column.data_type().clone());
        types.eq(fields.iter().map(|field| to_arrow(&field.ty.data)))
            && fields.iter().zip(batch.columns().iter().skip(1)).all(nulls)
    };
    stored.segments.iter().all(|batch| match part_of(batch).as_str() {
        "waiting" | "rows" | "left" => fits(0, batch),
        "right" => fits(1, batch),
        _ => true,
    })
}
