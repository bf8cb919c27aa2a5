//! Every case of `diag/`: the codes beside the mistakes, no more and no fewer.

use crate::support::{case, cases, expected, found, rendered, run};

/// Checks a case; what does not agree with its marks is added to the failures.
pub fn judge(name: &str, text: &str, failures: &mut Vec<String>) -> String {
    let case = case(text);
    let outcome = run(&case);
    let (wanted, got) = (expected(&case), found(&outcome));
    let shown = rendered(&outcome);
    if wanted != got {
        failures.push(format!("{name}: written {wanted:?}\n{name}: found   {got:?}\n{shown}"));
    }
    let matters = |d: &flowc_syntax::Diagnostic| d.is_error() && !outcome.is_of_test(d);
    let errors = outcome.diagnostics.iter().any(matters) || !outcome.bad_params.is_empty();
    if outcome.checked.is_some() == errors {
        failures.push(format!("{name}: a program is checked if and only if it has no errors"));
    }
    shown
}

#[test]
fn cases_have_the_diagnostics_that_are_written_in_them() {
    let mut failures = vec![];
    for (name, text) in cases("diag") {
        let shown = judge(&name, &text, &mut failures);
        insta::with_settings!({ snapshot_path => "diag", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown);
        });
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
