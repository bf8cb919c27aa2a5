//! Twelve thousand generated expressions over generated data: nulls, NaN, infinities, extremes, empty and sliced batches. Compiled and interpreted results
//! are compared bit for bit, failures by row, code and place. A failing seed is printed; `FLOWC_SEED=<seed>` runs it alone, and
//! `FLOWC_EXPRESSIONS=<count>` runs more of them.

use super::{Outcome, compare};
use crate::plan::Plan;
use arrow::array::Array;
use flowc_ir::eval::FailureCode;
use flowc_ir::testgen::{Generator, Options};
use flowc_ir::{DataType, Expr, ExprKind, Field, Output, Program, ProgramStep, Type};
use std::collections::BTreeSet;

const EXPRESSIONS: usize = 12_000;

#[derive(Debug, Default)]
struct Counts {
    programs: usize,
    expressions: usize,
    /// Computed by machine code, but for operands of other types.
    compiled: usize,
    rows: usize,
    nulls: usize,
    failures: usize,
    overflows: usize,
    divisions: usize,
    casts: usize,
    /// Programs that differ.
    differences: usize,
}

/// A column of each type, half of them nullable; those that a program does not read are taken out of it.
fn columns(generator: &mut Generator, fixed_width: bool) -> Vec<Type> {
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    let mut types = vec![
        DataType::Boolean,
        DataType::Byte,
        DataType::Short,
        DataType::Integer,
        DataType::Long,
        DataType::Float,
        DataType::Double,
        decimal(10, 2),
        decimal(5, 0),
        decimal(38, 18),
        decimal(20, 6),
        DataType::Date,
        DataType::Timestamp,
        DataType::TimestampNtz,
        DataType::Duration,
    ];
    if !fixed_width {
        types.extend([
            DataType::String,
            DataType::String,
            DataType::Array(Box::new(Type::nullable(DataType::Integer))),
        ]);
    }
    types.into_iter().map(|data| Type { data, nullable: generator.once_in(2) }).collect()
}

/// The case of a seed: mostly types of fixed width, mostly one expression, as a failing one hides the others.
fn case(seed: u64) -> (Generator, Program) {
    let fixed_width = !seed.is_multiple_of(5);
    let mut generator = Generator::new(seed, Options { fixed_width, depth: 2 + (seed % 4) as usize, rows: 150 });
    let mut slots = columns(&mut generator, fixed_width);
    let mut program = Program { input: super::build::schema(&slots), ..Program::default() };
    for _ in 0..generator.below(4) {
        program.steps.push(match generator.below(8) {
            0..4 => {
                let data = generator.data_type();
                let value = generator.expression(&slots, &data);
                slots.push(value.ty.clone());
                ProgramStep::Let(value)
            }
            4..7 => ProgramStep::Filter(generator.expression(&slots, &DataType::Boolean)),
            _ => {
                let condition = generator.expression(&slots, &DataType::Boolean);
                ProgramStep::Assert { condition, what: "constraint `generated`".to_string() }
            }
        });
    }
    for i in 0..1 + generator.below(3) {
        // Booleans more often: in logic the most can be lost.
        let data = if generator.once_in(3) { DataType::Boolean } else { generator.data_type() };
        let value = generator.expression(&slots, &data);
        program.outputs.push(Output { field: Field::new(format!("o{i}"), value.ty.clone()), value });
    }
    keep_columns_read(&mut program);
    (generator, program)
}

fn each_expression(program: &mut Program, mut f: impl FnMut(&mut Expr)) {
    for step in &mut program.steps {
        match step {
            ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => f(e),
        }
    }
    program.outputs.iter_mut().for_each(|o| f(&mut o.value));
}

fn keep_columns_read(program: &mut Program) {
    let inputs = program.input.len();
    let mut read = BTreeSet::new();
    each_expression(program, |e| {
        e.walk(&mut |e| {
            if let ExprKind::Column(slot) = e.kind {
                read.insert(slot);
            }
        });
    });
    read.retain(|slot| *slot < inputs);
    each_expression(program, |e| {
        e.walk_mut(&mut |e| {
            if let ExprKind::Column(slot) = &mut e.kind {
                let before = read.range(..*slot).count();
                *slot = if *slot < inputs { before } else { *slot - inputs + read.len() };
            }
        });
    });
    let fields = std::mem::take(&mut program.input.fields);
    program.input.fields = fields.into_iter().enumerate().filter(|(i, _)| read.contains(i)).map(|(_, f)| f).collect();
}

fn run(seed: u64, counts: &mut Counts) {
    let (mut generator, program) = case(seed);
    let mut batch = generator.batch(&program.input);
    let context = generator.context();
    counts.programs += 1;
    counts.expressions += program.steps.len() + program.outputs.len();
    counts.compiled += Plan::of(&program).report.iter().filter(|(_, how)| *how == "jit").count();
    // Behind a row that fails the others are tried again, so that they are compared too.
    for _ in 0..4 {
        match compare(&program, &batch, &context) {
            Ok(Outcome::Rows(rows)) => {
                counts.rows += rows.num_rows();
                counts.nulls += rows.columns().iter().map(|c| c.null_count()).sum::<usize>();
                return;
            }
            Ok(Outcome::Failed(failure)) => {
                counts.failures += 1;
                match failure.failure.code {
                    FailureCode::Overflow => counts.overflows += 1,
                    FailureCode::DivisionByZero => counts.divisions += 1,
                    FailureCode::Cast => counts.casts += 1,
                    _ => {}
                }
                let from = failure.row + 1;
                batch = batch.slice(from, batch.num_rows() - from);
            }
            Err(difference) => {
                println!("FLOWC_SEED={seed}: {difference}");
                counts.differences += 1;
                return;
            }
        }
    }
}

#[test]
fn compiled_programs_equal_interpreted_ones() {
    let mut counts = Counts::default();
    if let Some(seed) = std::env::var("FLOWC_SEED").ok().and_then(|s| s.parse().ok()) {
        let (_, program) = case(seed);

        println!(
            "{}\n{}",
            serde_json::to_string(&program).unwrap_or_default(),
            crate::clif(&program).unwrap_or_default()
        );
        run(seed, &mut counts);
        assert_eq!(counts.differences, 0);
        return;
    }
    let expressions = std::env::var("FLOWC_EXPRESSIONS").ok().and_then(|s| s.parse().ok()).unwrap_or(EXPRESSIONS);
    let mut seed = 0;
    while counts.expressions < expressions {
        run(seed, &mut counts);
        seed += 1;
    }
    println!("{counts:?}");
    assert_eq!(counts.differences, 0, "the seeds are printed above");
    assert!(counts.compiled * 2 > counts.expressions, "most expressions become machine code: {counts:?}");
    for count in [counts.rows, counts.nulls, counts.failures, counts.overflows, counts.divisions, counts.casts] {
        assert!(count > 300, "too little was exercised: {counts:?}");
    }
}
