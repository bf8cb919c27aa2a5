//! Sums of doubles without rounding, so that neither the order of the rows nor their distribution over workers shows; rounded once, to the nearest, at the
//! end. Knows nothing of groups or columns.

use smallvec::SmallVec;

/// About 2^960. From here on a value goes into a [`Wide`] at once: sums of fewer than 2^60 smaller ones do not overflow.
const LARGE: f64 = 9.7e288;

/// Values that have no place in a sum, each with how often it was added, less how often it was taken away.
#[derive(Debug, Clone, Default, PartialEq)]
struct Special {
    nan: i64,
    positive: i64,
    negative: i64,
}

/// The exact sum of doubles: a few doubles that do not overlap (Shewchuk, 1997), or all bits of the range of doubles where values are huge. Values can be taken
/// away again: what comes out depends on those that are left alone, down to the last bit.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExactSum {
    parts: SmallVec<[f64; 3]>,
    wide: Option<Box<Wide>>,
    special: Option<Box<Special>>,
}

impl ExactSum {
    /// Adds a value.
    pub(crate) fn add(&mut self, x: f64) {
        if x.is_finite() { self.add_finite(x) } else { self.add_special(x, 1) }
    }

    /// Adds a value so many times; less than 0: takes it away.
    pub(crate) fn add_times(&mut self, x: f64, times: i64) {
        if !x.is_finite() {
            return self.add_special(x, times);
        }
        let signed = if times < 0 { -x } else { x };
        let mut bits = times.unsigned_abs();
        while bits != 0 {
            let bit = bits.trailing_zeros();
            bits &= bits - 1;
            // Powers of two are exact, but for what is then too large for a double.
            let power = signed * (1_u64 << bit) as f64;
            if power.is_finite() { self.add_finite(power) } else { self.widen().add_shifted(signed, bit as usize) }
        }
    }

    fn add_special(&mut self, x: f64, times: i64) {
        let special = self.special.get_or_insert_default();
        let count = match x {
            f64::INFINITY => &mut special.positive,
            f64::NEG_INFINITY => &mut special.negative,
            _ => &mut special.nan,
        };
        *count += times;
        self.special = self.special.take().filter(|special| **special != Special::default());
    }

    fn add_finite(&mut self, mut x: f64) {
        if let Some(wide) = &mut self.wide {
            return wide.add(x);
        }
        if x.abs() >= LARGE {
            return self.widen().add(x);
        }
        let mut kept = 0;
        for i in 0..self.parts.len() {
            let (sum, rest) = two_sum(x, self.parts[i]);
            if rest != 0.0 {
                self.parts[kept] = rest;
                kept += 1;
            }
            x = sum;
        }
        self.parts.truncate(kept);
        self.parts.push(x);
    }

    /// From here on it is all bits of the range.
    fn widen(&mut self) -> &mut Wide {
        let parts = &mut self.parts;
        self.wide.get_or_insert_with(|| {
            let mut wide = Box::<Wide>::default();
            parts.drain(..).for_each(|part| wide.add(part));
            wide
        })
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: &ExactSum) {
        if let Some(theirs) = &other.special {
            let mine = self.special.get_or_insert_default();
            mine.nan += theirs.nan;
            mine.positive += theirs.positive;
            mine.negative += theirs.negative;
            self.special = self.special.take().filter(|special| **special != Special::default());
        }
        other.parts.iter().for_each(|part| self.add_finite(*part));
        if let Some(theirs) = &other.wide {
            self.widen().merge(theirs);
        }
    }

    /// The doubles whose sum it is, where they alone are it: none of its values is huge or no number.
    pub(crate) fn plain_parts(&self) -> Option<&[f64]> {
        (self.wide.is_none() && self.special.is_none()).then_some(&self.parts)
    }

    /// Whether nothing was added that was not taken away.
    pub(crate) fn is_zero(&self) -> bool {
        self.special.is_none() && self.value() == 0.0
    }

    /// Appends its bytes: a byte of flags (1: NaN, 2 and 4: an infinity of either sign, 8: huge, 16: counts follow), then how often NaN and the infinities
    /// (positive first) were added, if any was, each a signed 64-bit number; then the doubles whose sum it is, or where it is huge its 70 digits of 32 bits,
    /// each a signed 64-bit number, from the lowest, which counts 2^-1074; all little-endian. Earlier ones have no counts.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let counts = self.special.as_ref().map(|s| [s.nan, s.positive, s.negative]);
        let [nan, positive, negative] = counts.unwrap_or_default().map(|count| count != 0);
        let flags = [nan, positive, negative, self.wide.is_some(), counts.is_some()];
        out.push(flags.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum());
        counts.iter().flatten().for_each(|count| out.extend(count.to_le_bytes()));
        self.parts.iter().for_each(|part| out.extend(part.to_le_bytes()));
        if let Some(wide) = &self.wide {
            let mut wide = wide.clone();
            wide.settle();
            wide.limbs.iter().for_each(|limb| out.extend(limb.to_le_bytes()));
        }
    }

    /// The reverse of [`ExactSum::write`]; none for other bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<ExactSum> {
        let (flags, rest) = bytes.split_first()?;
        let mut words = rest.chunks_exact(8).map(|word| word.try_into().unwrap_or_default());
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let mut special = Special { nan: flag(0).into(), positive: flag(1).into(), negative: flag(2).into() };
        if flag(4) {
            let mut count = || words.next().map(i64::from_le_bytes);
            special = Special { nan: count()?, positive: count()?, negative: count()? };
        }
        let special = Some(special).filter(|special| *special != Special::default()).map(Box::new);
        let mut sum = ExactSum { special, ..ExactSum::default() };
        if flag(3) {
            let limbs: Vec<i64> = words.map(i64::from_le_bytes).collect();
            sum.wide = Some(Box::new(Wide { limbs: limbs.try_into().ok()?, pending: 0 }));
        } else {
            sum.parts = words.map(f64::from_le_bytes).collect();
        }
        (*flags < 32 && rest.len() % 8 == 0).then_some(sum)
    }

    /// The sum, rounded to the nearest double (ties to even). Infinities of both signs make NaN. A zero sum is 0.0.
    pub(crate) fn value(&self) -> f64 {
        let special = self.special.as_deref().cloned().unwrap_or_default();
        match (special.nan > 0, special.positive > 0, special.negative > 0) {
            (true, _, _) | (_, true, true) => f64::NAN,
            (_, true, false) => f64::INFINITY,
            (_, false, true) => f64::NEG_INFINITY,
            _ => match (&self.wide, self.parts.as_slice()) {
                (Some(wide), _) => wide.value() + 0.0,
                (None, []) => 0.0,
                (None, [part]) => part + 0.0,
                (None, _) => self.widened().value() + 0.0,
            },
        }
    }

    fn widened(&self) -> Wide {
        let mut wide = self.wide.as_deref().cloned().unwrap_or_default();
        self.parts.iter().for_each(|part| wide.add(*part));
        wide
    }

    /// The doubles whose sum it is, if it is finite and not huge: the sum rounded, what is left rounded, and so on. They depend on the sum alone, not on how it came
    /// about.
    fn finite_parts(&self) -> Option<SmallVec<[f64; 4]>> {
        if self.special.is_some() {
            return None;
        }
        if let (None, [] | [_]) = (&self.wide, self.parts.as_slice()) {
            let small = self.parts.iter().all(|part| part.abs() < LARGE);
            return small.then(|| SmallVec::from_slice(&self.parts));
        }
        let (mut rest, mut parts) = (self.widened(), SmallVec::new());
        loop {
            let part = rest.value();
            if part == 0.0 {
                return Some(parts);
            }
            if part.abs() >= LARGE {
                return None;
            }
            parts.push(part);
            rest.add(-part);
        }
    }
}

/// The sum and what rounding took from it.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let virtual_b = sum - a;
    (sum, (a - (sum - virtual_b)) + (b - virtual_b))
}

/// The product and what rounding took from it (Dekker); exact unless something over- or underflows.
fn two_product(a: f64, b: f64) -> (f64, f64) {
    let split = |x: f64| {
        let c = 134_217_729.0 * x;
        let high = c - (c - x);
        (high, x - high)
    };
    let product = a * b;
    let ((ah, al), (bh, bl)) = (split(a), split(b));
    (product, ((ah * bh - product) + ah * bl + al * bh) + al * bl)
}

const LIMBS: usize = 70;

/// A fixed-point number over the whole range of doubles: digits of 32 bits, the lowest bit is 2^-1074.
#[derive(Debug, Clone)]
struct Wide {
    limbs: [i64; LIMBS],
    /// Additions since carries were last settled.
    pending: u32,
}

impl Default for Wide {
    fn default() -> Self {
        Wide { limbs: [0; LIMBS], pending: 0 }
    }
}

impl Wide {
    fn add(&mut self, x: f64) {
        self.add_shifted(x, 0);
    }

    /// Adds a value times a power of two, up to the 62nd.
    fn add_shifted(&mut self, x: f64, power: usize) {
        let bits = x.to_bits();
        let exponent = (bits >> 52 & 0x7FF) as usize;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        let shift = shift + power;
        let digits = u128::from(mantissa) << (shift % 32);
        for i in 0..3 {
            let digit = (digits >> (32 * i) & 0xFFFF_FFFF) as i64;
            self.limbs[shift / 32 + i] += if x.is_sign_negative() { -digit } else { digit };
        }
        self.pending += 1;
        if self.pending >= 1 << 29 {
            self.settle();
        }
    }

    fn merge(&mut self, other: &Wide) {
        self.settle();
        let mut other = other.clone();
        other.settle();
        self.limbs.iter_mut().zip(other.limbs).for_each(|(a, b)| *a += b);
        self.settle();
    }

    /// Brings all digits but the highest into 0..2^32; the highest has the sign.
    fn settle(&mut self) {
        let mut carry = 0;
        for limb in &mut self.limbs[..LIMBS - 1] {
            let digit = *limb + carry;
            *limb = digit & 0xFFFF_FFFF;
            carry = digit >> 32;
        }
        self.limbs[LIMBS - 1] += carry;
        self.pending = 0;
    }

    fn value(&self) -> f64 {
        let mut number = self.clone();
        number.settle();
        let negative = number.limbs[LIMBS - 1] < 0;
        if negative {
            number.limbs.iter_mut().for_each(|limb| *limb = -*limb);
            number.settle();
        }
        let magnitude = number.magnitude();
        if negative { -magnitude } else { magnitude }
    }

    fn magnitude(&self) -> f64 {
        let Some(high) = self.limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
        let limb = |i: usize| if i < 2 { 0 } else { self.limbs[i - 2] as u128 };
        // The highest three digits, with two imagined ones below the lowest.
        let top = limb(high + 2) << 64 | limb(high + 1) << 32 | limb(high);
        let length = 128 - top.leading_zeros() as usize;
        // Bits from the number's lowest bit to its highest.
        let bits = high * 32 + length - 64;
        if bits <= 53 {
            // So few bits stand in the lowest two digits; a double with these bits is that many times 2^-1074.
            return f64::from_bits((top >> (32 * (2 - high))) as u64);
        }
        let (shift, dropped) = (bits - 53, length - 53);
        let mut mantissa = (top >> dropped) as u64;
        let rest = top & ((1 << dropped) - 1);
        let half = 1 << (dropped - 1);
        let below = high >= 3 && self.limbs[..high - 2].iter().any(|limb| *limb != 0);
        if rest > half || (rest == half && (below || mantissa & 1 == 1)) {
            mantissa += 1;
        }
        // The carry of a mantissa that became too long goes into the exponent, and the exponent's into infinity.
        let bits = ((shift as u64) << 52) + mantissa;
        f64::from_bits(bits.min(f64::INFINITY.to_bits()))
    }
}

/// Sums for the variance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    pub(crate) count: i64,
    pub(crate) sum: ExactSum,
    pub(crate) squares: ExactSum,
}

impl Moments {
    /// Adds a value so many times; less than 0: takes it away.
    pub(crate) fn add_times(&mut self, x: f64, times: i64) {
        self.count += times;
        self.sum.add_times(x, times);
        let (square, rest) = two_product(x, x);
        self.squares.add_times(square, times);
        if rest.is_finite() {
            self.squares.add_times(rest, times);
        }
    }

    /// Adds other values.
    pub(crate) fn merge(&mut self, other: &Moments) {
        self.count += other.count;
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
    }

    /// Whether nothing was added that was not taken away.
    pub(crate) fn is_zero(&self) -> bool {
        self.count == 0 && self.sum.is_zero() && self.squares.is_zero()
    }

    /// The sample variance; none for fewer than two values. NaN and infinities make NaN.
    pub(crate) fn variance(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let n = self.count as f64;
        let (Some(sum), Some(squares)) = (self.sum.finite_parts(), self.squares.finite_parts()) else {
            let mean = self.sum.value() / n;
            return Some((self.squares.value() / n - mean * mean) * (n / (n - 1.0)));
        };
        // count · Σx² - (Σx)², without rounding: nothing cancels.
        let mut numerator = ExactSum::default();
        let mut add = |(product, rest): (f64, f64), sign: f64| {
            numerator.add(sign * product);
            numerator.add(sign * rest);
        };
        squares.iter().for_each(|q| add(two_product(*q, n), 1.0));
        sum.iter().for_each(|a| sum.iter().for_each(|b| add(two_product(*a, *b), -1.0)));
        Some((numerator.value() / (n * (n - 1.0))).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(xs: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        xs.iter().for_each(|x| sum.add(*x));
        sum.value()
    }

    #[test]
    fn known_sums() {
        let tiny = f64::from_bits(1);
        let table: &[(&[f64], f64)] = &[
            (&[], 0.0),
            (&[-0.0, -0.0], 0.0),
            (&[0.1; 10], 1.0),
            (&[1e100, 1.0, -1e100], 1.0),
            (&[1.0, 1e100, 1.0, -1e100], 2.0),
            (&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX, 5.0], 5.0),
            (&[f64::MAX, f64::MAX, -f64::MAX], f64::MAX),
            (&[f64::MAX, f64::MAX], f64::INFINITY),
            (&[-f64::MAX, -f64::MAX], f64::NEG_INFINITY),
            (&[tiny, tiny, -3.0 * tiny], -tiny),
            (&[tiny, 1.0, -1.0], tiny),
            (&[f64::MIN_POSITIVE, -tiny], f64::MIN_POSITIVE - tiny),
            (&[1.0, f64::EPSILON / 2.0], 1.0),
            (&[1.0, f64::EPSILON / 2.0, tiny], 1.0 + f64::EPSILON),
            (&[1.0 + f64::EPSILON, f64::EPSILON / 2.0], 1.0 + 2.0 * f64::EPSILON),
            (&[1.0, -f64::EPSILON / 4.0, -tiny], 1.0 - f64::EPSILON / 2.0),
            (&[9007199254740992.0, 1.0, 1e-300], 9007199254740994.0),
            (&[f64::INFINITY, 1.0], f64::INFINITY),
        ];
        for (xs, expected) in table {
            assert_eq!(sum(xs).to_bits(), expected.to_bits(), "{xs:?}");
            assert_eq!(sum(&xs.iter().map(|x| -x).collect::<Vec<_>>()), -expected, "{xs:?}");
        }
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan() && sum(&[f64::NAN, 1.0]).is_nan());
    }

    #[test]
    fn variances_do_not_cancel() {
        let variance = |xs: &[f64]| {
            let mut moments = Moments::default();
            xs.iter().for_each(|x| moments.add_times(*x, 1));
            moments.variance()
        };
        assert_eq!(variance(&[1.0]), None);
        assert_eq!(variance(&[1.0, 2.0, 3.0, 4.0]), Some(5.0 / 3.0));
        assert_eq!(variance(&[1e9, 1e9 + 1.0, 1e9 + 2.0]), Some(1.0));
        assert_eq!(variance(&[1e15, 1e15 + 1.0, 1e15 + 2.0]), Some(1.0));
        assert_eq!(variance(&[0.1; 7]), Some(0.0));
        assert!(variance(&[1.0, f64::NAN]).is_some_and(f64::is_nan));
    }

    fn double() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>().prop_filter("finite", |x| x.is_finite()), -10.0..10.0, Just(1e300), Just(-1e300)]
    }

    fn any_double() -> impl Strategy<Value = f64> {
        let special =
            vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, -f64::MAX, 5e-324, 1e-200, 1e200];
        prop_oneof![3 => double(), 1 => prop::sample::select(special), 1 => any::<f64>()]
    }

    proptest! {
        #[test]
        fn order_and_partition_do_not_matter(xs in prop::collection::vec(double(), 0..40), cut in 0..40usize, seed in any::<u64>()) {
            let whole = sum(&xs);
            let mut wide = Wide::default();
            xs.iter().for_each(|x| wide.add(*x));
            prop_assert_eq!(whole.to_bits(), (wide.value() + 0.0).to_bits());
            let mut shuffled = xs.clone();
            shuffled.sort_by_key(|x| x.to_bits().wrapping_mul(seed | 1));
            let (left, right) = shuffled.split_at(cut.min(xs.len()));
            let (mut a, mut b) = (ExactSum::default(), ExactSum::default());
            left.iter().for_each(|x| a.add(*x));
            right.iter().for_each(|x| b.add(*x));
            b.merge(&a);
            prop_assert_eq!(b.value().to_bits(), whole.to_bits());
        }

        #[test]
        fn integers_sum_as_integers(xs in prop::collection::vec(-1_000_000_000_000_i64..1_000_000_000_000, 0..50)) {
            let doubles: Vec<f64> = xs.iter().map(|x| *x as f64).collect();
            prop_assert_eq!(sum(&doubles), xs.iter().sum::<i64>() as f64);
        }

        /// Whatever was added and taken away again leaves no trace, not even values that are no numbers or larger than any double.
        #[test]
        fn what_is_taken_away_leaves_no_trace(
            stays in prop::collection::vec((any_double(), 1i64..4), 0..12),
            goes in prop::collection::vec((any_double(), prop_oneof![1i64..5, Just(1 << 40)]), 0..12),
        ) {
            let add = |moments: &mut Moments, all: &[(f64, i64)], sign: i64| all.iter().for_each(|(x, n)| moments.add_times(*x, sign * n));
            let mut wanted = Moments::default();
            stays.iter().for_each(|(x, n)| (0..*n).for_each(|_| wanted.add_times(*x, 1)));
            let mut found = Moments::default();
            add(&mut found, &goes, 1);
            let mut bytes = vec![];
            found.sum.write(&mut bytes);
            found.sum = ExactSum::read(&bytes).unwrap();
            add(&mut found, &stays, 1);
            let mut other = Moments::default();
            add(&mut other, &goes, -1);
            found.merge(&other);
            let bits = |moments: &Moments| (moments.count, moments.sum.value().to_bits(), moments.variance().map(f64::to_bits));
            prop_assert_eq!(bits(&found), bits(&wanted));
            add(&mut found, &stays, -1);
            prop_assert!(found.is_zero());
        }
    }
}
