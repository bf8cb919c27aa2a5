//! Numbers of a few bits each, packed one after the other, as 32-bit numbers: groups of eight numbers take as many bytes as a number has bits. The width is a
//! constant of the loop, so that every shift and mask is one: Lemire and Boytsov, "Decoding billions of integers per second through vectorization"
//! (Software: Practice and Experience 2015), in its form without vector instructions. Pure; knows nothing of what the numbers mean.

/// Numbers of a group.
pub const GROUP: usize = 8;

/// Bytes that a word has more than the numbers in it need.
const WORD: usize = size_of::<u64>();

/// Unpacks as many whole groups as `out` has room for. What `bytes` lack is taken for zeros.
pub fn unpack(bytes: &[u8], width: u32, out: &mut [u32]) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                $($width => groups::<$width>(bytes, out),)*
                _ => out.fill(0),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

fn groups<const WIDTH: usize>(bytes: &[u8], out: &mut [u32]) {
    let (out, _) = out.as_chunks_mut::<GROUP>();
    // A word of a group may reach beyond it: the last groups are unpacked from a copy with room behind it.
    let safe = (bytes.len().saturating_sub(WORD) / WIDTH).min(out.len());
    let (out, last) = out.split_at_mut(safe);
    for (i, out) in out.iter_mut().enumerate() {
        group::<WIDTH>(&bytes[i * WIDTH..i * WIDTH + WIDTH + WORD], out);
    }
    for (i, out) in last.iter_mut().enumerate() {
        let mut copy = [0; 32 + WORD];
        let rest = bytes.get((safe + i) * WIDTH..).unwrap_or_default();
        let length = rest.len().min(WIDTH);
        copy[..length].copy_from_slice(&rest[..length]);
        group::<WIDTH>(&copy[..WIDTH + WORD], out);
    }
}

/// A group from its bytes and [`WORD`] bytes behind them.
#[inline(always)]
fn group<const WIDTH: usize>(bytes: &[u8], out: &mut [u32; GROUP]) {
    let mask = (1u64 << WIDTH) - 1;
    let word = |byte: usize| {
        let mut word = [0; WORD];
        word.copy_from_slice(&bytes[byte..byte + WORD]);
        u64::from_le_bytes(word)
    };
    // As many numbers as surely are in a word that begins within a byte.
    let at_once = if WIDTH <= 7 {
        8
    } else if WIDTH <= 15 {
        4
    } else if WIDTH <= 28 {
        2
    } else {
        1
    };
    let mut i = 0;
    while i < GROUP {
        let bit = i * WIDTH;
        let from = word(bit / 8) >> (bit % 8);
        for k in 0..at_once {
            out[i + k] = ((from >> (k * WIDTH)) & mask) as u32;
        }
        i += at_once;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_is_its_bits(width in 0u32..=32, bytes in prop::collection::vec(any::<u8>(), 0..300), groups in 0usize..20) {
            let mut out = vec![7; groups * GROUP];
            unpack(&bytes, width, &mut out);
            let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| u32::from(byte >> (at % 8) & 1));
            for (i, found) in out.iter().enumerate() {
                // Whole groups only: what lies behind the bytes is zeros.
                let number = (0..width as usize).fold(0u32, |all, k| all | bit(i * width as usize + k) << k);
                prop_assert_eq!(*found, number);
            }
        }
    }
}
