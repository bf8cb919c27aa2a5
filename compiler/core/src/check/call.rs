//! Calls: built-in functions, the program's own, aggregates, and the forms that look like calls.

use crate::check::declarations::is_built_in;
use crate::check::scope::{Env, Place};
use crate::check::types::span_of;
use crate::check::{Checker, article, list, origin};
use crate::codes;
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::functions::{self, Category, ResolveError};
use flowc_ir::{Expr, ExprKind, Type};
use flowc_syntax::ast::{self, Arg, Name};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;

/// Functions of other languages, and what does the same here.
const FOREIGN: &[(&str, &str)] = &[
    ("len", "length"),
    ("strlen", "length"),
    ("substr", "substring"),
    ("lowercase", "lower"),
    ("uppercase", "upper"),
    ("tolower", "lower"),
    ("toupper", "upper"),
    ("ifnull", "coalesce"),
    ("nvl", "coalesce"),
    ("isnull", "… is null"),
    ("cast", "… as type"),
    ("iff", "if … then … else …"),
    ("iif", "if … then … else …"),
    ("average", "avg"),
    ("mean", "avg"),
    ("median", "percentile(x, 0.5)"),
    ("std", "stddev"),
    ("var", "variance"),
    ("string_agg", "collect_list"),
    ("array_agg", "collect_list"),
    ("try_cast", "… as type?"),
    ("now", "current_timestamp"),
    ("contains_any", "… in [..]"),
];

impl Checker<'_> {
    /// `name(args) where filter`
    pub(super) fn call(
        &self,
        env: &mut Env<'_>,
        name: &Name,
        args: &[Arg],
        filter: Option<&ast::Expr>,
        span: Span,
    ) -> Option<Expr> {
        if name.text == "share" && !self.declarations.functions.contains_key("share") {
            return self.share(env, args, span);
        }
        if let Some(function) = AggregateFunction::find(&name.text) {
            return self.aggregate_call(env, function, name, args, filter, span);
        }
        if let Some(filter) = filter {
            self.report(
                Diagnostic::error(
                    codes::FILTER_ON_FUNCTION,
                    filter.span,
                    format!("`{}` is no aggregate, so it has no `where`", name.text),
                )
                .label("only an aggregate chooses rows")
                .help("use `if … then … else …`, or a step `|> where …` of its own"),
            );
        }
        if !self.declarations.functions.contains_key(&name.text) && !is_built_in(&name.text) {
            if !self.declarations.broken.contains(&name.text) {
                self.unknown_function(name);
            }
            // Perhaps it was meant as an aggregate, which reads other rows than what is around it.
            if !matches!(env.place, Place::Aggregates(_)) {
                self.positional(env, name, args);
            }
            return None;
        }
        let args = self.positional(env, name, args)?;
        match name.text.as_str() {
            own if self.declarations.functions.contains_key(own) => self.call_own(env, name, args, span),
            "try" => self.attempt(name, args, span),
            "coalesce" if args.is_empty() => {
                self.arity(name, span, 0, "at least 1", &["coalesce(x: T, y: T...) -> T".to_string()]);
                None
            }
            "coalesce" => self.coalesce(args, span),
            _ => self.call_built_in(name, args, span),
        }
    }

    /// The operands of a call, all checked even if one is wrong; names are not taken.
    pub(super) fn positional(&self, env: &mut Env<'_>, name: &Name, args: &[Arg]) -> Option<Vec<Expr>> {
        let mut sound = true;
        let mut typed = vec![];
        for arg in args {
            if let Some(named) = &arg.name {
                self.report(
                    Diagnostic::error(
                        codes::NAMED_OPERAND,
                        named.span,
                        format!("`{}` takes its operands by their order", name.text),
                    )
                    .label("no names here")
                    .help("leave the name out; only connectors have named options"),
                );
                sound = false;
            }
            typed.push(self.expr(env, &arg.value));
        }
        let typed = typed.into_iter().collect::<Option<Vec<_>>>();
        typed.filter(|_| sound)
    }

    fn attempt(&self, name: &Name, mut args: Vec<Expr>, span: Span) -> Option<Expr> {
        if args.len() != 1 {
            self.arity(name, span, args.len(), "1", &["try(x: T) -> T?".to_string()]);
            return None;
        }
        let value = args.pop()?;
        let ty = value.ty.clone().with_nullable(true);
        Some(Expr::new(ExprKind::Try(Box::new(value)), ty, origin(span)))
    }

    fn call_built_in(&self, name: &Name, args: Vec<Expr>, span: Span) -> Option<Expr> {
        let regex = functions::find(&name.text).is_some_and(|f| f.category == Category::Regex);
        if regex && args.get(1).is_some_and(|pattern| !self.regex(pattern)) {
            return None;
        }
        let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
        match functions::resolve(&name.text, &types) {
            Ok(resolution) => self.apply(resolution, args, span),
            Err(error) => {
                self.unresolved(&Name { text: name.text.clone(), span }, &args, error);
                None
            }
        }
    }

    /// Reports a call that no overload fits.
    pub(super) fn unresolved(&self, name: &Name, args: &[Expr], error: ResolveError) {
        match error {
            ResolveError::UnknownFunction => self.unknown_function(name),
            ResolveError::Arity { signatures, expected } => {
                self.arity(name, name.span, args.len(), &expected, &signatures);
            }
            ResolveError::Argument { index, expected, signatures } => {
                let Some(arg) = args.get(index) else { return };
                let which = if args.len() == 1 { "the operand".to_string() } else { format!("operand {}", index + 1) };
                self.report(
                    Diagnostic::error(
                        codes::BAD_OPERAND,
                        span_of(arg),
                        format!("{which} of `{}` must be {expected}", name.text),
                    )
                    .label(format!("this is {}", article(&arg.ty)))
                    .help(format!("it is called as {}", list(&signatures))),
                );
            }
        }
    }

    pub(super) fn arity(&self, name: &Name, span: Span, given: usize, expected: &str, signatures: &[String]) {
        let s = if matches!(expected, "1" | "at least 1") { "" } else { "s" };
        self.report(
            Diagnostic::error(
                codes::WRONG_ARITY,
                span,
                format!("`{}` takes {expected} operand{s}, not {given}", name.text),
            )
            .label(format!("{given} given"))
            .help(format!("it is called as {}", list(signatures))),
        );
    }

    fn unknown_function(&self, name: &Name) {
        let text = name.text.to_lowercase();
        let built_in = functions::names();
        let aggregates = flowc_ir::aggregates::ALL.iter().map(|a| a.name);
        let own = self.declarations.functions.keys().map(String::as_str);
        let all = own.chain(aggregates).chain(built_in);
        let help = match (FOREIGN.iter().find(|(f, _)| *f == text), did_you_mean(&name.text, all)) {
            // What is more than a name cannot take its place.
            (Some((_, here)), _) if here.contains([' ', '(']) => format!("here it is `{here}`").into(),
            (Some((_, here)), _) => Help::instead(format!("here it is `{here}`"), *here),
            (None, Some(near)) => Help::did_you_mean(near),
            (None, None) => "declare it with `fn`, or `use` the file that does".into(),
        };
        self.report(
            Diagnostic::error(codes::UNKNOWN_FUNCTION, name.span, format!("there is no function `{}`", name.text))
                .label("unknown function")
                .help(help),
        );
    }

    fn aggregate_call(
        &self,
        env: &mut Env<'_>,
        function: AggregateFunction,
        name: &Name,
        args: &[Arg],
        filter: Option<&ast::Expr>,
        span: Span,
    ) -> Option<Expr> {
        match env.place {
            Place::Aggregates(_) => self.collect_aggregate(env, function, name, args, filter, span),
            Place::Operand => {
                self.report(
                    Diagnostic::error(
                        codes::NESTED_AGGREGATE,
                        span,
                        format!("`{}` stands inside another aggregate", name.text),
                    )
                    .label("an aggregate of an aggregate")
                    .help("aggregate twice: `|> aggregate … by … |> aggregate …`"),
                );
                None
            }
            Place::Row => {
                self.report(
                    Diagnostic::error(
                        codes::MISPLACED_AGGREGATE,
                        span,
                        format!("`{}` is an aggregate: it needs many rows, and here is one", name.text),
                    )
                    .label("not in an `aggregate` step")
                    .help(misplaced_help(&name.text)),
                );
                self.positional(env, name, args);
                None
            }
        }
    }
}

fn misplaced_help(name: &str) -> String {
    match name {
        "min" => "the least of several values in one row is `least(a, b)`; over rows: `|> aggregate x = min(…) by …`"
            .to_string(),
        "max" => {
            "the greatest of several values in one row is `greatest(a, b)`; over rows: `|> aggregate x = max(…) by …`"
                .to_string()
        }
        _ => format!("write a step `|> aggregate x = {name}(…) by …`"),
    }
}
