//! From Cranelift's intermediate code to a function in memory, for the processor at hand. Owns the memory. Knows nothing of expressions beyond handing
//! them to the code generator.

use crate::abi::{Arguments, Entry};
use crate::emit::{Nulls, emit};
use crate::fused::Fused;
use crate::helpers::Helper;
use cranelift::prelude::*;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, UserFuncName};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, default_libcall_names};
use std::fmt;
use std::sync::{Mutex, OnceLock};

/// A function in memory.
pub(crate) struct Compiled {
    entry: Entry,
    written: Vec<Nulls>,
    /// Holds the code; taken only when this is dropped.
    module: Mutex<Option<JITModule>>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("written", &self.written).finish_non_exhaustive()
    }
}

/// The processor at hand.
fn isa() -> Result<OwnedTargetIsa, String> {
    static ISA: OnceLock<Result<OwnedTargetIsa, String>> = OnceLock::new();
    ISA.get_or_init(|| {
        let mut flags = settings::builder();
        let verify = if cfg!(debug_assertions) { "true" } else { "false" };
        for (name, value) in [
            ("opt_level", "speed"),
            ("enable_verifier", verify),
            // Helpers lie anywhere in the address space.
            ("use_colocated_libcalls", "false"),
            ("is_pic", "false"),
        ] {
            flags.set(name, value).map_err(|e| e.to_string())?;
        }
        let builder = cranelift_native::builder()?;
        builder.finish(settings::Flags::new(flags)).map_err(|e| e.to_string())
    })
    .clone()
}

/// The code of a function before it is lowered to the processor's.
fn build(fused: &Fused, isa: &OwnedTargetIsa, conv: CallConv) -> (Function, Vec<Nulls>) {
    let mut signature = Signature::new(conv);
    signature.params.push(AbiParam::new(types::I64));
    signature.returns.push(AbiParam::new(types::I64));
    let mut function = Function::with_name_signature(UserFuncName::user(1, 0), signature);
    let mut context = FunctionBuilderContext::new();
    let written = emit(fused, &mut function, &mut context, isa.frontend_config());
    (function, written)
}

/// The intermediate code as text: the same on every 64-bit processor.
pub(crate) fn clif(fused: &Fused) -> Result<String, String> {
    // The convention of calls is the system's; everything else is the program's.
    let (function, _) = build(fused, &isa()?, CallConv::Fast);
    Ok(function.display().to_string())
}

/// The processor's code as text.
pub(crate) fn assembly(fused: &Fused) -> Result<String, String> {
    let isa = isa()?;
    let (function, _) = build(fused, &isa, isa.default_call_conv());
    let mut context = cranelift_codegen::Context::for_function(function);
    context.set_disasm(true);
    let code = context.compile(&*isa, &mut ControlPlane::default()).map_err(|e| format!("{:?}", e.inner))?;
    Ok(code.vcode.clone().unwrap_or_default())
}

impl Compiled {
    /// Makes the function.
    pub(crate) fn new(fused: &Fused) -> Result<Compiled, String> {
        let isa = isa()?;
        let (function, written) = build(fused, &isa, isa.default_call_conv());
        let mut builder = JITBuilder::with_isa(isa.clone(), default_libcall_names());
        for helper in Helper::ALL {
            builder.symbol(helper.symbol(), helper.address());
        }
        let mut module = JITModule::new(builder);
        match define(&mut module, function, &isa) {
            Ok(address) => {
                // SAFETY: the address is that of finished code with the signature that `build` gave it, which is `Entry`'s: one pointer in, one
                // 64-bit integer out, in the system's convention of calls.
                let entry = unsafe { std::mem::transmute::<*const u8, Entry>(address) };
                Ok(Compiled { entry, written, module: Mutex::new(Some(module)) })
            }
            Err(message) => {
                // SAFETY: no pointer to the module's code was given out.
                unsafe { module.free_memory() };
                Err(message)
            }
        }
    }

    /// What it writes for each target.
    pub(crate) fn written(&self) -> &[Nulls] {
        &self.written
    }

    /// Calls it.
    ///
    /// # Safety
    /// `arguments` must describe memory as [`Arguments`] says: as many columns and targets as the [`Fused`] has, of its types; columns readable for
    /// all rows of all blocks, the rows of the last block that do not exist included; targets writable for as many rows as can survive.
    pub(crate) unsafe fn call(&self, arguments: &mut Arguments) -> i64 {
        // SAFETY: the code lives as long as `self`; the rest is the caller's promise.
        unsafe { (self.entry)(arguments) }
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        let module = match self.module.get_mut() {
            Ok(module) => module.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(module) = module {
            // SAFETY: the code is called through `&self` only, so no call is under way, and `entry` dies with `self`.
            unsafe { module.free_memory() };
        }
    }
}

fn define(module: &mut JITModule, function: Function, isa: &OwnedTargetIsa) -> Result<*const u8, String> {
    let conv = isa.default_call_conv();
    for helper in Helper::ALL {
        // Declared first and in order, so that a helper's index is its function's number.
        let id = module
            .declare_function(&helper.symbol(), Linkage::Import, &helper.signature(conv))
            .map_err(|e| e.to_string())?;
        if id.as_u32() != helper.index() {
            return Err(format!("helper {helper:?} has number {}", id.as_u32()));
        }
    }
    let id = module.declare_anonymous_function(&function.signature).map_err(|e| e.to_string())?;
    let mut context = cranelift_codegen::Context::for_function(function);
    module.define_function(id, &mut context).map_err(|e| format!("{e:?}"))?;
    module.finalize_definitions().map_err(|e| e.to_string())?;
    Ok(module.get_finalized_function(id))
}
