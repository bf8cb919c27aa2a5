//! Ten thousand generated expressions over generated data: nulls, NaN, infinities, extremes, empty and sliced batches. Compiled and interpreted results
//! are compared bit for bit, failures by row, code and place. A failing seed is printed; `FLOWC_SEED=<seed>` runs it alone.

use super::{Outcome, compare};
use crate::plan::Plan;
use arrow::array::Array;
use flowc_ir::Program;
use flowc_ir::eval::FailureCode;
use flowc_ir::testgen::{Generator, Options};

const EXPRESSIONS: usize = 10_000;

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
}

/// The case of a seed: mostly types of fixed width, mostly one expression, as a failing one hides the others.
fn case(seed: u64) -> (Generator, Program) {
    let options = Options { fixed_width: !seed.is_multiple_of(4), depth: 1 + (seed % 4) as usize, rows: 150 };
    let mut generator = Generator::new(seed, options);
    let program = if seed.is_multiple_of(3) { generator.program() } else { generator.single() };
    (generator, program)
}

fn run(seed: u64, counts: &mut Counts) {
    let (mut generator, program) = case(seed);
    let batch = generator.batch(&program.input);
    let context = generator.context();
    counts.programs += 1;
    counts.expressions += program.steps.len() + program.outputs.len();
    counts.compiled += Plan::of(&program).report.iter().filter(|(_, how)| *how == "jit").count();
    match compare(&program, &batch, &context) {
        Ok(Outcome::Rows(rows)) => {
            counts.rows += rows.num_rows();
            counts.nulls += rows.columns().iter().map(|c| c.null_count()).sum::<usize>();
        }
        Ok(Outcome::Failed(failure)) => {
            counts.failures += 1;
            match failure.failure.code {
                FailureCode::Overflow => counts.overflows += 1,
                FailureCode::DivisionByZero => counts.divisions += 1,
                FailureCode::Cast => counts.casts += 1,
                _ => {}
            }
        }
        Err(difference) if std::env::var("SURVEY").is_ok() => println!("FLOWC_SEED={seed}: {difference}"),
        Err(difference) => panic!("FLOWC_SEED={seed}: {difference}\n{}", shown(&program)),
    }
}

fn shown(program: &Program) -> String {
    serde_json::to_string(program).unwrap_or_default()
}

#[test]
fn compiled_programs_equal_interpreted_ones() {
    let mut counts = Counts::default();
    if let Some(seed) = std::env::var("FLOWC_SEED").ok().and_then(|s| s.parse().ok()) {
        let (_, program) = case(seed);

        println!("{}", crate::clif(&program).unwrap_or_default());
        run(seed, &mut counts);
        println!("{counts:?}");
        return;
    }
    let mut seed = 0;
    while counts.expressions < EXPRESSIONS {
        run(seed, &mut counts);
        seed += 1;
    }
    println!("{counts:?}");
    assert!(counts.compiled * 5 > counts.expressions * 2, "most expressions become machine code: {counts:?}");
    for count in [counts.rows, counts.nulls, counts.failures, counts.overflows, counts.divisions, counts.casts] {
        assert!(count > 50, "too little was exercised: {counts:?}");
    }
}
