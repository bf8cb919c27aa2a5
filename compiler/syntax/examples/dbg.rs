fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    let (ast, d) = flowc_syntax::parse(flowc_syntax::FileId(0), &text);
    if std::env::args().nth(2).is_some() {
        println!("{ast:#?}");
    }
    println!("{} items, broken {:?}", ast.items.len(), ast.broken.iter().map(|n| &n.text).collect::<Vec<_>>());
    for d in d {
        let line = text[..d.span.start as usize].matches('\n').count() + 1;
        println!(
            "{line}: {} {} [{}] {:?} help: {}",
            d.code,
            d.message,
            &text[d.span.start as usize..d.span.end as usize],
            d.label,
            d.help.unwrap_or_default()
        );
    }
}
