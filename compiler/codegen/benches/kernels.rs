//! What a row costs: one fused job, compiled, and with Arrow's kernels one by one. Prints nanoseconds per row, the least of several runs: over ten million rows from
//! memory, and over one batch again and again, which stays in the cache. Then what it costs to compile a plan of many expressions.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, TimestampMicrosecondArray};
use arrow::compute::kernels::{boolean, cmp, numeric};
use arrow::compute::{FilterBuilder, cast};
use arrow::datatypes::{DataType as ArrowType, Int64Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use flowc_codegen::Cranelift;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::{Backend, EvalContext};
use flowc_ir::functions::resolve;
use flowc_ir::{
    CastFailure, DataType, Expr, ExprKind, Field, Origin, Output, Program, ProgramStep, Schema, Type, Value,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 10_000_000;

fn make(kind: ExprKind, data: DataType, nullable: bool) -> Expr {
    Expr::new(kind, Type { data, nullable }, Origin::default())
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let resolution = resolve(name, &types).expect("the call fits");
    let widen = |(arg, parameter): (Expr, &Type)| {
        let nullable = arg.ty.nullable;
        let kind = ExprKind::Cast { value: Box::new(arg.clone()), on_failure: CastFailure::Never };
        if arg.ty.data == parameter.data { arg } else { make(kind, parameter.data.clone(), nullable) }
    };
    let args = args.into_iter().zip(&resolution.parameters).map(widen).collect();
    Expr::new(ExprKind::Call { function: resolution.function, args }, resolution.result, Origin::default())
}

fn double(v: f64) -> Expr {
    make(ExprKind::Literal(Value::Double(v)), DataType::Double, false)
}

fn integer(v: i32) -> Expr {
    make(ExprKind::Literal(Value::Integer(v)), DataType::Integer, false)
}

/// `id != 3 and value * 1.8 + 32 > 50 and value between -40 and most`, then Celsius, the minute, and a classification.
fn job(most: f64) -> Program {
    let types = [
        ("id", Type::new(DataType::Integer)),
        ("at", Type::nullable(DataType::Timestamp)),
        ("value", Type::nullable(DataType::Double)),
    ];
    let input = Schema::new(types.iter().map(|(n, t)| Field::new(*n, t.clone())).collect());
    let column = |i: usize| Expr::new(ExprKind::Column(i), types[i].1.clone(), Origin::default());
    let value = || column(2);
    let fahrenheit = call("add", vec![call("multiply", vec![value(), double(1.8)]), double(32.0)]);
    let filter = ExprKind::And(vec![
        call("not_equal", vec![column(0), integer(3)]),
        call("greater", vec![fahrenheit, double(50.0)]),
        call("greater_equal", vec![value(), double(-40.0)]),
        call("less_equal", vec![value(), double(most)]),
    ]);
    let celsius = call(
        "divide",
        vec![call("multiply", vec![call("subtract", vec![value(), double(32.0)]), double(5.0)]), double(9.0)],
    );
    let unit = make(ExprKind::Literal(Value::String("minute".into())), DataType::String, false);
    let minute = call("date_trunc", vec![unit, column(1)]);
    let choose = |condition: Expr, then: Expr, otherwise: Expr| {
        let kind =
            ExprKind::If { condition: Box::new(condition), then: Box::new(then), otherwise: Box::new(otherwise) };
        make(kind, DataType::Integer, false)
    };
    let level = choose(
        call("greater", vec![value(), double(100.0)]),
        integer(2),
        choose(call("greater", vec![value(), double(50.0)]), integer(1), integer(0)),
    );
    let output = |name: &str, value: Expr| Output { field: Field::new(name, value.ty.clone()), value };
    Program {
        input,
        steps: vec![ProgramStep::Filter(make(filter, DataType::Boolean, true))],
        outputs: vec![output("celsius", celsius), output("minute", minute), output("level", level)],
    }
}

fn batches(program: &Program, size: usize) -> Vec<RecordBatch> {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let schema = to_arrow_schema(&program.input);
    let mut batches = vec![];
    for start in (0..ROWS).step_by(size) {
        let rows = size.min(ROWS - start);
        let id: Int32Array = (0..rows).map(|_| Some((random() % 100) as i32)).collect();
        let at: TimestampMicrosecondArray = (0..rows)
            .map(|i| (random() % 100 > 0).then_some(1_700_000_000_000_000 + (start + i) as i64 * 250_000))
            .collect();
        let value: Float64Array =
            (0..rows).map(|_| (random() % 100 > 4).then(|| (random() % 25_000) as f64 / 100.0 - 50.0)).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(id), Arc::new(at.with_timezone("UTC")), Arc::new(value)];
        batches.push(RecordBatch::try_new(schema.clone(), columns).expect("columns of the schema"));
    }
    batches
}

/// The same job with Arrow's kernels.
fn arrow_kernels(batch: &RecordBatch, most: f64) -> Vec<ArrayRef> {
    let scalar = |v: f64| Float64Array::new_scalar(v);
    let (id, at, value) = (batch.column(0), batch.column(1), batch.column(2));
    let both = |a: &BooleanArray, b: &BooleanArray| boolean::and_kleene(a, b).expect("equal lengths");
    let known = "operands of one type";
    let fahrenheit = numeric::add(&numeric::mul(value, &scalar(1.8)).expect(known), &scalar(32.0)).expect(known);
    let mut keep = cmp::neq(id, &Int32Array::new_scalar(3)).expect(known);
    keep = both(&keep, &cmp::gt(&fahrenheit, &scalar(50.0)).expect(known));
    keep = both(&keep, &cmp::gt_eq(value, &scalar(-40.0)).expect(known));
    keep = both(&keep, &cmp::lt_eq(value, &scalar(most)).expect(known));
    let filter = FilterBuilder::new(&keep).optimize().build();
    let (at, value) = (filter.filter(at).expect(known), filter.filter(value).expect(known));
    let celsius = numeric::sub(&value, &scalar(32.0)).expect(known);
    let celsius = numeric::div(&numeric::mul(&celsius, &scalar(5.0)).expect(known), &scalar(9.0)).expect(known);
    let micros = cast(&at, &ArrowType::Int64).expect(known);
    let minute = micros.as_primitive::<Int64Type>().unary::<_, Int64Type>(|v| v - v.rem_euclid(60_000_000));
    let minute = cast(&minute, &ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))).expect(known);
    let hot = cmp::gt(&value, &scalar(100.0)).expect(known);
    let warm = cmp::gt(&value, &scalar(50.0)).expect(known);
    let number = |v| Int32Array::new_scalar(v);
    let level = arrow::compute::kernels::zip::zip(&warm, &number(1), &number(0)).expect(known);
    let level = arrow::compute::kernels::zip::zip(&hot, &number(2), &level).expect(known);
    vec![celsius, minute, level]
}

fn least(mut run: impl FnMut() -> usize) -> (f64, usize) {
    let mut best = f64::INFINITY;
    let mut kept = 0;
    for _ in 0..5 {
        let start = Instant::now();
        kept = run();
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / ROWS as f64);
    }
    (best, kept)
}

/// The least of so many runs over one batch: what else the machine does meanwhile hits few of them.
fn least_batch(batch: &RecordBatch, times: usize, run: impl Fn(&RecordBatch)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        run(batch);
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / batch.num_rows() as f64);
    }
    best
}

fn main() {
    let context = EvalContext::default();
    println!("{:>8} {:>8} {:>12} {:>12} {:>14}", "batch", "kept", "compiled", "arrow", "compiled, cache");
    for most in [125.0, 11.0, 1000.0] {
        let program = job(most);
        let start = Instant::now();
        let kernel = Cranelift.compile(&program).expect("the job compiles");
        let compile = start.elapsed();
        for size in [8 << 10, 64 << 10] {
            let batches = batches(&program, size);
            let (compiled, kept) = least(|| {
                batches.iter().map(|b| black_box(kernel.run(&context, b)).expect("no row fails").num_rows()).sum()
            });
            let (arrow, same) = least(|| batches.iter().map(|b| black_box(arrow_kernels(b, most))[0].len()).sum());
            assert_eq!(kept, same);
            let share = kept as f64 * 100.0 / ROWS as f64;
            let cached = least_batch(&batches[0], 2 * ROWS / size, |b| {
                black_box(kernel.run(&context, b)).expect("no row fails");
            });
            println!("{size:>8} {share:>7.1}% {compiled:>9.2} ns {arrow:>9.2} ns {cached:>11.2} ns");
        }
        println!("compiled in {compile:?}");
    }
    let plan = many(100);
    let start = Instant::now();
    let kernel = Cranelift.compile(&plan).expect("the plan compiles");
    println!("{} expressions compiled in {:?}", kernel.report().parts.len(), start.elapsed());
}

/// So many expressions of a few operations each.
fn many(count: usize) -> Program {
    let Program { input, steps, outputs } = job(125.0);
    let output = |i: usize| {
        let Output { value, .. } = &outputs[0];
        let value = call("add", vec![call("multiply", vec![value.clone(), double(i as f64)]), double(0.5)]);
        Output { field: Field::new(format!("x{i}"), value.ty.clone()), value }
    };
    Program { input, steps, outputs: (0..count).map(output).collect() }
}
