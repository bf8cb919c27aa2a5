//! What could be written at a place: steps, columns in scope, functions, options, names, paths. Must not know how an editor shows it.

use crate::TextRange;
use crate::analysis::{Analysis, doc_of};
use crate::cursor::{Cursor, Scope, scope};
use crate::words::{self, Word};
use crate::workspace::{PathLister, Workspace};
use flowc_core::load::{join, parent};
use flowc_ir::{DataType, Type};
use flowc_syntax::TokenKind;
use flowc_syntax::ast::Item;
use flowc_syntax::words::TYPES;

/// What kind of thing is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CompletionKind {
    /// A column.
    Column,
    /// A field of a struct, or an option.
    Field,
    /// A source, table or flow.
    Relation,
    /// A sink.
    Sink,
    /// A param, or a parameter of a function.
    Param,
    /// A function.
    Function,
    /// A type.
    Type,
    /// A word of the language.
    Keyword,
    /// A connector.
    Connector,
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Something that could be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What it is called.
    pub label: String,
    /// What it is.
    pub kind: CompletionKind,
    /// Its type or signature.
    pub detail: String,
    /// What it does.
    pub doc: String,
    /// What is written instead of `range`; a snippet of the protocol: `$1` and `${1:name}` are places to go on.
    pub insert: String,
    /// What is replaced.
    pub range: TextRange,
}

/// Text as part of a snippet.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('$', "\\$").replace('}', "\\}")
}

/// Whether something is missing of what can be read, or of its types.
fn is_vague(scope: &Scope) -> bool {
    let shape = &scope.shape;
    shape.open || shape.columns.is_empty() || shape.columns.iter().any(|c| c.ty.is_none())
}

struct Completer<'a> {
    cursor: Cursor<'a>,
    now: &'a Analysis,
    scope: Option<Scope>,
    found: Vec<Completion>,
}

impl Workspace {
    /// What could be written at a byte. Paths come from `files`.
    pub fn complete(&mut self, path: &str, offset: usize, files: &dyn PathLister) -> Vec<Completion> {
        let (now, file) = self.at(path);
        let Some(file) = file else { return vec![] };
        let good = self.last_good(now.path(flowc_syntax::FileId(0)));
        let text = now.text(file).clone();
        let cursor = Cursor::new(&text, offset);
        let mut scope = scope(&cursor, &now, good.as_deref(), file);
        // What is being typed may take its whole declaration with it; with a name in the gap the checker knows its way.
        let words = matches!(cursor.declaration.0, "flow" | "sink" | "test");
        if scope.as_ref().is_none_or(is_vague) && words && cursor.inside.is_none() {
            let mended = format!("{}x_{}", &text[..cursor.offset], &text[cursor.offset..]);
            let guess = self.speculate(path, &mended);
            scope = guess.file(path).and_then(|file| crate::cursor::scope(&cursor, &guess, None, file)).or(scope);
        }
        let mut completer = Completer { cursor, now: &now, scope, found: vec![] };
        match completer.cursor.inside.clone() {
            Some(token) if matches!(token.kind, TokenKind::Comment | TokenKind::DocComment) => return vec![],
            Some(_) => {
                // Where the string begins, before what is put into it.
                let line = text[..completer.cursor.offset].rfind('\n').map_or(0, |n| n + 1);
                let start = text[line..completer.cursor.offset].rfind('"').map(|at| line + at + 1);
                if let Some(start) = start {
                    completer.path(parent(path), start, files);
                }
            }
            None => completer.all(),
        }
        completer.found
    }
}

impl Completer<'_> {
    fn push(&mut self, label: &str, kind: CompletionKind, detail: String, doc: &str, insert: String) {
        let range = self.cursor.word.clone();
        let (label, doc) = (label.to_string(), doc.to_string());
        self.found.push(Completion { label, kind, detail, doc, insert, range });
    }

    fn words(&mut self, list: &[Word]) {
        for word in list {
            self.push(word.name, CompletionKind::Keyword, String::new(), word.doc, word.snippet.to_string());
        }
    }

    fn all(&mut self) {
        let (word, back) = (self.cursor.declaration.0, [self.cursor.back(1), self.cursor.back(2), self.cursor.back(3)]);
        let count = self.cursor.before.len();
        let open = self.cursor.open();
        let innermost = open.last().copied();
        match (back, word) {
            _ if count == 0 => self.words(words::DECLARATIONS),
            (["|>", ..], _) => self.words(words::STEPS),
            ([".", ..], _) => self.fields(),
            (["->", ..], "sink") => self.connectors(|c| c.writes),
            (["=", ..], "source" | "table") if count == 3 => self.connectors(|c| c.reads),
            (["=", ..], "flow" | "sink") if count == 3 => self.relations(),
            (["join" | "union", ..], "flow") => self.relations(),
            ([",", ..], "flow") if self.cursor.step().first() == Some(&"union") => self.relations(),
            (["given" | "then", ..], "test") => self.relations(),
            (["mode", ..], "sink") => self.words(words::MODES),
            (["else", ..], "flow") if self.is_policy() => self.words(words::POLICIES),
            (["malformed", ..], "source") => self.words(&words::POLICIES[2..]),
            _ if self.is_type_place() => self.types(),
            _ if self.is_option_place(innermost) => self.options(innermost.map_or("", |(_, name, _)| name)),
            (_, "source" | "table") if innermost.is_some_and(|(b, ..)| b == "{") && self.cursor.first_on_line() => {
                self.words(words::SOURCE_CLAUSES);
            }
            (_, "sink")
                if innermost.is_some_and(|(b, ..)| b == "{") && (self.cursor.first_on_line() || back[0] == "{") =>
            {
                self.words(words::SINK_CLAUSES);
            }
            (_, "test") if open.len() == 1 && self.cursor.first_on_line() => self.words(words::TEST_CLAUSES),
            (_, "flow") if self.cursor.pipes() == 0 && count >= 4 => {}
            (_, "use") => {}
            _ => self.expression(),
        }
        // At the margin another declaration may begin.
        let line = self.cursor.text[..self.cursor.word.start].ends_with('\n');
        if line && count > 0 {
            self.words(words::DECLARATIONS);
        }
    }

    /// Whether an `else` belongs to a rule, not to an `if`.
    fn is_policy(&self) -> bool {
        let step = self.cursor.step();
        let rule = step.iter().rposition(|w| *w == ":").unwrap_or(0);
        let count = |word: &str| step[rule..].iter().filter(|w| **w == word).count();
        step.first() == Some(&"expect") && count("if") < count("else")
    }

    fn is_type_place(&self) -> bool {
        let (back, word) = (self.cursor.back(1), self.cursor.declaration.0);
        let schema = self.cursor.open().iter().any(|(_, name, _)| *name == "schema");
        match back {
            "as" => {
                !(word == "flow" && self.cursor.step().first().is_some_and(|s| s.ends_with("join") || *s == "explode"))
            }
            ":" => word == "param" || schema || word == "fn" && self.cursor.open().len() == 1,
            "->" => word == "fn",
            "<" => matches!(self.cursor.back(2), "array" | "map"),
            _ => false,
        }
    }

    fn is_option_place(&self, innermost: Option<(&str, &str, usize)>) -> bool {
        let connector = matches!(self.cursor.declaration.0, "source" | "table" | "sink");
        let call = innermost.is_some_and(|(bracket, _, at)| {
            bracket == "("
                && at.checked_sub(2).is_some_and(|b| {
                    let before = &self.cursor.before[b];
                    matches!(&self.cursor.text[before.range.clone()], "=" | "->")
                })
        });
        connector && call && matches!(self.cursor.back(1), "(" | ",")
    }

    fn connectors(&mut self, fits: impl Fn(&flowc_core::ConnectorInfo) -> bool) {
        for connector in flowc_core::connectors().iter().filter(|c| fits(c)) {
            let insert = match connector.first {
                Some(_) => format!("{}(\"$1\")", connector.name),
                None => format!("{}($1)", connector.name),
            };
            self.push(connector.name, CompletionKind::Connector, connector.example.to_string(), "", insert);
        }
    }

    fn options(&mut self, connector: &str) {
        let Some(info) = flowc_core::connectors().iter().find(|c| c.name == connector) else { return };
        for (name, ty) in info.options.iter().filter(|(name, _)| Some(*name) != info.first) {
            self.push(name, CompletionKind::Field, ty.to_string(), "", format!("{name}: $0"));
        }
        self.expression();
    }

    fn types(&mut self) {
        for ty in TYPES.iter().filter(|t| !matches!(**t, "int" | "bigint" | "bool")) {
            let insert = match *ty {
                "decimal" => "decimal(${1:18}, ${2:2})".to_string(),
                "array" => "array<$1>".to_string(),
                "map" => "map<${1:string}, $2>".to_string(),
                "struct" => "struct<$1: $2>".to_string(),
                plain => plain.to_string(),
            };
            self.push(ty, CompletionKind::Type, String::new(), "", insert);
        }
    }

    fn relations(&mut self) {
        let test = self.cursor.back(1) == "then";
        for (name, item) in self.now.declarations() {
            let own = name.text == self.cursor.declaration.1;
            let kind = match item {
                Item::Source(_) | Item::Table(_) | Item::Flow(_) if !own => CompletionKind::Relation,
                Item::Sink(_) if test => CompletionKind::Sink,
                _ => continue,
            };
            let shape = self.now.facts.relations.get(&name.text);
            let detail = shape.map_or(String::new(), |s| {
                let names: Vec<&str> =
                    s.columns.iter().filter(|c| c.table.is_none()).map(|c| c.name.as_str()).collect();
                names.join(", ")
            });
            let insert = plain(&flowc_ir::types::quote_name(&name.text));
            self.push(&name.text, kind, detail, doc_of(item).unwrap_or_default(), insert);
        }
    }

    /// Behind a point: columns of a joined table, side outputs, fields of a struct.
    fn fields(&mut self) {
        let base = self.cursor.back(2).trim_matches('`').to_string();
        let reference = matches!(self.cursor.back(3), "=" | "join" | "union" | "given" | "then" | ",");
        let relation = self.now.facts.relations.contains_key(&base);
        if relation
            && reference
            && (self.cursor.step().first() == Some(&"union")
                || self.cursor.before.len() <= 5
                || self.cursor.back(3) == "join")
        {
            for output in ["rejected", "late", "malformed"] {
                self.push(output, CompletionKind::Field, String::new(), "A side output.", output.to_string());
            }
            return;
        }
        let Some(scope) = self.scope.clone() else { return };
        let joined: Vec<_> = scope.shape.columns.iter().filter(|c| c.table.as_deref() == Some(&base)).collect();
        for column in &joined {
            let detail = column.ty.as_ref().map_or(String::new(), Type::to_string);
            let insert = plain(&flowc_ir::types::quote_name(&column.name));
            self.push(
                &column.name,
                CompletionKind::Column,
                detail,
                column.comment.as_deref().unwrap_or_default(),
                insert,
            );
        }
        if !joined.is_empty() {
            return;
        }
        let own = scope.shape.columns.iter().find(|c| c.table.is_none() && c.name == base).and_then(|c| c.ty.clone());
        let made = scope.made.iter().rev().find(|(name, _)| *name == base).and_then(|(_, ty)| ty.clone());
        // What stands before the point may be a longer path: its type was recorded where it ends.
        let end = self.cursor.before.len().checked_sub(2).map_or(0, |i| self.cursor.before[i].range.end);
        let typed = self.now.facts.types.iter().find(|(span, _)| span.end as usize == end).map(|(_, ty)| ty.clone());
        if let Some(Type { data: DataType::Struct(fields), .. }) = made.or(own).or(typed) {
            for field in fields {
                let insert = plain(&flowc_ir::types::quote_name(&field.name));
                self.push(
                    &field.name,
                    CompletionKind::Field,
                    field.ty.to_string(),
                    field.comment.as_deref().unwrap_or_default(),
                    insert,
                );
            }
        }
    }

    fn expression(&mut self) {
        self.columns();
        for (name, item) in self.now.declarations() {
            match item {
                Item::Param(param) => {
                    let detail = self.now.outcome.sources.text(param.ty.span).to_string();
                    let (doc, insert) =
                        (param.doc.clone().unwrap_or_default(), flowc_ir::types::quote_name(&name.text));
                    self.push(&name.text, CompletionKind::Param, detail, &doc, plain(&insert));
                }
                Item::Function(function) => {
                    let detail = crate::hover::own_signature(self.now, function);
                    let params: Vec<&str> = function.params.iter().map(|(n, _)| n.text.as_str()).collect();
                    let doc = function.doc.clone().unwrap_or_default();
                    self.push(&name.text, CompletionKind::Function, detail, &doc, call(&name.text, &params));
                }
                _ => {}
            }
        }
        if self.cursor.declaration.0 == "fn" {
            let own = self.now.declarations().find(|(n, _)| n.text == self.cursor.declaration.1);
            if let Some((_, Item::Function(function))) = own {
                for (name, ty) in &function.params {
                    let detail = self.now.outcome.sources.text(ty.span).to_string();
                    self.push(&name.text, CompletionKind::Param, detail, "", plain(&name.text));
                }
            }
        }
        self.functions();
        self.words(words::EXPRESSIONS);
    }

    fn columns(&mut self) {
        let Some(scope) = self.scope.clone() else { return };
        for (name, ty) in &scope.made {
            let detail = ty.as_ref().map_or(String::new(), Type::to_string);
            self.push(name, CompletionKind::Column, detail, "", plain(&flowc_ir::types::quote_name(name)));
        }
        for column in scope.shape.columns.iter() {
            if column.table.is_none() && scope.made.iter().any(|(name, _)| *name == column.name) {
                continue;
            }
            let (label, detail) = (column.written(), column.ty.as_ref().map_or(String::new(), Type::to_string));
            self.push(
                &label,
                CompletionKind::Column,
                detail,
                column.comment.as_deref().unwrap_or_default(),
                plain(&label),
            );
        }
    }

    fn functions(&mut self) {
        if self.cursor.step().first() == Some(&"aggregate") {
            for aggregate in flowc_ir::aggregates::ALL {
                let params = parameters(aggregate.signature);
                self.push(
                    aggregate.name,
                    CompletionKind::Function,
                    aggregate.signature.to_string(),
                    aggregate.doc,
                    call(aggregate.name, &params),
                );
            }
        }
        for function in flowc_ir::functions::completions() {
            let signature = function.signatures.first().copied().unwrap_or_default();
            self.push(
                function.name,
                CompletionKind::Function,
                signature.to_string(),
                function.doc,
                call(function.name, &parameters(signature)),
            );
        }
    }

    /// Paths inside of a string: of tables and files behind a connector, of programs behind `use`.
    fn path(&mut self, base: &str, start: usize, files: &dyn PathLister) {
        let word = self.cursor.declaration.0;
        let innermost = self.cursor.open().last().map(|(bracket, ..)| *bracket);
        let place = word == "use" || matches!(word, "source" | "table" | "sink") && innermost == Some("(");
        let written = &self.cursor.text[start..self.cursor.offset];
        // What a param stands for is not known before the program runs.
        if !place || written.contains("://") {
            return;
        }
        let (folder, _) = written.rsplit_once('/').map_or(("", written), |(folder, name)| (folder, name));
        let defaults = crate::hover::with_defaults(self.now, folder);
        let listed = files.list(&join(base, if defaults.is_empty() { "." } else { &defaults }));
        let range = self.cursor.offset
            - (written.len() - if folder.is_empty() && !written.starts_with('/') { 0 } else { folder.len() + 1 })
            ..self.cursor.offset;
        for name in listed.into_iter().filter(|n| !n.starts_with('.') && *n != "_delta_log/") {
            if word == "use" && !name.ends_with('/') && !name.ends_with(".flow") {
                continue;
            }
            let kind = if name.ends_with('/') { CompletionKind::Folder } else { CompletionKind::File };
            let insert = plain(name.trim_end_matches('/'));
            let completion = Completion {
                label: name,
                kind,
                detail: String::new(),
                doc: String::new(),
                insert,
                range: range.clone(),
            };
            self.found.push(completion);
        }
    }
}

/// The names of the parameters of a signature that must be given.
fn parameters(signature: &str) -> Vec<&str> {
    let inside =
        signature.split_once('(').and_then(|(_, rest)| rest.split_once(") ->")).map_or("", |(inside, _)| inside);
    let required = inside.split(", ").filter(|p| !p.contains('='));
    required.filter_map(|p| p.split(':').next()).map(str::trim).filter(|p| !p.is_empty()).collect()
}

/// A call as a snippet.
fn call(name: &str, params: &[&str]) -> String {
    let places: Vec<String> = params.iter().enumerate().map(|(i, p)| format!("${{{}:{}}}", i + 1, plain(p))).collect();
    format!("{}({})", plain(&flowc_ir::types::quote_name(name)), places.join(", "))
}
