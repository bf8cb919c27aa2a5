//! Values that stay, moved together: of blocks of 64 values those whose bit is set in the block's word. With AVX-512 the processor's own compress; with
//! AVX2 a permutation looked up by the mask (Lemire and others, "Roaring Bitmaps: Implementation of an Optimized Software Library", 2018; Polychroniou,
//! Raghavan and Ross, "Rethinking SIMD Vectorization for In-Memory Databases", SIGMOD 2015); elsewhere a copy of every value, of which the place goes on
//! only where the bit is set, so that no branch is to be predicted (Ross, "Selection Conditions in Main Memory", TODS 2004). Blocks of few values go bit
//! by bit. Knows memory; nothing of columns and types.

use crate::abi::BLOCK;

/// Where at most so many values of a block stay, it is quicker to go from bit to bit.
const FEW: u32 = 6;

/// Moves what stays of `64 * words.len()` values, and says how many that are.
///
/// # Safety
/// The first pointer is readable and the second writable for so many values, whatever stays: behind those that stay anything may be written. They do not overlap.
pub(crate) type Compress = unsafe fn(*const u8, *mut u8, &[u64]) -> usize;

/// The best way for values of so many bytes on the processor at hand.
pub(crate) fn compress(width: usize) -> Compress {
    #[cfg(target_arch = "x86_64")]
    if let Some(best) = x86::best(width) {
        return best;
    }
    portable(width)
}

/// The way that works on every processor.
fn portable(width: usize) -> Compress {
    match width {
        1 => by_copies::<u8>,
        2 => by_copies::<u16>,
        4 => by_copies::<u32>,
        8 => by_copies::<u64>,
        16 => by_copies::<u128>,
        _ => unreachable!("values in machine code have 1, 2, 4, 8 or 16 bytes"),
    }
}

/// # Safety
/// As [`Compress`] says.
unsafe fn by_copies<T: Copy>(from: *const u8, to: *mut u8, words: &[u64]) -> usize {
    // SAFETY: the block lies within what the caller promises; in front of the value with number `i` at most `i` values stay.
    unsafe {
        each_block::<T>(from, to, words, |from, to, word| {
            let mut place = 0;
            for i in 0..BLOCK {
                to.add(place).write_unaligned(from.add(i).read_unaligned());
                place += (word >> i & 1) as usize;
            }
        })
    }
}

/// Deals with blocks of which all, none or few values stay; `many` with the others.
///
/// # Safety
/// As [`Compress`] says; `many` moves what stays of the 64 values at its first pointer to its second, and writes to no more than 64 there.
#[inline(always)]
unsafe fn each_block<T: Copy>(
    from: *const u8,
    to: *mut u8,
    words: &[u64],
    mut many: impl FnMut(*const T, *mut T, u64),
) -> usize {
    let (from, to): (*const T, *mut T) = (from.cast(), to.cast());
    let mut place = 0;
    for (block, &word) in words.iter().enumerate() {
        // SAFETY: both are within what the caller promises: no more values stay than lie in front.
        let (from, to) = unsafe { (from.add(block * BLOCK), to.add(place)) };
        let stay = word.count_ones();
        if stay <= FEW {
            let mut rest = word;
            for i in 0..stay as usize {
                // SAFETY: a bit's number is below 64, as is that of the value that stays.
                unsafe { to.add(i).write_unaligned(from.add(rest.trailing_zeros() as usize).read_unaligned()) };
                rest &= rest - 1;
            }
        } else if word == u64::MAX {
            // SAFETY: blocks of 64 values each, which do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), BLOCK * size_of::<T>()) };
        } else {
            many(from, to, word);
        }
        place += stay as usize;
    }
    place
}

/// The bits of `word` whose bit is set in `mask`, moved together to the lowest: bit by bit, or by the processor's instruction.
pub(crate) fn bits(word: u64, mask: u64) -> u64 {
    if mask == u64::MAX {
        return word;
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instruction.
        return unsafe { x86::bits(word, mask) };
    }
    bits_by_steps(word, mask)
}

/// In six steps, each of which moves bits by twice as far (Warren, "Hacker's Delight", 2nd edition, 7-4).
fn bits_by_steps(word: u64, mask: u64) -> u64 {
    let (mut word, mut mask) = (word & mask, mask);
    let mut zeros = !mask << 1;
    for step in 0..6 {
        // The parity of the zeros to the right of each bit.
        let mut odd = zeros ^ zeros << 1;
        for by in [2, 4, 8, 16, 32] {
            odd ^= odd << by;
        }
        let moving = odd & mask;
        mask = mask ^ moving | moving >> (1 << step);
        let bits = word & moving;
        word = word ^ bits | bits >> (1 << step);
        zeros &= !odd;
    }
    word
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{BLOCK, Compress, each_block};
    use std::arch::is_x86_feature_detected;
    use std::arch::x86_64::*;

    /// The best way of this processor, if it has a better one than any.
    pub(super) fn best(width: usize) -> Option<Compress> {
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("popcnt");
        let narrow = wide && is_x86_feature_detected!("avx512vbmi2");
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt");
        Some(match width {
            8 if wide => avx512_64,
            4 if wide => avx512_32,
            2 if narrow => avx512_16,
            1 if narrow => avx512_8,
            8 if avx2 => avx2_64,
            4 if avx2 => avx2_32,
            _ => return None,
        })
    }

    /// # Safety
    /// The processor has BMI2.
    #[target_feature(enable = "bmi2")]
    pub(super) unsafe fn bits(word: u64, mask: u64) -> u64 {
        _pext_u64(word, mask)
    }

    /// A function for values of `$lanes` to a vector of AVX-512. The values that stay of one vector are written as a whole vector: what follows overwrites
    /// the rest, and nothing is written beyond where the vector was read, counted from the block's first value.
    macro_rules! avx512 {
        ($name:ident, $feature:literal, $value:ty, $lanes:literal, $mask:ty, $load:ident, $compress:ident, $store:ident) => {
            /// # Safety
            /// As [`Compress`] says; the processor has the features.
            #[target_feature(enable = $feature)]
            pub(super) unsafe fn $name(from: *const u8, to: *mut u8, words: &[u64]) -> usize {
                let many = |from: *const $value, to: *mut $value, word: u64| {
                    let mut place = 0;
                    for i in (0..BLOCK).step_by($lanes) {
                        let mask = (word >> i) as $mask;
                        // SAFETY: reads `$lanes` of the block's 64 values, and writes as many from `place <= i` on.
                        unsafe {
                            let stay = $compress(mask, $load(from.add(i).cast()));
                            $store(to.add(place).cast(), stay);
                        }
                        place += mask.count_ones() as usize;
                    }
                };
                // SAFETY: the caller's promise, and what the closure says.
                unsafe { each_block::<$value>(from, to, words, many) }
            }
        };
    }

    avx512!(
        avx512_64,
        "avx512f,popcnt",
        u64,
        8,
        u8,
        _mm512_loadu_epi64,
        _mm512_maskz_compress_epi64,
        _mm512_storeu_epi64
    );
    avx512!(
        avx512_32,
        "avx512f,popcnt",
        u32,
        16,
        u16,
        _mm512_loadu_epi32,
        _mm512_maskz_compress_epi32,
        _mm512_storeu_epi32
    );
    avx512!(
        avx512_16,
        "avx512f,avx512bw,avx512vbmi2,popcnt",
        u16,
        32,
        u32,
        _mm512_loadu_epi16,
        _mm512_maskz_compress_epi16,
        _mm512_storeu_epi16
    );
    avx512!(
        avx512_8,
        "avx512f,avx512bw,avx512vbmi2,popcnt",
        u8,
        64,
        u64,
        _mm512_loadu_epi8,
        _mm512_maskz_compress_epi8,
        _mm512_storeu_epi8
    );

    /// For each mask of eight lanes, the numbers of its lanes from the first.
    static LANES: [[u32; 8]; 256] = lanes();

    const fn lanes() -> [[u32; 8]; 256] {
        let mut table = [[0; 8]; 256];
        let mut mask = 0;
        while mask < 256 {
            let (mut lane, mut place) = (0, 0);
            while lane < 8 {
                if mask >> lane & 1 == 1 {
                    table[mask][place] = lane;
                    place += 1;
                }
                lane += 1;
            }
            mask += 1;
        }
        table
    }

    /// # Safety
    /// As [`Compress`] says; the processor has the features.
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) unsafe fn avx2_32(from: *const u8, to: *mut u8, words: &[u64]) -> usize {
        let many = |from: *const u32, to: *mut u32, word: u64| {
            let mut place = 0;
            for i in (0..BLOCK).step_by(8) {
                let mask = (word >> i) as u8;
                // SAFETY: reads eight of the block's 64 values, and writes as many from `place <= i` on.
                unsafe {
                    let order = _mm256_loadu_si256(LANES[usize::from(mask)].as_ptr().cast());
                    let values = _mm256_loadu_si256(from.add(i).cast());
                    _mm256_storeu_si256(to.add(place).cast(), _mm256_permutevar8x32_epi32(values, order));
                }
                place += mask.count_ones() as usize;
            }
        };
        // SAFETY: the caller's promise, and what the closure says.
        unsafe { each_block::<u32>(from, to, words, many) }
    }

    /// Each bit of a mask of four lanes as two bits.
    const DOUBLED: [u8; 16] = doubled();

    const fn doubled() -> [u8; 16] {
        let mut table = [0; 16];
        let mut mask = 0;
        while mask < 64 {
            let (lane, of) = (mask % 4, mask / 4);
            table[of] |= ((of >> lane & 1) as u8 * 3) << (2 * lane);
            mask += 1;
        }
        table
    }

    /// # Safety
    /// As [`Compress`] says; the processor has the features.
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) unsafe fn avx2_64(from: *const u8, to: *mut u8, words: &[u64]) -> usize {
        let many = |from: *const u64, to: *mut u64, word: u64| {
            let mut place = 0;
            for i in (0..BLOCK).step_by(4) {
                let mask = (word >> i & 15) as usize;
                // SAFETY: reads four of the block's 64 values, and writes as many from `place <= i` on.
                unsafe {
                    // A value of 64 bits moves as two of 32.
                    let order = _mm256_loadu_si256(LANES[usize::from(DOUBLED[mask])].as_ptr().cast());
                    let values = _mm256_loadu_si256(from.add(i).cast());
                    _mm256_storeu_si256(to.add(place).cast(), _mm256_permutevar8x32_epi32(values, order));
                }
                place += mask.count_ones() as usize;
            }
        };
        // SAFETY: the caller's promise, and what the closure says.
        unsafe { each_block::<u64>(from, to, words, many) }
    }

    /// All ways for values of so many bytes that this processor has.
    #[cfg(test)]
    pub(super) fn all(width: usize) -> Vec<Compress> {
        let avx2: Option<Compress> = match width {
            4 => Some(avx2_32),
            8 => Some(avx2_64),
            _ => None,
        };
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt");
        best(width).into_iter().chain(avx2.filter(|_| has)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state ^ *state >> 29
    }

    /// Words of which all, none, few, half and nearly all bits are set.
    fn words(state: &mut u64) -> Vec<u64> {
        let mut words = vec![0, u64::MAX, 1, 1 << 63, u64::MAX >> 1, 0x7f, 0xffff_0000_ffff_0000];
        for _ in 0..40 {
            let (a, b, c) = (random(state), random(state), random(state));
            words.extend([a, a & b, a | b, a & b & c, a | b | c]);
        }
        words
    }

    #[test]
    fn every_way_moves_the_same_values() {
        let mut state = 7;
        let words = words(&mut state);
        for width in [1, 2, 4, 8, 16] {
            let from: Vec<u8> = (0..words.len() * BLOCK * width).map(|_| random(&mut state) as u8).collect();
            let stays = |row: &usize| words[row / BLOCK] >> (row % BLOCK) & 1 == 1;
            let rows: Vec<usize> = (0..words.len() * BLOCK).filter(stays).collect();
            let expected: Vec<u8> = rows.iter().flat_map(|row| from[row * width..][..width].to_vec()).collect();
            let mut ways = vec![compress(width), portable(width)];
            #[cfg(target_arch = "x86_64")]
            ways.extend(x86::all(width));
            for (number, way) in ways.into_iter().enumerate() {
                let mut to = vec![0u8; from.len()];
                // SAFETY: both have room for all values.
                let moved = unsafe { way(from.as_ptr(), to.as_mut_ptr(), &words) };
                assert_eq!(moved, rows.len(), "{width} bytes, way {number}");
                assert!(to[..expected.len()] == expected, "{width} bytes, way {number}");
            }
        }
    }

    #[test]
    fn bits_move_together() {
        let mut state = 3;
        for mask in words(&mut state) {
            let word = random(&mut state);
            let mut expected = 0;
            for (place, bit) in (0..64).filter(|i| mask >> i & 1 == 1).enumerate() {
                expected |= (word >> bit & 1) << place;
            }
            assert_eq!(bits(word, mask), expected);
            assert_eq!(bits_by_steps(word, mask), expected);
        }
    }
}
