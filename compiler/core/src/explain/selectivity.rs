//! Which share of rows a condition leaves, if the values of a column lie evenly between the least and the greatest (Selinger et al., "Access path selection in a
//! relational database management system", SIGMOD 1979). It must not know of where statistics are from.

use crate::optimize::analysis::conjuncts;
use flowc_ir::catalog::ColumnBounds;
use flowc_ir::{Expr, ExprKind, Program, ProgramStep, Value};
use serde::Serialize;

/// Between which values a column of whole numbers, dates or times lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The column.
    pub column: String,
    /// The least value.
    pub least: i64,
    /// The greatest.
    pub greatest: i64,
}

impl Span {
    /// Of what statistics say; none: they say nothing, or it is another type.
    pub fn of(bounds: &ColumnBounds) -> Option<Span> {
        let (least, greatest) = (whole(bounds.min.as_ref()?)?, whole(bounds.max.as_ref()?)?);
        (least <= greatest).then(|| Span { column: bounds.column.clone(), least, greatest })
    }

    fn width(&self) -> f64 {
        self.greatest as f64 - self.least as f64 + 1.0
    }

    fn has(&self, value: i64) -> bool {
        (self.least..=self.greatest).contains(&value)
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Byte(v) => Some((*v).into()),
        Value::Short(v) => Some((*v).into()),
        Value::Integer(v) | Value::Date(v) => Some((*v).into()),
        Value::Long(v) | Value::Timestamp(v) | Value::TimestampNtz(v) => Some(*v),
        _ => None,
    }
}

/// The share of rows that a program's filters leave, as far as they say something of these columns. None: they say nothing of them.
pub(super) fn share(program: &Program, spans: &[Span]) -> Option<f64> {
    let filters = program.steps.iter().filter_map(|step| match step {
        ProgramStep::Filter(condition) => Some(condition),
        _ => None,
    });
    let shares = filters.flat_map(conjuncts).filter_map(|condition| of_condition(condition, program, spans));
    shares.reduce(|a, b| a * b)
}

fn of_condition(condition: &Expr, program: &Program, spans: &[Span]) -> Option<f64> {
    let span = |e: &Expr| {
        let name = &program.input.fields.get(column(e)?)?.name;
        spans.iter().find(|span| span.column == *name)
    };
    match &condition.kind {
        ExprKind::InList { value, list } => {
            let span = span(value)?;
            Some(list.iter().filter_map(whole).filter(|v| span.has(*v)).count() as f64 / span.width())
        }
        ExprKind::Call { function, args } => {
            let [a, b] = args.as_slice() else { return None };
            if let Some(value) = literal(b) {
                return compared(function.name, span(a)?, value);
            }
            let turned = match function.name {
                "less" => "greater",
                "less_equal" => "greater_equal",
                "greater" => "less",
                "greater_equal" => "less_equal",
                other => other,
            };
            compared(turned, span(b)?, literal(a)?)
        }
        _ => None,
    }
}

/// The column that an expression is, be it widened.
fn column(e: &Expr) -> Option<usize> {
    match &e.kind {
        ExprKind::Column(column) => Some(*column),
        ExprKind::Cast { value, .. } if e.ty.data.is_integer() => column(value),
        _ => None,
    }
}

fn literal(e: &Expr) -> Option<i64> {
    match &e.kind {
        ExprKind::Literal(value) => whole(value),
        _ => None,
    }
}

fn compared(function: &str, span: &Span, value: i64) -> Option<f64> {
    let below = value as f64 - span.least as f64;
    let above = span.greatest as f64 - value as f64;
    let rows = match function {
        "equal" => f64::from(u8::from(span.has(value))),
        "less" => below,
        "less_equal" => below + 1.0,
        "greater" => above,
        "greater_equal" => above + 1.0,
        _ => return None,
    };
    Some((rows / span.width()).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::text::parse_program;

    #[test]
    fn shares_of_conditions() {
        let spans = [Span { column: "id".into(), least: 1, greatest: 10 }];
        let share = |filter: &str| {
            let text = format!("program (id: long, other: long) {{ filter {filter} keep id }}");
            super::share(&parse_program(&text).unwrap_or_else(|e| panic!("{e}: {text}")), &spans)
        };
        for (filter, expected) in [
            ("equal(id, 3L)", Some(0.1)),
            ("equal(id, 30L)", Some(0.0)),
            ("less(id, 3L)", Some(0.2)),
            ("greater_equal(3L, id)", Some(0.3)),
            ("greater(id, 100L)", Some(0.0)),
            ("and(greater(id, 5L), less(other, 3L))", Some(0.5)),
            ("and(greater(id, 5L), equal(id, 6L))", Some(0.05)),
            ("less(other, 3L)", None),
        ] {
            assert_eq!(share(filter), expected, "{filter}");
        }
    }
}
