//! Signatures as data, and the choice among overloads. Knows types; nothing of what functions compute.

use super::{Function, Nulls, Resolution, ResolveError, all, find};
use crate::types::{DataType, Type};
use std::collections::BTreeMap;
use std::sync::OnceLock;

#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    Exact(DataType),
    Decimal,
    Struct,
    Any,
    Variable(char),
    Array(Box<NullablePattern>),
    Map(Box<Pattern>, Box<NullablePattern>),
}

#[derive(Debug, Clone, PartialEq)]
struct NullablePattern {
    pattern: Pattern,
    nullable: bool,
}

#[derive(Debug, Clone)]
struct Parameter {
    pattern: NullablePattern,
    optional: bool,
    repeated: bool,
}

#[derive(Debug, Clone)]
struct Signature {
    parameters: Vec<Parameter>,
    result: NullablePattern,
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_string()
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    fn pattern(&mut self) -> Option<NullablePattern> {
        let word = self.word();
        let pattern = match word.as_str() {
            "array" => {
                self.expect("<")?;
                let item = self.pattern()?;
                self.expect(">")?;
                Pattern::Array(Box::new(item))
            }
            "map" => {
                self.expect("<")?;
                let key = self.pattern()?.pattern;
                self.expect(",")?;
                let value = self.pattern()?;
                self.expect(">")?;
                Pattern::Map(Box::new(key), Box::new(value))
            }
            "decimal" => Pattern::Decimal,
            "struct" => Pattern::Struct,
            "any" => Pattern::Any,
            "boolean" => Pattern::Exact(DataType::Boolean),
            "byte" => Pattern::Exact(DataType::Byte),
            "short" => Pattern::Exact(DataType::Short),
            "integer" => Pattern::Exact(DataType::Integer),
            "long" => Pattern::Exact(DataType::Long),
            "float" => Pattern::Exact(DataType::Float),
            "double" => Pattern::Exact(DataType::Double),
            "string" => Pattern::Exact(DataType::String),
            "binary" => Pattern::Exact(DataType::Binary),
            "date" => Pattern::Exact(DataType::Date),
            "timestamp" => Pattern::Exact(DataType::Timestamp),
            "timestamp_ntz" => Pattern::Exact(DataType::TimestampNtz),
            "duration" => Pattern::Exact(DataType::Duration),
            one if one.len() == 1 && one.chars().all(|c| c.is_ascii_uppercase()) => {
                Pattern::Variable(one.chars().next()?)
            }
            _ => return None,
        };
        Some(NullablePattern { pattern, nullable: self.eat("?") })
    }

    /// Passes over the text of a default: up to a comma or parenthesis outside of quotes.
    fn skip_default(&mut self) {
        let mut quoted = false;
        let end = self.rest.find(|c: char| {
            quoted ^= c == '"';
            !quoted && (c == ',' || c == ')')
        });
        self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
    }
}

fn parse(text: &str) -> Option<Signature> {
    let mut reader = Reader { rest: text };
    reader.word();
    reader.expect("(")?;
    let mut parameters = vec![];
    while !reader.eat(")") {
        if !parameters.is_empty() {
            reader.expect(",")?;
        }
        reader.word();
        reader.expect(":")?;
        let pattern = reader.pattern()?;
        let repeated = reader.eat("...");
        let optional = reader.eat("=");
        if optional {
            reader.skip_default();
        }
        parameters.push(Parameter { pattern, optional, repeated });
    }
    reader.expect("->")?;
    let result = reader.pattern()?;
    reader.rest.trim().is_empty().then_some(Signature { parameters, result })
}

fn signatures(function: &'static Function) -> &'static [Signature] {
    static PARSED: OnceLock<BTreeMap<&'static str, Vec<Signature>>> = OnceLock::new();
    let parsed = PARSED.get_or_init(|| {
        let one = |f: &Function| f.signatures.iter().filter_map(|s| parse(s)).collect::<Vec<_>>();
        all().iter().map(|f| (f.name, one(f))).collect()
    });
    parsed.get(function.name).map_or(&[], |s| s.as_slice())
}

/// What the type variables stand for so far. A variable's nullability is that of the elements it stands for.
#[derive(Default, Clone)]
struct Bindings(BTreeMap<char, Type>);

impl Bindings {
    fn bind(&mut self, pattern: &Pattern, arg: &DataType, nullable: bool) -> bool {
        match (pattern, arg) {
            (_, DataType::Null) => {
                if let Pattern::Variable(v) = pattern {
                    self.0.entry(*v).or_insert(Type::new(DataType::Null)).nullable |= nullable;
                }
                true
            }
            (Pattern::Variable(v), arg) => {
                if !allowed(*v, arg) {
                    return false;
                }
                let bound = self.0.entry(*v).or_insert(Type::new(DataType::Null));
                let Some(common) = bound.data.common(arg) else { return false };
                // Decimals may have no common type that keeps all digits.
                if !bound.data.widens_to(&common) || !arg.widens_to(&common) {
                    return false;
                }
                *bound = Type { data: common, nullable: bound.nullable || nullable };
                true
            }
            (Pattern::Array(item), DataType::Array(arg)) => {
                self.bind(&item.pattern, &arg.data, arg.nullable && !item.nullable)
            }
            (Pattern::Map(key, value), DataType::Map(k, v)) => {
                self.bind(key, k, false) && self.bind(&value.pattern, &v.data, v.nullable && !value.nullable)
            }
            (Pattern::Array(_) | Pattern::Map(..), _) => false,
            (Pattern::Exact(_) | Pattern::Decimal | Pattern::Struct | Pattern::Any, _) => true,
        }
    }

    /// Whether all variables of a pattern are bound.
    fn knows(&self, pattern: &Pattern) -> bool {
        match pattern {
            Pattern::Variable(v) => self.0.contains_key(v),
            Pattern::Array(item) => self.knows(&item.pattern),
            Pattern::Map(key, value) => self.knows(key) && self.knows(&value.pattern),
            _ => true,
        }
    }

    /// The type that a pattern stands for, for an operand of this type where it is the operand's own.
    fn resolve(&self, pattern: &Pattern, arg: Option<&DataType>) -> Option<Type> {
        Some(match pattern {
            Pattern::Exact(data) => Type::new(data.clone()),
            Pattern::Decimal => match arg {
                Some(DataType::Null) => Type::new(DataType::Decimal { precision: 1, scale: 0 }),
                Some(data) => {
                    let (precision, scale) = data.as_decimal()?;
                    Type::new(DataType::Decimal { precision, scale })
                }
                // Results of this pattern have a type rule; this stands in if it has nothing to say.
                None => Type::new(DataType::Decimal { precision: 38, scale: 18 }),
            },
            Pattern::Struct => match arg {
                Some(data @ (DataType::Struct(_) | DataType::Null)) => Type::new(data.clone()),
                Some(_) => return None,
                None => Type::new(DataType::Struct(vec![])),
            },
            Pattern::Any => Type::new(arg.cloned().unwrap_or(DataType::Null)),
            Pattern::Variable(v) => match self.0.get(v) {
                Some(t) if t.data != DataType::Null => t.clone(),
                bound => {
                    let data = if matches!(v, 'N' | 'I') { DataType::Integer } else { DataType::Null };
                    Type { data, nullable: bound.is_some_and(|t| t.nullable) }
                }
            },
            Pattern::Array(item) => {
                let own = match arg {
                    Some(DataType::Array(own)) => Some(own),
                    _ => None,
                };
                let mut element = self.resolve(&item.pattern, own.map(|t| &t.data))?;
                element.nullable |= item.nullable || own.is_some_and(|t| t.nullable);
                Type::new(DataType::Array(Box::new(element)))
            }
            Pattern::Map(key, value) => {
                let (own_key, own) = match arg {
                    Some(DataType::Map(k, v)) => (Some(&**k), Some(v)),
                    _ => (None, None),
                };
                let key = self.resolve(key, own_key)?;
                let mut item = self.resolve(&value.pattern, own.map(|t| &t.data))?;
                item.nullable |= value.nullable || own.is_some_and(|t| t.nullable);
                Type::new(DataType::Map(Box::new(key.data), Box::new(item)))
            }
        })
    }
}

fn allowed(variable: char, data: &DataType) -> bool {
    match variable {
        'N' => data.is_numeric(),
        'I' => data.is_integer(),
        'O' => data.is_orderable(),
        _ => true,
    }
}

/// How far an implicit conversion goes; the nearest overload is taken.
fn distance(from: &DataType, to: &DataType) -> u32 {
    let place = |d: &DataType| match d {
        DataType::Byte => 0,
        DataType::Short => 1,
        DataType::Integer => 2,
        DataType::Long => 3,
        DataType::Decimal { .. } => 10,
        DataType::Float => 15,
        _ => 20,
    };
    match (from, to) {
        (a, b) if a == b || *a == DataType::Null => 0,
        (DataType::Decimal { .. }, DataType::Decimal { .. }) => 1,
        (a, b) if a.is_numeric() && b.is_numeric() => u32::abs_diff(place(a), place(b)),
        (DataType::Array(a), DataType::Array(b)) => distance(&a.data, &b.data),
        (DataType::Map(k, v), DataType::Map(l, w)) => distance(k, l) + distance(&v.data, &w.data),
        _ => 5,
    }
}

struct Fit {
    cost: u32,
    parameters: Vec<Type>,
    result: Type,
}

/// Fits operands to one signature, or says which operand does not fit.
fn fit(function: &Function, signature: &Signature, args: &[Type]) -> Result<Fit, usize> {
    let parameter = |i: usize| &signature.parameters[i.min(signature.parameters.len() - 1)];
    let custom = function.nulls == Nulls::Custom;
    let mut bindings = Bindings::default();
    for (i, arg) in args.iter().enumerate() {
        let nullable = custom && arg.nullable && !parameter(i).pattern.nullable;
        if !bindings.bind(&parameter(i).pattern.pattern, &arg.data, nullable) {
            return Err(i);
        }
    }
    let decimal = |i: &usize| parameter(*i).pattern.pattern == Pattern::Decimal;
    let mut decimals = (0..args.len()).filter(decimal).peekable();
    if let Some(&first) = decimals.peek()
        && !decimals.any(|i| matches!(args[i].data, DataType::Decimal { .. }))
    {
        return Err(first);
    }
    let (mut cost, mut parameters) = (0, vec![]);
    for (i, arg) in args.iter().enumerate() {
        let target = bindings.resolve(&parameter(i).pattern.pattern, Some(&arg.data)).ok_or(i)?.data;
        if !arg.data.widens_to(&target) {
            return Err(i);
        }
        cost += distance(&arg.data, &target);
        parameters.push(Type { data: target, nullable: arg.nullable });
    }
    let mut result = bindings.resolve(&signature.result.pattern, None).ok_or(0usize)?;
    match function.result_type.map(|rule| rule(&parameters)) {
        Some(Some(data)) => result.data = data,
        // The rule alone knows what the variables of the result stand for.
        Some(None) if !bindings.knows(&signature.result.pattern) => return Err(0),
        _ => {}
    }
    result.nullable = signature.result.nullable
        || !custom && args.iter().any(|a| a.nullable)
        || function.result_nullable.is_some_and(|rule| rule(&parameters));
    Ok(Fit { cost, parameters, result })
}

/// Operand types to try a function with: each signature with its variables standing for each of these types in turn, with and without what may be
/// left out. For generators of expressions; what comes out need not resolve.
#[cfg(any(test, feature = "testgen"))]
pub(crate) fn instantiations(function: &'static Function, palette: &[DataType]) -> Vec<Vec<DataType>> {
    let mut all = vec![];
    for signature in signatures(function) {
        let least = signature.parameters.iter().filter(|p| !p.optional).count();
        let most =
            signature.parameters.len() + if signature.parameters.last().is_some_and(|p| p.repeated) { 2 } else { 0 };
        for (count, shift) in (least..=most).flat_map(|c| (0..palette.len()).map(move |s| (c, s))) {
            let parameter = |i: usize| &signature.parameters[i.min(signature.parameters.len() - 1)].pattern.pattern;
            let types: Option<Vec<_>> =
                (0..count).map(|i| instantiate(parameter(i), &palette[shift], shift + i, palette)).collect();
            all.extend(types.filter(|t| !all.contains(t)));
        }
    }
    all
}

#[cfg(any(test, feature = "testgen"))]
fn instantiate(pattern: &Pattern, variable: &DataType, turn: usize, palette: &[DataType]) -> Option<DataType> {
    let pick = |fits: fn(&DataType) -> bool| {
        let fitting: Vec<_> = palette.iter().filter(|d| fits(d)).collect();
        (!fitting.is_empty()).then(|| fitting[turn % fitting.len()].clone())
    };
    let nested = |item: &NullablePattern| {
        let data = instantiate(&item.pattern, variable, turn, palette)?;
        Some(Box::new(Type { data, nullable: turn.is_multiple_of(2) }))
    };
    Some(match pattern {
        Pattern::Exact(data) => data.clone(),
        Pattern::Decimal => pick(|d| matches!(d, DataType::Decimal { .. }))?,
        Pattern::Struct => pick(|d| matches!(d, DataType::Struct(_)))?,
        Pattern::Variable(v) => allowed(*v, variable).then(|| variable.clone())?,
        Pattern::Any => palette.get(turn % palette.len())?.clone(),
        Pattern::Array(item) => DataType::Array(nested(item)?),
        Pattern::Map(_, value) => DataType::Map(Box::new(DataType::String), nested(value)?),
    })
}

fn takes(signature: &Signature, count: usize) -> bool {
    let least = signature.parameters.iter().filter(|p| !p.optional).count();
    let repeated = signature.parameters.last().is_some_and(|p| p.repeated);
    count >= least && (repeated || count <= signature.parameters.len())
}

/// Chooses the overload of a function for operands of these types: the one that needs the least conversion.
pub fn resolve(name: &str, args: &[Type]) -> Result<Resolution, ResolveError> {
    let function = find(name).ok_or(ResolveError::UnknownFunction)?;
    let texts = || function.signatures.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let overloads = signatures(function.0);
    let candidates: Vec<&Signature> = overloads.iter().filter(|s| takes(s, args.len())).collect();
    if candidates.is_empty() {
        return Err(ResolveError::Arity { signatures: texts(), expected: arity_in_words(overloads) });
    }
    let (mut best, mut worst): (Option<Fit>, (usize, Vec<String>)) = (None, (0, vec![]));
    for signature in candidates {
        match fit(function.0, signature, args) {
            Ok(found) => {
                if best.as_ref().is_none_or(|b| found.cost < b.cost) {
                    best = Some(found);
                }
            }
            Err(index) => {
                let words = in_words(&signature.parameters[index.min(signature.parameters.len() - 1)].pattern.pattern);
                if index > worst.0 {
                    worst = (index, vec![]);
                }
                if index == worst.0 && !worst.1.contains(&words) {
                    worst.1.push(words);
                }
            }
        }
    }
    if worst.1.len() > 1 {
        // Where a number will do, a decimal is one.
        worst.1.retain(|w| w != "`decimal`");
    }
    match best {
        Some(fit) => Ok(Resolution { function, parameters: fit.parameters, result: fit.result }),
        None => Err(ResolveError::Argument { index: worst.0, expected: worst.1.join(" or "), signatures: texts() }),
    }
}

fn arity_in_words(overloads: &[Signature]) -> String {
    if let Some(repeated) = overloads.iter().find(|s| s.parameters.last().is_some_and(|p| p.repeated)) {
        return format!("at least {}", repeated.parameters.iter().filter(|p| !p.optional).count());
    }
    let most = overloads.iter().map(|s| s.parameters.len()).max().unwrap_or(0);
    let counts: Vec<String> =
        (0..=most).filter(|n| overloads.iter().any(|s| takes(s, *n))).map(|n| n.to_string()).collect();
    match counts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "0".to_string(),
    }
}

fn in_words(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Variable('N') => "a number".to_string(),
        Pattern::Variable('I') => "an integer".to_string(),
        Pattern::Variable('O') => "a value that can be compared".to_string(),
        Pattern::Variable(_) => "a value of the same type".to_string(),
        other => format!("`{}`", text_of(other)),
    }
}

fn text_of(pattern: &Pattern) -> String {
    let nullable = |p: &NullablePattern| format!("{}{}", text_of(&p.pattern), if p.nullable { "?" } else { "" });
    match pattern {
        Pattern::Exact(data) => data.to_string(),
        Pattern::Decimal => "decimal".to_string(),
        Pattern::Struct => "struct".to_string(),
        Pattern::Any => "any".to_string(),
        Pattern::Variable(v) => v.to_string(),
        Pattern::Array(item) => format!("array<{}>", nullable(item)),
        Pattern::Map(key, value) => format!("map<{}, {}>", text_of(key), nullable(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(texts: &[&str]) -> Vec<Type> {
        let one = |t: &&str| {
            let mut reader = Reader { rest: t };
            if reader.eat("null") {
                return Type::null();
            }
            let p = reader.pattern().expect("a type");
            let mut data = Bindings::default().resolve(&p.pattern, None).expect("a type").data;
            if p.pattern == Pattern::Decimal {
                data = DataType::Decimal { precision: 10, scale: 2 };
            }
            Type { data, nullable: p.nullable }
        };
        texts.iter().map(one).collect()
    }

    fn shown(name: &str, args: &[&str]) -> String {
        match resolve(name, &types(args)) {
            Ok(r) => {
                let parameters: Vec<String> = r.parameters.iter().map(|t| t.to_string()).collect();
                format!("({}) -> {}", parameters.join(", "), r.result)
            }
            Err(ResolveError::UnknownFunction) => "unknown".to_string(),
            Err(ResolveError::Arity { expected, .. }) => format!("takes {expected}"),
            Err(ResolveError::Argument { index, expected, .. }) => format!("operand {index}: {expected}"),
        }
    }

    #[test]
    fn every_signature_is_read() {
        for f in all() {
            for text in f.signatures {
                let parsed = parse(text);
                assert!(parsed.is_some(), "cannot read `{text}`");
                assert!(text.starts_with(&format!("{}(", f.name)), "`{text}` is not of `{}`", f.name);
            }
        }
    }

    #[test]
    fn overloads() {
        assert_eq!(shown("add", &["integer", "integer"]), "(integer, integer) -> integer");
        assert_eq!(shown("add", &["byte", "long?"]), "(long, long?) -> long?");
        assert_eq!(shown("add", &["integer", "decimal"]), "(decimal(10, 0), decimal(10, 2)) -> decimal(13, 2)");
        assert_eq!(shown("add", &["double", "decimal"]), "(double, double) -> double");
        assert_eq!(shown("add", &["float", "float"]), "(float, float) -> float");
        assert_eq!(shown("add", &["float", "integer"]), "(double, double) -> double");
        assert_eq!(shown("add", &["date", "duration"]), "(timestamp, duration) -> timestamp");
        assert_eq!(shown("subtract", &["date", "date"]), "(date, date) -> duration");
        assert_eq!(shown("subtract", &["date", "timestamp"]), "(timestamp, timestamp) -> duration");
        assert_eq!(shown("divide", &["integer", "integer"]), "(double, double) -> double");
        assert_eq!(shown("divide", &["integer", "decimal"]), "(decimal(10, 0), decimal(10, 2)) -> decimal(23, 11)");
        assert_eq!(shown("add", &["integer", "null"]), "(integer, integer?) -> integer?");
        assert_eq!(shown("equal", &["array<integer>", "array<long?>"]), "(array<long?>, array<long?>) -> boolean");
    }

    #[test]
    fn misfits() {
        assert_eq!(shown("no_such", &[]), "unknown");
        assert_eq!(shown("add", &["integer"]), "takes 2");
        assert_eq!(shown("add", &["integer", "string"]), "operand 1: a number");
        assert_eq!(shown("like", &["string", "integer"]), "operand 1: `string`");
        assert_eq!(shown("equal", &["map<string, integer>", "integer"]), "operand 0: a value that can be compared");
    }
}
