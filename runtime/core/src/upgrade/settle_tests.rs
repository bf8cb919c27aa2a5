//! What a step can do with the state of another form of it, rule by rule.

use super::*;
use crate::upgrade::widened;
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float32Array, Int32Array};
use arrow::array::{ListArray, MapArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Int64Type, TimestampMicrosecondType};
use flowc_ir::Field;
use flowc_ir::arrow_types::to_arrow;
use proptest::prelude::*;
use std::sync::Arc;

fn column(name: &str, ty: Type) -> Column {
    Column { name: name.into(), ty }
}

fn long() -> Type {
    Type::new(DataType::Long)
}

fn text() -> Type {
    Type::nullable(DataType::String)
}

fn call(computes: &str, operands: &[Type], nullable: bool) -> Call {
    Call { computes: computes.into(), operands: operands.to_vec(), nullable }
}

fn windows(keys: &[Column], calls: &[Call]) -> Form {
    let (does, keys, calls) = ("tumble(1m) over at".into(), keys.to_vec(), calls.to_vec());
    Form { kind: StepKind::Aggregate, does, keys, calls, rows: vec![] }
}

fn join(left: &[Column], right: &[Column]) -> Form {
    let keys = vec![column("k == k", long())];
    let rows = vec![left.to_vec(), right.to_vec()];
    Form { kind: StepKind::Join, does: "inner join within 5s of at and at".into(), keys, calls: vec![], rows }
}

fn moved(old: &Form, new: &Form) -> Move {
    match settle(old, new) {
        Verdict::Taken(moved) => moved,
        Verdict::Other(why) => panic!("{why}"),
    }
}

fn why(old: &Form, new: &Form) -> String {
    match settle(old, new) {
        Verdict::Taken(moved) => panic!("{moved:?}"),
        Verdict::Other(why) => why,
    }
}

#[test]
fn aggregates_are_found_by_what_they_compute() {
    let integer = Type::new(DataType::Integer);
    let (count, sum) = (call("count()", &[], false), call("sum(v)", std::slice::from_ref(&integer), true));
    let keys = [column("a", long()), column("b", text())];
    let old = windows(&keys, &[count.clone(), sum.clone()]);
    let other_order = windows(&[keys[1].clone(), keys[0].clone()], &[sum.clone(), count.clone()]);
    let found = moved(&old, &other_order);
    assert_eq!((found.keys, found.calls, found.changes.len()), (vec![1, 0], vec![1, 0], 0));
    let less = windows(&keys, std::slice::from_ref(&sum));
    assert_eq!(moved(&old, &less).changes, ["- `count()`"]);
    assert_eq!(why(&less, &old), "`count()` was not computed of the rows before");
    let wider = windows(&keys, &[count, call("sum(v)", &[long()], true)]);
    assert_eq!(moved(&old, &wider).changes, ["`sum(v)` from integer to long"]);
    assert_eq!(why(&wider, &old), "`sum(v)` was long, and is integer now");
    // What is remembered of a group may be null.
    let never_null = windows(&keys, &[call("sum(v)", &[integer], false)]);
    assert!(moved(&old, &never_null).loses_null);
    assert!(!moved(&never_null, &less).loses_null);
}

#[test]
fn a_sketch_is_of_values_of_one_type() {
    let of = |data| windows(&[], &[call("approx_count_distinct(v)", &[Type::new(data)], false)]);
    assert!(why(&of(DataType::Integer), &of(DataType::Long)).contains("counts values of another type"));
}

#[test]
fn keys_are_found_by_what_they_are() {
    let old = windows(&[column("a", long()), column("b * 2", text())], &[]);
    assert_eq!(why(&old, &windows(&[column("a", long())], &[])), "`b * 2` is no key any more");
    let more = windows(&[column("b * 2", text()), column("a", long()), column("c", long())], &[]);
    assert_eq!(why(&old, &more), "`c` is a further key");
    assert_eq!(
        why(&windows(&[column("a", text())], &[]), &windows(&[column("a", long())], &[])),
        "`a` was string, and is long now"
    );
    // A null key comes out of a window; of `dedup` it does not.
    let nullable = windows(&[column("a", long().with_nullable(true))], &[]);
    let not = windows(&[column("a", long())], &[]);
    assert!(moved(&nullable, &not).loses_null && !moved(&not, &nullable).loses_null);
    let dedup = |form: &Form| Form { kind: StepKind::Dedup, ..form.clone() };
    assert!(!moved(&dedup(&nullable), &dedup(&not)).loses_null);
}

#[test]
fn what_a_step_does_must_not_change() {
    let (old, rows) = (windows(&[], &[]), [column("k", long())]);
    assert_eq!(
        why(&old, &Form { does: "hop(1m, 1s) over at".into(), ..old.clone() }),
        "it was `tumble(1m) over at`, and is `hop(1m, 1s) over at` now"
    );
    assert!(why(&old, &Form { kind: StepKind::Dedup, ..old.clone() }).starts_with("it was `tumble(1m) over at`"));
    assert_eq!(why(&join(&rows, &rows), &Form { rows: vec![], ..join(&rows, &rows) }), "it keeps other rows");
}

#[test]
fn columns_of_kept_rows_come_and_go() {
    let (k, s, n) = (column("k", long()), column("s", text()), column("n", long()));
    let old = join(&[k.clone(), s.clone()], std::slice::from_ref(&k));
    let found = moved(&old, &join(&[s.clone(), k.clone()], std::slice::from_ref(&k)));
    assert_eq!((found.rows, found.changes.len()), (vec![vec![Some(1), Some(0)], vec![Some(0)]], 0));
    let less = moved(&old, &join(std::slice::from_ref(&k), std::slice::from_ref(&k)));
    assert_eq!((less.rows[0].clone(), less.changes), (vec![Some(0)], vec!["- left column `s`".to_string()]));
    let more = moved(&old, &join(&[k.clone(), s.clone()], &[k.clone(), s.clone()]));
    assert_eq!(more.rows[1], [Some(0), None]);
    assert_eq!(more.changes, ["+ right column `s` (null for what was remembered)"]);
    assert_eq!(
        why(&old, &join(&[k.clone(), s, n], std::slice::from_ref(&k))),
        "the left column `n` is new, and cannot be null"
    );
    // Under another name it would be lost.
    let renamed = join(&[k.clone(), column("place", text())], std::slice::from_ref(&k));
    assert!(why(&old, &renamed).contains("`place` came as `s` went"), "{}", why(&old, &renamed));
    let other_type = join(&[k.clone(), column("place", Type::nullable(DataType::Date))], std::slice::from_ref(&k));
    assert_eq!(moved(&old, &other_type).changes.len(), 2);
}

#[test]
fn a_column_computed_for_the_step_is_never_made_up() {
    let (k, rest) = (column("k", Type::new(DataType::Integer)), [column("k", long())]);
    let old = join(std::slice::from_ref(&k), &rest);
    let computed = join(&[k.clone(), column("#k + 1", Type::nullable(DataType::Long))], &rest);
    assert_eq!(why(&old, &computed), "left `k + 1` was not computed of the rows before");
    // One that was only widened for the step is where the column itself is, and the other way round; nobody is told.
    let widened = join(&[k.clone(), column("#k", long())], &rest);
    assert_eq!(moved(&old, &widened).rows[0], [Some(0), Some(0)]);
    assert_eq!(moved(&widened, &old).rows[0], [Some(0)]);
    assert!(moved(&widened, &old).changes.is_empty());
}

#[test]
fn types_grow_as_long_as_different_values_stay_different() {
    use DataType::*;
    let decimal = |precision, scale| Decimal { precision, scale };
    let array = |data, nullable| Array(Box::new(Type { data, nullable }));
    let fields = |data, comment: Option<&str>| {
        Struct(vec![Field { comment: comment.map(str::to_string), ..Field::new("a", Type::new(data)) }])
    };
    for (from, to) in [
        (Byte, Short),
        (Byte, Long),
        (Integer, Long),
        (Float, Double),
        (Date, Timestamp),
        (decimal(8, 2), decimal(12, 2)),
        (array(Integer, false), array(Long, true)),
        (Map(Box::new(Byte), Box::new(Type::new(Float))), Map(Box::new(Long), Box::new(Type::nullable(Double)))),
        (fields(Integer, None), fields(Long, Some("why"))),
    ] {
        assert!(grows(&from, &to), "{from} {to}");
        assert!(!grows(&to, &from), "{to} {from}");
    }
    for (from, to) in [
        (Long, Double),
        (Integer, Double),
        (Long, decimal(20, 0)),
        (decimal(8, 2), decimal(12, 4)),
        (Integer, String),
        (array(Integer, true), array(Long, false)),
    ] {
        assert!(!grows(&from, &to), "{from} {to}");
    }
}

proptest! {
    /// A widened value is the same value: narrowed, it is what it was, to the last bit.
    #[test]
    fn nothing_is_lost_where_a_type_grows(values in prop::collection::vec(prop::option::of(any::<i32>()), 1..20)) {
        let integers: ArrayRef = Arc::new(Int32Array::from(values.clone()));
        let float = |bits: i32| Some(f32::from_bits(bits as u32)).filter(|x| !x.is_nan()).unwrap_or(f32::NAN);
        let floats = values.iter().map(|v| v.map(float));
        let floats: ArrayRef = Arc::new(floats.collect::<Float32Array>());
        let decimals = values.iter().map(|v| v.map(i128::from)).collect::<Decimal128Array>();
        let decimals: ArrayRef = Arc::new(decimals.with_precision_and_scale(10, 2).unwrap());
        let decimal = DataType::Decimal { precision: 30, scale: 2 };
        for (values, to) in [(integers, DataType::Long), (floats, DataType::Double), (decimals, decimal)] {
            let wide = widened(&values, &to_arrow(&to)).unwrap();
            let back = cast(&wide, values.data_type()).unwrap();
            let (found, wanted) = (back.to_data(), values.to_data());
            prop_assert_eq!(found.buffers()[0].as_slice(), wanted.buffers()[0].as_slice());
            prop_assert!((0..values.len()).all(|row| back.is_null(row) == values.is_null(row)));
        }
        let dates: Date32Array = values.iter().map(|v| v.map(|v| v % 4_000_000)).collect();
        let moments = widened(&(Arc::new(dates.clone()) as ArrayRef), &to_arrow(&DataType::Timestamp)).unwrap();
        let days = moments.as_primitive::<TimestampMicrosecondType>().iter();
        let days = days.map(|moment| moment.map(|moment| (moment / 86_400_000_000) as i32)).collect::<Date32Array>();
        prop_assert_eq!(days, dates);
    }
}

#[test]
fn values_in_values_are_widened() {
    use DataType::*;
    let of = |date: DataType, number: DataType| {
        let pair = vec![Field::new("d", Type::nullable(date.clone())), Field::new("n", Type::new(number.clone()))];
        Array(Box::new(Type::nullable(Map(Box::new(number), Box::new(Type::nullable(Struct(pair)))))))
    };
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(1), None, Some(-1)]));
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let A::List(element) = to_arrow(&of(Date, Integer)) else { panic!() };
    let A::Map(entry, _) = element.data_type().clone() else { panic!() };
    let A::Struct(parts) = entry.data_type().clone() else { panic!() };
    let A::Struct(pair) = parts[1].data_type().clone() else { panic!() };
    let pairs = StructArray::new(pair, vec![dates, Arc::clone(&numbers)], None);
    let entries = StructArray::new(parts, vec![numbers, Arc::new(pairs)], None);
    let maps = MapArray::new(entry, OffsetBuffer::from_lengths([2, 0, 1]), entries, None, false);
    let list: ArrayRef = Arc::new(ListArray::new(element, OffsetBuffer::from_lengths([2, 1]), Arc::new(maps), None));
    let wide = of(Timestamp, Long);
    assert!(grows(&of(Date, Integer), &wide));
    let widened = widened(&list, &to_arrow(&wide)).unwrap();
    assert_eq!(widened.data_type(), &to_arrow(&wide));
    let maps = widened.as_list::<i32>().values().as_map().clone();
    let (keys, pairs) = (maps.keys().as_primitive::<Int64Type>(), maps.values().as_struct());
    assert_eq!(keys.values().to_vec(), [1, 2, 3]);
    let moments = pairs.column(0).as_primitive::<TimestampMicrosecondType>();
    let day = 86_400_000_000;
    assert_eq!(moments.iter().collect::<Vec<_>>(), [Some(day), None, Some(-day)]);
    assert_eq!(maps.value_offsets().to_vec(), [0, 2, 2, 3]);
}

#[test]
fn rows_that_change_are_found_again_by_all_of_their_columns() {
    let changing = |left: &[Column], right: &[Column]| Form {
        kind: StepKind::ChangingJoin,
        does: "left join of rows that change".into(),
        ..join(left, right)
    };
    let (k, v) = (column("k", long()), column("v", Type::new(DataType::Integer)));
    let old = changing(&[k.clone(), v.clone()], std::slice::from_ref(&k));
    let wider = column("v", long());
    let found = moved(&old, &changing(&[wider, k.clone()], std::slice::from_ref(&k)));
    assert_eq!((found.rows, found.changes.len()), (vec![vec![Some(1), Some(0)], vec![Some(0)]], 1));
    assert_eq!(
        why(&old, &changing(std::slice::from_ref(&k), std::slice::from_ref(&k))),
        "the left column `v` is gone, and rows that change are told apart by all of their columns"
    );
    let more = changing(&[k.clone(), v.clone()], &[k.clone(), column("w", text())]);
    assert!(why(&old, &more).starts_with("the right column `w` is new, and"));
    // A join in event time keeps other things.
    let k = std::slice::from_ref(&k);
    assert!(why(&join(k, k), &changing(k, k)).starts_with("it was `inner join"));
}

#[test]
fn the_newest_records_may_get_further_columns() {
    let upsert = |columns: &[Column]| {
        let (keys, rows) = (vec![column("k", long())], vec![columns.to_vec()]);
        Form { kind: StepKind::Upsert, does: "upsert in the order of seq".into(), keys, calls: vec![], rows }
    };
    let (k, seq) = (column("k", long()), column("seq", long()));
    let old = upsert(&[k.clone(), column("v", long()), seq.clone()]);
    let found = moved(&old, &upsert(&[k.clone(), column("w", text()), seq.clone()]));
    assert_eq!(found.rows, [[Some(0), None, Some(2)]]);
    assert_eq!(found.changes, ["+ column `w` (null for what was remembered)", "- column `v`"]);
    let other = Form { does: "upsert in the order they come in".into(), ..upsert(&[k, seq]) };
    assert!(why(&old, &other).contains("upsert in the order they come in"));
}
