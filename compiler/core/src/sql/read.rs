//! Spark SQL text to flowc's syntax tree.
//!
//! Where Spark gives null and flowc fails the row (integer division by zero, `CAST` of a value that does not fit, overflow), the row fails: a constraint
//! that is null is broken anyway, and a wrong value is never written. Division of doubles by zero is null, as in Spark.

use super::dialect::Spark;
use super::{SqlError, function, literal};
use flowc_ir::{DataType, Schema};
use flowc_syntax::Span;
use flowc_syntax::ast::{Arg, BinaryOp, Expr, ExprKind, Name, TypeExpr, TypeExprKind, UnaryOp};
use sqlparser::ast as sql;
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::{Token, Tokenizer};

/// Longer texts and deeper trees are refused: they come from outside, and everything behind this recurses.
const MAX_BYTES: usize = 16_000;
const MAX_DEPTH: usize = 120;

/// The expression of a Spark SQL text; every node gets this span. Columns are named as in the text.
pub fn to_ast_expr(text: &str, span: Span) -> Result<Expr, SqlError> {
    read(text, span, None)
}

/// As [`to_ast_expr`], for a table with these columns: their names are matched without regard to case, as Spark does, and a string beside a date or a
/// timestamp is read as one.
pub fn to_ast_expr_for(text: &str, span: Span, columns: &Schema) -> Result<Expr, SqlError> {
    read(text, span, Some(columns))
}

fn read(text: &str, span: Span, columns: Option<&Schema>) -> Result<Expr, SqlError> {
    if text.len() > MAX_BYTES {
        return Err(SqlError::unsupported(format!("an expression of more than {MAX_BYTES} bytes")));
    }
    let syntax = |e: String| SqlError::Syntax(e.trim_start_matches("sql parser error: ").to_string());
    // Escapes are resolved by `literal`, which follows Spark's rules.
    let tokens = Tokenizer::new(&Spark, text)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|e| syntax(e.to_string()))?;
    let options = ParserOptions::new().with_unescape(false);
    let mut parser = Parser::new(&Spark).with_options(options).with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|e| syntax(e.to_string()))?;
    if parser.peek_token().token != Token::EOF {
        return Err(SqlError::Syntax(format!("unexpected `{}` behind the expression", parser.peek_token())));
    }
    Reader { span, columns, depth: std::cell::Cell::new(0) }.expr(&expr)
}

/// Turns sqlparser's tree into ours.
pub(super) struct Reader<'a> {
    pub(super) span: Span,
    columns: Option<&'a Schema>,
    depth: std::cell::Cell<usize>,
}

/// The operators that are the same in both languages.
fn binary_op(op: &sql::BinaryOperator) -> Option<BinaryOp> {
    use sql::BinaryOperator as S;
    Some(match op {
        S::Plus => BinaryOp::Add,
        S::Minus => BinaryOp::Subtract,
        S::Multiply => BinaryOp::Multiply,
        S::Modulo => BinaryOp::Remainder,
        S::MyIntegerDivide | S::DuckIntegerDivide => BinaryOp::IntegerDivide,
        S::Eq => BinaryOp::Equal,
        S::NotEq => BinaryOp::NotEqual,
        S::Lt => BinaryOp::Less,
        S::LtEq => BinaryOp::LessEqual,
        S::Gt => BinaryOp::Greater,
        S::GtEq => BinaryOp::GreaterEqual,
        S::And => BinaryOp::And,
        S::Or => BinaryOp::Or,
        _ => return None,
    })
}

impl Reader<'_> {
    pub(super) fn node(&self, kind: ExprKind) -> Expr {
        Expr { kind, span: self.span }
    }

    pub(super) fn name(&self, text: impl Into<String>) -> Name {
        Name { text: text.into(), span: self.span }
    }

    pub(super) fn call(&self, function: &str, args: Vec<Expr>) -> Expr {
        let args = args.into_iter().map(|value| Arg { name: None, value }).collect();
        self.node(ExprKind::Call { function: self.name(function), args, filter: None })
    }

    pub(super) fn binary(&self, op: BinaryOp, left: Expr, right: Expr) -> Expr {
        self.node(ExprKind::Binary { op, op_span: self.span, left: Box::new(left), right: Box::new(right) })
    }

    pub(super) fn is_null(&self, value: Expr, negated: bool) -> Expr {
        self.node(ExprKind::IsNull { value: Box::new(value), negated })
    }

    pub(super) fn not(&self, value: Expr) -> Expr {
        self.node(ExprKind::Unary(UnaryOp::Not, Box::new(value)))
    }

    pub(super) fn choose(&self, condition: Expr, then: Expr, otherwise: Expr) -> Expr {
        let (condition, then, otherwise) = (Box::new(condition), Box::new(then), Box::new(otherwise));
        self.node(ExprKind::If { condition, then, otherwise })
    }

    /// The expression, or why it is not supported.
    pub(super) fn expr(&self, expr: &sql::Expr) -> Result<Expr, SqlError> {
        if self.depth.get() >= MAX_DEPTH {
            return Err(SqlError::unsupported(format!("an expression nested more than {MAX_DEPTH} deep")));
        }
        self.depth.set(self.depth.get() + 1);
        let result = self.expr_inside(expr);
        self.depth.set(self.depth.get() - 1);
        result
    }

    fn expr_inside(&self, expr: &sql::Expr) -> Result<Expr, SqlError> {
        use sql::Expr as E;
        Ok(match expr {
            E::Nested(inner) => self.expr(inner)?,
            E::Value(value) => self.value(&value.value)?,
            E::TypedString(typed) => self.typed_string(typed)?,
            E::Interval(interval) => literal::interval(interval, self.span)?,
            E::Identifier(name) => self.identifier(name)?,
            E::CompoundIdentifier(names) => self.path(names)?,
            E::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain)?,
            E::UnaryOp { op, expr } => self.unary(op, expr)?,
            E::BinaryOp { left, op, right } => self.operator(left, op, right)?,
            E::IsNull(x) => self.is_null(self.expr(x)?, false),
            E::IsNotNull(x) => self.is_null(self.expr(x)?, true),
            E::IsTrue(x) => self.truth(x, true, false)?,
            E::IsNotTrue(x) => self.truth(x, true, true)?,
            E::IsFalse(x) => self.truth(x, false, false)?,
            E::IsNotFalse(x) => self.truth(x, false, true)?,
            E::IsUnknown(x) => self.is_null(self.expr(x)?, false),
            E::IsNotUnknown(x) => self.is_null(self.expr(x)?, true),
            E::IsNotDistinctFrom(a, b) => self.null_safe_equal(a, b)?,
            E::IsDistinctFrom(a, b) => self.not(self.null_safe_equal(a, b)?),
            E::InList { expr, list, negated } => self.in_list(expr, list, *negated)?,
            E::Between { expr, negated, low, high } => self.between(expr, low, high, *negated)?,
            E::Like { negated, any: false, expr: x, pattern, escape_char } => {
                self.like(x, pattern, escape_char.as_ref(), *negated, false)?
            }
            E::ILike { negated, any: false, expr: x, pattern, escape_char } => {
                self.like(x, pattern, escape_char.as_ref(), *negated, true)?
            }
            E::RLike { negated, expr: x, pattern, .. } => self.matches(x, pattern, *negated)?,
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())?
            }
            E::Cast { kind, expr: x, data_type, array: false, format: None } => {
                let safe = matches!(kind, sql::CastKind::TryCast | sql::CastKind::SafeCast);
                self.cast(self.expr(x)?, data_type, safe)?
            }
            E::Function(call) => function::call(self, call)?,
            other => function::special(self, other)?,
        })
    }

    fn value(&self, value: &sql::Value) -> Result<Expr, SqlError> {
        if let Some(text) = literal::string_value(value) {
            return Ok(self.node(literal::text(text)));
        }
        Ok(self.node(match value {
            sql::Value::Null => ExprKind::Null,
            sql::Value::Boolean(b) => ExprKind::Boolean(*b),
            sql::Value::Number(digits, _) => literal::number(digits)?,
            other => return Err(SqlError::unsupported(format!("the literal `{other}`"))),
        }))
    }

    fn typed_string(&self, typed: &sql::TypedString) -> Result<Expr, SqlError> {
        let unsupported = || SqlError::unsupported(format!("the literal `{typed}`"));
        let text = literal::string_value(&typed.value.value).ok_or_else(unsupported)?;
        let kind = match &typed.data_type {
            sql::DataType::Date => literal::date(&text).map(ExprKind::Date),
            sql::DataType::Timestamp(None, sql::TimezoneInfo::None) => {
                literal::timestamp(&text).map(ExprKind::Timestamp)
            }
            sql::DataType::TimestampNtz(None) => literal::timestamp_ntz(&text).map(ExprKind::TimestampNtz),
            _ => None,
        };
        kind.map(|kind| self.node(kind)).ok_or_else(unsupported)
    }

    fn identifier(&self, name: &sql::Ident) -> Result<Expr, SqlError> {
        if name.quote_style.is_none() {
            if name.value.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                return Ok(self.node(literal::number(&name.value)?));
            }
            if function::is_niladic(&name.value) && self.column(&name.value).is_none() {
                return Ok(self.call(&name.value.to_ascii_lowercase(), vec![]));
            }
        }
        let text = name.value.replace("``", "`");
        let text = self.column(&text).map_or(text, |f| f.name.clone());
        Ok(self.node(ExprKind::Name(self.name(text))))
    }

    /// The column of this name, as the table spells it.
    fn column(&self, name: &str) -> Option<&flowc_ir::Field> {
        let columns = self.columns?;
        columns.field(name).or_else(|| columns.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)))
    }

    fn path(&self, names: &[sql::Ident]) -> Result<Expr, SqlError> {
        let (first, rest) = names.split_first().ok_or_else(|| SqlError::unsupported("an empty name"))?;
        let mut expr = self.identifier(first)?;
        let mut ty = self.data_type(&sql::Expr::Identifier(first.clone()));
        for name in rest {
            let text = name.value.replace("``", "`");
            let field = match &ty {
                Some(DataType::Struct(fields)) => fields
                    .iter()
                    .find(|f| f.name == text)
                    .or_else(|| fields.iter().find(|f| f.name.eq_ignore_ascii_case(&text)))
                    .cloned(),
                _ => None,
            };
            let text = field.as_ref().map_or(text, |f| f.name.clone());
            ty = field.map(|f| f.ty.data);
            expr = self.node(ExprKind::Field(Box::new(expr), self.name(text)));
        }
        Ok(expr)
    }

    fn access(&self, root: &sql::Expr, chain: &[sql::AccessExpr]) -> Result<Expr, SqlError> {
        let mut expr = self.expr(root)?;
        for access in chain {
            expr = match access {
                sql::AccessExpr::Dot(sql::Expr::Identifier(name)) => {
                    self.node(ExprKind::Field(Box::new(expr), self.name(name.value.replace("``", "`"))))
                }
                sql::AccessExpr::Subscript(sql::Subscript::Index { index }) => {
                    self.node(ExprKind::Index(Box::new(expr), Box::new(self.expr(index)?)))
                }
                other => return Err(SqlError::unsupported(format!("`{root}{other}`"))),
            };
        }
        Ok(expr)
    }

    fn unary(&self, op: &sql::UnaryOperator, operand: &sql::Expr) -> Result<Expr, SqlError> {
        let value = self.expr(operand)?;
        match op {
            sql::UnaryOperator::Not | sql::UnaryOperator::BangNot => Ok(self.not(value)),
            sql::UnaryOperator::Minus => Ok(self.node(ExprKind::Unary(UnaryOp::Negate, Box::new(value)))),
            sql::UnaryOperator::Plus => Ok(value),
            other => Err(SqlError::unsupported(format!("the operator `{other}`"))),
        }
    }

    fn operator(&self, left: &sql::Expr, op: &sql::BinaryOperator, right: &sql::Expr) -> Result<Expr, SqlError> {
        use sql::BinaryOperator as S;
        match op {
            S::Spaceship => return self.null_safe_equal(left, right),
            S::Divide => return self.divide(left, right),
            S::StringConcat => return Ok(self.call("concat", vec![self.expr(left)?, self.expr(right)?])),
            S::Regexp => return self.matches(left, right, false),
            _ => {}
        }
        let op = binary_op(op).ok_or_else(|| SqlError::unsupported(format!("the operator `{op}`")))?;
        let comparison = matches!(
            op,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterEqual
        );
        if comparison {
            return Ok(self.binary(op, self.beside(left, right)?, self.beside(right, left)?));
        }
        Ok(self.binary(op, self.expr(left)?, self.expr(right)?))
    }

    /// `a / b`: null where `b` is zero, unless `b` is a literal that is not.
    pub(super) fn divide(&self, left: &sql::Expr, right: &sql::Expr) -> Result<Expr, SqlError> {
        let (a, b) = (self.expr(left)?, self.expr(right)?);
        let quotient = self.binary(BinaryOp::Divide, a, b.clone());
        let never_zero = match &b.kind {
            ExprKind::Integer(v) => *v != 0,
            ExprKind::Double(v) => *v != 0.0,
            ExprKind::Decimal { unscaled, .. } => *unscaled != 0,
            _ => false,
        };
        if never_zero {
            return Ok(quotient);
        }
        let zero = self.binary(BinaryOp::Equal, b, self.node(ExprKind::Integer(0)));
        Ok(self.choose(zero, self.node(ExprKind::Null), quotient))
    }

    /// `a <=> b`: true for two nulls, never null.
    pub(super) fn null_safe_equal(&self, left: &sql::Expr, right: &sql::Expr) -> Result<Expr, SqlError> {
        let (a, b) = (self.beside(left, right)?, self.beside(right, left)?);
        if b.kind == ExprKind::Null {
            return Ok(self.is_null(a, false));
        }
        if a.kind == ExprKind::Null {
            return Ok(self.is_null(b, false));
        }
        let both = self.binary(BinaryOp::And, self.is_null(a.clone(), false), self.is_null(b.clone(), false));
        let equal = self.binary(BinaryOp::Equal, a, b);
        let equal = self.binary(BinaryOp::Coalesce, equal, self.node(ExprKind::Boolean(false)));
        Ok(self.binary(BinaryOp::Or, both, equal))
    }

    /// `x IS [NOT] TRUE`, `x IS [NOT] FALSE`
    fn truth(&self, operand: &sql::Expr, expected: bool, negated: bool) -> Result<Expr, SqlError> {
        let value = self.expr(operand)?;
        let value = if expected { value } else { self.not(value) };
        let known = self.binary(BinaryOp::Coalesce, value, self.node(ExprKind::Boolean(false)));
        Ok(if negated { self.not(known) } else { known })
    }

    fn in_list(&self, value: &sql::Expr, list: &[sql::Expr], negated: bool) -> Result<Expr, SqlError> {
        let list = list.iter().map(|x| self.beside(x, value)).collect::<Result<Vec<_>, _>>()?;
        let list = Box::new(self.node(ExprKind::Array(list)));
        Ok(self.node(ExprKind::In { value: Box::new(self.expr(value)?), list, negated }))
    }

    fn between(&self, x: &sql::Expr, low: &sql::Expr, high: &sql::Expr, negated: bool) -> Result<Expr, SqlError> {
        let value = Box::new(self.expr(x)?);
        let (low, high) = (Box::new(self.beside(low, x)?), Box::new(self.beside(high, x)?));
        Ok(self.node(ExprKind::Between { value, low, high, negated }))
    }

    fn like(
        &self,
        value: &sql::Expr,
        pattern: &sql::Expr,
        escape: Option<&sql::ValueWithSpan>,
        negated: bool,
        fold_case: bool,
    ) -> Result<Expr, SqlError> {
        if escape.is_some_and(|e| literal::string_value(&e.value).as_deref() != Some("\\")) {
            return Err(SqlError::unsupported("LIKE … ESCAPE"));
        }
        let (mut value, mut pattern) = (self.expr(value)?, self.expr(pattern)?);
        if fold_case {
            (value, pattern) = (self.call("lower", vec![value]), self.call("lower", vec![pattern]));
        }
        Ok(self.node(ExprKind::Like { value: Box::new(value), pattern: Box::new(pattern), negated }))
    }

    pub(super) fn matches(&self, value: &sql::Expr, pattern: &sql::Expr, negated: bool) -> Result<Expr, SqlError> {
        let (value, pattern) = (Box::new(self.expr(value)?), Box::new(self.expr(pattern)?));
        Ok(self.node(ExprKind::Matches { value, pattern, negated }))
    }

    fn case(
        &self,
        operand: Option<&sql::Expr>,
        conditions: &[sql::CaseWhen],
        otherwise: Option<&sql::Expr>,
    ) -> Result<Expr, SqlError> {
        let mut result = otherwise.map_or_else(|| Ok(self.node(ExprKind::Null)), |x| self.expr(x))?;
        for when in conditions.iter().rev() {
            let condition = match operand {
                Some(value) => self.binary(
                    BinaryOp::Equal,
                    self.beside(value, &when.condition)?,
                    self.beside(&when.condition, value)?,
                ),
                None => self.expr(&when.condition)?,
            };
            result = self.choose(condition, self.expr(&when.result)?, result);
        }
        Ok(result)
    }

    pub(super) fn cast(&self, value: Expr, ty: &sql::DataType, nullable: bool) -> Result<Expr, SqlError> {
        let ty = TypeExpr { nullable, ..self.type_expr(ty)? };
        Ok(self.node(ExprKind::Cast { value: Box::new(value), ty }))
    }

    fn type_expr(&self, ty: &sql::DataType) -> Result<TypeExpr, SqlError> {
        use sql::DataType as D;
        let named = match ty {
            D::Boolean | D::Bool => "boolean",
            D::TinyInt(None) => "byte",
            D::SmallInt(None) => "short",
            D::Int(None) | D::Integer(None) => "integer",
            D::BigInt(None) => "long",
            D::Float(sql::ExactNumberInfo::None) | D::Real => "float",
            D::Double(sql::ExactNumberInfo::None) => "double",
            D::String(None) => "string",
            D::Binary(None) => "binary",
            D::Date => "date",
            D::Timestamp(None, sql::TimezoneInfo::None) => "timestamp",
            D::TimestampNtz(None) => "timestamp_ntz",
            D::Decimal(info) | D::Numeric(info) | D::Dec(info) => return self.decimal_type(ty, info),
            D::Custom(name, modifiers) if modifiers.is_empty() => match name.to_string().to_lowercase().as_str() {
                "byte" => "byte",
                "short" => "short",
                "long" => "long",
                _ => return Err(SqlError::unsupported(format!("the type `{ty}`"))),
            },
            D::Array(sql::ArrayElemTypeDef::AngleBracket(item)) => {
                let item = TypeExpr { nullable: true, ..self.type_expr(item)? };
                return Ok(self.type_node(TypeExprKind::Array(Box::new(item))));
            }
            _ => return Err(SqlError::unsupported(format!("the type `{ty}`"))),
        };
        Ok(self.type_node(TypeExprKind::Named(self.name(named))))
    }

    fn decimal_type(&self, ty: &sql::DataType, info: &sql::ExactNumberInfo) -> Result<TypeExpr, SqlError> {
        let (precision, scale) = match info {
            sql::ExactNumberInfo::None => (10, 0),
            sql::ExactNumberInfo::Precision(p) => (*p, 0),
            sql::ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
        };
        let fits = (1..=38).contains(&precision) && (0..=precision as i64).contains(&scale);
        if !fits {
            return Err(SqlError::unsupported(format!("the type `{ty}`")));
        }
        Ok(self.type_node(TypeExprKind::Sized(self.name("decimal"), vec![precision as u32, scale as u32])))
    }

    fn type_node(&self, kind: TypeExprKind) -> TypeExpr {
        TypeExpr { kind, nullable: false, span: self.span }
    }

    /// `expr` compared with `other`: a string beside a date or a timestamp is read as one, as Spark casts it.
    fn beside(&self, expr: &sql::Expr, other: &sql::Expr) -> Result<Expr, SqlError> {
        let converted = match (expr, self.data_type(other)) {
            (sql::Expr::Value(value), Some(ty)) => literal::string_value(&value.value).and_then(|text| match ty {
                DataType::Date => literal::date(&text).map(ExprKind::Date),
                DataType::Timestamp => literal::timestamp(&text)
                    .or_else(|| literal::date(&text).map(|d| i64::from(d) * 86_400_000_000))
                    .map(ExprKind::Timestamp),
                DataType::TimestampNtz => literal::timestamp_ntz(&text).map(ExprKind::TimestampNtz),
                _ => None,
            }),
            _ => None,
        };
        converted.map_or_else(|| self.expr(expr), |kind| Ok(self.node(kind)))
    }

    /// The type of an expression, where it is plain to see.
    fn data_type(&self, expr: &sql::Expr) -> Option<DataType> {
        match expr {
            sql::Expr::Nested(inner) => self.data_type(inner),
            sql::Expr::Identifier(name) => self.column(&name.value.replace("``", "`")).map(|f| f.ty.data.clone()),
            sql::Expr::CompoundIdentifier(names) => {
                let (first, rest) = names.split_first()?;
                rest.iter().try_fold(self.data_type(&sql::Expr::Identifier(first.clone()))?, |ty, name| match ty {
                    DataType::Struct(fields) => {
                        fields.iter().find(|f| f.name.eq_ignore_ascii_case(&name.value)).map(|f| f.ty.data.clone())
                    }
                    _ => None,
                })
            }
            sql::Expr::Cast { data_type: sql::DataType::Date, .. } => Some(DataType::Date),
            sql::Expr::Cast { data_type: sql::DataType::Timestamp(..), .. } => Some(DataType::Timestamp),
            sql::Expr::Function(call) => match call.name.to_string().to_ascii_lowercase().as_str() {
                "to_date" | "date" | "date_add" | "date_sub" | "last_day" | "current_date" => Some(DataType::Date),
                "to_timestamp" | "timestamp" | "date_trunc" | "current_timestamp" => Some(DataType::Timestamp),
                _ => None,
            },
            _ => None,
        }
    }
}
