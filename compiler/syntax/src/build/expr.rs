//! Expressions and types. Precedence is climbed here: the grammar leaves chains of operators flat.

use super::{Builder, MAX_DEPTH, nodes};
use crate::ast::{
    Arg, BinaryOp, Expr, ExprKind, MatchArm, Name, Pattern, PatternKind, TypeExpr, TypeExprKind, UnaryOp,
};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::grammar::Rule;
use crate::span::Span;
use pest::iterators::Pair;
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::sync::LazyLock;

/// `or`, `and`, `not` over comparisons.
static LOGIC: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    PrattParser::new()
        .op(Op::infix(Rule::op_or, Assoc::Left))
        .op(Op::infix(Rule::op_and, Assoc::Left))
        .op(Op::prefix(Rule::op_not))
});

/// From `as`, the loosest, to what stands behind a name.
static ARITHMETIC: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    PrattParser::new()
        .op(Op::postfix(Rule::cast))
        .op(Op::infix(Rule::op_coalesce, Assoc::Left))
        .op(Op::infix(Rule::op_add, Assoc::Left) | Op::infix(Rule::op_subtract, Assoc::Left))
        .op(Op::infix(Rule::op_multiply, Assoc::Left)
            | Op::infix(Rule::op_divide, Assoc::Left)
            | Op::infix(Rule::op_div, Assoc::Left)
            | Op::infix(Rule::op_remainder, Assoc::Left))
        .op(Op::prefix(Rule::op_negate))
        .op(Op::postfix(Rule::field) | Op::postfix(Rule::index))
});

fn binary_op(rule: Rule) -> BinaryOp {
    match rule {
        Rule::op_or => BinaryOp::Or,
        Rule::op_and => BinaryOp::And,
        Rule::op_equal => BinaryOp::Equal,
        Rule::op_not_equal => BinaryOp::NotEqual,
        Rule::op_less => BinaryOp::Less,
        Rule::op_less_equal => BinaryOp::LessEqual,
        Rule::op_greater => BinaryOp::Greater,
        Rule::op_greater_equal => BinaryOp::GreaterEqual,
        Rule::op_coalesce => BinaryOp::Coalesce,
        Rule::op_add => BinaryOp::Add,
        Rule::op_subtract => BinaryOp::Subtract,
        Rule::op_multiply => BinaryOp::Multiply,
        Rule::op_divide => BinaryOp::Divide,
        Rule::op_div => BinaryOp::IntegerDivide,
        Rule::op_remainder => BinaryOp::Remainder,
        other => unreachable!("no infix operator: {other:?}"),
    }
}

/// How many levels the operators of a chain may add to the tree.
fn weight(pair: &Pair<'_, Rule>) -> usize {
    pair.clone().into_inner().filter(|p| is_operator(p.as_rule())).count()
}

fn is_operator(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        op_or
            | op_and
            | op_not
            | op_coalesce
            | op_add
            | op_subtract
            | op_multiply
            | op_divide
            | op_div
            | op_remainder
            | op_negate
            | field
            | index
            | cast
            | compare_tail
            | in_tail
            | like_tail
            | matches_tail
            | between_tail
            | null_tail
    )
}

impl Builder<'_> {
    /// `or`, `and`, `not` over comparisons.
    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        self.limited(pair, |builder, pair| {
            // Climbing borrows the builder several times over; a cell lets it.
            let cell = std::cell::RefCell::new(builder);
            LOGIC
                .map_primary(|p| cell.borrow_mut().comparison(p))
                .map_prefix(|op, operand| {
                    let span = cell.borrow().span(&op).to(operand.span);
                    Expr { span, kind: ExprKind::Unary(UnaryOp::Not, Box::new(operand)) }
                })
                .map_infix(|left, op, right| {
                    let op_span = cell.borrow().span(&op);
                    let span = left.span.to(right.span);
                    Expr { span, kind: binary(binary_op(op.as_rule()), op_span, left, right) }
                })
                .parse(pair.into_inner())
        })
    }

    /// Builds a chain unless the tree would become too deep.
    fn limited<'i>(&mut self, pair: Pair<'i, Rule>, build: impl FnOnce(&mut Self, Pair<'i, Rule>) -> Expr) -> Expr {
        let levels = weight(&pair);
        if self.depth + levels > MAX_DEPTH {
            let span = self.span(&pair);
            self.error(too_deep(span));
            return Expr { kind: ExprKind::Error, span };
        }
        self.depth += levels;
        let expr = build(self, pair);
        self.depth -= levels;
        expr
    }

    /// An operand and the comparison behind it.
    fn comparison(&mut self, pair: Pair<'_, Rule>) -> Expr {
        self.limited(pair, Self::comparison_within)
    }

    fn comparison_within(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let mut inner = pair.into_inner();
        let Some(first) = inner.next() else { unreachable!("a comparison begins with an operand") };
        let mut left = self.operand(first);
        let mut compared = false;
        for tail in inner {
            let span = left.span.to(self.span(&tail));
            if compared && tail.as_rule() == Rule::compare_tail {
                let text = "write the two comparisons with `and`: `a < b and b < c`";
                self.error(
                    Diagnostic::error(codes::CHAINED_COMPARISON, self.span(&tail), "comparisons do not chain")
                        .label("compares the truth value before it")
                        .help(text),
                );
            }
            compared |= tail.as_rule() == Rule::compare_tail;
            let kind = self.comparison_tail(left, tail);
            left = Expr { kind, span };
        }
        left
    }

    fn comparison_tail(&mut self, left: Expr, tail: Pair<'_, Rule>) -> ExprKind {
        let rule = tail.as_rule();
        let mut negated = false;
        let mut op = None;
        let mut operands = Vec::new();
        for part in tail.into_inner() {
            match part.as_rule() {
                Rule::negation => negated = true,
                Rule::compare_op => op = Some((self.span(&part), part)),
                Rule::operand => operands.push(Box::new(self.operand(part))),
                _ => {}
            }
        }
        let mut operands = operands.into_iter();
        let mut next = || operands.next().unwrap_or_else(|| unreachable!("the grammar asks for an operand"));
        let value = Box::new(left);
        match rule {
            Rule::compare_tail => {
                let Some((op_span, op)) = op else { unreachable!("the grammar asks for an operator") };
                let right = next();
                ExprKind::Binary { op: compare_op(op), op_span, left: value, right }
            }
            Rule::in_tail => ExprKind::In { value, list: next(), negated },
            Rule::like_tail => ExprKind::Like { value, pattern: next(), negated },
            Rule::matches_tail => ExprKind::Matches { value, pattern: next(), negated },
            Rule::between_tail => ExprKind::Between { value, low: next(), high: next(), negated },
            Rule::null_tail => ExprKind::IsNull { value, negated },
            other => unreachable!("no comparison: {other:?}"),
        }
    }

    /// Arithmetic, conversions, fields.
    pub(super) fn operand(&mut self, pair: Pair<'_, Rule>) -> Expr {
        self.limited(pair, |builder, pair| {
            let cell = std::cell::RefCell::new(builder);
            ARITHMETIC
                .map_primary(|p| cell.borrow_mut().primary(p))
                .map_prefix(|op, operand| {
                    let span = cell.borrow().span(&op).to(operand.span);
                    Expr { span, kind: ExprKind::Unary(UnaryOp::Negate, Box::new(operand)) }
                })
                .map_postfix(|value, op| cell.borrow_mut().postfix(value, op))
                .map_infix(|left, op, right| {
                    let op_span = cell.borrow().span(&op);
                    let span = left.span.to(right.span);
                    Expr { span, kind: binary(binary_op(op.as_rule()), op_span, left, right) }
                })
                .parse(pair.into_inner())
        })
    }

    fn postfix(&mut self, value: Expr, op: Pair<'_, Rule>) -> Expr {
        let span = value.span.to(self.span(&op));
        let value = Box::new(value);
        let rule = op.as_rule();
        let Some(inner) = nodes(op.into_inner()).next() else { unreachable!("a postfix operator has an operand") };
        let kind = match rule {
            Rule::field => ExprKind::Field(value, self.name(inner)),
            Rule::index => ExprKind::Index(value, Box::new(self.expr(inner))),
            _ => ExprKind::Cast { value, ty: self.type_expr(inner) },
        };
        Expr { kind, span }
    }

    fn primary(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::kw_null => ExprKind::Null,
            Rule::kw_true => ExprKind::Boolean(true),
            Rule::kw_false => ExprKind::Boolean(false),
            Rule::integer | Rule::double | Rule::decimal | Rule::percent | Rule::duration => return self.number(pair),
            Rule::temporal => return self.temporal(pair),
            Rule::string => return self.string(pair),
            Rule::raw_string => {
                let text = pair.as_str();
                ExprKind::RawString(text[2..text.len() - 1].to_string())
            }
            Rule::array => ExprKind::Array(nodes(pair.into_inner()).map(|p| self.expr(p)).collect()),
            Rule::struct_literal => ExprKind::Struct(nodes(pair.into_inner()).map(|p| self.struct_field(p)).collect()),
            Rule::paren => {
                let Some(inner) = nodes(pair.into_inner()).next() else {
                    unreachable!("parentheses hold an expression")
                };
                // A filter within parentheses is as good as one without.
                return self.expr(inner);
            }
            Rule::if_expr => return self.if_expr(pair),
            Rule::match_expr => self.match_expr(pair),
            Rule::reference => self.reference(pair),
            other => unreachable!("no primary: {other:?}"),
        };
        Expr { kind, span }
    }

    fn struct_field(&mut self, pair: Pair<'_, Rule>) -> (Name, Expr) {
        let mut inner = nodes(pair.into_inner());
        match (inner.next(), inner.next()) {
            (Some(name), Some(value)) => (self.name(name), self.expr(value)),
            _ => unreachable!("a field has a name and a value"),
        }
    }

    /// A name or a call.
    fn reference(&mut self, pair: Pair<'_, Rule>) -> ExprKind {
        let mut inner = pair.into_inner();
        let Some(name) = inner.next() else { unreachable!("a reference has a name") };
        let function = self.name(name);
        let Some(call) = inner.next() else { return ExprKind::Name(function) };
        let mut args = Vec::new();
        let mut filter = None;
        for part in nodes(call.into_inner()) {
            match part.as_rule() {
                Rule::args => args = self.args(part),
                _ => filter = self.filter(part, &function).map(Box::new),
            }
        }
        if let [Arg { name: None, value: Expr { kind: ExprKind::Cast { .. }, span } }] = args.as_slice()
            && matches!(function.text.as_str(), "cast" | "CAST" | "try_cast" | "TRY_CAST")
        {
            self.error(
                Diagnostic::error(
                    codes::FOREIGN_CAST,
                    function.span,
                    format!("a value is converted without `{}`", function.text),
                )
                .label("SQL's form")
                .also(*span, "this alone is the conversion")
                .help("write `x as integer`, or `x as integer?` for null where it fails"),
            );
            return ExprKind::Error;
        }
        ExprKind::Call { function, args, filter }
    }

    /// `where cond` behind a call: only an aggregate step has it; elsewhere it is a step that lost its `|>`.
    fn filter(&mut self, pair: Pair<'_, Rule>, function: &Name) -> Option<Expr> {
        let span = self.span(&pair);
        let inner = nodes(pair.into_inner()).next()?;
        if self.in_aggregate {
            return Some(self.expr(inner));
        }
        self.error(
            Diagnostic::error(
                codes::MISSING_PIPE,
                Span { end: span.start + 5, ..span },
                "`where` stands behind a call, but not in an aggregate",
            )
            .also(function.span, "belongs to this call, as written")
            .label("a step begins with `|>`")
            .help("write `|> where …` for a step of its own"),
        );
        None
    }

    /// `name: value, …`
    pub(super) fn args(&mut self, pair: Pair<'_, Rule>) -> Vec<Arg> {
        nodes(pair.into_inner())
            .map(|arg| {
                let mut name = None;
                let mut value = None;
                for part in nodes(arg.into_inner()) {
                    match part.as_rule() {
                        Rule::name => name = Some(self.name(part)),
                        _ => value = Some(self.expr(part)),
                    }
                }
                Arg { name, value: value.unwrap_or_else(|| unreachable!("an argument has a value")) }
            })
            .collect()
    }

    /// `if a then b else if c then d else e`: one rule, so that a long chain is no deep one for the parser.
    fn if_expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let whole = self.span(&pair);
        let mut starts = Vec::new();
        let mut parts = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::kw_if => starts.push(self.span(&part)),
                Rule::expr => parts.push(part),
                _ => {}
            }
        }
        if self.depth + starts.len() > MAX_DEPTH {
            self.error(too_deep(whole));
            return Expr { kind: ExprKind::Error, span: whole };
        }
        self.depth += starts.len();
        let mut built: Vec<Expr> = parts.into_iter().map(|p| self.expr(p)).collect();
        self.depth -= starts.len();
        let Some(mut otherwise) = built.pop() else { unreachable!("an if has an else") };
        for start in starts.into_iter().rev() {
            let (Some(then), Some(condition)) = (built.pop(), built.pop()) else {
                unreachable!("an if has a condition and a then")
            };
            let kind =
                ExprKind::If { condition: Box::new(condition), then: Box::new(then), otherwise: Box::new(otherwise) };
            otherwise = Expr { kind, span: start.to(whole) };
        }
        otherwise
    }

    fn match_expr(&mut self, pair: Pair<'_, Rule>) -> ExprKind {
        let mut inner = nodes(pair.into_inner());
        let Some(value) = inner.next() else { unreachable!("match has a value") };
        let value = Box::new(self.expr(value));
        let arms = inner.map(|arm| self.match_arm(arm)).collect();
        ExprKind::Match { value, arms }
    }

    fn match_arm(&mut self, pair: Pair<'_, Rule>) -> MatchArm {
        let span = self.span(&pair);
        let mut patterns = Vec::new();
        let mut value = None;
        for part in nodes(pair.into_inner()) {
            match part.as_rule() {
                Rule::pattern => patterns.push(self.pattern(part)),
                Rule::expr => value = Some(self.expr(part)),
                _ => {}
            }
        }
        MatchArm { patterns, value: value.unwrap_or_else(|| unreachable!("an arm has a value")), span }
    }

    fn pattern(&mut self, pair: Pair<'_, Rule>) -> Pattern {
        let span = self.span(&pair);
        let Some(form) = pair.into_inner().next() else { unreachable!("a pattern has a form") };
        let rule = form.as_rule();
        let mut op = None;
        let mut operands = Vec::new();
        for part in form.into_inner() {
            match part.as_rule() {
                Rule::compare_op => op = Some(compare_op(part)),
                Rule::operand => operands.push(self.operand(part)),
                _ => {}
            }
        }
        let mut operands = operands.into_iter();
        let mut next = || operands.next().unwrap_or_else(|| unreachable!("this pattern has an operand"));
        let kind = match rule {
            Rule::wildcard => PatternKind::Wildcard,
            Rule::pattern_compare => PatternKind::Compare(op.unwrap_or(BinaryOp::Equal), next()),
            Rule::pattern_in => PatternKind::In(next()),
            Rule::pattern_between => PatternKind::Between(next(), next()),
            Rule::pattern_like => PatternKind::Like(next()),
            Rule::pattern_matches => PatternKind::Matches(next()),
            _ => PatternKind::Value(next()),
        };
        Pattern { kind, span }
    }

    /// A type as written.
    pub(super) fn type_expr(&mut self, pair: Pair<'_, Rule>) -> TypeExpr {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let Some(form) = inner.next() else { unreachable!("a type has a form") };
        let nullable = inner.next().is_some();
        let rule = form.as_rule();
        let mut parts = nodes(form.into_inner());
        let mut next = |b: &mut Self| match parts.next() {
            Some(p) => Box::new(b.type_expr(p)),
            None => unreachable!("this type has a type in it"),
        };
        let kind = match rule {
            Rule::array_type => TypeExprKind::Array(next(self)),
            Rule::map_type => TypeExprKind::Map(next(self), next(self)),
            Rule::struct_type => TypeExprKind::Struct(parts.next().map(|p| self.columns(p)).unwrap_or_default()),
            Rule::sized_type => {
                let Some(word) = parts.next() else { unreachable!("a sized type has a name") };
                let name = self.type_name(word);
                TypeExprKind::Sized(name, parts.map(|p| self.size(p)).collect())
            }
            _ => match parts.next() {
                Some(word) => TypeExprKind::Named(self.type_name(word)),
                None => unreachable!("a type has a name"),
            },
        };
        TypeExpr { kind, nullable, span }
    }

    /// A type's name in its one spelling, whichever was written.
    fn type_name(&self, pair: Pair<'_, Rule>) -> Name {
        let name = self.name(pair);
        Name { text: crate::words::canonical_type(&name.text).to_string(), ..name }
    }

    fn size(&mut self, pair: Pair<'_, Rule>) -> u32 {
        let span = self.span(&pair);
        pair.as_str().replace('_', "").parse().unwrap_or_else(|_| {
            self.error(
                Diagnostic::error(codes::NUMBER_TOO_LARGE, span, "no type has so many digits")
                    .label("at most 38")
                    .help("write `decimal(38, s)` for the widest decimal"),
            );
            0
        })
    }
}

/// The diagnostic for an expression whose tree would be too deep.
pub(crate) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(codes::TOO_DEEP, span, "this is nested too deep, or is too long a chain of operators")
        .label("too many levels")
        .help(
            "name parts of it with `extend` or a `fn`; many `or`s are `x in [..]`, many `if`s are a `match` or a join",
        )
}

fn compare_op(pair: Pair<'_, Rule>) -> BinaryOp {
    match pair.into_inner().next() {
        Some(op) => binary_op(op.as_rule()),
        None => unreachable!("a comparison has an operator"),
    }
}

fn binary(op: BinaryOp, op_span: Span, left: Expr, right: Expr) -> ExprKind {
    ExprKind::Binary { op, op_span, left: Box::new(left), right: Box::new(right) }
}
