//! Values chosen by their place or by another value: first, last, min_by, max_by; and min and max of types that have no number of the same order.
//!
//! What ranks a row is compared as a number of 64 or 128 bits where its type has one of the same order, so that a row costs a comparison and no encoding; only
//! other types are compared as bytes. The value is copied for rows that win alone, at a batch's end. Knows nothing of who numbers the groups.

use super::accumulator::{Accumulator, Failed, Pair, Rows, damaged, grow, load_place, room, same, save_places, saved};
use super::cells::{Bits, Cells, Texts, Win};
use super::extremes::{from_numbers, is_number, to_numbers};
use crate::batch::RowOrder;
use crate::error::RunError;
use crate::keys::{Keys, normalize};
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::datatypes::{DataType as A, Decimal128Type, UInt64Type};
use arrow::row::Rows as Encoded;
use std::cmp::Ordering;
use std::sync::Arc;

/// What makes a row the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It comes first.
    First,
    /// It comes last.
    Last,
    /// Its rank is the least; of several the first.
    Least,
    /// Its rank is the greatest; of several the first.
    Greatest,
}

impl Choice {
    /// Whether a row counts more than another, given how their ranks compare and the place of each, which is looked at only where ranks do not tell: it stands
    /// elsewhere in memory.
    fn beats(self, ranks: Ordering, place: RowOrder, other: impl FnOnce() -> RowOrder) -> bool {
        match self {
            Choice::First => place < other(),
            Choice::Last => place > other(),
            Choice::Least => ranks.is_lt() || ranks.is_eq() && place < other(),
            Choice::Greatest => ranks.is_gt() || ranks.is_eq() && place < other(),
        }
    }
}

/// The rank of the row that counts, for each group.
#[derive(Debug)]
enum Ranks {
    /// The place alone ranks.
    Place,
    /// Of a type that has a number of the same order.
    Numbers(A, Vec<i64>),
    Decimals(A, Vec<i128>),
    Bytes(Keys, Texts),
}

/// The ranks of rows, in the form in which they are compared.
enum Offered {
    Place,
    Numbers(Int64Array),
    Decimals(Decimal128Array),
    Bytes(Encoded),
}

/// Ranks of rows beside those of groups.
trait Compare {
    /// A row's rank beside that of a group.
    fn compare(&self, row: usize, group: usize) -> Ordering;

    /// The group's rank is now that of the row.
    fn replace(&mut self, row: usize, group: usize);
}

struct ByPlace;

impl Compare for ByPlace {
    fn compare(&self, _: usize, _: usize) -> Ordering {
        Ordering::Equal
    }

    fn replace(&mut self, _: usize, _: usize) {}
}

struct ByNumber<'a, N> {
    best: &'a mut [N],
    offered: &'a [N],
}

impl<N: Ord + Copy> Compare for ByNumber<'_, N> {
    fn compare(&self, row: usize, group: usize) -> Ordering {
        self.offered[row].cmp(&self.best[group])
    }

    fn replace(&mut self, row: usize, group: usize) {
        self.best[group] = self.offered[row];
    }
}

struct ByBytes<'a, F> {
    best: &'a mut Texts,
    offered: F,
}

impl<'a, F: Fn(usize) -> &'a [u8]> Compare for ByBytes<'a, F> {
    fn compare(&self, row: usize, group: usize) -> Ordering {
        (self.offered)(row).cmp(self.best.get(group))
    }

    fn replace(&mut self, row: usize, group: usize) {
        self.best.put(group, (self.offered)(row));
    }
}

impl Ranks {
    fn new(data: Option<&A>) -> Result<Ranks, RunError> {
        Ok(match data {
            None => Ranks::Place,
            Some(data) if is_number(data) => Ranks::Numbers(data.clone(), vec![]),
            Some(data @ A::Decimal128(..)) => Ranks::Decimals(data.clone(), vec![]),
            Some(data) => Ranks::bytes(data)?,
        })
    }

    /// As bytes, whatever the type is.
    fn bytes(data: &A) -> Result<Ranks, RunError> {
        Ok(Ranks::Bytes(Keys::new([data].into_iter())?, Texts::default()))
    }

    fn grow(&mut self, count: usize) {
        match self {
            Ranks::Place => {}
            Ranks::Numbers(_, best) => grow(best, count),
            Ranks::Decimals(_, best) => grow(best, count),
            Ranks::Bytes(_, best) => best.grow(count),
        }
    }

    fn room(&self) -> usize {
        match self {
            Ranks::Place => 0,
            Ranks::Numbers(_, best) => room(best),
            Ranks::Decimals(_, best) => room(best),
            Ranks::Bytes(_, best) => best.room(),
        }
    }

    /// The ranks of rows. Fails for a column of another type.
    fn offered(&self, column: Option<&ArrayRef>) -> Result<Offered, RunError> {
        let column = || column.ok_or_else(|| internal("an aggregate lacks what ranks its rows"));
        Ok(match self {
            Ranks::Place => Offered::Place,
            Ranks::Numbers(data, _) | Ranks::Decimals(data, _) if column()?.data_type() != data => {
                return Err(internal(format!("a rank is {}, not {data}", column()?.data_type())));
            }
            Ranks::Numbers(..) => Offered::Numbers(to_numbers(column()?)?),
            Ranks::Decimals(..) => Offered::Decimals(column()?.as_primitive::<Decimal128Type>().clone()),
            Ranks::Bytes(keys, _) => Offered::Bytes(keys.encode(&[Arc::clone(column()?)])?),
        })
    }

    /// The ranks of these groups as a column, null where there is none; none: the place ranks.
    fn column(&self, groups: &[u32], some: &Bits) -> Result<Option<ArrayRef>, RunError> {
        let has = |group: &u32| some.get(*group as usize);
        Ok(match self {
            Ranks::Place => None,
            Ranks::Numbers(data, best) => {
                Some(from_numbers(data, groups.iter().map(|group| has(group).then(|| best[*group as usize])))?)
            }
            Ranks::Decimals(data, best) => {
                let values = groups.iter().map(|group| has(group).then(|| best[*group as usize]));
                Some(Arc::new(values.collect::<Decimal128Array>().with_data_type(data.clone())))
            }
            Ranks::Bytes(keys, best) => Some(best.column(keys, groups, some)?),
        })
    }
}

/// The place of the row that counts, for each group that has one.
#[derive(Debug, Default)]
struct Placed {
    some: Bits,
    places: Vec<RowOrder>,
}

impl Placed {
    /// Offers rows to groups; returns those that win, in the order in which they do.
    fn offer(
        &mut self,
        choice: Choice,
        mut ranks: impl Compare,
        rows: impl Iterator<Item = (usize, usize)>,
        place: impl Fn(usize) -> RowOrder,
    ) -> Vec<Win> {
        let mut wins = vec![];
        for (row, group) in rows {
            let place = place(row);
            let there = self.some.get(group);
            if !there || choice.beats(ranks.compare(row, group), place, || self.places[group]) {
                self.some.set(group);
                self.places[group] = place;
                ranks.replace(row, group);
                wins.push((row as u32, group as u32));
            }
        }
        wins
    }
}

/// The value of the row that counts.
#[derive(Debug)]
pub(super) struct Chosen {
    choice: Choice,
    /// Whether the value is what ranks it.
    own_rank: bool,
    ranks: Ranks,
    placed: Placed,
    values: Cells,
}

impl Chosen {
    /// For operands of these types: the value, and what ranks it.
    pub(super) fn new(choice: Choice, value: &A, rank: Option<&A>) -> Result<Self, RunError> {
        let (ranks, values) = (Ranks::new(rank)?, Cells::new(value)?);
        Ok(Chosen { choice, own_rank: false, ranks, placed: Placed::default(), values })
    }

    /// The least or greatest value of this type.
    pub(super) fn extreme(choice: Choice, value: &A) -> Result<Self, RunError> {
        Ok(Chosen { own_rank: true, ..Chosen::new(choice, value, Some(value))? })
    }

    fn grow(&mut self, count: usize) {
        self.placed.some.grow(count);
        grow(&mut self.placed.places, count);
        self.ranks.grow(count);
        self.values.grow(count);
    }

    /// Offers rows with these ranks to groups; returns those that win.
    fn offer(
        &mut self,
        offered: &Offered,
        rows: impl Iterator<Item = (usize, usize)>,
        place: impl Fn(usize) -> RowOrder,
    ) -> Result<Vec<Win>, RunError> {
        let (choice, placed) = (self.choice, &mut self.placed);
        Ok(match (&mut self.ranks, offered) {
            (Ranks::Place, Offered::Place) => placed.offer(choice, ByPlace, rows, place),
            (Ranks::Numbers(_, best), Offered::Numbers(offered)) => {
                placed.offer(choice, ByNumber { best, offered: offered.values() }, rows, place)
            }
            (Ranks::Decimals(_, best), Offered::Decimals(offered)) => {
                placed.offer(choice, ByNumber { best, offered: offered.values() }, rows, place)
            }
            (Ranks::Bytes(_, best), Offered::Bytes(offered)) => {
                placed.offer(choice, ByBytes { best, offered: |row| offered.row(row).data() }, rows, place)
            }
            _ => return Err(internal("ranks of different kinds meet")),
        })
    }

    /// Offers what another one has.
    fn offer_all(&mut self, other: &Chosen, pairs: &[Pair]) -> Result<Vec<Win>, RunError> {
        let has = |(from, _): &(usize, usize)| other.placed.some.get(*from);
        let rows = pairs.iter().map(|(from, to)| (*from as usize, *to as usize)).filter(has);
        let place = |group: usize| other.placed.places[group];
        let (choice, placed) = (self.choice, &mut self.placed);
        Ok(match (&mut self.ranks, &other.ranks) {
            (Ranks::Place, Ranks::Place) => placed.offer(choice, ByPlace, rows, place),
            (Ranks::Numbers(_, best), Ranks::Numbers(_, offered)) => {
                placed.offer(choice, ByNumber { best, offered }, rows, place)
            }
            (Ranks::Decimals(_, best), Ranks::Decimals(_, offered)) => {
                placed.offer(choice, ByNumber { best, offered }, rows, place)
            }
            (Ranks::Bytes(_, best), Ranks::Bytes(_, offered)) => {
                placed.offer(choice, ByBytes { best, offered: |group| offered.get(group) }, rows, place)
            }
            _ => return Err(internal("ranks of different kinds meet")),
        })
    }
}

impl Accumulator for Chosen {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        self.grow(rows.count);
        let ranking = rows.args.last().filter(|_| !matches!(self.ranks, Ranks::Place));
        let offered = self.ranks.offered(ranking)?;
        let place = |row: usize| rows.places.of(row);
        let mut wins = match ranking {
            Some(by) => self.offer(&offered, rows.valid(by), place)?,
            None => self.offer(&offered, rows.admitted(), place)?,
        };
        if self.values.is_costly() {
            // Only what has not been beaten since.
            wins.retain(|(row, group)| self.placed.places[*group as usize] == place(*row as usize));
        }
        // A value that is its own rank comes out in the form in which it is compared: it does not depend on which of several equal ones came first.
        let column = if self.own_rank { normalize(&rows.args[0]) } else { Arc::clone(&rows.args[0]) };
        self.values.put(&column, &wins)
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        self.grow(count);
        let other: &Chosen = same(other)?;
        let wins = self.offer_all(other, pairs)?;
        self.values.take(&other.values, &wins)
    }

    /// The values, the places, and what ranks the values unless they rank themselves. Without a row, there is no place.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let Placed { some, places } = &self.placed;
        let mut columns = vec![self.values.column(groups, some)?];
        let place = |group: &u32| some.get(*group as usize).then(|| places[*group as usize]);
        columns.extend(save_places(groups.iter().map(place)));
        if !self.own_rank {
            columns.extend(self.ranks.column(groups, some)?);
        }
        Ok(columns)
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        self.grow(count);
        let (high, low) = (saved::<UInt64Type>(columns, 1)?, saved::<UInt64Type>(columns, 2)?);
        let values = columns.first().ok_or_else(damaged)?;
        let offered = self.ranks.offered(columns.get(if self.own_rank { 0 } else { 3 })).map_err(|_| damaged())?;
        let rows = groups.iter().enumerate().map(|(row, group)| (row, *group as usize));
        let rows = rows.filter(|(row, _)| high.is_valid(*row));
        let wins = self.offer(&offered, rows, |row| load_place(high, low, row))?;
        self.values.put(values, &wins).map_err(|_| damaged())
    }

    fn bytes(&self) -> usize {
        let Placed { some, places } = &self.placed;
        some.room() + room(places) + self.ranks.room() + self.values.room()
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(self.values.column(order, &self.placed.some)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::accumulator::Places;
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, StringArray};
    use arrow::compute::cast;
    use proptest::prelude::*;

    const GROUPS: u32 = 4;

    fn doubles() -> impl Strategy<Value = f64> {
        let nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 9);
        prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(nan), Just(-1e300), -3.0..3.0f64]
    }

    /// A column of this type.
    fn column(data: &A, values: &[Option<f64>]) -> ArrayRef {
        let doubles: ArrayRef = Arc::new(values.iter().copied().collect::<Float64Array>());
        let small = || values.iter().map(|v| v.map(|v| v.clamp(-9.0, 9.0) as i64)).collect::<Int64Array>();
        match data {
            A::Float64 => doubles,
            A::Float32 => cast(&doubles, data).unwrap(),
            A::Utf8 => Arc::new(values.iter().map(|v| v.map(|v| format!("{v}"))).collect::<StringArray>()),
            A::Boolean => Arc::new(values.iter().map(|v| v.map(|v| v > 0.0)).collect::<BooleanArray>()),
            A::Date32 => cast(&cast(&small(), &A::Int32).unwrap(), data).unwrap(),
            _ => cast(&small(), data).unwrap(),
        }
    }

    fn types() -> Vec<A> {
        use arrow::datatypes::TimeUnit::Microsecond;
        let timestamp = A::Timestamp(Microsecond, Some("UTC".into()));
        let numbers = [A::Int32, A::Int64, A::Float32, A::Float64, A::Boolean, A::Date32];
        numbers.into_iter().chain([timestamp, A::Decimal128(30, 2), A::Utf8]).collect()
    }

    /// The same with all bytes compared and copied as bytes: the definition.
    fn plain(choice: Choice, value: &A, rank: Option<&A>) -> Chosen {
        let ranks = rank.map_or(Ranks::Place, |rank| Ranks::bytes(rank).unwrap());
        Chosen { ranks, values: Cells::texts(value).unwrap(), ..Chosen::new(choice, value, rank).unwrap() }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn numbers_choose_as_bytes_do(
            rows in prop::collection::vec(
                (prop::option::of(doubles()), prop::option::of(doubles()), 0..GROUPS, any::<bool>()),
                0..40,
            ),
            batch in 1..12usize,
            places in prop::option::of(prop::collection::vec(0..9u128, 40)),
        ) {
            let choices = [Choice::First, Choice::Last, Choice::Least, Choice::Greatest];
            for (i, (value, rank)) in types().iter().flat_map(|v| types().into_iter().map(move |r| (v, r))).enumerate() {
                let choice = choices[i % 4];
                let rank = matches!(choice, Choice::Least | Choice::Greatest).then_some(&rank);
                let fast = || Chosen::new(choice, value, rank).unwrap();
                let plain = || plain(choice, value, rank);
                let saved = [[fast(), fast()], [plain(), plain()]].map(|[mut chosen, mut other]| {
                    for (n, part) in rows.chunks(batch).enumerate() {
                        let groups: Vec<u32> = part.iter().map(|r| r.2).collect();
                        let filter: BooleanArray = part.iter().map(|r| Some(r.3)).collect();
                        let values: Vec<_> = part.iter().map(|r| r.0).collect();
                        let by: Vec<_> = part.iter().map(|r| r.1).collect();
                        let mut args = vec![column(value, &values)];
                        args.extend(rank.map(|rank| column(rank, &by)));
                        let places = match &places {
                            Some(places) => Places::Each(places[n * batch..][..part.len()].to_vec()),
                            None => Places::From((n * batch) as u128),
                        };
                        let filter = (n % 3 == 0).then_some(&filter);
                        let rows = Rows {
                            groups: &groups, filter, args: &args, places: &places, count: GROUPS as usize, weights: None,
                        };
                        if n % 2 == 0 { chosen.update(&rows).unwrap() } else { other.update(&rows).unwrap() }
                    }
                    let pairs: Vec<Pair> = (0..GROUPS).map(|group| (group, group)).collect();
                    chosen.merge(&other, &pairs, GROUPS as usize + 1).unwrap();
                    chosen.save(&[4, 0, 3, 1, 2, 7]).unwrap()
                });
                prop_assert_eq!(&saved[0], &saved[1], "{:?} {} {:?}", choice, value, rank);
            }
        }
    }
}
