//! What a compiled function is given: plain memory, laid out here once for both sides. Knows the layout; nothing of expressions or Arrow.

use std::mem::offset_of;

/// Rows in a block: the masks of truth, null and failure of a block are one 64-bit word each.
pub(crate) const BLOCK: usize = 64;

/// What a compiled function returns when no row failed.
pub(crate) const NO_FAILURE: i64 = -1;

/// A column that is read.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// The first row's value; for booleans the first block's word. Null for columns whose values are not read.
    pub(crate) values: *const u8,
    /// The first block's word of valid rows.
    pub(crate) validity: *const u8,
    /// From one block's word to the next: 8 bytes, or 0 where one word of ones stands for all blocks.
    pub(crate) validity_step: i64,
}

impl Column {
    /// The column from a later block on. `width` is that of its values, 0 for booleans.
    pub(crate) fn at_block(self, block: usize, width: usize) -> Column {
        let bytes = if width == 0 { block * 8 } else { block * BLOCK * width };
        // Addresses only: whoever reads from them has to know that the blocks are there.
        Column {
            values: self.values.wrapping_add(bytes),
            validity: self.validity.wrapping_offset(block as isize * self.validity_step as isize),
            ..self
        }
    }
}

/// A column that is written: a value for each row that survives, and, where it can be null, a byte for each or a word for each block.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The first row's value; for booleans a byte each.
    pub(crate) values: *mut u8,
    /// The first row's null byte, or the first block's word of valid rows.
    pub(crate) nulls: *mut u8,
}

/// The argument of a compiled function.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Arguments {
    /// As many as the function reads.
    pub(crate) columns: *const Column,
    /// As many as the function writes.
    pub(crate) targets: *const Target,
    /// One word for each block: the rows that survive. Written by functions with filters only.
    pub(crate) survivors: *mut u64,
    /// How many blocks there are.
    pub(crate) blocks: i64,
    /// The rows of the last block that exist; those of the others all do.
    pub(crate) last: u64,
    /// Rows written so far, to be gone on with.
    pub(crate) written: i64,
    /// `EvalContext::now`
    pub(crate) now: i64,
}

/// A compiled function: returns the first row that fails, or [`NO_FAILURE`].
pub(crate) type Entry = unsafe extern "C" fn(*mut Arguments) -> i64;

/// Offsets of the fields, for the code generator.
pub(crate) mod offset {
    use super::*;
    pub(crate) const COLUMNS: i32 = offset_of!(Arguments, columns) as i32;
    pub(crate) const TARGETS: i32 = offset_of!(Arguments, targets) as i32;
    pub(crate) const SURVIVORS: i32 = offset_of!(Arguments, survivors) as i32;
    pub(crate) const BLOCKS: i32 = offset_of!(Arguments, blocks) as i32;
    pub(crate) const LAST: i32 = offset_of!(Arguments, last) as i32;
    pub(crate) const WRITTEN: i32 = offset_of!(Arguments, written) as i32;
    pub(crate) const NOW: i32 = offset_of!(Arguments, now) as i32;

    pub(crate) fn values(column: usize) -> i32 {
        (column * size_of::<Column>() + offset_of!(Column, values)) as i32
    }
    pub(crate) fn validity(column: usize) -> i32 {
        (column * size_of::<Column>() + offset_of!(Column, validity)) as i32
    }
    pub(crate) fn validity_step(column: usize) -> i32 {
        (column * size_of::<Column>() + offset_of!(Column, validity_step)) as i32
    }
    pub(crate) fn target_values(target: usize) -> i32 {
        (target * size_of::<Target>() + offset_of!(Target, values)) as i32
    }
    pub(crate) fn target_nulls(target: usize) -> i32 {
        (target * size_of::<Target>() + offset_of!(Target, nulls)) as i32
    }
}
