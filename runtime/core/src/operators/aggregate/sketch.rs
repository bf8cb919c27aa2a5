//! `approx_count_distinct`: HyperLogLog with 2^13 registers (relative standard error 1.15%) and the estimator of O. Ertl, "New cardinality estimation
//! algorithms for HyperLogLog sketches" (2017), which needs no tables of corrections. Small groups keep a list instead of registers.

use super::accumulator::{Accumulator, Failed, Pair, Rows, damaged, grow, room, same, saved_bytes};
use crate::error::RunError;
use crate::keys::Keys;
use arrow::array::{ArrayRef, BinaryBuilder, Int64Array};
use arrow::datatypes::DataType as A;
use std::sync::Arc;
use xxhash_rust::xxh64::xxh64;

const BITS: u32 = 13;
const REGISTERS: usize = 1 << BITS;

/// A list longer than this becomes registers.
const LISTED: usize = 1024;

/// The sketch of a group.
#[derive(Debug, Clone)]
enum Sketch {
    /// Register and value, as `register << 6 | value`.
    List(Vec<u32>),
    Registers(Box<[u8]>),
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch::List(vec![])
    }
}

impl Sketch {
    fn insert(&mut self, hash: u64) {
        let register = hash >> (64 - BITS);
        // The position of the first one among the other bits.
        let value = (hash << BITS | 1 << (BITS - 1)).leading_zeros() + 1;
        self.put((register as u32) << 6 | value);
    }

    fn put(&mut self, entry: u32) {
        match self {
            Sketch::Registers(registers) => {
                let register = &mut registers[entry as usize >> 6];
                *register = (*register).max((entry & 63) as u8);
            }
            Sketch::List(list) => {
                list.push(entry);
                if list.len() <= 2 * LISTED {
                    return;
                }
                // Of a register's entries the greatest, which comes last.
                list.sort_unstable();
                list.dedup_by(|next, kept| {
                    let same = *next >> 6 == *kept >> 6;
                    if same {
                        *kept = *next;
                    }
                    same
                });
                if list.len() > LISTED {
                    *self = Sketch::Registers(self.registers());
                }
            }
        }
    }

    fn registers(&self) -> Box<[u8]> {
        match self {
            Sketch::Registers(registers) => registers.clone(),
            Sketch::List(list) => {
                let mut registers = vec![0_u8; REGISTERS].into_boxed_slice();
                for entry in list {
                    let register = &mut registers[*entry as usize >> 6];
                    *register = (*register).max((entry & 63) as u8);
                }
                registers
            }
        }
    }

    /// Appends its bytes: 1 and a byte for each of the 2^13 registers; or, for a small group, 0 and the entries of a list, each `register << 6 | value` in 32
    /// bits, little-endian.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Sketch::Registers(registers) => {
                out.push(1);
                out.extend(registers);
            }
            Sketch::List(list) => {
                out.push(0);
                list.iter().for_each(|entry| out.extend(entry.to_le_bytes()));
            }
        }
    }

    /// The reverse of [`Sketch::write`]; none for other bytes.
    fn read(bytes: &[u8]) -> Option<Sketch> {
        match bytes.split_first()? {
            (1, registers) => (registers.len() == REGISTERS).then(|| Sketch::Registers(registers.into())),
            (0, list) => {
                let entries = list.chunks_exact(4).map(|e| u32::from_le_bytes(e.try_into().unwrap_or_default()));
                let list: Vec<u32> = entries.collect();
                list.iter().all(|entry| *entry as usize >> 6 < REGISTERS).then_some(Sketch::List(list))
            }
            _ => None,
        }
    }

    /// The bytes outside of itself that it takes.
    fn bytes(&self) -> usize {
        match self {
            Sketch::List(list) => list.capacity() * size_of::<u32>(),
            Sketch::Registers(registers) => registers.len(),
        }
    }

    fn merge(&mut self, other: &Sketch) {
        match other {
            Sketch::List(list) => list.iter().for_each(|entry| self.put(*entry)),
            Sketch::Registers(theirs) => {
                let mut mine = self.registers();
                mine.iter_mut().zip(theirs).for_each(|(a, b)| *a = (*a).max(*b));
                *self = Sketch::Registers(mine);
            }
        }
    }

    fn estimate(&self) -> f64 {
        let mut counts = [0_u32; 66];
        self.registers().iter().for_each(|value| counts[*value as usize] += 1);
        let (m, q) = (REGISTERS as f64, (64 - BITS) as usize);
        let mut z = m * tau(1.0 - f64::from(counts[q + 1]) / m);
        for value in (1..=q).rev() {
            z = 0.5 * (z + f64::from(counts[value]));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        m * m / (2.0 * std::f64::consts::LN_2 * z)
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// The sketches of many groups.
#[derive(Debug)]
pub(super) struct Sketches {
    keys: Keys,
    groups: Vec<Sketch>,
    /// The bytes that the sketches take.
    held: usize,
}

impl Sketches {
    pub(super) fn new(data: &A) -> Result<Self, RunError> {
        Ok(Sketches { keys: Keys::new([data].into_iter())?, groups: vec![], held: 0 })
    }

    fn take(&mut self, group: u32, theirs: &Sketch) {
        let sketch = &mut self.groups[group as usize];
        let before = sketch.bytes();
        sketch.merge(theirs);
        self.held = self.held + sketch.bytes() - before;
    }
}

impl Accumulator for Sketches {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.groups, rows.count);
        let encoded = self.keys.encode(rows.args)?;
        for (row, group) in rows.valid(&rows.args[0]) {
            let sketch = &mut self.groups[group];
            let before = sketch.bytes();
            sketch.insert(xxh64(encoded.row(row).data(), 0));
            self.held = self.held + sketch.bytes() - before;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: &Sketches = same(other)?;
        for (from, to) in pairs {
            if let Some(theirs) = other.groups.get(*from as usize) {
                self.take(*to, theirs);
            }
        }
        Ok(())
    }

    /// Bytes, as [`Sketch::write`] has them.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let (mut column, mut bytes, none) = (BinaryBuilder::new(), vec![], Sketch::default());
        for group in groups {
            bytes.clear();
            self.groups.get(*group as usize).unwrap_or(&none).write(&mut bytes);
            column.append_value(&bytes);
        }
        Ok(vec![Arc::new(column.finish())])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let sketches = saved_bytes(columns, 0)?;
        for (row, group) in groups.iter().enumerate() {
            self.take(*group, &Sketch::read(sketches.value(row)).ok_or_else(damaged)?);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups) + self.held
    }

    fn grows(&self) -> bool {
        true
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let value = |group: &u32| self.groups.get(*group as usize).map_or(0, |s| s.estimate().round() as i64);
        Ok(Arc::new(Int64Array::from_iter_values(order.iter().map(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_stay_within_three_standard_errors_and_merge() {
        for count in [0_u64, 1, 10, 1000, 5000, 100_000, 1_000_000] {
            let (mut left, mut right, mut whole) = (Sketch::default(), Sketch::default(), Sketch::default());
            for n in 0..count {
                let hash = xxh64(&n.to_le_bytes(), 0);
                whole.insert(hash);
                if n % 3 == 0 {
                    left.insert(hash)
                } else {
                    right.insert(hash)
                }
                right.insert(hash);
            }
            let estimate = whole.estimate();
            assert!((estimate - count as f64).abs() <= 0.035 * count as f64 + 0.5, "{count}: {estimate}");
            right.merge(&left);
            assert_eq!(right.estimate().to_bits(), estimate.to_bits());
        }
    }
}
