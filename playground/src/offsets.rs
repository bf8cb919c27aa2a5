//! Places of a text as pages count them, in UTF-16 code units, and as the compiler does, in bytes. Must not know what stands in the text.

/// Both counts of a text.
#[derive(Debug)]
pub(crate) struct Offsets {
    /// The bytes of characters that are longer than one, each with the code units before it. Between them both counts go on alike.
    marks: Vec<(usize, usize)>,
    length: (usize, usize),
}

impl Offsets {
    pub(crate) fn new(text: &str) -> Offsets {
        let (mut marks, mut units) = (vec![(0, 0)], 0);
        for (at, c) in text.char_indices() {
            units += c.len_utf16();
            if c.len_utf8() > 1 {
                marks.push((at + c.len_utf8(), units));
            }
        }
        Offsets { marks, length: (text.len(), units) }
    }

    /// The code units before a byte; of one within a character about.
    pub(crate) fn units(&self, byte: usize) -> usize {
        let byte = byte.min(self.length.0);
        let mark = self.marks.partition_point(|(at, _)| *at <= byte) - 1;
        let most = self.marks.get(mark + 1).map_or(self.length.1, |(_, units)| *units);
        (self.marks[mark].1 + byte - self.marks[mark].0).min(most)
    }

    /// The bytes before a code unit; the beginning of a character of which it is the second.
    pub(crate) fn bytes(&self, text: &str, unit: usize) -> usize {
        let unit = unit.min(self.length.1);
        let mark = self.marks.partition_point(|(_, units)| *units <= unit) - 1;
        let mut byte = (self.marks[mark].0 + unit - self.marks[mark].1).min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_goes_there_and_back() {
        for text in ["", "abc", "ä", "a€b😀c", "😀😀ä\nx"] {
            let offsets = Offsets::new(text);
            let mut units = 0;
            for (at, c) in text.char_indices() {
                assert_eq!((offsets.units(at), offsets.bytes(text, units)), (units, at), "{text:?} {at}");
                units += c.len_utf16();
            }
            assert_eq!((offsets.units(text.len()), offsets.bytes(text, units)), (units, text.len()));
            assert_eq!((offsets.units(999), offsets.bytes(text, 999)), (units, text.len()));
            for other in 0..text.len() {
                offsets.units(other);
                offsets.bytes(text, other);
            }
        }
    }
}
