//! The rules of `deny.toml` about who may import whom, checked against the workspace's own manifests: the same rules
//! `cargo deny check bans` holds, without having to install it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected ends there, and shows where"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> toml::Table {
    let path = root().join(path);
    fs_err::read_to_string(&path).unwrap().parse().unwrap()
}

/// Crate name → what it imports, tests included only where `dev` says so.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let workspace = read("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().unwrap();
    members
        .iter()
        .map(|member| {
            let manifest = read(Path::new(member.as_str().unwrap()).join("Cargo.toml"));
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            let names = |table: &str| {
                let table = manifest.get(table).and_then(|t| t.as_table());
                table
                    .into_iter()
                    .flat_map(|t| t.keys().cloned())
                    .collect::<BTreeSet<_>>()
            };
            (name, names("dependencies"))
        })
        .collect()
}

#[test]
fn every_crate_imports_only_what_the_architecture_lets_it() {
    let deny = read("deny.toml");
    let imports = imports();
    let mut broken = Vec::new();
    for rule in deny["bans"]["deny"].as_array().unwrap() {
        let name = rule["name"].as_str().unwrap();
        let wrappers: BTreeSet<&str> = rule["wrappers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w.as_str().unwrap())
            .collect();
        for (importer, imported) in &imports {
            if imported.contains(name) && !wrappers.contains(importer.as_str()) {
                broken.push(format!("{importer} imports {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_model_does_no_input_or_output() {
    let imports = imports();
    for banned in ["tokio", "reqwest", "hyper", "axum", "fs-err", "store"] {
        assert!(!imports["model"].contains(banned), "model imports {banned}");
    }
}

#[test]
fn every_rule_is_about_a_crate_that_someone_imports() {
    let deny = read("deny.toml");
    let imported: BTreeSet<String> = imports().into_values().flatten().collect();
    for rule in deny["bans"]["deny"].as_array().unwrap() {
        let name = rule["name"].as_str().unwrap();
        assert!(
            imported.contains(name),
            "nobody imports {name}: the rule holds nothing"
        );
    }
}
