//! Results as JUnit XML, the form that CI systems read: a suite a file, a case a test.

use super::Outcome;
use super::show::mismatch;
use flowc_syntax::SourceMap;
use std::fmt::Write;
use std::time::Duration;

/// The tests of one program.
#[derive(Debug)]
pub struct Suite<'a> {
    /// The program's file.
    pub name: &'a str,
    /// Its texts.
    pub sources: &'a SourceMap,
    /// What became of its tests.
    pub outcomes: &'a [Outcome],
    /// What kept its tests from running.
    pub broken: Option<String>,
}

/// The document.
pub fn document(suites: &[Suite<'_>]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"flowc\">\n");
    for suite in suites {
        let failures = suite.outcomes.iter().filter(|o| !o.passed()).count();
        let errors = usize::from(suite.broken.is_some());
        let took: Duration = suite.outcomes.iter().map(|o| o.took).sum();
        let seconds = took.as_secs_f64();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\">",
            escaped(suite.name),
            suite.outcomes.len() + errors,
        );
        if let Some(why) = &suite.broken {
            let _ = writeln!(
                out,
                "    <testcase classname=\"{0}\" name=\"check\">\n      <error message=\"the program is wrong\">{1}</error>\n    </testcase>",
                escaped(suite.name),
                escaped(why)
            );
        }
        suite.outcomes.iter().for_each(|outcome| case(&mut out, suite, outcome));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, suite: &Suite<'_>, outcome: &Outcome) {
    let (line, _) = suite.sources.line_column(outcome.place.file, outcome.place.start);
    let (file, name, seconds) = (escaped(suite.name), escaped(&outcome.name), outcome.took.as_secs_f64());
    let _ = write!(
        out,
        "    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{line}\" time=\"{seconds:.3}\""
    );
    if outcome.passed() {
        out.push_str("/>\n");
        return;
    }
    out.push_str(">\n");
    for failure in &outcome.failures {
        let _ = writeln!(
            out,
            "      <failure type=\"{}\" message=\"{}\">{}</failure>",
            failure.diagnostic.code,
            escaped(&failure.diagnostic.message),
            escaped(&mismatch(failure, suite.sources, false))
        );
    }
    out.push_str("    </testcase>\n");
}

/// Text as XML has it; characters that XML does not allow are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_means_otherwise_is_escaped() {
        assert_eq!(escaped("a < \"b\" & c\u{1}\n"), "a &lt; &quot;b&quot; &amp; c\n");
        let suite =
            Suite { name: "a&b.flow", sources: &SourceMap::default(), outcomes: &[], broken: Some("E0202 <x>".into()) };
        let text = document(&[suite]);
        assert!(text.contains("<testsuite name=\"a&amp;b.flow\" tests=\"1\" failures=\"0\" errors=\"1\""), "{text}");
        assert!(text.contains("E0202 &lt;x&gt;"), "{text}");
    }
}
