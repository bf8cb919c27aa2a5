//! Generates well-typed programs and data to run them on, for the tests that compare backends: the same seed gives the same. It must not know of any
//! backend.
//!
//! ```ignore
//! let mut generator = Generator::new(seed, Options::default());
//! let program = generator.program();
//! let batch = generator.batch(&program.input);
//! ```

pub(crate) mod expressions;
mod values;

use crate::arrow_types::to_arrow_schema;
use crate::arrow_values::build_array;
use crate::eval::EvalContext;
use crate::expr::{Expr, Origin, Output, Program, ProgramStep};
use crate::types::{DataType, Field, Schema, Type};
use crate::value::Value;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// What to generate.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only types of a fixed width, and functions over them alone.
    pub fixed_width: bool,
    /// How deep expressions are nested.
    pub depth: usize,
    /// The most rows of a batch.
    pub rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { fixed_width: false, depth: 4, rows: 70 }
    }
}

/// A source of programs and data.
#[derive(Debug, Clone)]
pub struct Generator {
    state: u64,
    options: Options,
    /// Avoids extremes, so that whole batches get through.
    tame: bool,
    next_origin: u32,
    next_local: u32,
}

impl Generator {
    /// A generator that gives the same for the same seed.
    pub fn new(seed: u64, options: Options) -> Self {
        Generator { state: seed, options, tame: seed.is_multiple_of(2), next_origin: 0, next_local: 0 }
    }

    /// A random number (SplitMix64).
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `count - 1`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.random() % count.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// The constants of an epoch.
    pub fn context(&mut self) -> EvalContext {
        EvalContext { now: 1_700_000_000_123_456 + self.below(1_000_000) as i64, epoch: self.below(100) as u64 }
    }

    /// A type.
    pub fn data_type(&mut self) -> DataType {
        let palette = expressions::palette(self.options.fixed_width);
        self.pick(palette).clone()
    }

    /// Some columns.
    pub fn schema(&mut self) -> Schema {
        let count = 1 + self.below(6);
        let field = |i| {
            let data = self.data_type();
            Field::new(format!("c{i}"), Type { data, nullable: !self.once_in(3) })
        };
        Schema::new((0..count).map(field).collect())
    }

    /// A program with an input of its own.
    pub fn program(&mut self) -> Program {
        let input = self.schema();
        let mut slots: Vec<Type> = input.fields.iter().map(|f| f.ty.clone()).collect();
        let mut steps = vec![];
        for _ in 0..self.below(4) {
            let step = match self.below(8) {
                0..4 => {
                    let data = self.data_type();
                    let value = self.expression(&slots, &data);
                    slots.push(value.ty.clone());
                    ProgramStep::Let(value)
                }
                4..7 => ProgramStep::Filter(self.expression(&slots, &DataType::Boolean)),
                _ => {
                    let condition = self.expression(&slots, &DataType::Boolean);
                    ProgramStep::Assert { condition, what: "constraint `generated`".to_string() }
                }
            };
            steps.push(step);
        }
        let output = |i| {
            let data = self.data_type();
            let value = self.expression(&slots, &data);
            Output { field: Field::new(format!("o{i}"), value.ty.clone()), value }
        };
        let outputs = (0..3).map(output).collect();
        Program { input, steps, outputs }
    }

    /// A program that computes one expression and lets every row through.
    pub fn single(&mut self) -> Program {
        let mut program = Program { input: self.schema(), ..Program::default() };
        let slots: Vec<Type> = program.input.fields.iter().map(|f| f.ty.clone()).collect();
        let data = self.data_type();
        let value = self.expression(&slots, &data);
        program.outputs = vec![Output { field: Field::new("o0", value.ty.clone()), value }];
        program
    }

    /// An expression of this type over columns of those types.
    pub fn expression(&mut self, columns: &[Type], data: &DataType) -> Expr {
        self.next_local = 0;
        let depth = 1 + self.below(self.options.depth);
        expressions::expression(self, columns, data, depth)
    }

    /// A batch of these columns: empty at times, and at times a slice of a larger one.
    pub fn batch(&mut self, schema: &Schema) -> RecordBatch {
        let rows = match self.below(8) {
            0 => 0,
            1 => 1,
            2 => 64.min(self.options.rows),
            _ => self.below(self.options.rows + 1),
        };
        let (before, after) = if self.once_in(2) { (self.below(70), self.below(5)) } else { (0, 0) };
        let column = |field: &Field| {
            let values: Vec<Value> = (0..before + rows + after).map(|_| self.value(&field.ty)).collect();
            build_array(&field.ty.data, &values)
        };
        let columns = schema.fields.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(before + rows + after));
        let batch = RecordBatch::try_new_with_options(to_arrow_schema(schema), columns, &options)
            .expect("values are generated after their types");
        batch.slice(before, rows)
    }

    /// A value of this type, null at times where it may be.
    pub fn value(&mut self, ty: &Type) -> Value {
        if ty.nullable && self.once_in(5) {
            return Value::Null;
        }
        values::value(self, &ty.data)
    }

    fn origin(&mut self) -> Origin {
        self.next_origin += 1;
        Origin { file: 0, start: self.next_origin, end: self.next_origin + 1 }
    }
}
