//! Small numbers as runs of equal ones and as packed bits: Parquet's levels, and numbers of values in a dictionary. Pure.

/// Appends `count` numbers of `width` bits. None: the bytes are no such numbers.
pub fn decode(bytes: &[u8], width: u32, count: usize, out: &mut Vec<u32>) -> Option<()> {
    if width > 32 {
        return None;
    }
    let (mut at, end) = (0, out.len() + count);
    out.reserve(count);
    while out.len() < end {
        let head = varint(bytes, &mut at)?;
        let left = end - out.len();
        if head & 1 == 0 {
            let run = usize::try_from(head >> 1).ok()?.min(left);
            let mut value = [0; 4];
            let size = width.div_ceil(8) as usize;
            value[..size].copy_from_slice(bytes.get(at..at + size)?);
            at += size;
            if run == 0 {
                return None;
            }
            out.resize(out.len() + run, u32::from_le_bytes(value));
        } else {
            let groups = usize::try_from(head >> 1).ok()?;
            let size = groups.checked_mul(width as usize)?;
            // The last group may be cut short by its writer.
            let packed = &bytes[at.min(bytes.len())..at.checked_add(size)?.min(bytes.len())];
            let run = groups.checked_mul(8)?.min(left);
            if run == 0 || packed.len() * 8 < run * width as usize {
                return None;
            }
            unpack(packed, width, run, out);
            at += size;
        }
    }
    Some(())
}

fn unpack(packed: &[u8], width: u32, count: usize, out: &mut Vec<u32>) {
    let mask = (1u64 << width) - 1;
    let word = |byte: usize| {
        let mut word = [0; 8];
        match packed.get(byte..byte + 8) {
            Some(whole) => word.copy_from_slice(whole),
            None => {
                let rest = packed.get(byte..).unwrap_or_default();
                word[..rest.len()].copy_from_slice(rest);
            }
        }
        u64::from_le_bytes(word)
    };
    out.extend((0..count).map(|i| {
        let bit = i * width as usize;
        ((word(bit / 8) >> (bit % 8)) & mask) as u32
    }));
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends a number, seven bits a byte.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Equal numbers that stand in a row at least so often are a run.
const RUN: usize = 16;

/// Appends numbers of `width` bits.
pub fn encode(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    // A run is looked for where a group of eight would begin; what of it stands before fills the group.
    let (mut packed, mut at) = (0, 0);
    while at + RUN <= numbers.len() {
        let first = numbers[at];
        if numbers[at..at + RUN].iter().all(|n| *n == first) {
            let run = RUN + numbers[at + RUN..].iter().take_while(|n| **n == first).count();
            pack(&numbers[packed..at], width, out);
            push_varint(out, (run as u64) << 1);
            out.extend(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
            at += run;
            packed = at;
        } else {
            at += 8;
        }
    }
    pack(&numbers[packed..], width, out);
}

fn pack(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(8);
    push_varint(out, (groups as u64) << 1 | 1);
    let end = out.len() + groups * width as usize;
    let rest = if width <= 16 { pack_groups(numbers, width, out) } else { numbers };
    let (mut word, mut bits) = (0u64, 0);
    for number in rest {
        word |= u64::from(*number) << bits;
        bits += width;
        if bits >= 32 {
            out.extend((word as u32).to_le_bytes());
            word >>= 32;
            bits -= 32;
        }
    }
    out.extend(&word.to_le_bytes()[..bits.div_ceil(8) as usize]);
    out.resize(end, 0);
}

/// Appends the whole groups of eight numbers of at most 16 bits, each as one word of which the next one overwrites what is too much. What is left are fewer than eight.
fn pack_groups<'a>(numbers: &'a [u32], width: u32, out: &mut Vec<u8>) -> &'a [u32] {
    const WORD: usize = size_of::<u128>();
    let (groups, rest) = numbers.as_chunks::<8>();
    let (mut at, end) = (out.len(), out.len() + groups.len() * width as usize);
    out.resize(end + WORD, 0);
    for [a, b, c, d, e, f, g, h] in groups {
        let half = |[a, b, c, d]: [&u32; 4]| {
            u64::from(*a) | u64::from(*b) << width | u64::from(*c) << (2 * width) | u64::from(*d) << (3 * width)
        };
        let word = u128::from(half([a, b, c, d])) | u128::from(half([e, f, g, h])) << (4 * width);
        out[at..at + WORD].copy_from_slice(&word.to_le_bytes());
        at += width as usize;
    }
    out.truncate(end);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(width in 0u32..=32, runs in prop::collection::vec((any::<u32>(), 1usize..40), 0..20)) {
            let mask = ((1u64 << width) - 1) as u32;
            let numbers: Vec<u32> = runs.iter().flat_map(|(n, times)| vec![n & mask; *times]).collect();
            let mut bytes = vec![];
            encode(&numbers, width, &mut bytes);
            let mut found = vec![];
            prop_assert_eq!(decode(&bytes, width, numbers.len(), &mut found), Some(()));
            prop_assert_eq!(found, numbers);
        }

        #[test]
        fn any_bytes_do_no_harm(width in 0u32..40, bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0usize..200) {
            let mut found = vec![];
            if decode(&bytes, width, count, &mut found).is_some() {
                prop_assert_eq!(found.len(), count);
            }
        }
    }
}
