//! Parameters: their types, defaults, and values from the command line. A parameter in an expression is its value.

use crate::check::scope::{Env, Rows};
use crate::check::{Checker, article, constant, origin};
use crate::codes;
use crate::pipeline::BadParam;
use flowc_ir::{DataType, Expr, ExprKind, Type, Value};
use flowc_syntax::ast::{self, Param};
use flowc_syntax::diagnostic::{Diagnostic, did_you_mean};
use flowc_syntax::span::Span;

/// How far a parameter has come.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Its default is being looked at.
    Open,
    /// Its value; none: it is wrong, and that was reported.
    Done(Option<(Value, Type)>),
}

impl Checker<'_> {
    /// Settles all parameters, and finds those of the command line that do not exist.
    pub(super) fn check_params(&self) {
        for name in self.declarations.params.keys() {
            self.param(name);
        }
        for name in self.program.params.keys().filter(|n| !self.declarations.params.contains_key(*n)) {
            let names = self.declarations.params.keys().map(String::as_str);
            let hint = match did_you_mean(name, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.declarations.params.is_empty() => "it has no params".to_string(),
                None => format!("its params are {}", super::list(names)),
            };
            let message = format!("the program has no param `{name}`: {hint}");
            self.bad_params.borrow_mut().push(BadParam { name: name.clone(), message });
        }
    }

    /// The value of a parameter, as an expression at the place where it is read.
    pub(super) fn param_value(&self, name: &str, span: Span) -> Option<Expr> {
        let (value, ty) = self.param(name)?;
        Some(Expr::new(ExprKind::Literal(value), ty, origin(span)))
    }

    fn param(&self, name: &str) -> Option<(Value, Type)> {
        let declared = *self.declarations.params.get(name)?;
        let state = self.params.borrow().get(name).cloned();
        match state {
            Some(State::Done(value)) => return value,
            Some(State::Open) => {
                self.report(
                    Diagnostic::error(
                        codes::BAD_DEFAULT,
                        declared.name.span,
                        format!("the default of `{name}` depends on itself"),
                    )
                    .label("in a circle")
                    .help("give a value that does not use this param"),
                );
                return None;
            }
            None => {}
        }
        self.params.borrow_mut().insert(name.to_string(), State::Open);
        let value = self.settle(declared);
        self.params.borrow_mut().insert(name.to_string(), State::Done(value.clone()));
        value
    }

    fn settle(&self, declared: &Param) -> Option<(Value, Type)> {
        let ty = self.type_of(&declared.ty)?;
        if matches!(ty.data, DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) | DataType::Binary) {
            self.report(
                Diagnostic::error(
                    codes::BAD_PARAM_TYPE,
                    declared.ty.span,
                    format!("a param cannot be {}", article(&ty.data)),
                )
                .label("not a type of params")
                .help("params are numbers, strings, booleans, dates, timestamps and durations"),
            );
            return None;
        }
        if let Some(given) = self.value_given(declared, &ty) {
            return given;
        }
        let default = declared.default.as_ref().map(|d| self.default_value(declared, d, &ty));
        if let Some(text) = self.program.params.get(&declared.name.text) {
            return match constant::parse(text, &ty.data) {
                Ok(value) => Some((value, ty.with_nullable(false))),
                Err(message) => {
                    let name = declared.name.text.clone();
                    let message = format!("param `{name}`: {message}");
                    self.bad_params.borrow_mut().push(BadParam { name, message });
                    None
                }
            };
        }
        match default {
            Some(value) => value.map(|v| (v.clone(), ty.with_nullable(v.is_null()))),
            None if ty.nullable => Some((Value::Null, ty)),
            None => {
                let name = &declared.name;
                self.report(
                    Diagnostic::error(
                        codes::MISSING_PARAM,
                        name.span,
                        format!("the param `{}` has no value", name.text),
                    )
                    .label("no default, and none was given")
                    .help(format!("give one with `--param {}=…`, or write a default: `= …`", name.text)),
                );
                None
            }
        }
    }

    fn default_value(&self, declared: &Param, default: &ast::Expr, ty: &Type) -> Option<Value> {
        let rows = Rows::default();
        let e = self.expr(&mut Env::new(&rows), default)?;
        let found = e.ty.clone();
        let fitting = self.widened(e, &ty.data).filter(|e| ty.nullable || !e.ty.nullable);
        let Some(e) = fitting else {
            self.report(
                Diagnostic::error(
                    codes::BAD_DEFAULT,
                    default.span,
                    format!("the default is {}, the param {}", article(&found), article(ty)),
                )
                .label(format!("this is {}", article(&found)))
                .also(declared.ty.span, format!("`{}` is declared here", declared.name.text))
                .help("change the type, or the default"),
            );
            return None;
        };
        let value = constant::evaluate(&e);
        if value.is_none() {
            self.not_constant(default.span, "the default of a param");
        }
        value
    }

    /// Reports an expression that must be a constant.
    pub(super) fn not_constant(&self, span: Span, what: &str) {
        self.report(
            Diagnostic::error(codes::NOT_CONSTANT, span, format!("{what} must be a constant"))
                .label("cannot be computed before the program runs")
                .help("write a literal, or a param"),
        );
    }

    /// The value of an expression that must be a constant of this type.
    pub(super) fn constant(&self, e: &ast::Expr, data: &DataType, what: &str) -> Option<Value> {
        let rows = Rows::default();
        let typed = self.expr(&mut Env::new(&rows), e)?;
        let found = typed.ty.clone();
        let Some(typed) = self.widened(typed, data) else {
            self.report(
                Diagnostic::error(codes::BAD_VALUE_TYPE, e.span, format!("{what} must be {}", article(data)))
                    .label(format!("this is {}", article(&found)))
                    .help(match data {
                        DataType::Duration => "for example `5s`, `1m`, `2h`".to_string(),
                        DataType::String => "write it in quotes".to_string(),
                        DataType::Long => "write a whole number".to_string(),
                        other => format!("write {}", article(other)),
                    }),
            );
            return None;
        };
        match constant::evaluate(&typed) {
            Some(value) if !value.is_null() => Some(value),
            _ => {
                self.not_constant(e.span, what);
                None
            }
        }
    }
}
