//! Small words over Cranelift's instruction builder: booleans, optional flags, choices without branches, 128-bit constants. Knows nothing of
//! expressions.

use crate::helpers::Helper;
use cranelift::prelude::*;
use cranelift_codegen::ir::{BlockArg, FuncRef, StackSlot, StackSlotData, StackSlotKind};
use std::collections::BTreeMap;

/// One value of one row: the value, whether it is null, whether it cannot be computed. Code is straight-line and total: all three are always
/// there, and what a null or a failure hides is some value that nobody looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    /// Of the type [`super::layout::clif_type`] says; booleans are 0 or 1.
    pub(crate) value: Value,
    /// 0 or 1; none: never null.
    pub(crate) null: Option<Value>,
    /// 0 or 1; none: never fails.
    pub(crate) fail: Option<Value>,
}

impl Lane {
    /// A value that is always there.
    pub(crate) fn new(value: Value) -> Lane {
        Lane { value, null: None, fail: None }
    }
}

/// The function being built, with the helpers it calls.
pub(crate) struct Code<'f> {
    pub(crate) b: FunctionBuilder<'f>,
    helpers: BTreeMap<Helper, FuncRef>,
    scratch: Option<StackSlot>,
}

impl<'f> Code<'f> {
    pub(crate) fn new(b: FunctionBuilder<'f>) -> Self {
        Code { b, helpers: BTreeMap::new(), scratch: None }
    }

    /// The instruction builder.
    pub(crate) fn ins(&mut self) -> cranelift::frontend::FuncInstBuilder<'_, 'f> {
        self.b.ins()
    }

    /// A word of the arguments, the same through the whole call.
    pub(crate) fn fixed(&mut self, base: Value, offset: i32) -> Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        self.b.ins().load(types::I64, flags, base, offset)
    }

    /// A constant of an integer type.
    pub(crate) fn int(&mut self, ty: Type, v: i128) -> Value {
        if ty == types::I128 {
            let low = self.b.ins().iconst(types::I64, v as i64);
            let high = self.b.ins().iconst(types::I64, (v >> 64) as i64);
            return self.b.ins().iconcat(low, high);
        }
        let masked = match ty.bits() {
            64 => v as i64,
            bits => ((v as u64) & ((1u64 << bits) - 1)) as i64,
        };
        self.b.ins().iconst(ty, masked)
    }

    /// 0 or 1 as a boolean.
    pub(crate) fn flag(&mut self, v: bool) -> Value {
        self.b.ins().iconst(types::I8, i64::from(v))
    }

    /// The opposite of a boolean.
    pub(crate) fn not(&mut self, v: Value) -> Value {
        let one = self.flag(true);
        self.b.ins().bxor(v, one)
    }

    pub(crate) fn and(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().band(a, b)
    }

    pub(crate) fn or(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().bor(a, b)
    }

    /// `a` and not `b`, of booleans.
    pub(crate) fn and_not(&mut self, a: Value, b: Value) -> Value {
        let b = self.not(b);
        self.and(a, b)
    }

    /// Either flag; a missing one is false.
    pub(crate) fn either(&mut self, a: Option<Value>, b: Option<Value>) -> Option<Value> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.or(a, b)),
            (a, b) => a.or(b),
        }
    }

    /// Flag `a` where `condition`; a missing one is false.
    pub(crate) fn only(&mut self, condition: Value, a: Option<Value>) -> Option<Value> {
        a.map(|a| self.and(condition, a))
    }

    /// Flag `a` where not `condition`; a missing `condition` is false.
    pub(crate) fn unless(&mut self, condition: Option<Value>, a: Value) -> Value {
        match condition {
            Some(c) => self.and_not(a, c),
            None => a,
        }
    }

    /// `yes` or `no`, without a branch: Cranelift would jump to choose between floats, so they are chosen by their bits; and it would make a minimum
    /// or maximum of a choice between 128-bit integers, which it then cannot lower, so those are chosen half by half.
    pub(crate) fn choose(&mut self, condition: Value, yes: Value, no: Value) -> Value {
        let ty = self.b.func.dfg.value_type(yes);
        let bits = match ty {
            types::F64 => types::I64,
            types::F32 => types::I32,
            types::I128 => {
                let (yes_low, yes_high) = self.b.ins().isplit(yes);
                let (no_low, no_high) = self.b.ins().isplit(no);
                let low = self.b.ins().select(condition, yes_low, no_low);
                let high = self.b.ins().select(condition, yes_high, no_high);
                return self.b.ins().iconcat(low, high);
            }
            _ => return self.b.ins().select(condition, yes, no),
        };
        let (yes, no) = (self.bits(bits, yes), self.bits(bits, no));
        let chosen = self.b.ins().select(condition, yes, no);
        self.bits(ty, chosen)
    }

    /// The same bits as another type of the same width.
    pub(crate) fn bits(&mut self, ty: Type, v: Value) -> Value {
        self.b.ins().bitcast(ty, MemFlagsData::new(), v)
    }

    /// Flags chosen as [`Code::choose`]; missing ones are false.
    pub(crate) fn choose_flag(&mut self, condition: Value, yes: Option<Value>, no: Option<Value>) -> Option<Value> {
        match (yes, no) {
            (None, None) => None,
            (Some(yes), None) => Some(self.and(condition, yes)),
            (None, Some(no)) => Some(self.and_not(no, condition)),
            (Some(yes), Some(no)) => Some(self.b.ins().select(condition, yes, no)),
        }
    }

    /// Compares integers.
    pub(crate) fn icmp(&mut self, cc: IntCC, a: Value, b: Value) -> Value {
        self.b.ins().icmp(cc, a, b)
    }

    /// Compares an integer with a constant.
    pub(crate) fn icmp_const(&mut self, cc: IntCC, a: Value, b: i128) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        let b = self.int(ty, b);
        self.b.ins().icmp(cc, a, b)
    }

    /// Whether `v` lies outside `low..=high`.
    pub(crate) fn outside(&mut self, v: Value, low: i128, high: i128) -> Value {
        let under = self.icmp_const(IntCC::SignedLessThan, v, low);
        let over = self.icmp_const(IntCC::SignedGreaterThan, v, high);
        self.or(under, over)
    }

    /// Jumps to a block with these arguments.
    pub(crate) fn jump(&mut self, to: Block, args: &[Value]) {
        let args: Vec<BlockArg> = args.iter().map(|v| BlockArg::from(*v)).collect();
        self.b.ins().jump(to, &args);
    }

    /// Goes to one block or another.
    pub(crate) fn branch(&mut self, condition: Value, yes: Block, no: Block) {
        self.b.ins().brif(condition, yes, &[], no, &[]);
    }

    /// Calls a helper; 128-bit operands go as two words, and a 128-bit result comes back through the scratch slot.
    pub(crate) fn call(&mut self, helper: Helper, args: &[Value]) -> Value {
        let function = match self.helpers.get(&helper) {
            Some(f) => *f,
            None => {
                let f = self.import(helper);
                self.helpers.insert(helper, f);
                f
            }
        };
        let mut flat = vec![];
        for &arg in args {
            if self.b.func.dfg.value_type(arg) == types::I128 {
                let (low, high) = self.b.ins().isplit(arg);
                flat.extend([low, high]);
            } else {
                flat.push(arg);
            }
        }
        if helper.returns_wide() {
            let slot = self.scratch_slot();
            let address = self.b.ins().stack_addr(types::I64, slot, 0);
            flat.push(address);
        }
        let call = self.b.ins().call(function, &flat);
        self.b.inst_results(call)[0]
    }

    /// The 128-bit result of the helper called last.
    pub(crate) fn wide_result(&mut self) -> Value {
        let slot = self.scratch_slot();
        let address = self.b.ins().stack_addr(types::I64, slot, 0);
        let low = self.b.ins().load(types::I64, MemFlagsData::trusted(), address, 0);
        let high = self.b.ins().load(types::I64, MemFlagsData::trusted(), address, 8);
        self.b.ins().iconcat(low, high)
    }

    fn scratch_slot(&mut self) -> StackSlot {
        if let Some(slot) = self.scratch {
            return slot;
        }
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 16, 4));
        self.scratch = Some(slot);
        slot
    }

    fn import(&mut self, helper: Helper) -> FuncRef {
        use cranelift_codegen::ir::{ExtFuncData, ExternalName, UserExternalName};
        let conv = self.b.func.signature.call_conv;
        let signature = self.b.import_signature(helper.signature(conv));
        let name = UserExternalName { namespace: 0, index: helper.index() };
        let name = self.b.func.declare_imported_user_function(name);
        let data = ExtFuncData { name: ExternalName::user(name), signature, colocated: false, patchable: false };
        self.b.import_function(data)
    }
}
