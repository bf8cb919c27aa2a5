//! Rows that are expected against rows that came out: each expected row compares the columns that it names, the order of rows does not matter, how often one
//! comes does. What is left over is put side by side by likeness.

use flowc_core::checked::Expected;
use flowc_ir::{Origin, Schema, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A row: a value for each column.
pub type Row = Vec<Value>;

/// Beyond so many pairs of rows, those that are left over are listed and not put side by side.
const MOST_PAIRS: usize = 4_000_000;

/// What is not as expected.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The columns that are shown: those that the test names, or all where it names none.
    pub schema: Schema,
    /// The rows that differ.
    pub lines: Vec<Line>,
    /// How many rows are as expected.
    pub same: usize,
}

/// A row that differs; its cells are those of [`Difference::schema`].
#[derive(Debug, Clone)]
pub enum Line {
    /// A row that came out is like one that is expected, but for some cells.
    Changed {
        /// What is expected; none: the test does not say.
        expected: Vec<Option<Value>>,
        /// What came out.
        found: Row,
    },
    /// No row like this came out.
    Missing(Vec<Option<Value>>),
    /// Nobody expects this row.
    Unexpected(Row),
}

impl Line {
    /// Whether a cell of a row that changed is other than expected.
    pub fn differs(expected: &Option<Value>, found: &Value) -> bool {
        expected.as_ref().is_some_and(|e| e != found)
    }
}

impl Difference {
    /// How many rows are wrong, in words.
    pub fn summary(&self) -> String {
        let count = |of: fn(&Line) -> bool| self.lines.iter().filter(|line| of(line)).count();
        let rows = |n: usize| if n == 1 { "1 row".to_string() } else { format!("{n} rows") };
        let changed = count(|l| matches!(l, Line::Changed { .. }));
        let missing = count(|l| matches!(l, Line::Missing(_)));
        let unexpected = count(|l| matches!(l, Line::Unexpected(_)));
        let kinds = [(changed, "with other values"), (missing, "missing"), (unexpected, "unexpected")];
        let parts: Vec<String> =
            kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", rows(*n))).collect();
        parts.join(", ")
    }
}

/// Rows of which every cell is expected.
pub fn exactly(schema: &Schema, rows: &[Row]) -> Expected {
    let rows = rows.iter().map(|row| (Origin::default(), row.iter().cloned().map(Some).collect()));
    Expected { schema: schema.clone(), rows: rows.collect() }
}

/// A value of which maps with the same entries are the same.
fn normal(value: Value) -> Value {
    match value {
        Value::Map(entries) => {
            let mut entries: Vec<(Value, Value)> = entries.into_iter().map(|(k, v)| (normal(k), normal(v))).collect();
            entries.sort_by(|a, b| a.0.compare(&b.0));
            Value::Map(entries)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(normal).collect()),
        Value::Struct(fields) => Value::Struct(fields.into_iter().map(normal).collect()),
        other => other,
    }
}

/// Compares; none if all is as expected.
pub fn compare(expected: &Expected, found: &[Row]) -> Option<Difference> {
    let named = |i: &usize| expected.rows.iter().any(|(_, row)| row[*i].is_some());
    let mut columns: Vec<usize> = (0..expected.schema.len()).filter(named).collect();
    if columns.is_empty() {
        columns = (0..expected.schema.len()).collect();
    }
    let wanted: Vec<Vec<Option<Value>>> =
        expected.rows.iter().map(|(_, row)| columns.iter().map(|i| row[*i].clone().map(normal)).collect()).collect();
    let there: Vec<Row> = found.iter().map(|row| columns.iter().map(|i| normal(row[*i].clone())).collect()).collect();
    let partner = matching(&wanted, &there);
    let mut taken = vec![false; there.len()];
    partner.iter().flatten().for_each(|j| taken[*j] = true);
    let same = partner.iter().flatten().count();
    let missing: Vec<usize> = (0..wanted.len()).filter(|i| partner[*i].is_none()).collect();
    let unexpected: Vec<usize> = (0..there.len()).filter(|j| !taken[*j]).collect();
    if missing.is_empty() && unexpected.is_empty() {
        return None;
    }
    let schema = Schema::new(columns.iter().map(|i| expected.schema.fields[*i].clone()).collect());
    let lines = aligned(&wanted, &there, missing, unexpected);
    Some(Difference { schema, lines, same })
}

fn fits(expected: &[Option<Value>], found: &[Value]) -> bool {
    !expected.iter().zip(found).any(|(e, f)| Line::differs(e, f))
}

/// For each expected row the row that it is; as many as there can be. Rows that name fewer columns may fit several, so earlier choices are changed
/// where that lets one more row find its own.
fn matching(wanted: &[Vec<Option<Value>>], there: &[Row]) -> Vec<Option<usize>> {
    let mut owner: Vec<Option<usize>> = vec![None; there.len()];
    for i in 0..wanted.len() {
        place(i, wanted, there, &mut owner);
    }
    let mut partner = vec![None; wanted.len()];
    for (j, i) in owner.iter().enumerate() {
        if let Some(i) = i {
            partner[*i] = Some(j);
        }
    }
    partner
}

/// Finds a row for the expected row `i`, along the shortest chain of expected rows that move to another row.
fn place(i: usize, wanted: &[Vec<Option<Value>>], there: &[Row], owner: &mut [Option<usize>]) {
    let mut came_from: Vec<Option<usize>> = vec![None; there.len()];
    let mut open = VecDeque::from([i]);
    while let Some(at) = open.pop_front() {
        for j in 0..there.len() {
            if came_from[j].is_some() || !fits(&wanted[at], &there[j]) {
                continue;
            }
            came_from[j] = Some(at);
            if let Some(other) = owner[j] {
                open.push_back(other);
                continue;
            }
            let mut free = Some(j);
            while let Some(row) = free {
                let mover = came_from[row];
                free = owner.iter().position(|o| *o == mover);
                owner[row] = mover;
            }
            return;
        }
    }
}

/// The rows that are left over, those that are alike side by side: the pairs with the most equal cells first.
fn aligned(wanted: &[Vec<Option<Value>>], there: &[Row], missing: Vec<usize>, unexpected: Vec<usize>) -> Vec<Line> {
    let mut pairs: Vec<(usize, usize, usize)> = vec![];
    if missing.len().saturating_mul(unexpected.len()) <= MOST_PAIRS {
        for &i in &missing {
            for &j in &unexpected {
                let cells = wanted[i].iter().zip(&there[j]);
                let alike = cells.filter(|(e, f)| e.as_ref().is_some_and(|e| e == *f)).count();
                if alike > 0 {
                    pairs.push((alike, i, j));
                }
            }
        }
    }
    pairs.sort_by_key(|(alike, i, j)| (std::cmp::Reverse(*alike), *i, *j));
    let mut chosen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (_, i, j) in pairs {
        if !chosen.contains_key(&i) && taken.insert(j) {
            chosen.insert(i, j);
        }
    }
    let mut lines: Vec<Line> = vec![];
    for i in missing {
        lines.push(match chosen.get(&i) {
            Some(j) => Line::Changed { expected: wanted[i].clone(), found: there[*j].clone() },
            None => Line::Missing(wanted[i].clone()),
        });
    }
    let mut rest: Vec<&Row> = unexpected.iter().filter(|j| !taken.contains(j)).map(|j| &there[*j]).collect();
    // Workers may have written them in any order.
    rest.sort_by(|a, b| Value::Struct(a.to_vec()).compare(&Value::Struct(b.to_vec())));
    lines.extend(rest.into_iter().cloned().map(Line::Unexpected));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::{DataType, Field, Type};

    fn expected(rows: &[&[Option<i64>]]) -> Expected {
        let width = rows.first().map_or(2, |r| r.len());
        let field = |i: usize| Field::new(["a", "b", "c"][i], Type::nullable(DataType::Long));
        let value = |v: &Option<i64>| v.map(Value::Long);
        let rows = rows.iter().map(|row| (Origin::default(), row.iter().map(value).collect()));
        Expected { schema: Schema::new((0..width).map(field).collect()), rows: rows.collect() }
    }

    fn rows(rows: &[&[i64]]) -> Vec<Row> {
        rows.iter().map(|row| row.iter().map(|v| Value::Long(*v)).collect()).collect()
    }

    fn shown(difference: Option<Difference>) -> String {
        let Some(difference) = difference else { return "same".to_string() };
        let cells = |row: &[Value]| format!("{row:?}").replace("Long", "");
        let named = |row: &[Option<Value>]| format!("{row:?}").replace("Some(Long(", "").replace("))", "");
        let line = |line: &Line| match line {
            Line::Changed { expected, found } => format!("~ {} {}", named(expected), cells(found)),
            Line::Missing(row) => format!("- {}", named(row)),
            Line::Unexpected(row) => format!("+ {}", cells(row)),
        };
        difference.lines.iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn order_does_not_matter_and_multiplicity_does() {
        let wanted = expected(&[&[Some(1), Some(2)], &[Some(3), Some(4)]]);
        assert_eq!(shown(compare(&wanted, &rows(&[&[3, 4], &[1, 2]]))), "same");
        assert_eq!(shown(compare(&wanted, &rows(&[&[3, 4], &[3, 4], &[1, 2]]))), "+ [(3), (4)]");
        let twice = expected(&[&[Some(1), Some(2)], &[Some(1), Some(2)]]);
        assert_eq!(shown(compare(&twice, &rows(&[&[1, 2]]))), "- [1, 2]");
    }

    #[test]
    fn no_row_is_expected() {
        assert_eq!(shown(compare(&expected(&[]), &[])), "same");
        assert_eq!(shown(compare(&expected(&[]), &rows(&[&[1, 2]]))), "+ [(1), (2)]");
    }

    #[test]
    fn rows_that_name_less_leave_the_others_their_own() {
        // The first row fits both; it must leave the one that only the second fits.
        let wanted = expected(&[&[Some(1), None], &[Some(1), Some(2)]]);
        assert_eq!(shown(compare(&wanted, &rows(&[&[1, 2], &[1, 9]]))), "same");
        let chain = expected(&[&[Some(1), None], &[None, Some(2)], &[Some(1), Some(2)]]);
        assert_eq!(shown(compare(&chain, &rows(&[&[1, 2], &[7, 2], &[1, 8]]))), "same");
        assert_eq!(shown(compare(&chain, &rows(&[&[1, 2], &[7, 3], &[1, 8]]))), "- [1, 2]; + [(7), (3)]");
    }

    #[test]
    fn the_rows_that_are_most_alike_stand_together() {
        let wanted =
            expected(&[&[Some(1), Some(10), Some(5)], &[Some(2), Some(20), Some(5)], &[Some(3), Some(0), Some(0)]]);
        let found = rows(&[&[2, 20, 6], &[1, 11, 5], &[9, 9, 9]]);
        assert_eq!(
            shown(compare(&wanted, &found)),
            "~ [1, 10, 5] [(1), (11), (5)]; ~ [2, 20, 5] [(2), (20), (6)]; - [3, 0, 0]; + [(9), (9), (9)]"
        );
    }

    #[test]
    fn entries_of_maps_have_no_order() {
        let map = |keys: [i64; 2]| Value::Map(keys.iter().map(|k| (Value::Long(*k), Value::Long(k * 2))).collect());
        let data = DataType::Map(Box::new(DataType::Long), Box::new(Type::new(DataType::Long)));
        let schema = Schema::new(vec![Field::new("m", Type::new(data))]);
        assert!(compare(&exactly(&schema, &[vec![map([1, 2])]]), &[vec![map([2, 1])]]).is_none());
    }
}
