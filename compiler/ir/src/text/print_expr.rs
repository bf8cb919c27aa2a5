//! Expressions and programs to text.

use super::name::{quote, string};
use super::{Origins, Scope, struct_type, value};
use crate::expr::{CastFailure, Expr, ExprKind, Origin, Output, Program, ProgramStep};
use crate::types::{DataType, Field, Schema, Type};
use crate::value::Value;

/// Text as it grows.
pub(super) struct Printer {
    out: String,
    origins: Origins,
}

impl Printer {
    pub(super) fn new(origins: Origins) -> Self {
        Printer { out: String::new(), origins }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn push(&mut self, text: impl AsRef<str>) {
        self.out.push_str(text.as_ref());
    }

    /// Begins a line.
    pub(super) fn line(&mut self, indent: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.push_str(&"    ".repeat(indent));
    }

    pub(super) fn origin(&mut self, origin: Origin, before: &str) {
        if self.origins == Origins::Printed && origin != Origin::default() {
            self.push(format!("{before}@{}:{}..{}", origin.file, origin.start, origin.end));
        }
    }

    pub(super) fn ty(&mut self, ty: &Type) {
        self.data_type(&ty.data);
        if ty.nullable != (ty.data == DataType::Null) {
            self.push("?");
        }
    }

    fn data_type(&mut self, ty: &DataType) {
        match ty {
            DataType::Array(item) => {
                self.push("array<");
                self.ty(item);
                self.push(">");
            }
            DataType::Map(key, item) => {
                self.push("map<");
                self.data_type(key);
                self.push(", ");
                self.ty(item);
                self.push(">");
            }
            DataType::Struct(fields) => {
                self.push("struct<");
                self.fields(fields);
                self.push(">");
            }
            simple => self.push(simple.to_string()),
        }
    }

    fn fields(&mut self, fields: &[Field]) {
        for (i, field) in fields.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            self.field(field);
        }
    }

    pub(super) fn field(&mut self, field: &Field) {
        self.push(quote(&field.name));
        self.push(": ");
        self.ty(&field.ty);
        self.comment(field);
    }

    fn comment(&mut self, field: &Field) {
        if let Some(comment) = &field.comment {
            self.push(format!(" {}", string(comment)));
        }
    }

    pub(super) fn schema(&mut self, schema: &Schema) {
        self.push("(");
        self.fields(&schema.fields);
        self.push(")");
    }

    /// A program; its input is left out where the reader knows it.
    pub(super) fn program(&mut self, program: &Program, input: Option<&Schema>, indent: usize) {
        self.push("program ");
        if let Some(input) = input {
            self.schema(input);
            self.push(" ");
        }
        self.push("{");
        let mut scope = Scope::new(&program.input);
        for step in &program.steps {
            self.line(indent + 1);
            match step {
                ProgramStep::Let(expr) => {
                    self.push(format!("let ${} = ", scope.slots.len()));
                    self.expr(expr, &mut scope);
                    scope.slots.push(expr.ty.clone());
                }
                ProgramStep::Filter(condition) => {
                    self.push("filter ");
                    self.expr(condition, &mut scope);
                }
                ProgramStep::Assert { condition, what } => {
                    self.push(format!("assert {} ", string(what)));
                    self.expr(condition, &mut scope);
                }
            }
        }
        let mut kept = false;
        for output in &program.outputs {
            if let Some(name) = self.kept(output, &scope) {
                if kept {
                    self.push(", ");
                } else {
                    self.line(indent + 1);
                    self.push("keep ");
                }
                self.push(name);
                kept = true;
                continue;
            }
            kept = false;
            self.line(indent + 1);
            self.push(format!("out {}", quote(&output.field.name)));
            if output.field.ty != output.value.ty || output.field.comment.is_some() {
                self.push(": ");
                self.ty(&output.field.ty);
                self.comment(&output.field);
            }
            self.push(" = ");
            self.expr(&output.value, &mut scope);
        }
        self.line(indent);
        self.push("}");
    }

    /// The name of an input column that goes out as it came in.
    fn kept(&self, output: &Output, scope: &Scope) -> Option<String> {
        let ExprKind::Column(slot) = output.value.kind else { return None };
        let placed = self.origins == Origins::Printed && output.value.origin != Origin::default();
        let name = scope.name(slot)?;
        let same = scope.columns.fields[slot] == output.field && output.value.ty == output.field.ty;
        (same && !placed).then(|| quote(name))
    }

    pub(super) fn expr(&mut self, expr: &Expr, scope: &mut Scope) {
        let implied = match &expr.kind {
            // Written with their types.
            ExprKind::Cast { .. } => true,
            ExprKind::Struct(xs) => match &expr.ty.data {
                DataType::Struct(fields) if fields.len() == xs.len() => {
                    let names: Vec<String> = fields.iter().map(|f| f.name.clone()).collect();
                    struct_type(&names, xs) == expr.ty
                }
                _ => false,
            },
            ExprKind::Literal(Value::Decimal(v)) => {
                decimal_type(*v, &expr.ty.data) == Some(&expr.ty.data) && !expr.ty.nullable
            }
            kind => scope.implied(kind).as_ref() == Some(&expr.ty),
        };
        if implied {
            self.form(expr, scope);
        } else {
            self.push("(");
            self.form(expr, scope);
            self.push(" : ");
            self.ty(&expr.ty);
            self.push(")");
        }
        self.origin(expr.origin, "");
    }

    fn list(&mut self, word: &str, xs: &[&Expr], scope: &mut Scope) {
        self.push(format!("{word}("));
        for (i, x) in xs.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            self.expr(x, scope);
        }
        self.push(")");
    }

    /// The expression without its type and origin.
    fn form(&mut self, expr: &Expr, scope: &mut Scope) {
        let children = expr.children();
        match &expr.kind {
            ExprKind::Column(slot) => {
                let text = scope.name(*slot).map_or_else(|| format!("${slot}"), quote);
                self.push(text);
            }
            ExprKind::Literal(value) => self.push(value::print(value, &expr.ty.data)),
            ExprKind::Local(id) => self.push(format!("%{}", id.0)),
            ExprKind::Let { local, value, body } => {
                self.push(format!("(let %{} = ", local.0));
                self.expr(value, scope);
                self.push(" in ");
                scope.locals.push((*local, value.ty.clone()));
                self.expr(body, scope);
                scope.locals.pop();
                self.push(")");
            }
            ExprKind::Call { function, .. } => self.list(function.name, &children, scope),
            ExprKind::And(_) => self.list("and", &children, scope),
            ExprKind::Or(_) => self.list("or", &children, scope),
            ExprKind::Not(_) => self.list("not", &children, scope),
            ExprKind::IsNull(_) => self.list("is_null", &children, scope),
            ExprKind::If { .. } => self.list("if", &children, scope),
            ExprKind::Coalesce(_) => self.list("coalesce", &children, scope),
            ExprKind::Try(_) => self.list("try", &children, scope),
            ExprKind::Array(_) => self.list("array", &children, scope),
            ExprKind::InList { value, list } => {
                self.push("in(");
                self.expr(value, scope);
                let items: Vec<_> = list.iter().map(|v| value::print(v, &value.ty.data)).collect();
                self.push(format!(", [{}])", items.join(", ")));
            }
            ExprKind::Cast { value, on_failure } => {
                self.push(match on_failure {
                    CastFailure::Never => "widen(",
                    CastFailure::Error => "cast(",
                    CastFailure::Null => "cast?(",
                });
                self.expr(value, scope);
                self.push(" as ");
                self.ty(&expr.ty);
                self.push(")");
            }
            ExprKind::Field { value, index } => {
                self.expr(value, scope);
                let name = match &value.ty.data {
                    DataType::Struct(fields) => fields
                        .get(*index)
                        .filter(|field| fields.iter().filter(|other| other.name == field.name).count() == 1),
                    _ => None,
                };
                self.push(name.map_or_else(|| format!(".{index}"), |field| format!(".{}", quote(&field.name))));
            }
            ExprKind::Struct(xs) => {
                let fields: &[Field] = match &expr.ty.data {
                    DataType::Struct(fields) => fields,
                    _ => &[],
                };
                self.push("struct(");
                for (i, x) in xs.iter().enumerate() {
                    self.push(if i > 0 { ", " } else { "" });
                    let name = fields.get(i).map_or("", |f| f.name.as_str());
                    self.push(format!("{}: ", quote(name)));
                    self.expr(x, scope);
                }
                self.push(")");
            }
        }
    }
}

/// The type that a decimal literal's digits tell, if that is its type.
fn decimal_type(unscaled: i128, ty: &DataType) -> Option<&DataType> {
    let DataType::Decimal { precision, scale } = ty else { return None };
    let digits = unscaled.unsigned_abs().to_string();
    let whole = digits.len().saturating_sub(usize::from(*scale));
    let whole = if unscaled == 0 { 0 } else { whole };
    let written = (whole + usize::from(*scale)).max(1);
    (written == usize::from(*precision)).then_some(ty)
}
