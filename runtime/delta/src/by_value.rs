//! What of a predicate depends on one column alone is asked of its values: once for each value of a dictionary, and the rows get the answers by their numbers. Such a
//! part is taken out of the predicate and read from a column of answers, so that what the predicate says of a row stays what it was. Knows expressions and coded
//! columns; nothing of files.

use crate::decode::coded::{Coded, Entries, Piece};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, NullArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use flowc_ir::eval::EvalContext;
use flowc_ir::expr::{Expr, ExprKind, LocalId};
use flowc_ir::failing::can_fail;
use flowc_ir::{DataType, Type};
use std::collections::BTreeSet;
use std::sync::Arc;

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const NULL: u8 = 2;

/// A part of a predicate over one column.
#[derive(Debug)]
pub(crate) struct Test {
    /// It reads this column, and no other.
    pub(crate) column: usize,
    expr: Expr,
    /// Whether false and null come to the same for the predicate.
    only_truth: bool,
    /// The answers for the dictionary that was asked last.
    known: Option<(Arc<Entries>, Vec<u8>)>,
}

/// Replaces parts of conditions over `columns` columns, of which `coded` is true of some, by further columns: the answers of the tests that are returned, in their
/// order. A column that conditions read in other ways, too, is left alone, since its values are needed anyway.
pub(crate) fn split(conditions: &mut Vec<Expr>, columns: usize, coded: impl Fn(usize) -> bool) -> Vec<Test> {
    let mut able: BTreeSet<usize> = (0..columns).filter(|column| coded(*column)).collect();
    loop {
        let (mut parts, mut tests) = (conditions.clone(), vec![]);
        for condition in &mut parts {
            replace(condition, (&able, columns), true, &mut tests);
        }
        let mut read = BTreeSet::new();
        parts.iter().for_each(|condition| read.append(&mut columns_of(condition)));
        let before = able.len();
        able.retain(|column| !read.contains(column));
        if able.len() == before {
            *conditions = parts;
            return tests;
        }
    }
}

fn columns_of(expr: &Expr) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    expr.walk(&mut |e| {
        if let ExprKind::Column(column) = &e.kind {
            columns.insert(*column);
        }
    });
    columns
}

fn replace(expr: &mut Expr, (able, columns): (&BTreeSet<usize>, usize), only_truth: bool, tests: &mut Vec<Test>) {
    let read = columns_of(expr);
    let one = read.first().copied().filter(|column| read.len() == 1 && able.contains(column));
    if let Some(column) = one
        && expr.ty.data == DataType::Boolean
        && !matches!(expr.kind, ExprKind::Column(_))
        && !can_fail(expr)
        && closed(expr, &mut vec![])
    {
        let answers = ExprKind::Column(columns + tests.len());
        let answers = Expr::new(answers, Type::nullable(DataType::Boolean), expr.origin);
        tests.push(Test { column, expr: std::mem::replace(expr, answers), only_truth, known: None });
        return;
    }
    let only_truth = only_truth && matches!(expr.kind, ExprKind::And(_));
    for child in expr.children_mut() {
        replace(child, (able, columns), only_truth, tests);
    }
}

/// Whether all variables are bound within the expression.
fn closed(expr: &Expr, bound: &mut Vec<LocalId>) -> bool {
    match &expr.kind {
        ExprKind::Local(local) => bound.contains(local),
        ExprKind::Let { local, value, body } => {
            let outside = closed(value, bound);
            bound.push(*local);
            let inside = closed(body, bound);
            bound.pop();
            outside && inside
        }
        _ => expr.children().into_iter().all(|child| closed(child, bound)),
    }
}

impl Test {
    /// The answers for rows; none: they cannot be told. `shape` makes values of the file's those of the column.
    pub(crate) fn answers(
        &mut self,
        coded: &Coded,
        shape: &dyn Fn(&ArrayRef) -> Option<ArrayRef>,
    ) -> Option<BooleanArray> {
        let (mut values, mut nulls) = (BooleanBufferBuilder::new(0), BooleanBufferBuilder::new(0));
        for piece in coded.pieces() {
            match piece {
                Piece::Codes(entries, codes) => {
                    let known = self.known.take().filter(|(of, _)| Arc::ptr_eq(of, entries));
                    let known = match known {
                        Some((_, known)) => known,
                        None => self.ask(&shape(&entries.0)?)?,
                    };
                    // Codes are numbers of entries: whoever read them has seen to it.
                    let is = |answer: u8| {
                        let known = &known;
                        BooleanBuffer::collect_bool(codes.len(), move |row| known[codes[row] as usize] == answer)
                    };
                    values.append_buffer(&is(TRUE));
                    if !self.only_truth {
                        nulls.append_buffer(&!&is(NULL));
                    }
                    self.known = Some((Arc::clone(entries), known));
                }
                Piece::Values(array) => {
                    let known = self.ask(&shape(array)?)?;
                    values.append_buffer(&BooleanBuffer::collect_bool(known.len(), |row| known[row] == TRUE));
                    if !self.only_truth {
                        nulls.append_buffer(&BooleanBuffer::collect_bool(known.len(), |row| known[row] != NULL));
                    }
                }
            }
        }
        let nulls = (!self.only_truth).then(|| NullBuffer::new(nulls.build()));
        Some(BooleanArray::new(values.build(), nulls))
    }

    /// The answers for values.
    fn ask(&self, values: &ArrayRef) -> Option<Vec<u8>> {
        let count = values.len();
        let none: ArrayRef = Arc::new(NullArray::new(count));
        let mut columns = vec![none; self.column];
        columns.push(Arc::clone(values));
        let answers = flowc_ir::vector::evaluate(&self.expr, &columns, count, &EvalContext::default()).ok()?;
        let answers = answers.as_boolean_opt()?;
        let answer = |row: usize| match answers.is_valid(row) {
            true if answers.value(row) => TRUE,
            true => FALSE,
            false => NULL,
        };
        Some((0..count).map(answer).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use flowc_ir::Value;
    use flowc_ir::expr::Origin;
    use proptest::prelude::*;

    fn text(column: usize) -> Expr {
        Expr::new(ExprKind::Column(column), Type::nullable(DataType::String), Origin::default())
    }

    fn boolean(kind: ExprKind) -> Expr {
        Expr::new(kind, Type::nullable(DataType::Boolean), Origin::default())
    }

    fn call(name: &str, column: usize, value: &str) -> Expr {
        let literal = ExprKind::Literal(Value::String(value.into()));
        let literal = Expr::new(literal, Type::new(DataType::String), Origin::default());
        let function = flowc_ir::functions::find(name).expect("a function");
        boolean(ExprKind::Call { function, args: vec![text(column), literal] })
    }

    /// Conditions over two columns of texts and one of booleans.
    fn condition() -> impl Strategy<Value = Expr> {
        let leaf = (0usize..2, 0usize..6, "[ab]{0,2}").prop_map(|(column, kind, value)| match kind {
            0 => call("equal", column, &value),
            1 => call("like", column, &format!("%{value}")),
            2 => boolean(ExprKind::IsNull(Box::new(text(column)))),
            3 => {
                let list = vec![Value::String(value.as_str().into()), Value::Null];
                boolean(ExprKind::InList { value: Box::new(text(column)), list })
            }
            4 => boolean(ExprKind::Column(2)),
            _ => {
                let function = flowc_ir::functions::find("less").expect("a function");
                boolean(ExprKind::Call { function, args: vec![text(0), text(1)] })
            }
        });
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|of| boolean(ExprKind::And(of))),
                prop::collection::vec(inner.clone(), 1..4).prop_map(|of| boolean(ExprKind::Or(of))),
                inner.prop_map(|of| boolean(ExprKind::Not(Box::new(of)))),
            ]
        })
    }

    fn coded(rows: &[(usize, Option<bool>)], texts: &[Option<String>]) -> Coded {
        let entries: StringArray = texts.iter().map(Option::as_deref).chain([None]).collect();
        let entries = Arc::new(Entries(Arc::new(entries) as ArrayRef));
        let (front, back) = rows.split_at(rows.len() / 2);
        let code = |(number, _): &(usize, Option<bool>)| (number % (texts.len() + 1)) as u32;
        let plain: StringArray = back.iter().map(|row| texts.get(code(row) as usize).cloned().flatten()).collect();
        Coded::of(vec![Piece::Codes(entries, front.iter().map(code).collect()), Piece::Values(Arc::new(plain))])
    }

    proptest! {
        #[test]
        fn a_predicate_with_answers_is_true_of_the_same_rows(
            conditions in prop::collection::vec(condition(), 1..3),
            texts in prop::collection::vec(prop::option::weighted(0.9, "[ab]{0,2}"), 0..6),
            rows in prop::collection::vec((0usize..60, prop::option::of(any::<bool>())), 0..60),
            able in 0usize..4,
        ) {
            let count = rows.len();
            let first = coded(&rows, &texts);
            let turned: Vec<_> = rows.iter().map(|(number, flag)| (number / 7, *flag)).collect();
            let second = coded(&turned, &texts);
            let flags: BooleanArray = rows.iter().map(|(_, flag)| *flag).collect();
            let mut columns: Vec<ArrayRef> =
                vec![first.array(None).expect("an array"), second.array(None).expect("an array"), Arc::new(flags)];
            let truth = |conditions: &[Expr], columns: &[ArrayRef]| {
                let truth = |condition: &Expr| {
                    let array = flowc_ir::vector::evaluate(condition, columns, count, &EvalContext::default());
                    let array = array.expect("it cannot fail").as_boolean().clone();
                    array.iter().map(|answer| answer == Some(true)).collect::<Vec<_>>()
                };
                conditions.iter().map(truth).collect::<Vec<_>>()
            };
            let expected = truth(&conditions, &columns);
            let mut left = conditions.clone();
            let tests = split(&mut left, columns.len(), |column| column < 2 && able >> column & 1 == 1);
            for (place, mut test) in tests.into_iter().enumerate() {
                let of = if test.column == 0 { &first } else { &second };
                let answers = test.answers(of, &|values| Some(Arc::clone(values))).expect("answers");
                // Asked again, the same answers come.
                prop_assert_eq!(&test.answers(of, &|values| Some(Arc::clone(values))).expect("answers"), &answers);
                prop_assert_eq!(columns.len(), 3 + place);
                columns.push(Arc::new(answers));
                prop_assert!(left.iter().all(|condition| !columns_of(condition).contains(&test.column)));
            }
            prop_assert_eq!(truth(&left, &columns), expected);
        }
    }

    #[test]
    fn what_reads_two_columns_or_may_fail_is_asked_of_rows() {
        let function = flowc_ir::functions::find("less").expect("a function");
        let both = boolean(ExprKind::Call { function, args: vec![text(0), text(1)] });
        let value = Box::new(text(0));
        let cast = ExprKind::Cast { value, on_failure: flowc_ir::CastFailure::Error };
        let fails =
            boolean(ExprKind::IsNull(Box::new(Expr::new(cast, Type::nullable(DataType::Long), Origin::default()))));
        for (condition, asked) in [
            (both.clone(), 0),
            (fails, 0),
            (call("like", 1, "a%"), 1),
            (boolean(ExprKind::And(vec![call("equal", 0, "a"), call("equal", 1, "b")])), 2),
            (boolean(ExprKind::Or(vec![call("equal", 0, "a"), call("equal", 0, "b")])), 1),
            // Both columns are decoded anyway.
            (boolean(ExprKind::And(vec![call("equal", 0, "a"), both])), 0),
        ] {
            let mut conditions = vec![condition.clone()];
            let tests = split(&mut conditions, 2, |_| true);
            assert_eq!(tests.len(), asked, "{condition:?}");
            assert_eq!(conditions == [condition], asked == 0);
        }
        // Answers for a dictionary are not asked for twice.
        let mut test = split(&mut vec![call("equal", 0, "a")], 1, |_| true).remove(0);
        let rows: Vec<u32> = (0..50).collect();
        let texts: StringArray = [Some("a"), None].into_iter().collect();
        let codes = rows.iter().map(|row| row % 2).collect();
        let coded = Coded::of(vec![Piece::Codes(Arc::new(Entries(Arc::new(texts))), codes)]);
        let asked = std::cell::Cell::new(0);
        let shape = |values: &ArrayRef| {
            asked.set(asked.get() + 1);
            Some(Arc::clone(values))
        };
        let answers = test.answers(&coded, &shape).expect("answers");
        assert_eq!((answers.true_count(), test.answers(&coded, &shape).is_some(), asked.get()), (25, true, 1));
    }
}
