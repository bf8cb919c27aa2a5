//! Documents with choices of line ends, and the printer that takes them (after Wadler's "A prettier printer").
//! Knows nothing of programs, except that a comment ends its line.

/// How far lines may go.
pub(super) const WIDTH: usize = 100;
const INDENT: usize = 4;

/// A text whose line ends are still open.
#[derive(Debug, Clone)]
pub(super) struct Doc {
    kind: Kind,
    /// It cannot stand on one line.
    forced: bool,
    /// It ends in a comment, so that only a comma may follow on the line.
    tail: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Text(String),
    /// A line end when its group is broken; else this.
    Line(&'static str),
    /// A line end, and so many empty lines before it.
    Hard(usize),
    /// A line end unless nothing stands on the line yet.
    Fresh,
    /// Only when its group is broken.
    IfBroken(&'static str),
    /// At the end of the line that it stands on.
    Comment(String),
    Concat(Vec<Doc>),
    Nest(Vec<Doc>),
    Group(Vec<Doc>),
}

fn leaf(kind: Kind) -> Doc {
    let forced = matches!(kind, Kind::Hard(_) | Kind::Fresh);
    let tail = matches!(kind, Kind::Comment(_));
    Doc { kind, forced, tail }
}

/// Text without line ends.
pub(super) fn text(text: impl Into<String>) -> Doc {
    leaf(Kind::Text(text.into()))
}

/// Nothing.
pub(super) fn nil() -> Doc {
    concat(vec![])
}

/// A blank, or a line end when the group is broken.
pub(super) fn line() -> Doc {
    leaf(Kind::Line(" "))
}

/// Nothing, or a line end when the group is broken.
pub(super) fn soft() -> Doc {
    leaf(Kind::Line(""))
}

/// A line end.
pub(super) fn hard() -> Doc {
    leaf(Kind::Hard(0))
}

/// A line end and an empty line.
pub(super) fn blank() -> Doc {
    leaf(Kind::Hard(1))
}

/// A line end unless the line is empty so far.
pub(super) fn fresh() -> Doc {
    leaf(Kind::Fresh)
}

/// Text that is there only when the group is broken.
pub(super) fn if_broken(text: &'static str) -> Doc {
    leaf(Kind::IfBroken(text))
}

/// A comment at the end of the line.
pub(super) fn comment(text: impl Into<String>) -> Doc {
    leaf(Kind::Comment(text.into()))
}

fn branch(docs: Vec<Doc>, kind: fn(Vec<Doc>) -> Kind) -> Doc {
    let (mut forced, mut tail) = (false, false);
    for doc in &docs {
        let comma = matches!(&doc.kind, Kind::Text(t) if t == ",") || matches!(doc.kind, Kind::IfBroken(_));
        let empty = matches!(&doc.kind, Kind::Concat(d) if d.is_empty());
        if empty {
            continue;
        }
        forced |= doc.forced || (tail && !comma);
        tail = doc.tail || (tail && comma);
    }
    Doc { kind: kind(docs), forced, tail }
}

/// One after the other.
pub(super) fn concat(docs: Vec<Doc>) -> Doc {
    branch(docs, Kind::Concat)
}

/// Indented from the next line end on.
pub(super) fn nest(docs: Vec<Doc>) -> Doc {
    branch(docs, Kind::Nest)
}

/// On one line if it fits.
pub(super) fn group(docs: Vec<Doc>) -> Doc {
    branch(docs, Kind::Group)
}

/// The same document, broken whether it fits or not.
pub(super) fn broken(mut doc: Doc) -> Doc {
    doc.forced = true;
    doc
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Flat,
    Broken,
}

/// The document as text.
pub(super) fn print(doc: &Doc) -> String {
    let mut printer = Printer { out: String::new(), column: 0, written: false, comments: String::new() };
    let mut stack = vec![(0, Mode::Broken, doc)];
    while let Some((indent, mode, doc)) = stack.pop() {
        match &doc.kind {
            Kind::Text(text) => printer.text(text, indent),
            Kind::Line(flat) if mode == Mode::Flat => printer.text(flat, indent),
            Kind::Line(_) => printer.newline(indent, 0),
            Kind::Hard(empty) => printer.newline(indent, *empty),
            Kind::Fresh => {
                if printer.written || !printer.comments.is_empty() {
                    printer.newline(indent, 0);
                }
            }
            Kind::IfBroken(text) if mode == Mode::Broken => printer.text(text, indent),
            Kind::IfBroken(_) => {}
            Kind::Comment(text) => {
                printer.comments.push(' ');
                printer.comments.push_str(text);
            }
            Kind::Concat(docs) => stack.extend(docs.iter().rev().map(|d| (indent, mode, d))),
            Kind::Nest(docs) => stack.extend(docs.iter().rev().map(|d| (indent + INDENT, mode, d))),
            Kind::Group(docs) => {
                let flat =
                    mode == Mode::Flat || (!doc.forced && fits(WIDTH.saturating_sub(printer.column), docs, &stack));
                let mode = if flat { Mode::Flat } else { Mode::Broken };
                stack.extend(docs.iter().rev().map(|d| (indent, mode, d)));
            }
        }
    }
    printer.newline(0, 0);
    printer.out
}

/// Whether the documents fit on the rest of the line, with what must follow them on it.
fn fits(width: usize, docs: &[Doc], rest: &[(usize, Mode, &Doc)]) -> bool {
    let mut left = width;
    let mut behind = rest.len();
    let mut stack: Vec<(Mode, &Doc)> = docs.iter().rev().map(|d| (Mode::Flat, d)).collect();
    loop {
        let Some((mode, doc)) = stack.pop() else {
            if behind == 0 {
                return true;
            }
            behind -= 1;
            stack.push((rest[behind].1, rest[behind].2));
            continue;
        };
        let used = match &doc.kind {
            Kind::Text(text) => text.chars().count(),
            Kind::Line(flat) if mode == Mode::Flat => flat.len(),
            Kind::Line(_) | Kind::Hard(_) | Kind::Fresh => return true,
            Kind::IfBroken(text) if mode == Mode::Broken => text.len(),
            Kind::IfBroken(_) | Kind::Comment(_) => 0,
            // A group behind this one breaks if it must; up to its first line end it is flat either way.
            Kind::Group(docs) => {
                let mode = if doc.forced { Mode::Broken } else { Mode::Flat };
                stack.extend(docs.iter().rev().map(|d| (mode, d)));
                0
            }
            Kind::Concat(docs) | Kind::Nest(docs) => {
                stack.extend(docs.iter().rev().map(|d| (mode, d)));
                0
            }
        };
        match left.checked_sub(used) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
}

struct Printer {
    out: String,
    /// Characters on the line so far, the indent included.
    column: usize,
    /// Whether anything but the indent stands on the line.
    written: bool,
    /// Comments for the end of this line.
    comments: String,
}

impl Printer {
    fn text(&mut self, text: &str, indent: usize) {
        let mut text = text;
        if !self.comments.is_empty() && text != "," {
            if text.trim().is_empty() {
                return;
            }
            self.newline(indent, 0);
            text = text.trim_start();
        }
        self.out.push_str(text);
        self.column += text.chars().count();
        self.written |= !text.trim().is_empty();
    }

    fn newline(&mut self, indent: usize, empty: usize) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        let comments = std::mem::take(&mut self.comments);
        let fresh = self.out.is_empty() || self.out.ends_with('\n');
        self.out.push_str(if fresh { comments.trim_start() } else { &comments });
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
            if empty > 0 && !self.out.ends_with("\n\n") {
                self.out.push('\n');
            }
        }
        self.out.push_str(&" ".repeat(indent));
        self.column = indent;
        self.written = false;
    }
}
