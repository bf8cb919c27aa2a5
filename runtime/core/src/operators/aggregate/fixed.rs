//! The exact sum of doubles of each group. A value of ordinary size is a fixed-point number of 128 bits, to which it is added as an integer (Kulisch's long
//! accumulator, cut to the bits that most values have); what has no place there goes into the group's [`ExactSum`] in a table beside. The sum is that of both, so
//! that neither order nor distribution shows, nor which value went where. Knows nothing of columns.

use super::accumulator::{grow, room};
use super::column::Column;
use super::exact::ExactSum;

/// The lowest bit of a fixed-point number is 2^-POINT: doubles from 2^(52 - POINT) on have all of their bits there, smaller ones if their last bits are zero.
const POINT: i32 = 74;

/// The highest shift of a mantissa of 53 bits: the number stays below 2^126.
const SHIFT: u32 = 73;

/// A sum and how many values it has; in three words, because 128-bit numbers would be aligned to four.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    low: u64,
    high: i64,
    count: i64,
}

impl Entry {
    fn sum(&self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }

    fn set(&mut self, sum: i128) {
        (self.low, self.high) = (sum as u64, (sum >> 64) as i64);
    }
}

/// A double as a fixed-point number, if it is one.
fn fixed(x: f64) -> Option<i128> {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7FF) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let shift = exponent - (1075 - POINT);
    let magnitude = if (0..=SHIFT as i32).contains(&shift) {
        i128::from(fraction | 1 << 52) << shift
    } else if bits << 1 == 0 {
        0
    } else if (-52..0).contains(&shift) && (fraction | 1 << 52).trailing_zeros() as i32 >= -shift {
        i128::from((fraction | 1 << 52) >> -shift)
    } else {
        return None;
    };
    Some(if x.is_sign_negative() { -magnitude } else { magnitude })
}

/// A fixed-point number as a double, rounded to the nearest (ties to even). The factor is a power of two, and no result is subnormal.
fn rounded(sum: i128) -> f64 {
    sum as f64 * f64::from_bits(((1023 - POINT) as u64) << 52)
}

/// Doubles whose sum a fixed-point number is.
fn parts(mut sum: i128) -> impl Iterator<Item = f64> {
    std::iter::from_fn(move || {
        if sum == 0 {
            return None;
        }
        // The highest 53 bits: they fit a double, and what is left is shorter.
        let low = (128 - sum.unsigned_abs().leading_zeros()).saturating_sub(53);
        let part = sum >> low << low;
        sum -= part;
        Some(rounded(part))
    })
}

/// Sums with their counts, by group.
#[derive(Debug, Default)]
pub(super) struct FixedSums {
    entries: Column<Entry>,
    /// Of each group one more than the number of its sum in the table beside; 0: it has none. Empty as long as no group has.
    beside: Vec<u32>,
    sums: Vec<ExactSum>,
}

impl FixedSums {
    /// Makes room for so many groups.
    pub(super) fn grow(&mut self, count: usize) {
        self.entries.grow(count);
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.entries.bytes() + room(&self.beside) + room(&self.sums)
    }

    /// Adds a value.
    pub(super) fn add(&mut self, group: usize, x: f64) {
        let entry = self.entries.at(group);
        entry.count += 1;
        match fixed(x).and_then(|x| entry.sum().checked_add(x)) {
            Some(sum) => entry.set(sum),
            None => self.beside(group).add(x),
        }
    }

    /// Adds a value so many times; less than 0: takes it away.
    pub(super) fn add_times(&mut self, group: usize, x: f64, times: i64) {
        let entry = self.entries.at(group);
        entry.count += times;
        let product = fixed(x).and_then(|x| x.checked_mul(i128::from(times)));
        match product.and_then(|x| entry.sum().checked_add(x)) {
            Some(sum) => entry.set(sum),
            None => self.beside(group).add_times(x, times),
        }
    }

    fn beside(&mut self, group: usize) -> &mut ExactSum {
        grow(&mut self.beside, group + 1);
        if self.beside[group] == 0 {
            self.sums.push(ExactSum::default());
            // There are no more of them than groups, whose numbers have 32 bits.
            self.beside[group] = self.sums.len() as u32;
        }
        &mut self.sums[self.beside[group] as usize - 1]
    }

    fn found(&self, group: u32) -> Option<&ExactSum> {
        self.sums.get(self.beside.get(group as usize)?.checked_sub(1)? as usize)
    }

    /// Takes what a group of others has into a group here.
    pub(super) fn merge(&mut self, other: &FixedSums, from: u32, to: usize) {
        let Some(theirs) = other.entries.get(from as usize) else { return };
        let entry = self.entries.at(to);
        entry.count += theirs.count;
        match entry.sum().checked_add(theirs.sum()) {
            Some(sum) => entry.set(sum),
            None => parts(theirs.sum()).for_each(|part| self.beside(to).add(part)),
        }
        if let Some(theirs) = other.found(from) {
            self.beside(to).merge(theirs);
        }
    }

    /// Takes a sum of so many values into a group.
    pub(super) fn load(&mut self, group: usize, sum: &ExactSum, count: i64) {
        self.entries.at(group).count += count;
        let before = self.entries.of(group as u32).sum();
        let add = |all: i128, part: &f64| all.checked_add(fixed(*part)?);
        match sum.plain_parts().and_then(|parts| parts.iter().try_fold(before, add)) {
            Some(all) => self.entries.at(group).set(all),
            None => self.beside(group).merge(sum),
        }
    }

    /// How many values a group has.
    pub(super) fn count(&self, group: u32) -> i64 {
        self.entries.get(group as usize).map_or(0, |entry| entry.count)
    }

    /// The sum of a group, exactly.
    pub(super) fn exact(&self, group: u32) -> ExactSum {
        let mut sum = self.found(group).cloned().unwrap_or_default();
        parts(self.entries.of(group).sum()).for_each(|part| sum.add(part));
        sum
    }

    /// The sum of a group, rounded to the nearest double (ties to even).
    pub(super) fn value(&self, group: u32) -> f64 {
        match self.found(group) {
            Some(_) => self.exact(group).value(),
            None => rounded(self.entries.of(group).sum()),
        }
    }

    /// Whether a group is as if it had never had a value.
    pub(super) fn is_initial(&self, group: u32) -> bool {
        self.count(group) == 0 && self.exact(group).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn double() -> impl Strategy<Value = f64> {
        let edges = [-75, -74, -73, -53, -52, -23, -22, -21, 50, 51, 52, 53, 54].map(|e| 2.0_f64.powi(e));
        let special = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, -f64::MAX, 5e-324];
        prop_oneof![
            4 => -1000.0..1000.0,
            2 => prop::sample::select(edges.to_vec()).prop_flat_map(|e| (-1.0..1.0).prop_map(move |x| x * 4.0 * e)),
            2 => prop::sample::select(edges.to_vec()),
            1 => prop::sample::select(special),
            1 => any::<f64>(),
        ]
    }

    #[test]
    fn fixed_point_numbers_are_doubles_and_back() {
        for (x, wanted) in [(0.0, Some(0)), (-0.0, Some(0)), (1.0, Some(1_i128 << POINT)), (-0.5, Some(-1_i128 << 73))]
        {
            assert_eq!(fixed(x), wanted, "{x}");
        }
        let lowest = 2.0_f64.powi(-POINT);
        assert_eq!((fixed(lowest), fixed(lowest / 2.0), fixed(lowest * 1.5)), (Some(1), None, None));
        assert_eq!((fixed(f64::NAN), fixed(f64::INFINITY), fixed(5e-324), fixed(1e300)), (None, None, None, None));
        let highest = f64::from_bits(2.0_f64.powi(52).to_bits() - 1);
        assert_eq!((fixed(highest).map(rounded), fixed(2.0_f64.powi(52))), (Some(highest), None));
        for sum in [i128::MIN, i128::MAX, 1, -1, (1 << 53) + 1, (1 << 120) + (1 << 60) + 1, -(1 << 120) - 1] {
            assert_eq!(parts(sum).filter_map(fixed_or_large).fold(0_i128, i128::wrapping_add), sum);
        }
    }

    /// Of parts, which may be as large as the largest fixed-point number.
    fn fixed_or_large(x: f64) -> Option<i128> {
        fixed(x).or_else(|| fixed(x / 1024.0).map(|x| x.wrapping_mul(1024)))
    }

    proptest! {
        /// Whatever goes where, and however it is distributed, merged and stored, the sum is that of the slow accumulator.
        #[test]
        fn sums_are_those_of_exact_sums(
            xs in prop::collection::vec((double(), prop_oneof![6 => Just(1i64), 1 => -3i64..4, 1 => Just(1 << 40)]), 0..40),
            cut in 0..40usize,
        ) {
            let (mut wanted, mut count) = (ExactSum::default(), 0);
            let mut parts = [FixedSums::default(), FixedSums::default()];
            parts.iter_mut().for_each(|sums| sums.grow(2));
            for (i, (x, times)) in xs.iter().enumerate() {
                wanted.add_times(*x, *times);
                count += times;
                let part = &mut parts[usize::from(i >= cut)];
                if *times == 1 { part.add(1, *x) } else { part.add_times(1, *x, *times) }
            }
            let mut merged = FixedSums::default();
            merged.grow(9);
            parts.iter().for_each(|part| merged.merge(part, 1, 8));
            prop_assert_eq!((merged.value(8).to_bits(), merged.count(8)), (wanted.value().to_bits(), count));
            prop_assert_eq!(merged.exact(8).value().to_bits(), wanted.value().to_bits());
            let mut bytes = vec![];
            parts[0].exact(1).write(&mut bytes);
            parts[1].load(1, &ExactSum::read(&bytes).unwrap(), parts[0].count(1));
            prop_assert_eq!((parts[1].value(1).to_bits(), parts[1].count(1)), (wanted.value().to_bits(), count));
            prop_assert_eq!((merged.value(0), merged.is_initial(7)), (0.0, true));
            // Taken away again, nothing is left.
            xs.iter().for_each(|(x, times)| merged.add_times(8, *x, -times));
            prop_assert!(merged.is_initial(8));
        }
    }
}
