//! What the SQL texts of real tables become, and that what flowc declares it reads back.

use super::{to_ast_expr, to_ast_expr_for};
use flowc_ir::{DataType, Field, Schema, Type};
use flowc_syntax::ast::{BinaryOp, Expr, ExprKind, StringPart, TypeExprKind, UnaryOp};
use flowc_syntax::{FileId, Span};

const SPAN: Span = Span { file: FileId(3), start: 5, end: 9 };

/// A tree as text: everything in parentheses, operators in front.
fn show(expr: &Expr) -> String {
    assert_eq!(expr.span, SPAN, "every node has the caller's span");
    let list = |xs: &[Expr]| xs.iter().map(show).collect::<Vec<_>>().join(" ");
    let not = |negated: &bool| if *negated { "not-" } else { "" };
    match &expr.kind {
        ExprKind::Null => "null".into(),
        ExprKind::Boolean(b) => b.to_string(),
        ExprKind::Integer(v) => v.to_string(),
        ExprKind::Double(v) => format!("{v:?}f"),
        ExprKind::Decimal { unscaled, precision, scale } => format!("{unscaled}d{precision},{scale}"),
        ExprKind::String(parts) => match parts.as_slice() {
            [] => "\"\"".into(),
            [StringPart::Text(t)] => format!("{t:?}"),
            other => panic!("{other:?}"),
        },
        ExprKind::Date(v) => format!("date:{v}"),
        ExprKind::Timestamp(v) => format!("ts:{v}"),
        ExprKind::TimestampNtz(v) => format!("ntz:{v}"),
        ExprKind::Duration(v) => format!("dur:{v}"),
        ExprKind::Array(xs) => format!("[{}]", list(xs)),
        ExprKind::Struct(fields) => {
            format!(
                "{{{}}}",
                fields.iter().map(|(n, x)| format!("{}:{}", n.text, show(x))).collect::<Vec<_>>().join(" ")
            )
        }
        ExprKind::Name(n) => n.text.clone(),
        ExprKind::Field(x, n) => format!("{}.{}", show(x), n.text),
        ExprKind::Index(x, i) => format!("{}[{}]", show(x), show(i)),
        ExprKind::Call { function, args, filter: None } => {
            let args: Vec<Expr> = args.iter().map(|a| a.value.clone()).collect();
            format!("({} {})", function.text, list(&args)).replace(" )", ")")
        }
        ExprKind::Unary(UnaryOp::Negate, x) => format!("(- {})", show(x)),
        ExprKind::Unary(UnaryOp::Not, x) => format!("(not {})", show(x)),
        ExprKind::Binary { op, left, right, .. } => {
            let op = if *op == BinaryOp::Coalesce { "??" } else { op.text() };
            format!("({op} {} {})", show(left), show(right))
        }
        ExprKind::IsNull { value, negated } => format!("({}null? {})", not(negated), show(value)),
        ExprKind::Between { value, low, high, negated } => {
            format!("({}between {} {} {})", not(negated), show(value), show(low), show(high))
        }
        ExprKind::In { value, list, negated } => format!("({}in {} {})", not(negated), show(value), show(list)),
        ExprKind::Like { value, pattern, negated } => {
            format!("({}like {} {})", not(negated), show(value), show(pattern))
        }
        ExprKind::Matches { value, pattern, negated } => {
            format!("({}matches {} {})", not(negated), show(value), show(pattern))
        }
        ExprKind::If { condition, then, otherwise } => {
            format!("(if {} {} {})", show(condition), show(then), show(otherwise))
        }
        ExprKind::Cast { value, ty } => {
            let name = match &ty.kind {
                TypeExprKind::Named(n) => n.text.clone(),
                TypeExprKind::Sized(n, sizes) => format!("{}{sizes:?}", n.text),
                other => panic!("{other:?}"),
            };
            format!("(as {} {name}{})", show(value), if ty.nullable { "?" } else { "" })
        }
        other => panic!("{other:?}"),
    }
}

fn read(text: &str) -> String {
    match to_ast_expr(text, SPAN) {
        Ok(expr) => show(&expr),
        Err(e) => format!("error: {e}"),
    }
}

#[test]
fn constraints_of_real_tables() {
    for (sql, tree) in [
        ("id > 0", "(> id 0)"),
        ("value BETWEEN -40 AND 125.5", "(between value (- 40) 1255d4,1)"),
        ("value NOT BETWEEN 1 AND 2", "(not-between value 1 2)"),
        ("status IN ('open', 'closed', NULL)", "(in status [\"open\" \"closed\" null])"),
        ("NOT (a = 1 OR b <> 2) AND c IS NOT NULL", "(and (not (or (== a 1) (!= b 2))) (not-null? c))"),
        ("`odd name` == 'x' AND `a``b` != ''", "(and (== odd name \"x\") (!= a`b \"\"))"),
        ("a.b.c >= 1e3", "(>= a.b.c 1000.0f)"),
        ("xs[0].name = m['key']", "(== xs[0].name m[\"key\"])"),
        (
            "name LIKE 'A\\%_%' AND name NOT RLIKE '^\\\\d+$'",
            "(and (like name \"A\\\\%_%\") (not-matches name \"^\\\\d+$\"))",
        ),
        ("name ILIKE 'a%'", "(like (lower name) (lower \"a%\"))"),
        ("a <=> b", "(or (and (null? a) (null? b)) (?? (== a b) false))"),
        ("a <=> NULL", "(null? a)"),
        ("a IS DISTINCT FROM 1", "(not (or (and (null? a) (null? 1)) (?? (== a 1) false)))"),
        ("flag IS TRUE OR flag IS NOT FALSE", "(or (?? flag false) (not (?? (not flag) false)))"),
        ("!flag", "(not flag)"),
        ("a || '-' || b = \"x\"", "(== (concat (concat a \"-\") b) \"x\")"),
        ("a DIV 3 > 2 + b % 2", "(> (div a 3) (+ 2 (% b 2)))"),
        ("a / 2", "(/ a 2)"),
        ("a / b", "(if (== b 0) null (/ a b))"),
        ("10L + 1.5D + 2.50BD + 0.5", "(+ (+ (+ 10 1.5f) 250d3,2) 5d1,1)"),
    ] {
        assert_eq!(read(sql), tree, "{sql}");
    }
}

#[test]
fn choices_conversions_and_calls() {
    for (sql, tree) in [
        ("CASE WHEN a > 1 THEN 'x' WHEN b THEN 'y' ELSE 'z' END", "(if (> a 1) \"x\" (if b \"y\" \"z\"))"),
        ("CASE a WHEN 1 THEN 'x' END", "(if (== a 1) \"x\" null)"),
        ("CAST(at AS DATE)", "(as at date)"),
        ("at::date = TRY_CAST(x AS DECIMAL(10, 2))", "(== (as at date) (as x decimal[10, 2]?))"),
        ("CAST(a AS BIGINT) + CAST(b AS TINYINT)", "(+ (as a long) (as b byte))"),
        ("YEAR(at) * 100 + month(at)", "(+ (* (year at) 100) (month at))"),
        ("EXTRACT(HOUR FROM at)", "(hour at)"),
        ("date_format(at, 'yyyy-MM')", "(date_format at \"yyyy-MM\")"),
        ("DATE_TRUNC('DAY', at)", "(date_trunc \"DAY\" at)"),
        ("SUBSTRING(name, 1, 4)", "(substring name 1 4)"),
        ("SUBSTRING(name FROM 1 FOR 4)", "(substring name 1 4)"),
        ("TRIM(name) = ''", "(== (trim name) \"\")"),
        ("CEIL(x) + FLOOR(y)", "(+ (ceil x) (floor y))"),
        ("COALESCE(a, b, 0) > 1", "(> (?? a (?? b 0)) 1)"),
        ("IF(a, 1, 2)", "(if a 1 2)"),
        ("nvl2(a, 1, 2)", "(if (not-null? a) 1 2)"),
        ("isnotnull(a)", "(not-null? a)"),
        ("int(a) > 0 and date(b) > current_date()", "(and (> (as a integer) 0) (> (as b date) (current_date)))"),
        ("array(1, 2)[0]", "[1 2][0]"),
        ("named_struct('a', 1).a", "{a:1}.a"),
        ("d > DATE '2020-01-02'", "(> d date:18263)"),
        ("t > TIMESTAMP '1970-01-01 00:00:01'", "(> t ts:1000000)"),
        ("t > TIMESTAMP '1970-01-01 01:00:01+01:00'", "(> t ts:1000000)"),
        ("t > TIMESTAMP_NTZ '1970-01-01 00:00:01.5'", "(> t ntz:1500000)"),
        ("t + INTERVAL 1 DAY > t - INTERVAL '1.5' SECOND", "(> (+ t dur:86400000000) (- t dur:1500000))"),
        ("t > u - INTERVAL '-2' HOURS", "(> t (- u (- dur:7200000000)))"),
    ] {
        assert_eq!(read(sql), tree, "{sql}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (sql, needle) in [
        ("a & 1 = 0", "`&`"),
        ("a IN (SELECT 1)", "a subquery"),
        ("EXISTS (SELECT 1)", "subquery"),
        ("t > u + INTERVAL 1 MONTH", "INTERVAL 1 MONTH"),
        ("CAST(a AS VARIANT)", "VARIANT"),
        ("sum(a) OVER (PARTITION BY b) > 1", "OVER"),
        ("a LIKE 'x!%' ESCAPE '!'", "ESCAPE"),
        ("DATE 'someday' > d", "someday"),
        ("transform(xs, x -> x + 1)[0] > 1", "->"),
        ("a = 1; DROP TABLE t", "unexpected `;`"),
        ("a = ", "error"),
        ("", "error"),
        ("'unclosed", "error"),
    ] {
        let text = read(sql);
        assert!(text.starts_with("error: ") && text.contains(needle), "{sql}: {text}");
    }
}

#[test]
fn hostile_texts_are_refused() {
    assert!(read(&"(".repeat(10_000)).starts_with("error"));
    assert!(read(&vec!["a"; 5_000].join("+")).contains("deep"));
    assert!(read(&"a".repeat(20_000)).contains("bytes"));
    assert!(read("999999999999999999999999999999999999999999 > a").contains("number"));
}

#[test]
fn columns_give_spelling_and_types() {
    let inner = Field::new("Day", Type::new(DataType::Date));
    let columns = Schema::new(vec![
        Field::new("EventTime", Type::new(DataType::Timestamp)),
        Field::new("day", Type::new(DataType::Date)),
        Field::new("s", Type::new(DataType::Struct(vec![inner]))),
        Field::new("text", Type::new(DataType::String)),
    ]);
    for (sql, tree) in [
        ("eventtime >= '1970-01-01 00:00:01' AND DAY < '1970-01-03'", "(and (>= EventTime ts:1000000) (< day date:2))"),
        ("'1970-01-02' = S.DAY", "(== date:1 s.Day)"),
        ("day IN ('1970-01-02')", "(in day [date:1])"),
        ("day BETWEEN '1970-01-02' AND '1970-01-03'", "(between day date:1 date:2)"),
        ("text = '1970-01-02'", "(== text \"1970-01-02\")"),
    ] {
        assert_eq!(show(&to_ast_expr_for(sql, SPAN, &columns).expect(sql)), tree, "{sql}");
    }
}
