//! `if`, `match`, `between`, `in`, `like`, `matches`: forms that become simpler ones here.

use crate::check::expr::{negate_if, truth};
use crate::check::narrow::{Facts, Outcome, facts};
use crate::check::scope::Env;
use crate::check::types::{constant_of, span_of};
use crate::check::{Checker, article, constant, origin};
use crate::codes;
use flowc_ir::{DataType, Expr, ExprKind, Type, Value};
use flowc_syntax::ast::{self, BinaryOp, MatchArm, Pattern, PatternKind};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// An arm with its condition: none matches everything.
struct Arm {
    condition: Option<Expr>,
    value: Expr,
}

/// What the patterns seen so far cover.
#[derive(Default)]
struct Covered {
    all: bool,
    null: bool,
    yes: bool,
    no: bool,
}

impl Checker<'_> {
    /// `if condition then a else b`
    pub(super) fn conditional(
        &self,
        env: &mut Env<'_>,
        condition: &ast::Expr,
        then: &ast::Expr,
        otherwise: &ast::Expr,
        span: Span,
    ) -> Option<Expr> {
        let condition = self.condition(env, condition, "the condition of `if`");
        let when = |outcome| condition.as_ref().map(|c| facts(c, outcome)).unwrap_or_default();
        let then = env.assuming(when(Outcome::True), |env| self.expr(env, then));
        let otherwise = env.assuming(when(Outcome::NotTrue), |env| self.expr(env, otherwise));
        self.choice(condition?, then?, otherwise?, span)
    }

    fn choice(&self, condition: Expr, then: Expr, otherwise: Expr, span: Span) -> Option<Expr> {
        let (branches, ty) = self.unified(vec![then, otherwise], codes::NO_COMMON_TYPE, "the branches of `if`")?;
        let [then, otherwise] = <[Expr; 2]>::try_from(branches).ok()?;
        let kind =
            ExprKind::If { condition: Box::new(condition), then: Box::new(then), otherwise: Box::new(otherwise) };
        Some(Expr::new(kind, ty, origin(span)))
    }

    /// Binds a value to a variable, so that it is evaluated once, and wraps what is made of it. Simple values need no variable.
    fn bound(
        &self,
        env: &mut Env<'_>,
        value: Expr,
        make: impl FnOnce(&Self, &mut Env<'_>, Expr) -> Option<Expr>,
    ) -> Option<Expr> {
        if is_simple(&value) {
            return make(self, env, value);
        }
        let local = env.fresh();
        let name = Expr::new(ExprKind::Local(local), value.ty.clone(), value.origin);
        env.bound.push((local, value.clone()));
        let body = make(self, env, name);
        env.bound.pop();
        let body = body?;
        let (ty, at) = (body.ty.clone(), body.origin);
        Some(Expr::new(ExprKind::Let { local, value: Box::new(value), body: Box::new(body) }, ty, at))
    }

    /// `value between low and high`
    pub(super) fn between(
        &self,
        env: &mut Env<'_>,
        value: &ast::Expr,
        low: &ast::Expr,
        high: &ast::Expr,
        negated: bool,
        span: Span,
    ) -> Option<Expr> {
        let value = self.expr(env, value);
        let (low, high) = (self.expr(env, low), self.expr(env, high));
        let (value, low, high) = (value?, low?, high?);
        let inside = self.bound(env, value, |this, _, value| this.range(value, low, high, span))?;
        Some(negate_if(inside, negated))
    }

    fn range(&self, value: Expr, low: Expr, high: Expr, span: Span) -> Option<Expr> {
        let above = self.compare(BinaryOp::GreaterEqual, value.clone(), low, span);
        let below = above.as_ref().and_then(|_| self.compare(BinaryOp::LessEqual, value, high, span));
        let (above, below) = (above?, below?);
        let ty = Type { data: DataType::Boolean, nullable: above.ty.nullable || below.ty.nullable };
        Some(Expr::new(ExprKind::And(vec![above, below]), ty, origin(span)))
    }

    /// `value in list`
    pub(super) fn membership(
        &self,
        env: &mut Env<'_>,
        value: &ast::Expr,
        list: &ast::Expr,
        negated: bool,
        span: Span,
    ) -> Option<Expr> {
        let value = self.expr(env, value);
        if let Some(column) = self.table_column(env, list) {
            return self.in_table(env, value, column, span).map(|e| negate_if(e, negated));
        }
        let found = match &list.kind {
            ast::ExprKind::Array(items) => {
                let items = self.all(env, items);
                self.in_list(env, value?, items?, span)
            }
            _ => {
                let list = self.expr(env, list);
                self.in_array(value?, list?, span)
            }
        };
        found.map(|e| negate_if(e, negated))
    }

    fn in_list(&self, env: &mut Env<'_>, value: Expr, items: Vec<Expr>, span: Span) -> Option<Expr> {
        for item in &items {
            if value.ty.data.common(&item.ty.data).is_none() {
                self.report(
                    Diagnostic::error(
                        codes::NOT_COMPARABLE,
                        span_of(item),
                        format!("{} and {} cannot be compared", article(&value.ty.data), article(&item.ty.data)),
                    )
                    .label(format!("this is {}", article(&item.ty)))
                    .also(span_of(&value), format!("this is {}", article(&value.ty)))
                    .help(format!("the list must hold values of type `{}`", value.ty.data)),
                );
                return None;
            }
        }
        let common = items.iter().try_fold(value.ty.data.clone(), |t, i| t.common(&i.ty.data))?;
        let constants: Option<Vec<Value>> = items
            .iter()
            .map(|i| constant_of(i).cloned().and_then(|v| constant::convert(&v, &i.ty.data, &common)))
            .collect();
        if let Some(list) = constants {
            let value = self.widened(value, &common)?;
            let nullable = value.ty.nullable || list.iter().any(Value::is_null);
            let ty = Type { data: DataType::Boolean, nullable };
            return Some(Expr::new(ExprKind::InList { value: Box::new(value), list }, ty, origin(span)));
        }
        self.bound(env, value, |this, _, value| {
            let equal = |item| this.compare(BinaryOp::Equal, value.clone(), item, span);
            let tests = items.into_iter().map(equal).collect::<Option<Vec<_>>>()?;
            Some(any_of(tests, span))
        })
    }

    fn in_array(&self, value: Expr, list: Expr, span: Span) -> Option<Expr> {
        let fits = matches!(&list.ty.data, DataType::Array(item) if item.data.common(&value.ty.data).is_some());
        if !fits {
            let expected = article(&DataType::Array(Box::new(Type::new(value.ty.data.clone()))));
            self.report(
                Diagnostic::error(codes::NOT_COMPARABLE, span_of(&list), format!("behind `in` must stand {expected}"))
                    .label(format!("this is {}", article(&list.ty)))
                    .also(span_of(&value), format!("this is {}", article(&value.ty)))
                    .help("write the values in brackets: `in [1, 2]`"),
            );
            return None;
        }
        self.built_in("array_contains", vec![list, value], span)
    }

    /// `value like pattern`
    pub(super) fn like(&self, env: &mut Env<'_>, value: Option<Expr>, pattern: &ast::Expr, span: Span) -> Option<Expr> {
        let pattern = self.expr(env, pattern);
        self.operator("like", "like", span, vec![value?, pattern?], span)
    }

    /// `value matches pattern`; a constant pattern is looked at now.
    pub(super) fn matches(
        &self,
        env: &mut Env<'_>,
        value: Option<Expr>,
        pattern: &ast::Expr,
        span: Span,
    ) -> Option<Expr> {
        let pattern = self.expr(env, pattern)?;
        if !self.regex(&pattern) {
            return None;
        }
        self.operator("matches", "matches", span, vec![value?, pattern], span)
    }

    /// Whether a pattern, if constant, is a regular expression.
    pub(super) fn regex(&self, pattern: &Expr) -> bool {
        let Some(Value::String(text)) = constant_of(pattern) else { return true };
        let Err(error) = regex::Regex::new(text) else { return true };
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_string();
        self.report(
            Diagnostic::error(codes::BAD_REGEX, span_of(pattern), "this is not a regular expression")
                .label(why)
                .help("write it as a raw string, `r\"…\"`; a sign that stands for itself has a `\\` before it"),
        );
        false
    }

    /// `match value { … }`
    pub(super) fn match_expr(
        &self,
        env: &mut Env<'_>,
        value: &ast::Expr,
        arms: &[MatchArm],
        span: Span,
    ) -> Option<Expr> {
        let Some(value) = self.expr(env, value) else {
            // The arms can have mistakes of their own, but their patterns have nothing to be compared with.
            for arm in arms {
                self.expr(env, &arm.value);
            }
            return None;
        };
        self.bound(env, value, |this, env, value| this.arms(env, value, arms, span))
    }

    fn arms(&self, env: &mut Env<'_>, value: Expr, arms: &[MatchArm], span: Span) -> Option<Expr> {
        let before = env.facts.clone();
        let mut covered = Covered::default();
        let mut checked: Vec<Option<Arm>> = vec![];
        for arm in arms {
            if covered.all {
                self.report(
                    Diagnostic::warning(codes::UNREACHABLE_ARM, arm.span, "this arm is never reached")
                        .label("an arm before it matches everything")
                        .help("put it before the `_` arm"),
                );
            }
            let value = self.known(env, value.clone());
            checked.push(self.arm(env, &value, arm, &mut covered));
        }
        env.facts = before;
        if !covered.all && !(covered.yes && covered.no && (covered.null || !value.ty.nullable)) {
            self.report(
                Diagnostic::error(codes::NOT_EXHAUSTIVE, span, "this `match` does not say what other values become")
                    .label("no arm matches everything")
                    .help("add a last arm: `_ => …`"),
            );
            return None;
        }
        self.chain(checked.into_iter().collect::<Option<Vec<_>>>()?, span)
    }

    /// The value, not nullable if that has become known.
    fn known(&self, env: &Env<'_>, mut value: Expr) -> Expr {
        if super::narrow::path(&value).is_some_and(|p| env.facts.has(&p)) {
            value.ty.nullable = false;
        }
        value
    }

    fn arm(&self, env: &mut Env<'_>, value: &Expr, arm: &MatchArm, covered: &mut Covered) -> Option<Arm> {
        let mut tests = vec![];
        let mut sound = true;
        let mut everything = false;
        for pattern in &arm.patterns {
            match &pattern.kind {
                PatternKind::Wildcard => everything = true,
                _ => match self.pattern(env, value.clone(), pattern) {
                    Some(test) => tests.push(test),
                    None => sound = false,
                },
            }
            cover(pattern, covered);
        }
        covered.all |= everything;
        let condition = (!everything && sound).then(|| any_of(tests, arm.span));
        let when = |outcome| condition.as_ref().map(|c| facts(c, outcome)).unwrap_or_else(Facts::default);
        let result = env.assuming(when(Outcome::True), |env| self.expr(env, &arm.value));
        let learned = when(Outcome::NotTrue).through(&env.bound);
        env.facts.add(learned);
        sound.then_some(())?;
        Some(Arm { condition, value: result? })
    }

    fn pattern(&self, env: &mut Env<'_>, value: Expr, pattern: &Pattern) -> Option<Expr> {
        let span = pattern.span;
        match &pattern.kind {
            PatternKind::Wildcard => Some(truth(true, origin(span))),
            PatternKind::Value(e) if e.kind == ast::ExprKind::Null => {
                Some(Expr::new(ExprKind::IsNull(Box::new(value)), Type::boolean(), origin(span)))
            }
            PatternKind::Value(e) => {
                let wanted = self.expr(env, e)?;
                self.compare(BinaryOp::Equal, value, wanted, span)
            }
            PatternKind::Compare(op, e) => {
                let bound = self.expr(env, e)?;
                self.compare(*op, value, bound, span)
            }
            PatternKind::In(list) => match &list.kind {
                ast::ExprKind::Array(items) => {
                    let items = self.all(env, items)?;
                    self.in_list(env, value, items, span)
                }
                _ => {
                    let list = self.expr(env, list)?;
                    self.in_array(value, list, span)
                }
            },
            PatternKind::Between(low, high) => {
                let (low, high) = (self.expr(env, low), self.expr(env, high));
                self.range(value, low?, high?, span)
            }
            PatternKind::Like(pattern) => self.like(env, Some(value), pattern, span),
            PatternKind::Matches(pattern) => self.matches(env, Some(value), pattern, span),
        }
    }

    fn chain(&self, arms: Vec<Arm>, span: Span) -> Option<Expr> {
        let (conditions, values): (Vec<_>, Vec<_>) = arms.into_iter().map(|a| (a.condition, a.value)).unzip();
        let (values, ty) = self.unified(values, codes::NO_COMMON_TYPE, "the arms of `match`")?;
        let mut arms: Vec<(Option<Expr>, Expr)> = conditions.into_iter().zip(values).collect();
        if let Some(at) = arms.iter().position(|(condition, _)| condition.is_none()) {
            arms.truncate(at + 1);
        }
        // Without a `_` the arms cover all values, so the last one needs no test.
        let (_, mut result) = arms.pop()?;
        for (condition, value) in arms.into_iter().rev() {
            let kind =
                ExprKind::If { condition: Box::new(condition?), then: Box::new(value), otherwise: Box::new(result) };
            result = Expr::new(kind, ty.clone(), origin(span));
        }
        Some(result)
    }
}

fn cover(pattern: &Pattern, covered: &mut Covered) {
    if let PatternKind::Value(e) = &pattern.kind {
        match e.kind {
            ast::ExprKind::Null => covered.null = true,
            ast::ExprKind::Boolean(true) => covered.yes = true,
            ast::ExprKind::Boolean(false) => covered.no = true,
            _ => {}
        }
    }
}

fn any_of(mut tests: Vec<Expr>, span: Span) -> Expr {
    match tests.len() {
        0 => truth(false, origin(span)),
        1 => tests.remove(0),
        _ => {
            let nullable = tests.iter().any(|t| t.ty.nullable);
            Expr::new(ExprKind::Or(tests), Type { data: DataType::Boolean, nullable }, origin(span))
        }
    }
}

/// Whether evaluating it twice costs nothing.
pub(crate) fn is_simple(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Column(_) | ExprKind::Local(_) | ExprKind::Literal(_) => true,
        ExprKind::Field { value, .. } => is_simple(value),
        _ => false,
    }
}
