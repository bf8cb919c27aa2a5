//! What the results are by their definitions, from all rows that are there.

use super::*;
use crate::batch::{Batch, Order};
use crate::operators::Blocking;
use crate::operators::aggregate::Aggregate;
use crate::operators::aggregate::depends_on_order;
use crate::operators::kept::harness::double;
use flowc_ir::value::compare_double;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What is wanted behind an epoch.
pub(super) struct Expected {
    pub(super) out: BTreeMap<String, i64>,
    pub(super) late: Vec<(String, i64)>,
    /// Whether no row was taken away more often than it was added.
    pub(super) settled: bool,
}

pub(super) fn expected(operator: &Operator, changing: bool, epochs: &[Epoch]) -> Vec<Expected> {
    if let Operator::WindowAggregate(spec) = operator {
        return Windowed::new(spec, changing).run(epochs);
    }
    let mut rows: Vec<Weighted> = vec![];
    let mut wanted = vec![];
    for (epoch, _) in epochs {
        epoch.iter().for_each(|row| add(&mut rows, row));
        let settled = rows.iter().all(|(_, weight)| *weight >= 0);
        let present = present(&rows);
        let out = match operator {
            Operator::KeyedAggregate(spec) => aggregate(&spec.aggregate, &input(false), &present, changing),
            Operator::Dedup(_) => different(&present),
            Operator::Top(spec) => first(spec, &present),
            other => panic!("{other:?}"),
        };
        let mut sum = BTreeMap::new();
        out.into_iter().for_each(|line| *sum.entry(line).or_default() += 1);
        wanted.push(Expected { out: sum, late: vec![], settled });
    }
    wanted
}

/// Adds a row to others, which stay in the order in which they came.
fn add(rows: &mut Vec<Weighted>, (row, weight): &Weighted) {
    match rows.iter().position(|(known, _)| known == row) {
        Some(at) if *weight < 0 || rows[at].1 < 0 => {
            rows[at].1 += weight;
            rows.retain(|(_, weight)| *weight != 0);
        }
        _ => rows.push((row.clone(), *weight)),
    }
    // Several additions of one row stand apart, so that they are in order; what is taken away may be more than one of them.
    while let Some(below) =
        rows.iter().position(|(row, weight)| *weight < 0 && rows.iter().any(|(o, w)| o == row && *w > 0))
    {
        let (row, weight) = rows.swap_remove(below);
        let other = rows.iter().position(|(o, w)| *o == row && *w > 0).unwrap();
        rows[other].1 += weight;
        rows.retain(|(_, weight)| *weight != 0);
    }
}

/// The rows that are there, each as often as it is.
fn present(rows: &[Weighted]) -> Vec<Row> {
    rows.iter().flat_map(|(row, weight)| (0..*weight).map(|_| row.clone())).collect()
}

/// Values by flowc's order, and where they are equal by their bits; nulls first.
fn compare(data: &DataType, a: Option<i64>, b: Option<i64>) -> Ordering {
    match (data, a, b) {
        (DataType::Double, Some(a), Some(b)) => {
            let (a, b) = (double(a), double(b));
            compare_double(a, b).then(a.total_cmp(&b))
        }
        _ => a.cmp(&b),
    }
}

/// The lines of groups, by the operator for bounded input: for each call of rows that change over the rows in the order of its operands.
fn aggregate(spec: &graph::Aggregate, schema: &Schema, rows: &[Row], changing: bool) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in &spec.aggregates {
        let mut rows = rows.to_vec();
        if changing && depends_on_order(call.function) {
            let by = |a: &Row, b: &Row| {
                let compared = call.args.iter().map(|arg| compare(&schema.fields[*arg].ty.data, a[*arg], b[*arg]));
                compared.fold(Ordering::Equal, Ordering::then)
            };
            rows.sort_by(by);
        }
        let one = graph::Aggregate { keys: spec.keys.clone(), aggregates: vec![call.clone()] };
        let mut output: Vec<Field> = spec.keys.iter().map(|key| schema.fields[*key].clone()).collect();
        output.push(Field::new("a", call.ty.clone()));
        let budget = Budget::new(1 << 26, directory.path());
        let operator = Aggregate::new(&one, (schema, &Schema::new(output)), 1, 1000, budget);
        if !rows.is_empty() {
            operator.push(0, Batch { data: batch(schema, &rows), order: Order::default() }).unwrap();
        }
        for out in operator.finish().unwrap() {
            let out = out.unwrap();
            for row in 0..out.num_rows() {
                let cells: Vec<String> = out.columns().iter().map(|column| cell(column, row)).collect();
                let (result, key) = cells.split_last().unwrap();
                groups.entry(key.join(" ")).or_default().push(result.clone());
            }
        }
    }
    groups
        .into_iter()
        .map(|(key, results)| {
            [key].into_iter().filter(|key| !key.is_empty()).chain(results).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn line(row: &Row) -> String {
    lines(&batch(&input(false), std::slice::from_ref(row))).remove(0).0
}

/// Rows that are equal, but not the same, come out in the form in which they are compared.
fn different(rows: &[Row]) -> Vec<String> {
    let compared = |row: &Row| {
        let mut row = row.clone();
        row[X] = row[X].map(|x| if x == -1 { 0 } else { x });
        line(&row)
    };
    rows.iter().map(compared).collect::<BTreeSet<_>>().into_iter().collect()
}

fn first(spec: &Top, rows: &[Row]) -> Vec<String> {
    let schema = input(false);
    let data = |column: usize| &schema.fields[column].ty.data;
    // Of equal values that are not the same the bits count last.
    let equal = |column: usize, value: Option<i64>| {
        value.map(|x| if *data(column) == DataType::Double && x == -1 { 0 } else { x })
    };
    let by = |a: &Row, b: &Row| {
        let wanted = spec.order.iter().map(|c| {
            let (x, y) = (equal(c.column, a[c.column]), equal(c.column, b[c.column]));
            match (x, y) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => {
                    if c.nulls_first {
                        Ordering::Less
                    } else {
                        Ordering::Greater
                    }
                }
                (Some(_), None) => {
                    if c.nulls_first {
                        Ordering::Greater
                    } else {
                        Ordering::Less
                    }
                }
                _ if c.descending => compare(data(c.column), y, x),
                _ => compare(data(c.column), x, y),
            }
        });
        let all = (0..a.len()).map(|c| compare(data(c), equal(c, a[c]), equal(c, b[c])));
        let bits = (0..a.len()).map(|c| compare(data(c), a[c], b[c]));
        wanted.chain(all).chain(bits).fold(Ordering::Equal, Ordering::then)
    };
    let mut keys: Vec<Vec<Option<i64>>> =
        rows.iter().map(|row| spec.keys.iter().map(|key| row[*key]).collect()).collect();
    keys.sort();
    keys.dedup();
    let mut found = vec![];
    for key in keys {
        let mut of: Vec<Row> =
            rows.iter().filter(|row| spec.keys.iter().map(|k| row[*k]).eq(key.iter().copied())).cloned().collect();
        of.sort_by(by);
        found.extend(of.iter().take(spec.count as usize).map(line));
    }
    found
}

/// Windows, epoch by epoch.
struct Windowed<'a> {
    spec: &'a WindowAggregate,
    changing: bool,
    rows: Vec<Weighted>,
    watermark: Option<i64>,
    /// Windows that end by then were over when everything was.
    closed: Option<i64>,
    /// The lines of windows that are forgotten.
    forgotten: BTreeMap<String, i64>,
}

type Bounds = (i64, i64);

impl<'a> Windowed<'a> {
    fn new(spec: &'a WindowAggregate, changing: bool) -> Self {
        Windowed { spec, changing, rows: vec![], watermark: None, closed: None, forgotten: BTreeMap::new() }
    }

    fn released(&self, end: i64, watermark: Option<i64>) -> bool {
        let passed = |late: i64| watermark.is_some_and(|at| at == i64::MAX || end + late < at);
        self.spec.late.is_some_and(|late| passed(late) || self.closed.is_some_and(|closed| end <= closed))
    }

    fn fired(&self, end: i64, watermark: Option<i64>) -> bool {
        let session = matches!(self.spec.window, Window::Session { .. });
        let passed = |at: i64| if session { end < at } else { end <= at };
        self.changing || watermark.is_some_and(passed) || self.closed.is_some_and(|closed| end <= closed)
    }

    /// The windows of a time.
    fn windows(&self, t: i64) -> Vec<Bounds> {
        match &self.spec.window {
            Window::Tumble { size, .. } => vec![(t.div_euclid(*size) * size, t.div_euclid(*size) * size + size)],
            Window::Hop { size, slide, .. } => {
                let starts = (-30..=t).filter(|start| start.rem_euclid(*slide) == 0);
                starts.filter(|start| t < start + size).map(|start| (start, start + size)).collect()
            }
            Window::Cumulate { size, step, .. } => {
                let start = t.div_euclid(*size) * size;
                (1..=size / step).map(|i| (start, start + i * step)).filter(|(_, end)| *end > t).collect()
            }
            Window::Session { .. } => unreachable!(),
        }
    }

    fn key(&self, row: &Row) -> Vec<Option<i64>> {
        self.spec.aggregate.keys.iter().map(|key| row[*key]).collect()
    }

    fn is_late(&self, row: &Row, before: &[Weighted]) -> bool {
        let Some(t) = row[AT] else { return true };
        if let Window::Session { gap } = self.spec.window {
            let near = |(other, weight): &Weighted| {
                *weight > 0 && self.key(other) == self.key(row) && (other[AT].unwrap() - t).abs() <= gap
            };
            return self.released(t + gap, self.watermark) && !before.iter().any(near);
        }
        let windows = self.windows(t);
        !windows.is_empty() && windows.iter().all(|(_, end)| self.released(*end, self.watermark))
    }

    /// Each row that is there with each of its windows.
    fn cut(&self) -> Vec<(Row, Bounds)> {
        let rows = present(&self.rows);
        let Window::Session { gap } = self.spec.window else {
            let windows = |row: &Row| self.windows(row[AT].unwrap());
            let all = rows.iter().flat_map(|row| windows(row).into_iter().map(|window| (row.clone(), window)));
            return all.filter(|(_, (_, end))| !self.released(*end, self.watermark)).collect();
        };
        let session = |row: &Row| {
            let mut times: Vec<i64> =
                rows.iter().filter(|r| self.key(r) == self.key(row)).map(|r| r[AT].unwrap()).collect();
            times.sort();
            let parts: Vec<&[i64]> = times.chunk_by(|a, b| b - a <= gap).collect();
            let part = parts.iter().find(|part| part.contains(&row[AT].unwrap())).unwrap();
            (part[0], part[part.len() - 1] + gap)
        };
        rows.iter().map(|row| (row.clone(), session(row))).collect()
    }

    /// The lines of these rows, by key and window.
    fn lines(&self, rows: &[(Row, Bounds)]) -> BTreeMap<String, i64> {
        let mut schema = input(false);
        let width = schema.fields.len();
        schema.fields.extend(["start", "end"].map(|name| Field::new(name, Type::new(DataType::Timestamp))));
        let mut spec = self.spec.aggregate.clone();
        spec.keys.extend([width, width + 1]);
        let with = |(row, (start, end)): &(Row, Bounds)| [row.as_slice(), &[Some(*start), Some(*end)]].concat();
        let rows: Vec<Row> = rows.iter().map(with).collect();
        aggregate(&spec, &schema, &rows, self.changing).into_iter().map(|line| (line, 1)).collect()
    }

    fn run(mut self, epochs: &[Epoch]) -> Vec<Expected> {
        let mut wanted = vec![];
        for (epoch, watermark) in epochs {
            let (before, mut late) = (self.rows.clone(), vec![]);
            for (row, weight) in epoch {
                if self.is_late(row, &before) {
                    late.push((line(row), *weight));
                } else {
                    add(&mut self.rows, &(row.clone(), *weight));
                }
            }
            late.sort();
            let now = self.watermark.max(*watermark);
            let cut = self.cut();
            let (out, gone): (Vec<_>, Vec<_>) = (
                cut.iter().filter(|(_, (_, end))| self.fired(*end, now)).cloned().collect(),
                cut.iter().filter(|(_, (_, end))| self.released(*end, now)).cloned().collect(),
            );
            let mut all = self.forgotten.clone();
            all.extend(self.lines(&out));
            let of_gone = self.lines(&gone);
            self.forgotten.extend(of_gone);
            if matches!(self.spec.window, Window::Session { .. }) {
                self.rows.retain(|(row, _)| !gone.iter().any(|(other, _)| other == row));
            }
            match now {
                Some(i64::MAX) => self.closed = self.closed.max(cut.iter().map(|(_, (_, end))| *end).max()),
                now => self.watermark = now,
            }
            wanted.push(Expected { out: all, late, settled: true });
        }
        wanted
    }
}
