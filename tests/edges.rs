//! The shape of the house, as docs/architecture says it: which crate knows which, and which outside crate has one user only.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).no_deps().exec().unwrap()
}

/// For every package of the workspace, what it depends on outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let of = |package: cargo_metadata::Package| {
        let names = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal).map(|d| d.name.clone());
        (package.name.to_string(), names.collect())
    };
    metadata().packages.into_iter().map(of).collect()
}

#[test]
fn the_crates_know_each_other_as_the_architecture_says() {
    let expected: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
        (
            "flowc",
            vec![
                "flowc-codegen",
                "flowc-core",
                "flowc-delta",
                "flowc-ide",
                "flowc-ir",
                "flowc-runtime",
                "flowc-syntax",
            ],
        ),
        ("flowc-codegen", vec!["flowc-ir"]),
        ("flowc-core", vec!["flowc-ir", "flowc-syntax"]),
        ("flowc-ide", vec!["flowc-core", "flowc-ir", "flowc-syntax"]),
        ("flowc-delta", vec!["flowc-ir", "flowc-runtime"]),
        ("flowc-ir", vec![]),
        ("flowc-playground", vec!["flowc-core", "flowc-ide", "flowc-ir", "flowc-runtime"]),
        ("flowc-runtime", vec!["flowc-ir"]),
        ("flowc-syntax", vec![]),
        ("tree-sitter-flow", vec![]),
    ]);
    let all = dependencies();
    let found: BTreeMap<&str, Vec<&str>> = all
        .iter()
        .map(|(name, deps)| {
            (name.as_str(), deps.iter().map(String::as_str).filter(|d| d.starts_with("flowc")).collect())
        })
        .collect();
    assert_eq!(found, expected, "docs/architecture/index.md draws these edges; a new one needs a reason there");
}

#[test]
fn heavy_crates_have_one_user() {
    let owner = [
        ("pest", "flowc-syntax"),
        ("pest_derive", "flowc-syntax"),
        ("cranelift", "flowc-codegen"),
        ("cranelift-codegen", "flowc-codegen"),
        ("cranelift-jit", "flowc-codegen"),
        ("cranelift-module", "flowc-codegen"),
        ("cranelift-native", "flowc-codegen"),
        ("deltalake", "flowc-delta"),
        ("sqlparser", "flowc-core"),
        ("lsp-server", "flowc"),
        ("lsp-types", "flowc"),
    ];
    for (package, dependencies) in dependencies() {
        for (outside, user) in owner {
            assert!(
                package == user || !dependencies.contains(outside),
                "{package} depends on {outside}: only {user} may know it"
            );
        }
        assert!(!dependencies.contains("datafusion"), "{package} depends on a second query engine");
    }
}

#[test]
fn there_is_one_arrow() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    for name in ["arrow", "arrow-array", "arrow-schema", "parquet", "object_store"] {
        let line = format!("name = \"{name}\"");
        assert_eq!(
            lock.lines().filter(|l| *l == line).count(),
            1,
            "more than one {name} in Cargo.lock: their types do not unify"
        );
    }
}
