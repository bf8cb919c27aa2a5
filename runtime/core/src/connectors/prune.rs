//! Whether a row group can have a row that a predicate lets through, judged by its statistics. Anything not understood may match.

use super::conform::conform;
use flowc_ir::arrow_values::value_at;
use flowc_ir::{DataType, Expr, ExprKind, Program, ProgramStep, Schema, Type, Value};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use std::cmp::Ordering;

/// What is known of a column in a row group.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// No value is less (NaN aside).
    pub(crate) least: Option<Value>,
    /// No value is greater (NaN aside).
    pub(crate) greatest: Option<Value>,
    /// Number of nulls.
    pub(crate) nulls: Option<u64>,
    /// Number of rows.
    pub(crate) rows: u64,
}

/// Whether the predicate (over the program's input columns, found in the file by name) may let a row of this row group through.
pub(crate) fn may_match(program: &Program, file: &ArrowReaderMetadata, group: usize) -> bool {
    let plain = program.steps.iter().all(|s| matches!(s, ProgramStep::Filter(_)));
    let filters = program.steps.iter().filter_map(|s| match s {
        ProgramStep::Filter(e) => Some(e),
        _ => None,
    });
    let mut conditions = filters.chain(program.outputs.first().map(|o| &o.value));
    !plain || conditions.all(|e| may_be_true(e, &|column| bounds(&program.input, column, file, group)))
}

fn bounds(schema: &Schema, column: usize, file: &ArrowReaderMetadata, group: usize) -> Option<Bounds> {
    let field = schema.fields.get(column)?;
    let converter = StatisticsConverter::try_new(&field.name, file.schema(), file.parquet_schema()).ok()?;
    let row_group = file.metadata().row_groups().get(group)?;
    let nullable = Type::nullable(field.ty.data.clone());
    let value = |array: arrow::array::ArrayRef| {
        let array = conform(&array, &nullable).ok()?;
        Some(value_at(&array, 0, &nullable)).filter(|v| !v.is_null())
    };
    let nulls = converter.row_group_null_counts([row_group]).ok()?;
    Some(Bounds {
        least: converter.row_group_mins([row_group]).ok().and_then(value),
        greatest: converter.row_group_maxes([row_group]).ok().and_then(value),
        nulls: nulls.iter().next().flatten(),
        rows: row_group.num_rows() as u64,
    })
}

/// Whether an expression may be true for some row.
fn may_be_true(expr: &Expr, of: &impl Fn(usize) -> Option<Bounds>) -> bool {
    match &expr.kind {
        ExprKind::And(parts) => parts.iter().all(|part| may_be_true(part, of)),
        ExprKind::Or(parts) => parts.iter().any(|part| may_be_true(part, of)),
        ExprKind::Literal(Value::Boolean(b)) => *b,
        ExprKind::Literal(Value::Null) => false,
        ExprKind::Not(inner) => match &inner.kind {
            ExprKind::IsNull(value) => column(value).and_then(of).is_none_or(|b| b.nulls != Some(b.rows)),
            _ => true,
        },
        ExprKind::IsNull(value) => column(value).and_then(of).is_none_or(|b| b.nulls != Some(0)),
        ExprKind::InList { value, list } => {
            let known = column(value).and_then(of);
            known.is_none_or(|b| list.iter().any(|v| comparison("equal", &b, v, &value.ty.data)))
        }
        ExprKind::Call { function, args } => match args.as_slice() {
            [Expr { kind: ExprKind::Column(c), ty, .. }, Expr { kind: ExprKind::Literal(v), .. }] => {
                of(*c).is_none_or(|b| comparison(function.name, &b, v, &ty.data))
            }
            [Expr { kind: ExprKind::Literal(v), .. }, Expr { kind: ExprKind::Column(c), ty, .. }] => {
                let flipped = match function.name {
                    "less" => "greater",
                    "less_equal" => "greater_equal",
                    "greater" => "less",
                    "greater_equal" => "less_equal",
                    same => same,
                };
                of(*c).is_none_or(|b| comparison(flipped, &b, v, &ty.data))
            }
            _ => true,
        },
        _ => true,
    }
}

fn column(expr: &Expr) -> Option<usize> {
    if let ExprKind::Column(c) = expr.kind { Some(c) } else { None }
}

/// Whether `column name literal` may be true. NaN, the greatest double, is not in the statistics.
fn comparison(name: &str, bounds: &Bounds, literal: &Value, data: &DataType) -> bool {
    if !matches!(name, "equal" | "less" | "less_equal" | "greater" | "greater_equal") {
        return true;
    }
    if literal.is_null() || bounds.nulls == Some(bounds.rows) {
        return false;
    }
    let is_nan = match literal {
        Value::Double(x) => x.is_nan(),
        Value::Float(x) => x.is_nan(),
        _ => false,
    };
    let above = |ordering: &[Ordering]| bounds.least.as_ref().is_none_or(|l| ordering.contains(&l.compare(literal)));
    let below = |ordering: &[Ordering]| {
        data.is_floating() || bounds.greatest.as_ref().is_none_or(|g| ordering.contains(&g.compare(literal)))
    };
    use Ordering::{Equal, Greater, Less};
    match name {
        "less" => above(&[Less]),
        "less_equal" => above(&[Less, Equal]),
        "greater" => below(&[Greater]),
        "greater_equal" => below(&[Greater, Equal]),
        _ if is_nan => true,
        _ => {
            let reaches = bounds.greatest.as_ref().is_none_or(|g| g.compare(literal) != Less);
            above(&[Less, Equal]) && reaches
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::Origin;
    use flowc_ir::functions::find;

    fn check(name: &str, literal: Value, least: Value, greatest: Value) -> bool {
        let data = if matches!(literal, Value::Double(_)) { DataType::Double } else { DataType::Long };
        let expr = |kind| Expr::new(kind, Type::nullable(data.clone()), Origin::default());
        let args = vec![expr(ExprKind::Column(0)), expr(ExprKind::Literal(literal))];
        let call = expr(ExprKind::Call { function: find(name).unwrap(), args });
        let bounds = Bounds { least: Some(least), greatest: Some(greatest), nulls: Some(1), rows: 10 };
        may_be_true(&call, &|_| Some(bounds.clone()))
    }

    #[test]
    fn skips_only_what_cannot_match() {
        let long = Value::Long;
        let table = [
            ("equal", 4, false),
            ("equal", 5, true),
            ("equal", 9, true),
            ("equal", 10, false),
            ("less", 5, false),
            ("less", 6, true),
            ("less_equal", 5, true),
            ("less_equal", 4, false),
            ("greater", 9, false),
            ("greater", 8, true),
            ("greater_equal", 9, true),
            ("greater_equal", 10, false),
            ("not_equal", 5, true),
        ];
        for (name, literal, expected) in table {
            assert_eq!(check(name, long(literal), long(5), long(9)), expected, "x {name} {literal}");
        }
        // A NaN that the statistics do not show is greater than anything.
        assert!(check("greater", Value::Double(100.0), Value::Double(1.0), Value::Double(2.0)));
        assert!(check("equal", Value::Double(f64::NAN), Value::Double(1.0), Value::Double(2.0)));
        assert!(!check("less", Value::Double(1.0), Value::Double(1.0), Value::Double(2.0)));
        assert!(!check("equal", Value::Double(3.0), Value::Double(1.0), Value::Double(2.0)));
    }
}
