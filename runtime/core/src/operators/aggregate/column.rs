//! A value for each group in segments: growth adds a segment and copies nothing (as ropes and deques do), so that no page is touched twice. Knows nothing of what
//! the values are.

/// How many values a segment has.
const SEGMENT: usize = 4096;

/// Values by their number.
#[derive(Debug, Clone)]
pub(in crate::operators) struct Column<T> {
    /// All are full but the last. The first grows by doubling, so that few groups take little; every other has its room from the start.
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column { segments: vec![], len: 0 }
    }
}

impl<T: Clone + Default> Column<T> {
    /// Makes room for so many groups; those that are new have the default.
    pub(in crate::operators) fn grow(&mut self, count: usize) {
        while self.len < count {
            let (segment, first) = (self.len / SEGMENT, self.len / SEGMENT * SEGMENT);
            let wanted = (count - first).min(SEGMENT);
            if segment == self.segments.len() {
                self.segments.push(Vec::with_capacity(if segment == 0 { wanted } else { SEGMENT }));
            }
            let values = &mut self.segments[segment];
            if values.capacity() < wanted {
                values.reserve_exact((values.capacity() * 2).clamp(wanted, SEGMENT) - values.len());
            }
            values.resize(wanted, T::default());
            self.len = first + wanted;
        }
    }

    /// The value of a group that there is room for.
    pub(in crate::operators) fn at(&mut self, group: usize) -> &mut T {
        &mut self.segments[group / SEGMENT][group % SEGMENT]
    }

    /// The value of a group, if there is room for it.
    pub(in crate::operators) fn get(&self, group: usize) -> Option<&T> {
        self.segments.get(group / SEGMENT)?.get(group % SEGMENT)
    }

    /// The value of a group, which need not have been seen.
    pub(in crate::operators) fn of(&self, group: u32) -> T {
        self.get(group as usize).cloned().unwrap_or_default()
    }

    /// The bytes that it takes.
    pub(in crate::operators) fn bytes(&self) -> usize {
        let values: usize = self.segments.iter().map(Vec::capacity).sum();
        values * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_where_they_are_however_it_grows() {
        for step in [1, 7, 4095, 4096, 4097, 10_000] {
            let (mut column, mut len) = (Column::<u32>::default(), 0);
            while len < 20_000 {
                column.grow(len + step);
                (len..len + step).for_each(|i| {
                    assert_eq!(*column.at(i), 0);
                    *column.at(i) = i as u32;
                });
                len += step;
                column.grow(len / 2);
            }
            assert!((0..len).all(|i| column.of(i as u32) == i as u32));
            assert!(column.get(len).is_none() && column.of(len as u32) == 0);
            assert!(column.bytes() >= len * 4 && column.bytes() <= (len + SEGMENT) * 4 + 1024);
        }
    }
}
