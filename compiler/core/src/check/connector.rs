//! Connectors: names, options, their types and values. One table says what there is.

use crate::check::Checker;
use crate::codes;
use crate::load;
use flowc_ir::plan::Connector;
use flowc_ir::{DataType, Value};
use flowc_syntax::ast::{self, Arg};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;
use std::collections::BTreeMap;

/// What a connector is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Source,
    Table,
    Sink,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Table => "table",
            Role::Sink => "sink",
        }
    }
}

/// A connector: what an editor may say of it.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorInfo {
    /// Its name.
    pub name: &'static str,
    /// What the first argument is called, if it is given without a name.
    pub first: Option<&'static str>,
    /// Its options, with their types.
    pub options: &'static [(&'static str, DataType)],
    /// Whether rows can be read from it.
    pub reads: bool,
    /// Whether rows can be written to it.
    pub writes: bool,
    /// How it is written.
    pub example: &'static str,
}

use ConnectorInfo as Signature;

/// The connectors of the language.
pub fn connectors() -> &'static [ConnectorInfo] {
    SIGNATURES
}

const SIGNATURES: &[Signature] = &[
    Signature {
        name: "delta",
        first: Some("location"),
        options: &[("location", DataType::String)],
        reads: true,
        writes: true,
        example: "delta(\"path/to/table\")",
    },
    Signature {
        name: "parquet",
        first: Some("glob"),
        options: &[("glob", DataType::String)],
        reads: true,
        writes: true,
        example: "parquet(\"data/*.parquet\")",
    },
    Signature {
        name: "csv",
        first: Some("glob"),
        options: &[
            ("glob", DataType::String),
            ("header", DataType::Boolean),
            ("delimiter", DataType::String),
            ("quote", DataType::String),
            ("null", DataType::String),
        ],
        reads: true,
        writes: true,
        example: "csv(\"data/*.csv\", header: true, delimiter: \";\")",
    },
    Signature {
        name: "json",
        first: Some("glob"),
        options: &[("glob", DataType::String)],
        reads: true,
        writes: true,
        example: "json(\"data/*.jsonl\")",
    },
    Signature {
        name: "generate",
        first: None,
        options: &[("rows", DataType::Long), ("rate", DataType::Long), ("seed", DataType::Long)],
        reads: true,
        writes: false,
        example: "generate(rows: 1000)",
    },
    Signature { name: "console", first: None, options: &[], reads: false, writes: true, example: "console()" },
];

impl Checker<'_> {
    /// The connector with its options; none: something is wrong, and was reported.
    pub(super) fn connector(&self, written: &ast::Connector, role: Role) -> Option<Connector> {
        let name = written.name.text.as_str();
        if name == "kafka" {
            self.unsupported(
                codes::UNSUPPORTED_KAFKA,
                written.name.span,
                "`kafka`",
                "read the topic's data from a Delta table or from files",
            );
            return None;
        }
        let Some(signature) = SIGNATURES.iter().find(|s| s.name == name) else {
            self.unknown_connector(written);
            return None;
        };
        let options = self.options(signature, written);
        // Made-up rows are a stream; there is no snapshot of them to look up in.
        let fits = |s: &Signature| match role {
            Role::Source => s.reads,
            Role::Table => s.reads && s.first.is_some(),
            Role::Sink => s.writes,
        };
        if !fits(signature) {
            let others: Vec<&str> = SIGNATURES.iter().filter(|s| fits(s)).map(|s| s.name).collect();
            self.report(
                Diagnostic::error(
                    codes::WRONG_CONNECTOR,
                    written.name.span,
                    format!("`{name}` cannot be a {}", role.word()),
                )
                .label(if role == Role::Sink {
                    "rows cannot be written there"
                } else {
                    "rows cannot be read from there"
                })
                .help(format!("a {} can be {}", role.word(), super::list(others))),
            );
            return None;
        }
        self.build(signature, written, options?)
    }

    fn unknown_connector(&self, written: &ast::Connector) {
        let name = written.name.text.as_str();
        let names: Vec<&str> = SIGNATURES.iter().map(|s| s.name).chain(["kafka"]).collect();
        let help = match name.to_lowercase().as_str() {
            "deltalake" | "delta_lake" => Help::did_you_mean("delta"),
            "stdout" | "print" | "stdin" => Help::did_you_mean("console"),
            "jsonl" | "ndjson" => Help::did_you_mean("json"),
            "file" | "files" => "say what is in the files: `parquet`, `csv` or `json`".into(),
            _ => super::names::suggestion(name, &names, "the connectors are"),
        };
        self.report(
            Diagnostic::error(codes::UNKNOWN_CONNECTOR, written.name.span, format!("there is no connector `{name}`"))
                .label("unknown connector")
                .help(help),
        );
        for arg in &written.args {
            self.mark_params(&arg.value);
        }
    }

    fn mark_params(&self, e: &ast::Expr) {
        self.silently(|| {
            let rows = super::scope::Rows::unknown();
            self.expr(&mut super::scope::Env::new(&rows), e)
        });
    }

    fn options(
        &self,
        signature: &Signature,
        written: &ast::Connector,
    ) -> Option<BTreeMap<&'static str, (Value, Span)>> {
        let mut given: BTreeMap<&'static str, (Value, Span)> = BTreeMap::new();
        let mut seen: BTreeMap<&'static str, Span> = BTreeMap::new();
        let mut sound = true;
        for (index, arg) in written.args.iter().enumerate() {
            let Some((name, data)) = self.option(signature, index, arg) else {
                self.mark_params(&arg.value);
                sound = false;
                continue;
            };
            let place = arg.name.as_ref().map_or(arg.value.span, |n| n.span);
            if let Some(before) = seen.insert(name, place) {
                self.report(
                    Diagnostic::error(codes::REPEATED_OPTION, place, format!("the option `{name}` is given twice"))
                        .label("again")
                        .also(before, "the first time")
                        .help("leave one out"),
                );
                sound = false;
                continue;
            }
            match self.constant(&arg.value, data, &format!("`{name}` of `{}`", signature.name)) {
                Some(value) => {
                    given.insert(name, (value, arg.value.span));
                }
                None => sound = false,
            }
        }
        sound.then_some(given)
    }

    fn option<'s>(&self, signature: &'s Signature, index: usize, arg: &Arg) -> Option<(&'static str, &'s DataType)> {
        let names: Vec<&str> = signature.options.iter().map(|(n, _)| *n).collect();
        let wanted = match &arg.name {
            Some(name) => Some(name.text.as_str()),
            None if index == 0 => signature.first,
            None => None,
        };
        if let Some((name, data)) = signature.options.iter().find(|(n, _)| Some(*n) == wanted) {
            return Some((name, data));
        }
        let diagnostic = match &arg.name {
            Some(name) => Diagnostic::error(
                codes::UNKNOWN_OPTION,
                name.span,
                format!("`{}` has no option `{}`", signature.name, name.text),
            )
            .label("unknown option")
            .help(match did_you_mean(&name.text, names.iter().copied()) {
                Some(near) => Help::did_you_mean(near),
                None if names.is_empty() => format!("write `{}`", signature.example).into(),
                None => format!("its options are {}", super::list(&names)).into(),
            }),
            None => Diagnostic::error(
                codes::UNKNOWN_OPTION,
                arg.value.span,
                format!("this option of `{}` needs a name", signature.name),
            )
            .label("which option?")
            .help(format!("write for example `{}`", signature.example)),
        };
        self.report(diagnostic);
        None
    }

    fn build(
        &self,
        signature: &Signature,
        written: &ast::Connector,
        options: BTreeMap<&'static str, (Value, Span)>,
    ) -> Option<Connector> {
        let text = |name: &str| match options.get(name) {
            Some((Value::String(s), _)) => Some(s.clone()),
            _ => None,
        };
        let location = match signature.first {
            Some(first) => {
                let Some(path) = text(first).filter(|p| !p.trim().is_empty()) else {
                    self.report(
                        Diagnostic::error(
                            codes::MISSING_OPTION,
                            written.span,
                            format!("`{}` needs a {first}", signature.name),
                        )
                        .label("no place is given")
                        .help(format!("write for example `{}`", signature.example)),
                    );
                    return None;
                };
                self.supported_location(&path, options.get(first).map_or(written.span, |o| o.1))?
            }
            None => String::new(),
        };
        Some(match signature.name {
            "delta" => Connector::Delta { location },
            "parquet" => Connector::Parquet { glob: location },
            "json" => Connector::Json { glob: location },
            "csv" => Connector::Csv {
                glob: location,
                header: !matches!(options.get("header"), Some((Value::Boolean(false), _))),
                delimiter: self.sign(&options, "delimiter", ',')?,
                quote: self.sign(&options, "quote", '"')?,
                null: text("null").unwrap_or_default(),
            },
            "generate" => {
                let rows = self.number(&options, "rows", 0)?;
                let rate = self.number(&options, "rate", 1)?;
                let seed = self.number(&options, "seed", 0)?.unwrap_or(0);
                Connector::Generate { rows, rate, seed }
            }
            _ => Connector::Console,
        })
    }

    fn supported_location(&self, path: &str, span: Span) -> Option<String> {
        let Some((scheme, _)) = path.split_once("://") else {
            let location = load::join(self.program.base, path);
            if !path.starts_with('/') {
                self.relative.borrow_mut().insert(location.clone(), load::join("", path));
            }
            return Some(location);
        };
        if matches!(scheme, "file" | "memory") {
            return Some(path.to_string());
        }
        self.report(
            Diagnostic::error(
                codes::UNSUPPORTED_STORAGE,
                span,
                format!("storage of the kind `{scheme}://` is not supported yet"),
            )
            .label("not a path of this machine")
            .help("use a path, relative to the program's file or absolute"),
        );
        None
    }

    /// A single character.
    fn sign(&self, options: &BTreeMap<&'static str, (Value, Span)>, name: &str, default: char) -> Option<char> {
        let Some((Value::String(text), span)) = options.get(name) else { return Some(default) };
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if c.is_ascii() && !matches!(c, '\r' | '\n') => Some(c),
            _ => {
                self.report(
                    Diagnostic::error(codes::BAD_VALUE, *span, format!("`{name}` must be a single ASCII character"))
                        .label("not one character")
                        .help("for example `\";\"`, or `\"\\t\"` for a tab"),
                );
                None
            }
        }
    }

    /// A whole number, at least `least`.
    fn number(&self, options: &BTreeMap<&'static str, (Value, Span)>, name: &str, least: i64) -> Option<Option<u64>> {
        let Some((Value::Long(number), span)) = options.get(name) else { return Some(None) };
        if *number < least {
            self.report(
                Diagnostic::error(codes::BAD_VALUE, *span, format!("`{name}` must be at least {least}"))
                    .label("too small")
                    .help(format!("for example `{name}: 100`")),
            );
            return None;
        }
        Some(Some(*number as u64))
    }
}
