//! What the parser of the text form sees of the text: words, names, numbers, punctuation. It must not know of what they are put together to.

use crate::expr::Origin;
use crate::types::{DataType, Field, Schema, Type};
use std::fmt;

/// Deeper nesting is refused: parsing recurses.
const MAX_DEPTH: usize = 80;

/// Why a text is not a text form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// The byte where reading stopped.
    pub at: usize,
    /// What was expected there.
    pub message: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.message)
    }
}

impl std::error::Error for TextError {}

pub(super) type Parsed<T> = Result<T, TextError>;

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Reader { text, at: 0, depth: 0 }
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(TextError { at: self.at, message: message.into() })
    }

    /// What is left, without leading space.
    pub(super) fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        &self.text[self.at..]
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.text.len());
    }

    pub(super) fn peek(&mut self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes this punctuation if it comes next.
    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.skip(sign.len());
        }
        found
    }

    pub(super) fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.eat(sign) { Ok(()) } else { self.fail(format!("expected `{sign}`")) }
    }

    /// The plain word that comes next, not taken.
    pub(super) fn peek_word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if rest.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &rest[..end] }
    }

    /// Takes this word if it comes next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == word;
        if found {
            self.skip(word.len());
        }
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { self.fail(format!("expected `{word}`")) }
    }

    pub(super) fn word(&mut self) -> Parsed<&'a str> {
        let word = self.peek_word();
        self.skip(word.len());
        if word.is_empty() { self.fail("expected a word") } else { Ok(word) }
    }

    /// A name: a word, or anything in backticks.
    pub(super) fn name(&mut self) -> Parsed<String> {
        if self.peek() == Some('`') { self.quoted('`') } else { self.word().map(str::to_string) }
    }

    pub(super) fn string(&mut self) -> Parsed<String> {
        if self.peek() == Some('"') { self.quoted('"') } else { self.fail("expected a string") }
    }

    fn quoted(&mut self, quote: char) -> Parsed<String> {
        self.skip(1);
        let mut out = String::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else { return self.fail("the quotes do not end") };
            self.skip(c.len_utf8());
            match c {
                c if c == quote => return Ok(out),
                '\\' => out.push(self.escaped()?),
                c => out.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Parsed<char> {
        let Some(c) = self.text[self.at..].chars().next() else { return self.fail("the quotes do not end") };
        self.skip(c.len_utf8());
        match c {
            'n' => Ok('\n'),
            't' => Ok('\t'),
            'u' => {
                let rest = &self.text[self.at..];
                let code = rest.strip_prefix('{').and_then(|r| r.split_once('}')).map(|(code, _)| code);
                let Some(code) = code else { return self.fail("expected `{`") };
                self.skip(code.len() + 2);
                match u32::from_str_radix(code, 16).ok().and_then(char::from_u32) {
                    Some(c) => Ok(c),
                    None => self.fail("no such character"),
                }
            }
            c => Ok(c),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn number<T: std::str::FromStr>(&mut self) -> Parsed<T> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        match rest[..end].parse() {
            Ok(number) => {
                self.skip(end);
                Ok(number)
            }
            Err(_) => self.fail("expected a number"),
        }
    }

    /// A JSON value.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&mut self) -> Parsed<T> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                let bytes = values.byte_offset();
                self.skip(bytes);
                Ok(value)
            }
            Some(Err(error)) => self.fail(error.to_string()),
            None => self.fail("expected JSON"),
        }
    }

    /// Items separated by commas up to the closing sign, which is taken.
    pub(super) fn list<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![];
        while !self.eat(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Reads something nested.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return self.fail("nested too deep");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// `@file:start..end`, if it comes next.
    pub(super) fn origin(&mut self) -> Parsed<Origin> {
        // A literal begins with the same sign, but with a word behind it.
        if !self.rest().starts_with('@') || !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Origin::default());
        }
        self.skip(1);
        let file = self.number()?;
        self.expect(":")?;
        let start = self.number()?;
        self.expect("..")?;
        Ok(Origin { file, start, end: self.number()? })
    }

    pub(super) fn end(&mut self) -> Parsed<()> {
        if self.rest().is_empty() { Ok(()) } else { self.fail("expected the end") }
    }

    pub(super) fn schema(&mut self) -> Parsed<Schema> {
        self.expect("(")?;
        Ok(Schema::new(self.list(")", Self::field)?))
    }

    /// `name: type`, perhaps with a comment in quotes.
    pub(super) fn field(&mut self) -> Parsed<Field> {
        let name = self.name()?;
        self.expect(":")?;
        let ty = self.ty()?;
        let comment = if self.peek() == Some('"') { Some(self.string()?) } else { None };
        Ok(Field { name, ty, comment })
    }

    pub(super) fn ty(&mut self) -> Parsed<Type> {
        let data = self.nested(Self::data_type)?;
        // The type of `null` alone is always nullable, and written without a sign.
        let nullable = self.eat("?") ^ (data == DataType::Null);
        Ok(Type { data, nullable })
    }

    fn data_type(&mut self) -> Parsed<DataType> {
        Ok(match self.word()? {
            "null" => DataType::Null,
            "boolean" => DataType::Boolean,
            "byte" => DataType::Byte,
            "short" => DataType::Short,
            "integer" => DataType::Integer,
            "long" => DataType::Long,
            "float" => DataType::Float,
            "double" => DataType::Double,
            "decimal" => {
                self.expect("(")?;
                let precision: u8 = self.number()?;
                self.expect(",")?;
                let scale = self.number()?;
                self.expect(")")?;
                if !(1..=38).contains(&precision) || scale > precision {
                    return self.fail(format!("there is no decimal({precision}, {scale})"));
                }
                DataType::Decimal { precision, scale }
            }
            "string" => DataType::String,
            "binary" => DataType::Binary,
            "date" => DataType::Date,
            "timestamp" => DataType::Timestamp,
            "timestamp_ntz" => DataType::TimestampNtz,
            "duration" => DataType::Duration,
            "array" => {
                self.expect("<")?;
                let item = self.ty()?;
                self.expect(">")?;
                DataType::Array(Box::new(item))
            }
            "map" => {
                self.expect("<")?;
                let key = self.nested(Self::data_type)?;
                self.expect(",")?;
                let value = self.ty()?;
                self.expect(">")?;
                DataType::Map(Box::new(key), Box::new(value))
            }
            "struct" => {
                self.expect("<")?;
                DataType::Struct(self.list(">", Self::field)?)
            }
            other => return self.fail(format!("`{other}` is no type")),
        })
    }
}
