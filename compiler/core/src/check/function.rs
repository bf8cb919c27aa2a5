//! The program's own functions: checked once where they are declared, and put in place of their calls, with the calls' nullability.

use crate::check::scope::{Env, Local, Rows};
use crate::check::types::span_of;
use crate::check::{Checker, Used, article};
use crate::codes;
use flowc_ir::{Expr, ExprKind, Type};
use flowc_syntax::ast::{Function, Name};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// How far a function has come.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Its body is being checked.
    Open,
    /// Whether it is fine, with the types of its parameters.
    Done(Option<Vec<Type>>),
}

/// Functions within functions, and all calls of a program: beyond these an inlined expression is too large to compile.
const MAX_DEPTH: usize = 32;
const MAX_INLINED: usize = 10_000;

impl Checker<'_> {
    /// Checks every function with the types that it declares.
    pub(super) fn check_functions(&self) {
        for function in self.declarations.functions.values() {
            self.function(function, None);
        }
    }

    /// The types of a function's parameters; none: it is wrong, and that was reported.
    fn function(&self, function: &Function, call: Option<Span>) -> Option<Vec<Type>> {
        let name = &function.name.text;
        let state = self.functions.borrow().get(name).cloned();
        match state {
            Some(State::Done(types)) => return types,
            Some(State::Open) => {
                self.report(
                    Diagnostic::error(
                        codes::RECURSIVE_FUNCTION,
                        call.unwrap_or(function.name.span),
                        format!("the function `{name}` calls itself"),
                    )
                    .label(format!("this leads back to `{name}`"))
                    .also(function.name.span, "declared here")
                    .help(
                        "functions are put in place of their calls, so none may call itself, not through others either",
                    ),
                );
                return None;
            }
            None => {}
        }
        self.functions.borrow_mut().insert(name.clone(), State::Open);
        // A function may be reached first from within something that is checked silently; its own mistakes are still its own.
        let muted = self.muted.replace(0);
        let types = self.declared(function);
        self.muted.set(muted);
        self.functions.borrow_mut().insert(name.clone(), State::Done(types.clone()));
        types
    }

    fn declared(&self, function: &Function) -> Option<Vec<Type>> {
        let mut types = vec![];
        for (i, (name, ty)) in function.params.iter().enumerate() {
            if let Some((before, _)) = function.params[..i].iter().find(|(n, _)| n.text == name.text) {
                self.duplicate("operands", &name.text, name.span, before.span);
            }
            types.push(self.type_of(ty));
        }
        let rows = Rows::default();
        let mut env = Env::new(&rows);
        env.closed = true;
        for ((name, _), ty) in function.params.iter().zip(&types) {
            let id = env.fresh();
            let local = |ty: &Type| Expr::new(ExprKind::Local(id), ty.clone(), super::origin(name.span));
            env.locals.push(Local { name: name.text.clone(), value: ty.as_ref().map(local) });
        }
        let body = self.expr(&mut env, &function.body);
        let result = function.result.as_ref().map(|r| self.type_of(r));
        let fits = match (body, result) {
            (Some(body), Some(Some(result))) => self.fits_result(function, body, &result).is_some(),
            (Some(_), None) => true,
            _ => false,
        };
        let types = types.into_iter().collect::<Option<Vec<_>>>()?;
        fits.then_some(types)
    }

    fn fits_result(&self, function: &Function, body: Expr, result: &Type) -> Option<Expr> {
        let found = body.ty.clone();
        let fitting = self.widened(body, &result.data).filter(|b| result.nullable || !b.ty.nullable);
        if fitting.is_none() {
            let declared = function.result.as_ref().map_or(function.name.span, |r| r.span);
            let help = if found.data.widens_to(&result.data) {
                format!("declare `-> {}`, or give a default: `… ?? …`", result.clone().with_nullable(true))
            } else {
                format!("declare `-> {found}`, or convert the body with `as {}`", result.data)
            };
            self.report(
                Diagnostic::error(
                    codes::BAD_RESULT,
                    function.body.span,
                    format!("`{}` yields {}, not {}", function.name.text, article(&found), article(result)),
                )
                .label(format!("this is {}", article(&found)))
                .also(declared, "the result is declared here")
                .help(help),
            );
        }
        fitting
    }

    /// A call of one of the program's functions: its body, with the operands bound to its parameters.
    pub(super) fn call_own(&self, env: &mut Env<'_>, name: &Name, args: Vec<Expr>, span: Span) -> Option<Expr> {
        let function = *self.declarations.functions.get(&name.text)?;
        self.mark(Used::Function, &name.text);
        let types = self.function(function, Some(name.span))?;
        if args.len() != function.params.len() {
            let expected = super::count(function.params.len(), "operand");
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARITY,
                    span,
                    format!("`{}` takes {expected}, not {}", name.text, args.len()),
                )
                .label(format!("{} given", args.len()))
                .also(function.name.span, "declared here")
                .help(format!("call it as `{}`", own_signature(function))),
            );
            return None;
        }
        let operands: Vec<Option<Expr>> =
            args.into_iter().zip(&types).enumerate().map(|(i, (arg, ty))| self.operand(function, i, arg, ty)).collect();
        let operands = operands.into_iter().collect::<Option<Vec<_>>>()?;
        if env.depth >= MAX_DEPTH || self.inlined.get() >= MAX_INLINED {
            self.too_large.set(true);
        } else {
            self.inlined.set(self.inlined.get() + 1);
        }
        if env.depth > 0 {
            return (!self.too_large.get()).then(|| self.inline(env, function, operands)).flatten();
        }
        let (inlined, found) = self.overheard(|| self.inline(env, function, operands));
        if self.too_large.replace(false) {
            self.report(
                Diagnostic::error(codes::TOO_LARGE, span, "this calls functions too often or too deep")
                    .label(format!(
                        "functions within functions: at most {MAX_DEPTH} deep and {MAX_INLINED} calls in a program"
                    ))
                    .help("compute a part in an `extend` of its own"),
            );
            return None;
        }
        // The body is right for the types that are declared; only these very operands (a pattern, for example) can be wrong in it.
        if let (None, Some(mistake)) = (&inlined, found.into_iter().find(Diagnostic::is_error)) {
            self.report(mistake.also(span, format!("in `{}`, called here", name.text)));
        }
        inlined
    }

    fn operand(&self, function: &Function, index: usize, arg: Expr, ty: &Type) -> Option<Expr> {
        let (name, written) = &function.params[index];
        let found = arg.ty.clone();
        let span = span_of(&arg);
        let fitting = self.widened(arg, &ty.data);
        if fitting.as_ref().is_some_and(|a| ty.nullable || !a.ty.nullable) {
            return fitting;
        }
        if fitting.is_some() {
            self.report(
                Diagnostic::error(
                    codes::NULL_OPERAND,
                    span,
                    format!("`{}` of `{}` must not be null", name.text, function.name.text),
                )
                .label(format!("this is {}, which may be null", article(&found)))
                .also(written.span, "declared here")
                .help(format!(
                    "give a default, `… ?? 0`, test it before, `where … is not null`, or declare `{}: {}?`",
                    name.text, ty.data
                )),
            );
        } else {
            self.report(
                Diagnostic::error(
                    codes::BAD_OPERAND,
                    span,
                    format!("`{}` of `{}` is {}", name.text, function.name.text, article(&ty.data)),
                )
                .label(format!("this is {}", article(&found)))
                .also(written.span, "declared here")
                .help(format!("convert it: `… as {}`", ty.data)),
            );
        }
        None
    }

    fn inline(&self, env: &mut Env<'_>, function: &Function, operands: Vec<Expr>) -> Option<Expr> {
        let mut locals = vec![];
        let mut lets = vec![];
        for ((name, _), operand) in function.params.iter().zip(operands) {
            let value = if super::conditional::is_simple(&operand) {
                operand
            } else {
                let id = env.fresh();
                let local = Expr::new(ExprKind::Local(id), operand.ty.clone(), operand.origin);
                env.bound.push((id, operand.clone()));
                lets.push((id, operand));
                local
            };
            locals.push(Local { name: name.text.clone(), value: Some(value) });
        }
        let outer = (std::mem::replace(&mut env.locals, locals), env.closed);
        env.closed = true;
        env.depth += 1;
        let body = self.expr(env, &function.body);
        env.depth -= 1;
        (env.locals, env.closed) = outer;
        env.bound.truncate(env.bound.len() - lets.len());
        let mut body = body?;
        if let Some(result) = function.result.as_ref().and_then(|r| self.type_of(r)) {
            body = self.widened(body, &result.data)?;
        }
        for (local, value) in lets.into_iter().rev() {
            let (ty, at) = (body.ty.clone(), body.origin);
            body = Expr::new(ExprKind::Let { local, value: Box::new(value), body: Box::new(body) }, ty, at);
        }
        Some(body)
    }
}

/// `name(a: T, b: U)`
fn own_signature(function: &Function) -> String {
    let params: Vec<&str> = function.params.iter().map(|(n, _)| n.text.as_str()).collect();
    format!("{}({})", function.name.text, params.join(", "))
}
