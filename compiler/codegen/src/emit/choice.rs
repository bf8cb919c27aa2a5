//! Lane masks of different widths brought together, and values chosen by them without branches. A mask's lanes are as wide as the values that were
//! compared: to choose among values, or to be combined with another, it is packed or widened (SSE's packs, and shuffles where there is none). Knows
//! lanes; nothing of what was compared.

use super::code::Code;
use super::vector::{Lanes, Parts, all_valid};
use cranelift::prelude::*;
use cranelift_codegen::ir::ConstantData;
use flowc_ir::Expr;

impl Lanes<'_, '_, '_> {
    /// One bit for each of the eight rows.
    pub(super) fn gather(&mut self, masks: Parts) -> Value {
        let masks = self.fit(masks, 1);
        self.code.ins().vhigh_bits(types::I64, masks[0])
    }

    /// Two masks as one, in the narrower lanes of both.
    pub(super) fn join_masks(&mut self, a: Parts, b: Parts, join: fn(&mut Code<'_>, Value, Value) -> Value) -> Parts {
        let parts = a.len().min(b.len());
        let (a, b) = (self.fit(a, parts), self.fit(b, parts));
        a.into_iter().zip(b).map(|(a, b)| join(self.code, a, b)).collect()
    }

    /// The first value where the condition is true, the second one where it is false or null.
    pub(super) fn choice(&mut self, e: &Expr, condition: &Expr, then: &Expr, otherwise: &Expr) -> Parts {
        let masks = self.condition(condition);
        let (yes, no) = (self.value(then), self.value(otherwise));
        let nullable = self.undecided.get(&std::ptr::from_ref(e)).cloned().unwrap_or_default();
        let masks = match all_valid(self.code, self.scope, &nullable) {
            None => masks,
            Some(valid) => {
                let valid = self.lanes_of(valid);
                self.join_masks(masks, valid, |c, a, b| c.ins().band(a, b))
            }
        };
        let masks = self.fit(masks, yes.len());
        masks.into_iter().zip(yes.into_iter().zip(no)).map(|(mask, (yes, no))| self.select(mask, yes, no)).collect()
    }

    fn select(&mut self, mask: Value, yes: Value, no: Value) -> Value {
        let (ty, bits) = (self.code.b.func.dfg.value_type(yes), self.code.b.func.dfg.value_type(mask));
        let (yes, no) = (self.bits(bits, yes), self.bits(bits, no));
        let chosen = self.code.ins().bitselect(mask, yes, no);
        self.bits(ty, chosen)
    }

    /// The eight rows' bits of a block's word as a mask.
    fn lanes_of(&mut self, word: Value) -> Parts {
        let word = self.code.ins().ushr(word, self.first);
        let word = self.code.ins().ireduce(types::I16, word);
        let all = self.code.ins().splat(types::I16X8, word);
        let bits: Vec<u8> = (0..8).flat_map(|i| (1u16 << i).to_le_bytes()).collect();
        let bits = self.code.b.func.dfg.constants.insert(ConstantData::from(&bits[..]));
        let bits = self.code.ins().vconst(types::I16X8, bits);
        let own = self.code.ins().band(all, bits);
        vec![self.code.ins().icmp(IntCC::Equal, own, bits)]
    }

    /// A mask in as many vectors.
    fn fit(&mut self, masks: Parts, parts: usize) -> Parts {
        let mut masks = masks;
        while masks.len() > parts {
            masks = masks.chunks(2).map(|pair| self.pack(pair[0], pair[1])).collect();
        }
        while masks.len() < parts {
            masks = self.halves(masks);
        }
        masks
    }

    /// Two masks as one of lanes half as wide.
    fn pack(&mut self, a: Value, b: Value) -> Value {
        if self.code.b.func.dfg.value_type(a) != types::I64X2 {
            return self.code.ins().snarrow(a, b);
        }
        let (a, b) = (self.bits(types::I8X16, a), self.bits(types::I8X16, b));
        let order = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27u8];
        let order = self.code.b.func.dfg.immediates.push(ConstantData::from(&order[..]));
        let packed = self.code.ins().shuffle(a, b, order);
        self.bits(types::I32X4, packed)
    }
}
