//! Programs without mistakes: their trees and their canonical form.

use crate::{files, parse_clean};

#[test]
fn trees() {
    for (name, text) in files("golden") {
        let ast = parse_clean(&name, &text);
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../golden");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("{name}.ast"), flowc_syntax::print(&ast)));
    }
}

#[test]
fn canonical_forms() {
    for (name, text) in files("golden") {
        let formatted = flowc_syntax::format(&text).expect("no mistakes");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../golden");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("{name}.format"), formatted));
    }
}
