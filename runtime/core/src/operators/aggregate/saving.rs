//! What accumulators have is saved and loaded, and merged group by group, without a trace in any result.

use super::accumulator::{Accumulator, Pair, Places, Rows};
use super::tests::{call, input};
use super::*;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow;
use flowc_ir::{Field, Type};
use proptest::prelude::*;

/// A text, a number, a double, whether the row is let in; and its group.
type Row = (Option<String>, Option<i64>, f64, Option<bool>, u32);

const GROUPS: usize = 5;

fn types() -> Vec<DataType> {
    use DataType::*;
    let array = Array(Box::new(Type::nullable(Long)));
    vec![
        Integer,
        Long,
        Double,
        Float,
        Decimal { precision: 30, scale: 2 },
        String,
        Date,
        Timestamp,
        Boolean,
        Duration,
        array,
    ]
}

fn schema() -> Schema {
    let mut fields: Vec<Field> =
        types().into_iter().enumerate().map(|(i, t)| Field::new(format!("c{i}"), Type::nullable(t))).collect();
    fields.push(Field::new("f", Type::nullable(DataType::Boolean)));
    Schema::new(fields)
}

/// A column of each type from the same values.
fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let texts: ArrayRef = Arc::new(rows.iter().map(|r| r.0.clone()).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>());
    let doubles: ArrayRef = Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.1.map(|_| r.2))));
    let small: ArrayRef = Arc::new(rows.iter().map(|r| r.1.map(|n| n % 1000)).collect::<Int64Array>());
    let of = |data: &DataType| match (data, to_arrow(data)) {
        (DataType::String, _) => Arc::clone(&texts),
        (DataType::Double | DataType::Float, data) => cast(&doubles, &data).unwrap(),
        (DataType::Array(_), arrow) => {
            let A::List(field) = arrow else { unreachable!() };
            let lengths = rows.iter().map(|r| r.4 as usize % 3);
            let values = Int64Array::from_iter(rows.iter().flat_map(|r| vec![r.1; r.4 as usize % 3]));
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
            Arc::new(arrow::array::ListArray::new(field, offsets, Arc::new(values), numbers.nulls().cloned()))
        }
        (DataType::Date | DataType::Integer, data) => cast(&cast(&small, &A::Int32).unwrap(), &data).unwrap(),
        (DataType::Boolean, data) => cast(&small, &data).unwrap(),
        (DataType::Decimal { .. }, data) => cast(&small, &data).unwrap(),
        (_, data) => cast(&numbers, &data).unwrap(),
    };
    let mut columns: Vec<ArrayRef> = types().iter().map(of).collect();
    columns.push(Arc::new(rows.iter().map(|r| r.3).collect::<BooleanArray>()));
    columns
}

/// Every function over every type that it takes.
fn calls() -> Vec<AggregateCall> {
    let schema = schema();
    let width = types().len();
    let mut calls = vec![];
    for info in flowc_ir::aggregates::ALL {
        let (least, _) = info.function.arity();
        for first in 0..width {
            for second in if least == 2 { 0..width } else { 0..1 } {
                let args: Vec<usize> = [first, second][..least.max(1)].to_vec();
                let of: Vec<Type> = args.iter().map(|a| schema.fields[*a].ty.clone()).collect();
                let Some(ty) = info.function.result_type(&of, false) else { continue };
                let constants = if info.function == F::Percentile { vec![Value::Double(0.3)] } else { vec![] };
                let filter = (first % 2 == 1).then_some(width);
                calls.push(AggregateCall {
                    function: info.function,
                    args,
                    constants,
                    filter,
                    ty,
                    origin: flowc_ir::Origin::default(),
                });
            }
        }
    }
    calls
}

fn update(accumulator: &mut dyn Accumulator, call: &AggregateCall, rows: &[Row], from: usize) {
    let columns = columns(rows);
    let groups: Vec<u32> = rows.iter().map(|r| r.4).collect();
    let args: Vec<ArrayRef> = call.args.iter().map(|a| Arc::clone(&columns[*a])).collect();
    let filter = call.filter.map(|f| columns[f].as_boolean());
    let places = Places::From(from as u128 + (7 << 70));
    accumulator
        .update(&Rows { groups: &groups, filter, args: &args, places: &places, count: GROUPS, weights: None })
        .unwrap();
}

/// The results, down to the bits.
fn results(accumulator: &dyn Accumulator, groups: &[u32]) -> Result<ArrayRef, String> {
    let bits = |array: ArrayRef| match array.data_type() {
        A::Float64 => {
            let bits = array
                .as_primitive::<arrow::datatypes::Float64Type>()
                .unary::<_, arrow::datatypes::Int64Type>(|x| x.to_bits() as i64);
            Arc::new(bits) as ArrayRef
        }
        _ => array,
    };
    accumulator.finish(groups).map(bits).map_err(|e| format!("{e:?}"))
}

fn row() -> impl Strategy<Value = Row> {
    let double = prop_oneof![
        3 => -5.0..5.0,
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, 1e300, -1e300, 1e-300, 0.1]),
    ];
    let text = prop::option::of("[a-c]{0,2}");
    let number = prop::option::of(prop_oneof![5 => -9i64..9, 1 => any::<i64>().prop_map(|n| n / 1000 * 1000)]);
    (text, number, double, prop::option::of(any::<bool>()), 0..GROUPS as u32 - 1)
}

/// What was saved, with every second row of another group between: what is loaded is chosen from what was stored.
fn reloaded(accumulator: &dyn Accumulator, call: &AggregateCall) -> Box<dyn Accumulator> {
    let mut fresh = super::accumulator(call, &schema()).unwrap();
    let all: Vec<u32> = (0..GROUPS as u32).rev().flat_map(|group| [group, GROUPS as u32 + 7]).collect();
    let saved = accumulator.save(&all).unwrap();
    assert_eq!(accumulator.save(&[]).unwrap().len(), saved.len());
    let fields =
        saved.iter().enumerate().map(|(i, c)| arrow::datatypes::Field::new(i.to_string(), c.data_type().clone(), true));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
    let stored = RecordBatch::try_new(schema, saved).unwrap();
    let chosen = UInt32Array::from_iter_values((0..GROUPS as u32).map(|i| 2 * i));
    let chosen = take_record_batch(&stored, &chosen).unwrap();
    let (first, second) = (chosen.slice(0, 2), chosen.slice(2, GROUPS - 2));
    let groups: Vec<u32> = (0..GROUPS as u32).rev().collect();
    fresh.load(first.columns(), &groups[..2], GROUPS).unwrap();
    fresh.load(second.columns(), &groups[2..], GROUPS).unwrap();
    fresh
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn saved_and_merged_in_any_way_results_are_the_same(rows in prop::collection::vec(row(), 1..40), cut in 0..40usize) {
        let cut = cut.min(rows.len());
        let (before, after) = rows.split_at(cut);
        let order: Vec<u32> = vec![3, 0, 4, 2, 1];
        for call in calls() {
            let name = format!("{} of {:?}", call.function.info().name, call.args);
            let new = || super::accumulator(&call, &schema()).unwrap();
            let mut straight = new();
            update(&mut *straight, &call, &rows, 0);
            let wanted = results(&*straight, &order);
            // Saved, loaded, and on.
            let mut first = new();
            update(&mut *first, &call, before, 0);
            let mut on = reloaded(&*first, &call);
            prop_assert_eq!(results(&*on, &order), results(&*first, &order), "{}", &name);
            update(&mut *on, &call, after, cut);
            prop_assert_eq!(&results(&*on, &order), &wanted, "{}", &name);
            // Merged both ways, in two steps and into other groups.
            let mut second = new();
            update(&mut *second, &call, after, cut);
            let moved: Vec<Pair> = (0..GROUPS as u32).map(|group| (group, GROUPS as u32 - 1 - group)).collect();
            for (a, b) in [(&first, &second), (&second, &first)] {
                let mut merged = new();
                merged.merge(&**a, &moved[..2], GROUPS).unwrap();
                merged.merge(&**b, &moved, GROUPS).unwrap();
                merged.merge(&**a, &moved[2..], GROUPS).unwrap();
                let order: Vec<u32> = order.iter().map(|group| GROUPS as u32 - 1 - group).collect();
                let found = results(&*merged, &order);
                if wanted.is_ok() {
                    prop_assert_eq!(&found, &wanted, "{}", &name);
                }
                prop_assert_eq!(found.is_ok(), wanted.is_ok());
            }
            // All into one.
            let mut one = new();
            let into_one: Vec<Pair> = (0..GROUPS as u32).map(|group| (group, 0)).collect();
            one.merge(&*on, &into_one, 1).unwrap();
            let mut together = new();
            let all: Vec<Row> = rows.iter().map(|r| (r.0.clone(), r.1, r.2, r.3, 0)).collect();
            // Arrays depend on the group's number.
            if !call.args.contains(&(types().len() - 1)) {
                update(&mut *together, &call, &all, 0);
                let (a, b) = (results(&*one, &[0]), results(&*together, &[0]));
                prop_assert_eq!(a.ok(), b.ok(), "{}", &name);
            }
        }
    }
}

#[test]
fn what_was_stored_in_another_form_is_refused() {
    let strings: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    for call in calls() {
        let mut accumulator = super::accumulator(&call, &schema()).unwrap();
        if call.args.first() == Some(&5) {
            continue;
        }
        let count = accumulator.save(&[]).unwrap().len();
        let error = accumulator.load(&vec![Arc::clone(&strings); count], &[0], 1).unwrap_err();
        assert!(["R0405", "R0901"].contains(&error.code), "{call:?}: {error}");
    }
    // A sketch of other bytes, and a sum.
    let mut sketch = super::accumulator(&call(F::ApproxCountDistinct, &[2], None), &input()).unwrap();
    let bytes: ArrayRef = Arc::new(arrow::array::BinaryArray::from_iter_values([[9_u8, 1, 2]]));
    assert_eq!(sketch.load(&[bytes], &[0], 1).unwrap_err().code, "R0405");
}
