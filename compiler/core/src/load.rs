//! Reading the program's files: the main one and those that it uses. Knows how files refer to each other; files themselves come in through [`Loader`].

use crate::codes;
use flowc_syntax::ast::{Ast, Item, Use};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::{FileId, SourceMap, Span};

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// There is no such file.
    NotFound,
    /// There is, but it cannot be read: why.
    Unreadable(String),
}

/// Gives the text of files.
pub trait Loader {
    /// The text of the file at this path.
    fn load(&self, path: &str) -> Result<String, LoadError>;
}

/// A loader over texts given beforehand, for tests and editors.
#[derive(Debug, Clone, Default)]
pub struct FixedLoader {
    /// The texts by path.
    pub files: indexmap::IndexMap<String, String>,
}

impl Loader for FixedLoader {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        self.files.get(path).cloned().ok_or(LoadError::NotFound)
    }
}

/// The files of a program, parsed.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The texts.
    pub sources: SourceMap,
    /// The trees, by file.
    pub trees: Vec<Ast>,
    /// What the parser and the loader found.
    pub diagnostics: Vec<Diagnostic>,
}

/// Text to tree, as [`flowc_syntax::parse`] does it.
pub type Parse<'a> = &'a dyn Fn(FileId, &str) -> (Ast, Vec<Diagnostic>);

/// Reads the file at `path` and all that it uses, each once.
pub fn load(path: &str, loader: &dyn Loader) -> Loaded {
    load_with(path, loader, &flowc_syntax::parse)
}

/// The same with a parser that may remember what it parsed before.
pub fn load_with(path: &str, loader: &dyn Loader, parse: Parse<'_>) -> Loaded {
    let mut reader = Reader { loader, parse, loaded: Loaded::default(), paths: vec![] };
    match loader.load(path) {
        Ok(text) => {
            reader.file(path, text, &mut vec![]);
        }
        Err(error) => {
            let file = reader.loaded.sources.add(path, "");
            reader.loaded.trees.push(Ast::default());
            let diagnostic = unread(path, Span::new(file, 0, 0), &error);
            reader.loaded.diagnostics.push(diagnostic);
        }
    }
    reader.loaded
}

struct Reader<'a> {
    loader: &'a dyn Loader,
    parse: Parse<'a>,
    loaded: Loaded,
    paths: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, text: String, open: &mut Vec<String>) {
        let file = self.loaded.sources.add(path, text);
        let text = self.loaded.sources.file(file).text.clone();
        let (tree, diagnostics) = (self.parse)(file, &text);
        self.loaded.diagnostics.extend(diagnostics);
        let uses: Vec<Use> =
            tree.declarations().filter_map(|i| if let Item::Use(u) = i { Some(u.clone()) } else { None }).collect();
        debug_assert_eq!(file, FileId(self.loaded.trees.len() as u32));
        self.loaded.trees.push(tree);
        self.paths.push(normalize(path));
        open.push(normalize(path));
        for used in uses {
            let within = |d: &Diagnostic| {
                d.span.file == file && d.span.start >= used.path_span.start && d.span.end <= used.path_span.end
            };
            if !self.loaded.diagnostics.iter().any(within) {
                self.used(path, &used, open);
            }
        }
        open.pop();
    }

    fn used(&mut self, from: &str, used: &Use, open: &mut Vec<String>) {
        let path = join(parent(from), &used.path);
        if let Some(at) = open.iter().position(|p| *p == path) {
            let chain: Vec<&str> = open[at..].iter().map(String::as_str).chain([path.as_str()]).collect();
            self.loaded.diagnostics.push(
                Diagnostic::error(codes::USE_CYCLE, used.path_span, "files use each other in a circle")
                    .label(format!("this closes the circle {}", chain.join(" → ")))
                    .help("move the functions that both need into a third file"),
            );
            return;
        }
        if self.paths.contains(&path) {
            return;
        }
        match self.loader.load(&path) {
            Ok(text) => self.file(&path, text, open),
            Err(error) => {
                let diagnostic = unread(&path, used.path_span, &error);
                self.loaded.diagnostics.push(diagnostic);
            }
        }
    }
}

fn unread(path: &str, span: Span, error: &LoadError) -> Diagnostic {
    let reason = match error {
        LoadError::NotFound => "there is no such file".to_string(),
        LoadError::Unreadable(why) => why.clone(),
    };
    Diagnostic::error(codes::USE_NOT_FOUND, span, format!("cannot read `{path}`"))
        .label(reason)
        .help("the path is relative to the file that holds this line")
}

/// The folder of a path: what stands before its last `/`.
pub fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

/// A path put behind a directory, without `.` and `..`; absolute paths and URLs stay as they are.
pub fn join(base: &str, path: &str) -> String {
    if path.contains("://") || base.is_empty() {
        return normalize(path);
    }
    if path.starts_with('/') { normalize(path) } else { normalize(&format!("{base}/{path}")) }
}

fn normalize(path: &str) -> String {
    if path.contains("://") {
        return path.to_string();
    }
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            other => parts.push(other),
        }
    }
    format!("{}{}", if path.starts_with('/') { "/" } else { "" }, parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_normalized() {
        assert_eq!(join("/a/b", "./c/../d"), "/a/b/d");
        assert_eq!(join("/a/b", "../d"), "/a/d");
        assert_eq!(join("/a/b", "/d/./e"), "/d/e");
        assert_eq!(join("/a/b", "s3://x/../y"), "s3://x/../y");
        assert_eq!(join("", "../x"), "../x");
        assert_eq!(join("/", "../x"), "/x");
    }
}
