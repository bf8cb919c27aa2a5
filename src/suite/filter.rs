//! Tests by a part of their names: which a filter takes, and what may be meant where it takes none. Knows nothing of what tests do.

use crate::exit::Failure;
use flowc_syntax::diagnostic::did_you_mean;

/// So many names are listed, not more.
const LISTED: usize = 10;

/// Whether a test of this name is to run.
pub fn takes(filter: Option<&str>, name: &str) -> bool {
    filter.is_none_or(|filter| name.contains(filter))
}

/// The mistake that a filter takes none of the tests, which have these names.
pub fn none_taken(filter: &str, names: &[&str]) -> Failure {
    let failure = Failure::usage(format!("--filter: no test has `{filter}` in its name"));
    let near = near(filter, names).map_or(String::new(), |near| format!("did you mean `{near}`? "));
    let listed = names[..names.len().min(LISTED)].iter().map(|name| format!("\n  {name}")).collect::<String>();
    let more = if names.len() > LISTED { format!("\n  and {} more", names.len() - LISTED) } else { String::new() };
    failure.help(match names {
        [] => "there are no tests at all: leave --filter out, or write a `test`".to_string(),
        _ => format!("{near}these are the tests:{listed}{more}"),
    })
}

/// What is in a name and like the filter: as many words, or the whole name.
fn near(filter: &str, names: &[&str]) -> Option<String> {
    let lower = filter.to_lowercase();
    if let Some(name) = names.iter().find(|name| name.to_lowercase().contains(&lower)) {
        return Some(name.to_string());
    }
    let count = filter.split_whitespace().count().max(1);
    let words = |name: &&str| name.split_whitespace().map(String::from).collect::<Vec<_>>();
    let parts: Vec<String> = names
        .iter()
        .flat_map(|name| words(name).windows(count).map(|part| part.join(" ")).collect::<Vec<_>>())
        // As it stands in the name: it is to be typed.
        .filter(|part| names.iter().any(|name| name.contains(part)))
        .collect();
    did_you_mean(filter, parts.iter().map(String::as_str).chain(names.iter().copied())).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a constraint stops the run", "Null keys are dropped", "nulls  come last"];

    #[test]
    fn what_may_be_meant_is_in_a_name() {
        let near = |filter| near(filter, &NAMES);
        assert_eq!(near("constrain stops").as_deref(), Some("constraint stops"));
        assert_eq!(near("null keys").as_deref(), Some("Null keys are dropped"), "only the case differs");
        assert_eq!(near("droped").as_deref(), Some("dropped"));
        assert_eq!(near("a constraint stop the runs").as_deref(), Some("a constraint stops the run"));
        assert_eq!(near("nulls come"), None, "words that stand otherwise in the name");
        assert_eq!(near("something else"), None);
        for filter in ["constrain stops", "null keys", "droped"] {
            let near = near(filter);
            assert!(NAMES.iter().any(|name| takes(near.as_deref(), name)), "{near:?} would take a test");
        }
    }

    #[test]
    fn names_are_listed_up_to_a_limit() {
        let names: Vec<String> = (0..12).map(|i| format!("test {i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = none_taken("zzz", &names).help.unwrap();
        assert!(
            help.starts_with("these are the tests:\n  test 0\n") && help.ends_with("\n  test 9\n  and 2 more"),
            "{help}"
        );
        assert!(none_taken("zzz", &[]).help.unwrap().starts_with("there are no tests at all"));
    }
}
