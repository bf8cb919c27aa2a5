//! What a name or a path in an expression stands for: a local, a column, a joined column, a parameter, a field.

use crate::check::scope::{Column, Env};
use crate::check::{Checker, Used, article, list, origin};
use crate::codes;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr, ExprKind, Type};
use flowc_syntax::ast::{self, Name};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;

/// How many columns a message lists.
const LISTED: usize = 12;

impl Checker<'_> {
    /// A name alone.
    pub(super) fn name(&self, env: &mut Env<'_>, name: &Name) -> Option<Expr> {
        if let Some(local) = env.locals.iter().rev().find(|l| l.name == name.text) {
            let value = local.value.clone()?;
            return Some(self.narrowed(env, Expr { origin: origin(name.span), ..value }));
        }
        if let Some(column) = env.rows.own(&name.text).filter(|_| !env.closed) {
            self.note_read(name.span, column);
            return self.column(env, &column.clone(), name.span);
        }
        if self.declarations.params.contains_key(&name.text) {
            self.mark(Used::Param, &name.text);
            return self.param_value(&name.text, name.span);
        }
        if !env.rows.open {
            self.unknown_name(env, name);
        }
        None
    }

    fn column(&self, env: &mut Env<'_>, column: &Column, span: Span) -> Option<Expr> {
        env.reads.extend(column.lineage);
        let ty = column.ty.clone()?;
        Some(self.narrowed(env, Expr::new(ExprKind::Column(column.slot), ty, origin(span))))
    }

    /// The expression, not nullable where it is known not to be null.
    fn narrowed(&self, env: &Env<'_>, mut e: Expr) -> Expr {
        if e.ty.nullable && super::narrow::path(&e).is_some_and(|p| env.facts.has(&p)) {
            e.ty.nullable = false;
        }
        e
    }

    /// `a.b`: a joined table's column, or a field of a struct.
    pub(super) fn field(&self, env: &mut Env<'_>, base: &ast::Expr, field: &Name, span: Span) -> Option<Expr> {
        if let ast::ExprKind::Name(table) = &base.kind
            && let Some(result) = self.joined_column(env, table, field, span)
        {
            return result;
        }
        if let ast::ExprKind::Name(table) = &base.kind
            && self.not_prefixed(env, table, field)
        {
            return None;
        }
        let value = self.expr(env, base)?;
        self.struct_field(env, value, field, span)
    }

    /// Reports `flow.column` for a column that the rows themselves have, or that a table joined under another name has; whether it is one.
    fn not_prefixed(&self, env: &Env<'_>, table: &Name, field: &Name) -> bool {
        let known = env.closed
            || env.rows.open
            || env.rows.own(&table.text).is_some()
            || env.locals.iter().any(|l| l.name == table.text);
        let declared = self.declarations.params.contains_key(&table.text);
        if known || declared || !self.declarations.relations.contains_key(&table.text) {
            return false;
        }
        let joined = env.rows.columns.iter().find(|c| c.table.is_some() && c.name == field.text);
        let help = match (env.rows.own(&field.text), joined.and_then(|c| c.table.as_ref())) {
            (Some(_), _) => {
                format!("write `{}`: only a joined table's columns have its name before them", quote_name(&field.text))
            }
            (None, Some(alias)) => format!("write `{}.{}`", quote_name(alias), quote_name(&field.text)),
            (None, None) => return false,
        };
        self.report(
            Diagnostic::error(
                codes::UNKNOWN_COLUMN,
                table.span,
                format!("no table is joined under the name `{}` here", table.text),
            )
            .label("not the name of a joined table")
            .help(help),
        );
        true
    }

    /// `table.column`; none: the name is not that of a joined table.
    fn joined_column(&self, env: &mut Env<'_>, table: &Name, field: &Name, span: Span) -> Option<Option<Expr>> {
        let known = env.locals.iter().any(|l| l.name == table.text);
        if known || env.closed || !env.rows.has_table(&table.text) {
            return None;
        }
        if env.rows.own(&table.text).is_some() {
            self.report(
                Diagnostic::error(
                    codes::AMBIGUOUS_NAME,
                    table.span,
                    format!("`{}` is both a joined table and a column", table.text),
                )
                .label("which of them is meant?")
                .help(format!("join the table under another name: `join {} as other on …`", quote_name(&table.text))),
            );
            return Some(None);
        }
        if let Some(column) = env.rows.joined(&table.text, &field.text) {
            self.note_read(field.span, column);
            return Some(self.column(env, &column.clone(), span));
        }
        let names: Vec<&str> = env
            .rows
            .columns
            .iter()
            .filter(|c| c.table.as_deref() == Some(&table.text))
            .map(|c| c.name.as_str())
            .collect();
        self.report(
            Diagnostic::error(
                codes::UNKNOWN_COLUMN,
                field.span,
                format!("`{}` has no column `{}`", table.text, field.text),
            )
            .label("unknown column")
            .help(suggestion(&field.text, &names, "its columns are")),
        );
        Some(None)
    }

    /// A field of a struct value.
    pub(super) fn struct_field(&self, env: &Env<'_>, value: Expr, field: &Name, span: Span) -> Option<Expr> {
        let DataType::Struct(fields) = &value.ty.data else {
            let help = match &value.ty.data {
                DataType::Map(..) => format!("a map's values are read with brackets: `m[\"{}\"]`", field.text),
                DataType::Array(_) => {
                    "an array's elements are read with brackets: `a[0]`; `explode` makes rows of them".to_string()
                }
                _ => "only structs and joined tables have fields".to_string(),
            };
            self.report(
                Diagnostic::error(codes::NOT_A_STRUCT, field.span, format!("{} has no fields", article(&value.ty)))
                    .label(format!("no field `{}` here", field.text))
                    .help(help),
            );
            return None;
        };
        let Some(index) = fields.iter().position(|f| f.name == field.text) else {
            let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            self.report(
                Diagnostic::error(
                    codes::UNKNOWN_FIELD,
                    field.span,
                    format!("the struct has no field `{}`", field.text),
                )
                .label("unknown field")
                .help(suggestion(&field.text, &names, "its fields are")),
            );
            return None;
        };
        let ty = Type { data: fields[index].ty.data.clone(), nullable: fields[index].ty.nullable || value.ty.nullable };
        let e = Expr::new(ExprKind::Field { value: Box::new(value), index }, ty, origin(span));
        Some(self.narrowed(env, e))
    }

    fn unknown_name(&self, env: &Env<'_>, name: &Name) {
        let text = name.text.as_str();
        if self.declarations.broken.contains(text) {
            return;
        }
        if let super::scope::Place::Aggregates(context) = &env.place {
            if context.input.own(text).is_some() {
                self.not_a_key(name);
                return;
            }
            if context.input.open {
                return;
            }
        }
        if env.closed {
            let locals: Vec<&str> = env.locals.iter().map(|l| l.name.as_str()).collect();
            let params = self.declarations.params.keys().map(String::as_str);
            let names: Vec<&str> = locals.iter().copied().chain(params).collect();
            self.report(
                Diagnostic::error(
                    codes::UNKNOWN_NAME,
                    name.span,
                    format!("`{text}` is neither an operand of this function nor a param"),
                )
                .label("unknown name")
                .help(match did_you_mean(text, names) {
                    Some(near) => Help::did_you_mean(quote_name(near)),
                    None => {
                        "a function sees its own operands and the program's params; pass a column as an operand".into()
                    }
                }),
            );
            return;
        }
        let joined: Vec<String> = env
            .rows
            .columns
            .iter()
            .filter(|c| c.table.is_some() && c.name == text)
            .map(|c| format!("{}.{}", quote_name(c.table.as_deref().unwrap_or_default()), quote_name(&c.name)))
            .collect();
        if !joined.is_empty() {
            self.report(
                Diagnostic::error(codes::UNKNOWN_COLUMN, name.span, format!("`{text}` is a column of a joined table"))
                    .label("it has the table's name before it until it is selected")
                    .help(match joined.as_slice() {
                        [one] => Help::instead(format!("write `{one}`"), one),
                        several => format!("write {}", list(several)).into(),
                    }),
            );
            return;
        }
        self.unknown_column(env, name);
    }

    fn unknown_column(&self, env: &Env<'_>, name: &Name) {
        let own: Vec<&str> = env.rows.columns.iter().filter(|c| c.table.is_none()).map(|c| c.name.as_str()).collect();
        let params = self.declarations.params.keys().map(String::as_str);
        let all: Vec<&str> = own.iter().copied().chain(params).collect();
        let text = name.text.as_str();
        let function = self.declarations.functions.contains_key(text) || flowc_ir::functions::find(text).is_some();
        let help = match did_you_mean(text, all) {
            _ if env.siblings.iter().any(|s| s == text) => {
                format!("a `select` does not see what it makes: put `|> extend {} = …` before it", quote_name(text))
                    .into()
            }
            _ if function => format!("`{text}` is a function: call it, `{text}(…)`").into(),
            Some(near) => Help::did_you_mean(quote_name(near)),
            None if self.declarations.relations.contains_key(text) && !own.is_empty() => {
                let word = self.declarations.relations[text].word();
                format!("`{text}` is a {word}; its columns can be read after `|> join {text} on …`").into()
            }
            None if own.is_empty() && env.rows.columns.is_empty() => {
                format!("write the value itself, or declare it: `param {text}: long = 10`").into()
            }
            None => suggestion(text, &own, "the columns here are"),
        };
        let message = if own.is_empty() && env.rows.columns.is_empty() {
            format!("there is no param `{text}`, and no column can be read here")
        } else {
            format!("there is no column `{text}`")
        };
        self.report(Diagnostic::error(codes::UNKNOWN_COLUMN, name.span, message).label("unknown column").help(help));
    }

    /// Reports a column that an aggregate step reads outside an aggregate.
    pub(super) fn not_a_key(&self, name: &Name) {
        let text = quote_name(&name.text);
        self.report(
            Diagnostic::error(
                codes::NOT_A_KEY,
                name.span,
                format!("`{}` is neither a key nor inside an aggregate", name.text),
            )
            .label("which of the group's values is meant?")
            .help(format!("put it into an aggregate, as `max({text})`, or add it behind `by`")),
        );
    }
}

/// "Did you mean", or the names that there are.
pub(crate) fn suggestion(name: &str, names: &[&str], there_are: &str) -> Help {
    if let Some(near) = did_you_mean(name, names.iter().copied()) {
        return Help::did_you_mean(quote_name(near));
    }
    if names.is_empty() {
        return "there are none".into();
    }
    let shown = list(names.iter().take(LISTED));
    let more = names.len().saturating_sub(LISTED);
    let text = if more > 0 { format!("{there_are} {shown} and {more} more") } else { format!("{there_are} {shown}") };
    text.into()
}
