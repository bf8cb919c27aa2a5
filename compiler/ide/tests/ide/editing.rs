//! Formatting.

#[test]
fn formatting_is_one_edit() {
    let text = "flow a=b\n";
    let (range, new) = flowc_ide::format(text).expect("it is not in canonical form");
    let mut out = text.to_string();
    out.replace_range(range, &new);
    assert_eq!(flowc_syntax::format(text).as_deref().ok(), Some(out.as_str()));
}
