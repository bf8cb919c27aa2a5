//! The operands of groups, and how often each is there, in sorted runs: what an epoch brings becomes a run, and runs of about the same size become one (the spine of a
//! trace, see McSherry et al., "Shared Arrangements", arXiv 1812.02639, section 4). A row is there as often as all runs say together. Knows nothing of what operands
//! are for, nor of the keys of groups.

use super::coder::{Coded, Coder, Picked, Values};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::sync::Arc;

/// Rows that came are sorted when there are so many.
const PENDING: usize = 1 << 25;

/// Where the rows of a group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) group: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The rows of groups, those of a group in order, none twice.
#[derive(Debug)]
pub(super) struct Run {
    /// By their groups, each of which is there once.
    pub(super) slices: Vec<Slice>,
    pub(super) values: Values,
    /// How often each row is there, which is not 0; none: each once.
    pub(super) weights: Option<Vec<i64>>,
}

/// Rows as they came.
#[derive(Debug)]
struct Pending {
    groups: Vec<u32>,
    values: Values,
    /// None: each is added once.
    weights: Option<Vec<i64>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spine {
    /// The largest first.
    runs: Vec<Arc<Run>>,
    pending: Pending,
}

impl Pending {
    fn new(values: Values) -> Pending {
        Pending { groups: vec![], values, weights: None }
    }

    fn weight(&mut self, weight: i64) {
        if weight != 1 && self.weights.is_none() {
            self.weights = Some(vec![1; self.groups.len() - 1]);
        }
        if let Some(weights) = &mut self.weights {
            weights.push(weight);
        }
    }

    fn weight_of(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights[row])
    }

    /// The rows, those of a group one behind the other.
    fn by_group(&self) -> Vec<u32> {
        let most = self.groups.iter().max().map_or(0, |group| *group as usize + 1);
        let rows = 0..self.groups.len() as u32;
        if most / 8 > self.groups.len() {
            let mut order: Vec<u32> = rows.collect();
            order.sort_unstable_by_key(|row| (self.groups[*row as usize], *row));
            return order;
        }
        let mut places = vec![0u32; most + 1];
        self.groups.iter().for_each(|group| places[*group as usize + 1] += 1);
        (1..places.len()).for_each(|group| places[group] += places[group - 1]);
        let mut order = vec![0; self.groups.len()];
        for row in rows {
            let place = &mut places[self.groups[row as usize] as usize];
            order[*place as usize] = row;
            *place += 1;
        }
        order
    }

    fn sorted(self) -> Run {
        let order = self.by_group();
        let mut run =
            Run { slices: vec![], values: self.values.empty(), weights: self.weights.as_ref().map(|_| vec![]) };
        run.values.reserve(order.len());
        let (mut of_group, mut words_of_group) = (vec![], vec![]);
        for rows in order.chunk_by(|a, b| self.groups[*a as usize] == self.groups[*b as usize]) {
            let start = run.values.len();
            match (&self.values, &mut run.values) {
                (Values::Words(words), Values::Words(sorted)) => match &self.weights {
                    None => {
                        words_of_group.clear();
                        words_of_group.extend(rows.iter().map(|row| words[*row as usize]));
                        words_of_group.sort_unstable();
                        consolidate(words_of_group.iter().map(|word| (*word, 1)), sorted, &mut run.weights);
                    }
                    Some(weights) => {
                        of_group.clear();
                        of_group.extend(rows.iter().map(|row| (words[*row as usize], weights[*row as usize])));
                        of_group.sort_unstable_by_key(|(word, _)| *word);
                        consolidate(of_group.iter().copied(), sorted, &mut run.weights);
                    }
                },
                (values, _) => {
                    let mut rows = rows.to_vec();
                    rows.sort_unstable_by(|a, b| values.order(*a as usize, values, *b as usize));
                    let same = |a: &u32, b: &u32| values.order(*a as usize, values, *b as usize) == Ordering::Equal;
                    for same in rows.chunk_by(same) {
                        let sum = same.iter().fold(0i64, |sum, row| sum.wrapping_add(self.weight_of(*row as usize)));
                        if sum != 0 {
                            run.push(values, same[0] as usize, sum);
                        }
                    }
                }
            }
            run.slice(self.groups[rows[0] as usize], start);
        }
        run.simplified()
    }
}

/// Appends each different one of sorted words, with how often it is there, if that is not once for all.
fn consolidate(sorted: impl Iterator<Item = (u64, i64)>, words: &mut Vec<u64>, weights: &mut Option<Vec<i64>>) {
    let mut note = |word: u64, sum: i64| {
        if sum == 0 {
            return;
        }
        if sum != 1 && weights.is_none() {
            *weights = Some(vec![1; words.len()]);
        }
        if let Some(weights) = weights {
            weights.push(sum);
        }
        words.push(word);
    };
    let mut last: Option<(u64, i64)> = None;
    for (word, weight) in sorted {
        last = match last {
            Some((same, sum)) if same == word => Some((same, sum.wrapping_add(weight))),
            before => {
                before.into_iter().for_each(|(word, sum)| note(word, sum));
                Some((word, weight))
            }
        };
    }
    last.into_iter().for_each(|(word, sum)| note(word, sum));
}

impl Run {
    /// Without rows.
    pub(super) fn empty(coder: &Coder) -> Run {
        Run { slices: vec![], values: coder.empty(), weights: None }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let weights = self.weights.as_ref().map_or(0, |weights| weights.capacity() * size_of::<i64>());
        self.slices.capacity() * size_of::<Slice>() + self.values.room() + weights
    }

    pub(super) fn weight(&self, at: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights[at])
    }

    fn find(&self, group: u32) -> Option<Slice> {
        self.slices.binary_search_by_key(&group, |slice| slice.group).ok().map(|at| self.slices[at])
    }

    /// The rows from here on are a group's.
    fn slice(&mut self, group: u32, start: usize) {
        let end = self.values.len();
        if end > start {
            self.slices.push(Slice { group, start, end });
        }
    }

    /// Notes a row so many times, which is not 0.
    fn push(&mut self, values: &Values, at: usize, weight: i64) {
        if weight != 1 && self.weights.is_none() {
            self.weights = Some(vec![1; self.values.len()]);
        }
        if let Some(weights) = &mut self.weights {
            weights.push(weight);
        }
        self.values.push_of(values, at);
    }

    fn extend(&mut self, other: &Run, from: usize, to: usize) {
        let length = self.values.len();
        match (&mut self.weights, &other.weights) {
            (None, None) => {}
            (weights, Some(others)) => {
                weights.get_or_insert_with(|| vec![1; length]).extend_from_slice(&others[from..to]);
            }
            (Some(weights), None) => weights.extend(std::iter::repeat_n(1, to - from)),
        }
        self.values.extend(&other.values, from, to);
    }

    /// Takes rows of a group, which are in order and behind those that it has of it; `false`: it has others.
    pub(super) fn append(&mut self, group: u32, other: &Run, from: usize, to: usize, has: bool) -> bool {
        let start = self.values.len();
        if !has {
            self.extend(other, from, to);
            self.slice(group, start);
            return true;
        }
        let Some(last) = self.slices.last_mut().filter(|last| last.group == group && last.end == start) else {
            return false;
        };
        if self.values.order(start - 1, &other.values, from) != Ordering::Less {
            return false;
        }
        last.end += to - from;
        self.extend(other, from, to);
        true
    }

    /// Whether the rows from the first to before the last are in order.
    pub(super) fn is_sorted(&self, from: usize, to: usize) -> bool {
        (from + 1..to).all(|at| self.values.order(at - 1, &self.values, at) == Ordering::Less)
    }

    /// Groups were added in any order.
    pub(super) fn order_groups(&mut self) {
        self.slices.sort_unstable_by_key(|slice| slice.group);
    }

    /// Says nothing of weights that are all the same.
    fn simplified(mut self) -> Run {
        if self.weights.as_ref().is_some_and(|weights| weights.iter().all(|weight| *weight == 1)) {
            self.weights = None;
        }
        self
    }

    /// What two say together.
    fn merged(&self, other: &Run) -> Run {
        let mut run = Run { slices: vec![], values: self.values.empty(), weights: None };
        run.values.reserve(self.len() + other.len());
        let (mut mine, mut theirs) = (self.slices.iter().peekable(), other.slices.iter().peekable());
        loop {
            let start = run.values.len();
            let group = match (mine.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) => a.group.min(b.group),
                (Some(slice), None) | (None, Some(slice)) => slice.group,
            };
            let a = mine.next_if(|slice| slice.group == group);
            let b = theirs.next_if(|slice| slice.group == group);
            match (a, b) {
                (Some(a), Some(b)) => run.interleave((self, *a), (other, *b)),
                (Some(slice), None) => run.extend(self, slice.start, slice.end),
                (None, Some(slice)) => run.extend(other, slice.start, slice.end),
                (None, None) => {}
            }
            run.slice(group, start);
        }
        run.simplified()
    }

    fn interleave(&mut self, (a, mine): (&Run, Slice), (b, theirs): (&Run, Slice)) {
        let (mut i, mut j) = (mine.start, theirs.start);
        while i < mine.end && j < theirs.end {
            match a.values.order(i, &b.values, j) {
                Ordering::Less => {
                    self.push(&a.values, i, a.weight(i));
                    i += 1;
                }
                Ordering::Greater => {
                    self.push(&b.values, j, b.weight(j));
                    j += 1;
                }
                Ordering::Equal => {
                    let weight = a.weight(i).wrapping_add(b.weight(j));
                    if weight != 0 {
                        self.push(&a.values, i, weight);
                    }
                    (i, j) = (i + 1, j + 1);
                }
            }
        }
        self.extend(a, i, mine.end);
        self.extend(b, j, theirs.end);
    }

    /// With other numbers of groups; those without one are left out.
    fn renumbered(&self, number: impl Fn(u32) -> Option<u32>) -> Run {
        let mut run = Run { slices: vec![], values: self.values.empty(), weights: None };
        for slice in &self.slices {
            if let Some(group) = number(slice.group) {
                let start = run.values.len();
                run.extend(self, slice.start, slice.end);
                run.slice(group, start);
            }
        }
        run.order_groups();
        run
    }
}

/// Where in a run the next row of a group is, and where its rows end.
type Head<'a> = (&'a Run, usize, usize);

impl Spine {
    pub(super) fn new(coder: &Coder) -> Spine {
        Spine { runs: vec![], pending: Pending::new(coder.empty()) }
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let runs: usize = self.runs.iter().map(|run| run.bytes()).sum();
        let weights = self.pending.weights.as_ref().map_or(0, |weights| weights.capacity() * size_of::<i64>());
        runs + self.pending.groups.capacity() * size_of::<u32>() + self.pending.values.room() + weights
    }

    /// Adds a row of a batch so many times; less than 0: takes it away. `buffer` is used in between.
    pub(super) fn add(&mut self, group: u32, coded: &Coded, row: usize, weight: i64, buffer: &mut Vec<u8>) {
        self.pending.groups.push(group);
        self.pending.values.push(coded, row, buffer);
        self.pending.weight(weight);
        if self.pending.groups.len() >= PENDING {
            self.sort();
        }
    }

    /// Brings the rows that came into a run.
    pub(super) fn sort(&mut self) {
        if !self.pending.groups.is_empty() {
            let values = self.pending.values.empty();
            let run = std::mem::replace(&mut self.pending, Pending::new(values)).sorted();
            self.push(Arc::new(run));
        }
    }

    /// Adds all of a run.
    pub(super) fn push(&mut self, run: Arc<Run>) {
        if run.len() == 0 {
            return;
        }
        let mut run = run;
        while let Some(last) = self.runs.pop_if(|last| last.len() / 2 <= run.len()) {
            run = Arc::new(last.merged(&run));
        }
        if run.len() > 0 {
            self.runs.push(run);
        }
    }

    /// Brings everything into one run.
    pub(super) fn compact(&mut self) {
        self.sort();
        while let Some(last) = self.runs.pop_if(|_| true) {
            match self.runs.pop() {
                Some(before) => self.runs.push(Arc::new(before.merged(&last))),
                None => {
                    self.runs.push(last);
                    break;
                }
            }
        }
    }

    /// The runs, once what came is in one.
    pub(super) fn runs(&self) -> &[Arc<Run>] {
        debug_assert!(self.pending.groups.is_empty());
        &self.runs
    }

    /// Takes what another one has of groups, under the numbers that they have here.
    pub(super) fn take(&mut self, other: &Spine, number: impl Fn(u32) -> Option<u32>) {
        for run in &other.runs {
            self.push(Arc::new(run.renumbered(&number)));
        }
        for (row, group) in other.pending.groups.iter().enumerate() {
            if let Some(group) = number(*group) {
                self.pending.groups.push(group);
                self.pending.values.push_of(&other.pending.values, row);
                self.pending.weight(other.pending.weight_of(row));
            }
        }
        if self.pending.groups.len() >= PENDING {
            self.sort();
        }
    }

    /// Everything in one run, with other numbers of groups.
    pub(super) fn into_run(mut self, number: impl Fn(u32) -> u32) -> Option<Arc<Run>> {
        self.pending.groups.iter_mut().for_each(|group| *group = number(*group));
        let runs = std::mem::take(&mut self.runs);
        runs.iter().for_each(|run| self.push(Arc::new(run.renumbered(|group| Some(number(group))))));
        self.compact();
        self.runs.pop()
    }

    /// Calls `f` with the different rows of a group that are not there 0 times, in order or backwards, until it says `false`: where the row is, and how often it is
    /// there.
    pub(super) fn walk<'a>(&'a self, group: u32, backwards: bool, mut f: impl FnMut(&'a Run, usize, i64) -> bool) {
        debug_assert!(self.pending.groups.is_empty());
        let slices = self.runs.iter().filter_map(|run| run.find(group).map(|slice| (&**run, slice.start, slice.end)));
        let mut heads: SmallVec<[Head<'a>; 8]> = slices.collect();
        let head = |(_, start, end): &Head<'a>| if backwards { end - 1 } else { *start };
        loop {
            heads.retain(|(_, start, end)| start < end);
            let order = |a: &Head<'a>, b: &Head<'a>| {
                let order = a.0.values.order(head(a), &b.0.values, head(b));
                if backwards { order.reverse() } else { order }
            };
            let Some(next) = heads.iter().copied().min_by(order) else { return };
            let (mut weight, at) = (0i64, head(&next));
            for other in &mut heads {
                let there = head(other);
                if other.0.values.order(there, &next.0.values, at) == Ordering::Equal {
                    weight = weight.wrapping_add(other.0.weight(there));
                    if backwards { other.2 -= 1 } else { other.1 += 1 }
                }
            }
            if weight != 0 && !f(next.0, at, weight) {
                return;
            }
        }
    }

    /// Picks rows of a group that are there: the first and the last, or all; calls `f` with how often each is there.
    pub(super) fn pick<'a>(&'a self, group: u32, ends: bool, picked: &mut Picked<'a>, mut f: impl FnMut(i64)) {
        let mut one = |backwards: bool, stop: bool| {
            self.walk(group, backwards, |run, at, weight| {
                if weight <= 0 {
                    return true;
                }
                run.values.pick(at, at + 1, picked);
                f(weight);
                !stop
            });
        };
        one(false, ends);
        if ends {
            one(true, true);
        }
    }

    /// Whether a group has no row.
    pub(super) fn is_empty(&self, group: u32) -> bool {
        let mut empty = true;
        self.walk(group, false, |_, _, _| {
            empty = false;
            false
        });
        empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Int64Type};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A group, a value, and how often it is added.
    type Row = (u32, i64, i64);

    fn batch(rows: &[Row], text: bool) -> ArrayRef {
        let values = rows.iter().map(|(_, value, _)| *value);
        // Texts that are in the order of the numbers.
        if text {
            Arc::new(StringArray::from_iter_values(values.map(|v| format!("{:03}", v + 100))))
        } else {
            Arc::new(Int64Array::from_iter_values(values))
        }
    }

    fn number(value: &ArrayRef, row: usize) -> i64 {
        match value.as_string_opt::<i32>() {
            Some(texts) => texts.value(row).parse::<i64>().unwrap() - 100,
            None => value.as_primitive::<Int64Type>().value(row),
        }
    }

    fn picked(spine: &Spine, coder: &Coder, group: u32, ends: bool) -> Vec<(i64, i64)> {
        let (mut picked, mut weights) = (coder.none_picked(), vec![]);
        spine.pick(group, ends, &mut picked, |weight| weights.push(weight));
        let column = coder.decode(picked).unwrap().remove(0);
        weights.into_iter().enumerate().map(|(row, weight)| (number(&column, row), weight)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn what_is_there_is_the_sum_of_what_came(
            epochs in prop::collection::vec(prop::collection::vec((0u32..4, -5i64..5, -2i64..3), 0..40), 0..8),
            text: bool,
            compact: bool,
        ) {
            let data = if text { DataType::Utf8 } else { DataType::Int64 };
            let coder = Coder::new(&[data]).unwrap();
            prop_assert_eq!(text, matches!(coder, Coder::Row(_)));
            let (mut spine, mut model) = (Spine::new(&coder), BTreeMap::<(u32, i64), i64>::new());
            for rows in &epochs {
                let rows: Vec<Row> = rows.iter().copied().filter(|row| row.2 != 0).collect();
                let coded = coder.encode(&[batch(&rows, text)]).unwrap();
                let (mut workers, mut buffer) = ([Spine::new(&coder), Spine::new(&coder)], vec![]);
                for (row, (group, value, weight)) in rows.iter().enumerate() {
                    workers[row % 2].add(*group, &coded, row, *weight, &mut buffer);
                    *model.entry((*group, *value)).or_default() += weight;
                }
                let [mut delta, other] = workers;
                delta.take(&other, Some);
                // Numbers change on the way: here they are turned round, and back.
                let turned = delta.into_run(|group| 3 - group);
                let mut there = Spine::new(&coder);
                turned.into_iter().for_each(|run| there.push(run));
                spine.take(&there, |group| Some(3 - group));
                if compact {
                    spine.compact();
                    prop_assert!(spine.runs().len() <= 1);
                }
                model.retain(|_, weight| *weight != 0);
                for group in 0..4 {
                    let all: Vec<(i64, i64)> =
                        model.iter().filter(|((g, _), _)| *g == group).map(|((_, value), weight)| (*value, *weight)).collect();
                    let there: Vec<(i64, i64)> = all.iter().copied().filter(|(_, weight)| *weight > 0).collect();
                    prop_assert_eq!(spine.is_empty(group), all.is_empty());
                    prop_assert_eq!(&picked(&spine, &coder, group, false), &there);
                    let ends: Vec<(i64, i64)> = there.first().into_iter().chain(there.last()).copied().collect();
                    prop_assert_eq!(picked(&spine, &coder, group, true), ends);
                }
            }
            let sizes: Vec<usize> = spine.runs().iter().map(|run| run.len()).collect();
            prop_assert!(sizes.windows(2).all(|pair| pair[0] / 2 > pair[1]), "{sizes:?}");
        }
    }
}
