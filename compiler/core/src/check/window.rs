//! `window tumble(1m)`: the kinds of windows and their arguments.

use crate::check::{Checker, count, list};
use crate::codes;
use flowc_ir::graph::{Alignment, Window};
use flowc_ir::zone::Zone;
use flowc_ir::{DataType, Value};
use flowc_syntax::ast::{self, Arg};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;

/// A kind of window: its name, its durations, and how it is written.
struct Kind {
    name: &'static str,
    durations: &'static [&'static str],
    written: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { name: "tumble", durations: &["size"], written: "tumble(1m)" },
    Kind { name: "hop", durations: &["size", "slide"], written: "hop(5m, 1m)" },
    Kind { name: "session", durations: &["gap"], written: "session(10m)" },
    Kind { name: "cumulate", durations: &["size", "step"], written: "cumulate(1h, 10m)" },
];

/// The options, which have names.
const OPTIONS: [&str; 2] = ["offset", "zone"];

/// Microseconds of a day on which no clock is changed.
const DAY: i64 = 86_400_000_000;

/// A duration with its place.
type Spanned = (i64, Span);

impl Checker<'_> {
    /// The windows; none: they are wrong, and that was reported.
    pub(super) fn window(&self, window: &ast::Window) -> Option<Window> {
        let Some(kind) = KINDS.iter().find(|kind| kind.name == window.name.text) else {
            self.unknown_window(window);
            return None;
        };
        let durations: Vec<&Arg> = window.args.iter().filter(|arg| arg.name.is_none()).collect();
        if durations.len() != kind.durations.len() {
            let takes = count(kind.durations.len(), "duration");
            self.bad_window(
                window.span,
                format!("`{}` takes {takes}: {}", kind.name, list(kind.durations)),
                &format!("{} given", count(durations.len(), "duration")),
                format!("for example `window {}`", kind.written),
            );
        }
        let fits = durations.len() == kind.durations.len();
        let given = durations.iter().zip(kind.durations).map(|(arg, word)| {
            let micros = self.positive_duration(
                &arg.value,
                &format!("the {word} of a window"),
                &format!("window {}", kind.written),
            );
            Some((micros?, arg.value.span))
        });
        let given: Vec<Option<Spanned>> = given.collect();
        let align = self.alignment(kind, window);
        let given: Vec<Spanned> = given.into_iter().collect::<Option<_>>().filter(|_| fits)?;
        self.fitting(kind, &given, align?)
    }

    /// Whether the durations fit each other and the options.
    fn fitting(&self, kind: &Kind, given: &[Spanned], (align, offset): (Alignment, Option<Span>)) -> Option<Window> {
        let (size, part) = (given[0], given.get(1).copied());
        let window = match (kind.name, part) {
            ("session", _) => Window::Session { gap: size.0 },
            ("hop", Some((slide, span))) => {
                if slide > size.0 {
                    let message = "the slide is longer than the windows: rows between them would be in none";
                    self.bad_window(
                        span,
                        message,
                        "longer than the size",
                        "let the slide be at most the size: `window hop(5m, 1m)`",
                    );
                    return None;
                }
                Window::Hop { size: size.0, slide, align: align.clone() }
            }
            ("cumulate", Some((step, span))) => {
                if size.0 % step != 0 {
                    let message = "the last step would end behind the window";
                    self.bad_window(
                        span,
                        message,
                        "the size is not a multiple of this",
                        "for example `window cumulate(1h, 10m)`",
                    );
                    return None;
                }
                Window::Cumulate { size: size.0, step, align: align.clone() }
            }
            _ => Window::Tumble { size: size.0, align: align.clone() },
        };
        if let Some(span) = offset.filter(|_| align.offset >= size.0) {
            self.bad_window(
                span,
                "an offset moves windows by less than their size",
                "not shorter than the size",
                "leave whole windows out of it",
            );
            return None;
        }
        let uneven = given.iter().find(|(micros, _)| micros % DAY != 0 && DAY % micros != 0);
        if let (Some((_, span)), Some(_)) = (uneven, &align.zone) {
            let message = "in a time zone windows are whole days, or parts that a day can be divided into";
            self.bad_window(*span, message, "neither", "for example `15m`, `6h`, `1d` or `7d`; or leave `zone` out");
            return None;
        }
        Some(window)
    }

    /// Where the windows begin, with the place of the offset.
    fn alignment(&self, kind: &Kind, window: &ast::Window) -> Option<(Alignment, Option<Span>)> {
        let mut align = Alignment::default();
        let mut offset = None;
        let mut sound = true;
        let mut seen: Vec<&str> = vec![];
        for arg in &window.args {
            let Some(name) = &arg.name else { continue };
            let text = name.text.as_str();
            if kind.name == "session" || !OPTIONS.contains(&text) || seen.contains(&text) {
                self.bad_option(kind, name, seen.contains(&text));
                sound = false;
                continue;
            }
            seen.push(text);
            let found = match text {
                "offset" => {
                    offset = Some(arg.value.span);
                    self.within_offset(&arg.value).map(|micros| align.offset = micros)
                }
                _ => self.zone(&arg.value).map(|zone| align.zone = Some(zone)),
            };
            sound &= found.is_some();
        }
        sound.then_some((align, offset))
    }

    fn within_offset(&self, e: &ast::Expr) -> Option<i64> {
        match self.constant(e, &DataType::Duration, "the offset of windows")? {
            Value::Duration(micros) if micros >= 0 => Some(micros),
            _ => {
                self.bad_window(
                    e.span,
                    "an offset must not be negative",
                    "less than 0",
                    "count from the other side: `size - offset`",
                );
                None
            }
        }
    }

    fn zone(&self, e: &ast::Expr) -> Option<String> {
        let Value::String(name) = self.constant(e, &DataType::String, "the time zone of windows")? else { return None };
        if Zone::find(&name).is_some() {
            return Some(name);
        }
        self.bad_window(
            e.span,
            format!("there is no time zone \"{name}\""),
            "unknown time zone",
            "names are those of the tz database: `zone: \"Europe/Berlin\"`",
        );
        None
    }

    fn bad_option(&self, kind: &Kind, name: &ast::Name, again: bool) {
        let text = &name.text;
        let (message, label) = match again {
            true => (format!("`{text}` is given twice"), "again"),
            false => (format!("`{}` has no option `{text}`", kind.name), "unknown option"),
        };
        let help = match did_you_mean(text, OPTIONS) {
            _ if again => "leave one out".into(),
            _ if kind.name == "session" => "a session begins with its first row: leave the option out".into(),
            _ if kind.durations.contains(&text.as_str()) => {
                format!("durations have no names: `window {}`", kind.written).into()
            }
            Some(near) => Help::did_you_mean(near),
            None => format!("its options are {}", list(OPTIONS)).into(),
        };
        self.bad_window(name.span, message, label, help);
    }

    fn unknown_window(&self, window: &ast::Window) {
        let name = &window.name;
        let names = KINDS.iter().map(|kind| kind.name);
        let help = match did_you_mean(&name.text, names) {
            Some(near) => Help::did_you_mean(near),
            None => format!("there are {}", list(KINDS.iter().map(|kind| kind.written))).into(),
        };
        self.report(
            Diagnostic::error(codes::UNKNOWN_WINDOW, name.span, format!("there are no windows `{}`", name.text))
                .label("unknown kind of window")
                .help(help),
        );
    }

    fn bad_window(&self, span: Span, message: impl Into<String>, label: &str, help: impl Into<Help>) {
        self.report(Diagnostic::error(codes::BAD_WINDOW, span, message).label(label).help(help));
    }
}
