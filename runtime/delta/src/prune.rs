//! Whether a file, or a part of one, can hold a row for which a predicate is true: an interpretation of expressions over what is known of each
//! column. Sound: when in doubt, yes. It also says yes where a row could fail, so that skipping never hides a failure. Knows expressions;
//! nothing of Delta.

use flowc_ir::expr::{CastFailure, Expr, ExprKind, LocalId, Program, ProgramStep};
use flowc_ir::{DataType, Type, Value};

/// What is known of the values of a column. Floats: NaN is the greatest, so a bound that ignores NaN is no upper bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// No value is less.
    pub min: Option<Value>,
    /// No value is greater.
    pub max: Option<Value>,
    /// Whether a row may be null.
    pub nulls: bool,
    /// Whether a row may be other than null.
    pub values: bool,
}

impl Range {
    /// Nothing is known but the type.
    pub fn unknown(ty: &Type) -> Range {
        Range { min: None, max: None, nulls: ty.nullable, values: true }
    }

    /// All rows have this value.
    pub fn constant(value: Value) -> Range {
        let null = value.is_null();
        let bound = (!null).then_some(value);
        Range { min: bound.clone(), max: bound, nulls: null, values: !null }
    }
}

/// What is known of the columns, by position and positions of fields inside.
pub trait Facts {
    /// What is known of this column; none: nothing.
    fn range(&self, path: &[usize], ty: &Type) -> Option<Range>;
}

/// Facts about columns that a predicate counts in another way; of some of its columns nothing is known.
pub struct Renumbered<'a> {
    /// What is known.
    pub facts: &'a dyn Facts,
    /// The position among the facts' columns of each of the predicate's.
    pub places: &'a [Option<usize>],
}

impl Facts for Renumbered<'_> {
    fn range(&self, path: &[usize], ty: &Type) -> Option<Range> {
        let (first, inner) = path.split_first()?;
        let place = self.places.get(*first).copied().flatten()?;
        self.facts.range(&[&[place], inner].concat(), ty)
    }
}

/// What a condition may be for the rows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    truth: bool,
    falsity: bool,
    null: bool,
    failure: bool,
}

impl Outcome {
    fn unknown(expr: &Expr) -> Outcome {
        Outcome { truth: true, falsity: true, null: expr.ty.nullable, failure: may_fail(expr) }
    }
}

type Scope<'a> = Vec<(LocalId, &'a Expr)>;

/// Whether a row may exist for which the program's boolean output is true, or fails.
pub fn may_match(program: &Program, facts: &dyn Facts) -> bool {
    let mut scope = vec![];
    for step in &program.steps {
        match step {
            ProgramStep::Let(expr) if !may_fail(expr) => {}
            ProgramStep::Filter(expr) => {
                let outcome = judge(expr, facts, &mut scope, program.input.len());
                if outcome.failure {
                    return true;
                }
                if !outcome.truth {
                    return false;
                }
            }
            ProgramStep::Let(_) | ProgramStep::Assert { .. } => return true,
        }
    }
    let Some(output) = program.outputs.first() else { return true };
    let outcome = judge(&output.value, facts, &mut scope, program.input.len());
    outcome.truth || outcome.failure
}

/// Whether evaluating it can fail for some row.
fn may_fail(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Try(_) => false,
        ExprKind::Call { function, args } => function.fails || args.iter().any(may_fail),
        ExprKind::Cast { value, on_failure } => *on_failure == CastFailure::Error || may_fail(value),
        _ => expr.children().into_iter().any(may_fail),
    }
}

fn judge<'a>(expr: &'a Expr, facts: &dyn Facts, scope: &mut Scope<'a>, inputs: usize) -> Outcome {
    match &expr.kind {
        ExprKind::And(parts) => connect(parts, facts, scope, inputs, true),
        ExprKind::Or(parts) => connect(parts, facts, scope, inputs, false),
        ExprKind::Not(inner) => {
            let inner = judge(inner, facts, scope, inputs);
            Outcome { truth: inner.falsity, falsity: inner.truth, ..inner }
        }
        ExprKind::Let { local, value, body } => {
            let fails = may_fail(value);
            scope.push((*local, value));
            let body = judge(body, facts, scope, inputs);
            scope.pop();
            Outcome { failure: body.failure || fails, ..body }
        }
        ExprKind::IsNull(inner) => {
            let range = range_of(inner, facts, scope, inputs);
            Outcome { truth: range.nulls, falsity: range.values, null: false, failure: may_fail(inner) }
        }
        ExprKind::InList { value, list } => {
            let range = range_of(value, facts, scope, inputs);
            let hit = |v: &Value| !v.is_null() && within(&range, v);
            Outcome {
                truth: range.values && list.iter().any(hit),
                falsity: range.values,
                null: range.nulls || list.iter().any(Value::is_null),
                failure: may_fail(value),
            }
        }
        ExprKind::Call { function, args } if args.len() == 2 => {
            let (a, b) = (range_of(&args[0], facts, scope, inputs), range_of(&args[1], facts, scope, inputs));
            compare(function.name, &a, &b, args.iter().any(may_fail)).unwrap_or_else(|| Outcome::unknown(expr))
        }
        ExprKind::Column(_) | ExprKind::Field { .. } | ExprKind::Literal(_) | ExprKind::Local(_) => {
            let range = range_of(expr, facts, scope, inputs);
            let truth = Value::Boolean(true);
            let falsity = Value::Boolean(false);
            Outcome {
                truth: range.values && within(&range, &truth),
                falsity: range.values && within(&range, &falsity),
                null: range.nulls,
                failure: false,
            }
        }
        _ => Outcome::unknown(expr),
    }
}

/// `and` (or `or`) from left to right: what stands behind a part that is never true (false) is not evaluated.
fn connect<'a>(parts: &'a [Expr], facts: &dyn Facts, scope: &mut Scope<'a>, inputs: usize, and: bool) -> Outcome {
    let mut all = Outcome { truth: and, falsity: !and, null: false, failure: false };
    for part in parts {
        let one = judge(part, facts, scope, inputs);
        all.failure |= one.failure;
        all.null |= one.null;
        if and {
            all.truth &= one.truth;
            all.falsity |= one.falsity;
        } else {
            all.truth |= one.truth;
            all.falsity &= one.falsity;
        }
        let goes_on = one.null || if and { one.truth } else { one.falsity };
        if !goes_on {
            break;
        }
    }
    all
}

fn within(range: &Range, value: &Value) -> bool {
    range.min.as_ref().is_none_or(|min| min.compare(value).is_le())
        && range.max.as_ref().is_none_or(|max| max.compare(value).is_ge())
}

fn compare(function: &str, a: &Range, b: &Range, failure: bool) -> Option<Outcome> {
    // Whether some value of `x` may be less than (or equal to) some value of `y`.
    let may_be = |x: &Range, y: &Range, or_equal: bool| match (&x.min, &y.max) {
        (Some(min), Some(max)) => {
            if or_equal {
                min.compare(max).is_le()
            } else {
                min.compare(max).is_lt()
            }
        }
        _ => true,
    };
    let overlap = may_be(a, b, true) && may_be(b, a, true);
    let same = match (&a.min, &a.max, &b.min, &b.max) {
        (Some(x), Some(y), Some(z), Some(w)) => x == y && y == z && z == w,
        _ => false,
    };
    let (truth, falsity) = match function {
        "less" => (may_be(a, b, false), may_be(b, a, true)),
        "less_equal" => (may_be(a, b, true), may_be(b, a, false)),
        "greater" => (may_be(b, a, false), may_be(a, b, true)),
        "greater_equal" => (may_be(b, a, true), may_be(a, b, false)),
        "equal" => (overlap, !same),
        "not_equal" => (!same, overlap),
        _ => return None,
    };
    let values = a.values && b.values;
    Some(Outcome { truth: values && truth, falsity: values && falsity, null: a.nulls || b.nulls, failure })
}

fn range_of(expr: &Expr, facts: &dyn Facts, scope: &Scope<'_>, inputs: usize) -> Range {
    let unknown = || Range::unknown(&expr.ty);
    match &expr.kind {
        ExprKind::Literal(value) => Range::constant(value.clone()),
        ExprKind::Local(local) => match scope.iter().rposition(|(l, _)| l == local) {
            // Only what was bound before it is visible to a bound value.
            Some(i) => range_of(scope[i].1, facts, &scope[..i].to_vec(), inputs),
            None => unknown(),
        },
        ExprKind::Column(_) | ExprKind::Field { .. } => match column_path(expr, inputs) {
            Some(path) => facts.range(&path, &expr.ty).unwrap_or_else(unknown),
            None => unknown(),
        },
        ExprKind::Cast { value, on_failure: CastFailure::Never } => {
            let inner = range_of(value, facts, scope, inputs);
            let wider = |bound: &Option<Value>| bound.as_ref().and_then(|v| widen(v, &value.ty.data, &expr.ty.data));
            Range { min: wider(&inner.min), max: wider(&inner.max), ..inner }
        }
        _ => unknown(),
    }
}

fn column_path(expr: &Expr, inputs: usize) -> Option<Vec<usize>> {
    match &expr.kind {
        ExprKind::Column(index) if *index < inputs => Some(vec![*index]),
        ExprKind::Field { value, index } => {
            let mut path = column_path(value, inputs)?;
            path.push(*index);
            Some(path)
        }
        _ => None,
    }
}

/// A value, widened as its column is; none if there is no such conversion. All of them keep the order.
pub fn widen(value: &Value, from: &DataType, to: &DataType) -> Option<Value> {
    let integer = match value {
        Value::Byte(v) => Some(i64::from(*v)),
        Value::Short(v) => Some(i64::from(*v)),
        Value::Integer(v) => Some(i64::from(*v)),
        Value::Long(v) => Some(*v),
        _ => None,
    };
    match (integer, value, to) {
        _ if from == to => Some(value.clone()),
        (Some(v), _, DataType::Short) => Some(Value::Short(v.try_into().ok()?)),
        (Some(v), _, DataType::Integer) => Some(Value::Integer(v.try_into().ok()?)),
        (Some(v), _, DataType::Long) => Some(Value::Long(v)),
        (Some(v), _, DataType::Double) => Some(Value::Double(v as f64)),
        (Some(v), _, DataType::Decimal { scale, .. }) => {
            Some(Value::Decimal(i128::from(v).checked_mul(10i128.checked_pow(u32::from(*scale))?)?))
        }
        (None, Value::Float(v), DataType::Double) => Some(Value::Double(f64::from(*v))),
        (None, Value::Date(v), DataType::Timestamp) => {
            Some(Value::Timestamp(i64::from(*v).checked_mul(86_400_000_000)?))
        }
        (None, Value::Decimal(v), DataType::Decimal { scale: t, .. }) => {
            let DataType::Decimal { scale: s, .. } = from else { return None };
            Some(Value::Decimal(v.checked_mul(10i128.checked_pow(u32::from(t.checked_sub(*s)?))?)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::expr::{Origin, Output};
    use flowc_ir::functions::FunctionRef;
    use flowc_ir::{Field, Schema};

    fn function(name: &'static str) -> FunctionRef {
        flowc_ir::functions::find(name).expect("a function of the table")
    }

    struct Known(Range);
    impl Facts for Known {
        fn range(&self, path: &[usize], _: &Type) -> Option<Range> {
            (path == [0]).then(|| self.0.clone())
        }
    }

    fn expr(kind: ExprKind, data: DataType) -> Expr {
        Expr::new(kind, Type::nullable(data), Origin::default())
    }
    fn x() -> Expr {
        expr(ExprKind::Column(0), DataType::Long)
    }
    fn lit(v: i64) -> Expr {
        expr(ExprKind::Literal(Value::Long(v)), DataType::Long)
    }
    fn call(name: &'static str, a: Expr, b: Expr) -> Expr {
        expr(ExprKind::Call { function: function(name), args: vec![a, b] }, DataType::Boolean)
    }
    fn program(value: Expr) -> Program {
        let input = Schema::new(vec![Field::new("x", Type::nullable(DataType::Long))]);
        let field = Field::new("keep", Type::nullable(DataType::Boolean));
        Program { input, steps: vec![], outputs: vec![Output { field, value }] }
    }
    fn keeps(value: Expr, range: &Range) -> bool {
        may_match(&program(value), &Known(range.clone()))
    }

    fn ten_to_twenty(nulls: bool) -> Range {
        Range { min: Some(Value::Long(10)), max: Some(Value::Long(20)), nulls, values: true }
    }

    #[test]
    fn comparisons_with_constants() {
        let range = ten_to_twenty(true);
        let cases = [
            ("less", [(10, false), (11, true)]),
            ("less_equal", [(9, false), (10, true)]),
            ("greater", [(20, false), (19, true)]),
            ("greater_equal", [(21, false), (20, true)]),
            ("equal", [(21, false), (15, true)]),
            ("not_equal", [(10, true), (21, true)]),
        ];
        for (name, values) in cases {
            for (value, kept) in values {
                assert_eq!(keeps(call(name, x(), lit(value)), &range), kept, "{name} {value}");
            }
        }
        assert!(!keeps(call("not_equal", x(), lit(5)), &Range::constant(Value::Long(5))));
    }

    #[test]
    fn nulls_and_logic() {
        let is_null = |e| expr(ExprKind::IsNull(Box::new(e)), DataType::Boolean);
        let not = |e| expr(ExprKind::Not(Box::new(e)), DataType::Boolean);
        assert!(keeps(is_null(x()), &ten_to_twenty(true)));
        assert!(!keeps(is_null(x()), &ten_to_twenty(false)));
        assert!(!keeps(not(is_null(x())), &Range::constant(Value::Null)));
        assert!(!keeps(call("equal", x(), lit(1)), &Range::constant(Value::Null)));
        let or = |parts| expr(ExprKind::Or(parts), DataType::Boolean);
        let and = |parts| expr(ExprKind::And(parts), DataType::Boolean);
        let (low, high) = (call("less", x(), lit(5)), call("greater", x(), lit(30)));
        assert!(!keeps(or(vec![low.clone(), high.clone()]), &ten_to_twenty(true)));
        assert!(keeps(or(vec![low.clone(), is_null(x())]), &ten_to_twenty(true)));
        assert!(!keeps(and(vec![call("greater", x(), lit(12)), high.clone()]), &ten_to_twenty(true)));
        assert!(!keeps(not(call("greater_equal", x(), lit(10))), &ten_to_twenty(false)));
        let list = |list| expr(ExprKind::InList { value: Box::new(x()), list }, DataType::Boolean);
        assert!(!keeps(list(vec![Value::Long(1), Value::Null]), &ten_to_twenty(true)));
        assert!(keeps(list(vec![Value::Long(1), Value::Long(12)]), &ten_to_twenty(true)));
    }

    #[test]
    fn a_row_that_could_fail_is_read() {
        let fails = call("add", x(), lit(0));
        let never = call("less", x(), lit(5));
        let and = |parts| expr(ExprKind::And(parts), DataType::Boolean);
        assert!(keeps(and(vec![fails.clone(), never.clone()]), &ten_to_twenty(false)));
        assert!(!keeps(and(vec![never.clone(), fails.clone()]), &ten_to_twenty(false)));
        assert!(keeps(and(vec![never, fails]), &ten_to_twenty(true)), "a null does not end an `and`");
    }

    #[test]
    fn lets_and_widening() {
        let wide = expr(ExprKind::Cast { value: Box::new(x()), on_failure: CastFailure::Never }, DataType::Double);
        let local = || expr(ExprKind::Local(LocalId(1)), DataType::Double);
        let number = |v| expr(ExprKind::Literal(Value::Double(v)), DataType::Double);
        let body = |low, high| {
            expr(
                ExprKind::And(vec![
                    call("greater_equal", local(), number(low)),
                    call("less_equal", local(), number(high)),
                ]),
                DataType::Boolean,
            )
        };
        let between = |low, high| {
            let (value, body) = (Box::new(wide.clone()), Box::new(body(low, high)));
            expr(ExprKind::Let { local: LocalId(1), value, body }, DataType::Boolean)
        };
        assert!(!keeps(between(20.5, 30.0), &ten_to_twenty(false)));
        assert!(keeps(between(19.5, 30.0), &ten_to_twenty(false)));
    }
}
