//! Rules about crates: who depends on whom, what the pure crates may not even see, what features may do.
//!
//! The table of edges is the one in `docs/ARCHITECTURE.md`, section 2. Every kind of dependency counts,
//! development ones too: a test of the core that needs the host is a test in the wrong place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use serde_json::Value;
use toml::{Table, Value as Toml};

use super::tree::{Finding, Tree};

/// Our crates, and which of ours each may depend on.
const EDGES: [(&str, &[&str]); 9] = [
    ("aidmesh-core", &[]),
    ("aidmesh-ecg", &[]),
    ("aidmesh-netem", &[]),
    ("aidmesh-host", &["aidmesh-core"]),
    (
        "aidmesh",
        &[
            "aidmesh-host",
            "aidmesh-core",
            "aidmesh-ecg",
            "aidmesh-netem",
            "aidmesh-relay",
        ],
    ),
    ("aidmesh-relay", &["aidmesh-host", "aidmesh-core"]),
    ("aidmesh-mobile", &["aidmesh-host", "aidmesh-core", "aidmesh-ecg"]),
    (
        "aidmesh-scenarios",
        &["aidmesh-core", "aidmesh-ecg", "aidmesh-netem"],
    ),
    (
        "aidmesh-tests",
        &[
            "aidmesh",
            "aidmesh-core",
            "aidmesh-ecg",
            "aidmesh-host",
            "aidmesh-mobile",
            "aidmesh-netem",
            "aidmesh-relay",
            "aidmesh-scenarios",
        ],
    ),
];

/// Crates without IO, clock and chance of their own.
const PURE: [&str; 2] = ["aidmesh-core", "aidmesh-ecg"];

/// Words by which a feature would switch a fault. Features unify over a workspace and leak into the product.
const FAULTS: [&str; 9] = [
    "fault", "flaw", "chaos", "planted", "break", "evil", "sabotage", "corrupt", "misbehav",
];

pub(super) fn edges(tree: &Tree) -> Vec<Finding> {
    on_members(tree, |package, path| {
        let name = string(package, "name");
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            return vec![Finding::new(
                path,
                0,
                format!("{name} is not in the table of crates"),
            )];
        };
        let ours = dependencies(package).filter(|to| *to == "aidmesh" || to.starts_with("aidmesh-"));
        let wrong = ours.filter(|to| !allowed.contains(to));
        wrong
            .map(|to| Finding::new(path, 0, format!("{name} may not depend on {to}")))
            .collect()
    })
}

pub(super) fn own_randomness(tree: &Tree) -> Vec<Finding> {
    on_members(tree, |package, path| {
        let name = string(package, "name");
        let drawn = dependencies(package).filter(|to| ["rand", "getrandom", "fastrand"].contains(to));
        let drawn = drawn.filter(|_| PURE.contains(&name));
        drawn
            .map(|to| {
                Finding::new(
                    path,
                    0,
                    format!("{name} gets its chance as a seed, not from {to}"),
                )
            })
            .collect()
    })
}

/// Walks the resolved graph, so that a runtime three crates away is found too.
pub(super) fn pure_tree(tree: &Tree) -> Vec<Finding> {
    on_members(tree, |package, path| {
        let (name, Some(Ok(metadata))) = (string(package, "name"), tree.metadata()) else {
            return Vec::new();
        };
        if !PURE.contains(&name) {
            return Vec::new();
        }
        let chains = chains_from(metadata, string(package, "id")).into_values();
        let banned = chains.filter(|chain| chain.last().is_some_and(|last| has_io(last)));
        banned
            .map(|chain| Finding::new(path, 0, format!("no IO below here: {}", chain.join(" -> "))))
            .collect()
    })
}

pub(super) fn fault_features(tree: &Tree) -> Vec<Finding> {
    on_manifests(tree, |manifest| {
        let names = table(manifest, "features").keys();
        let faulty = names.filter(|name| {
            let mut words = name.split(['-', '_']);
            words.any(|word| FAULTS.iter().any(|fault| word.starts_with(fault)))
        });
        faulty
            .map(|name| format!("feature {name}: faults are plain values, never features"))
            .collect()
    })
}

/// `audio` needs system libraries; it is switched on by a person on the command line, never by a manifest.
pub(super) fn audio_by_hand(tree: &Tree) -> Vec<Finding> {
    on_manifests(tree, |manifest| {
        let mut found = Vec::new();
        for (feature, list) in table(manifest, "features") {
            let switched = strings(list).any(|on| on == "audio" || on.ends_with("/audio"));
            if switched && feature != "audio" {
                found.push(format!("feature {feature} switches audio on"));
            }
        }
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        let workspace = table(manifest, "workspace")
            .get("dependencies")
            .and_then(Toml::as_table);
        let tables = kinds
            .into_iter()
            .map(|kind| table(manifest, kind))
            .chain(workspace);
        for (name, dependency) in tables.flatten() {
            if dependency
                .get("features")
                .is_some_and(|list| strings(list).any(|on| on == "audio"))
            {
                found.push(format!("dependency {name} switches audio on"));
            }
        }
        found
    })
}

/// A lock file that names a mirror works on one machine only.
pub(super) fn lock_sources(tree: &Tree) -> Vec<Finding> {
    const INDEX: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";
    let lines = tree.text("Cargo.lock").unwrap_or_default().lines().enumerate();
    let sources = lines.filter_map(|(n, line)| Some((n + 1, line.strip_prefix("source = ")?)));
    let foreign = sources.filter(|(_, source)| *source != INDEX);
    foreign
        .map(|(n, source)| Finding::new("Cargo.lock", n, format!("not crates.io: {source}")))
        .collect()
}

/// Runs a check on each member of the workspace, with the path of its manifest.
fn on_members(tree: &Tree, check: impl Fn(&Value, &str) -> Vec<Finding>) -> Vec<Finding> {
    let metadata = match tree.metadata() {
        None => return Vec::new(),
        Some(Err(finding)) => return vec![finding],
        Some(Ok(metadata)) => metadata,
    };
    let members: Vec<&str> = items(metadata, "workspace_members")
        .filter_map(Value::as_str)
        .collect();
    let packages = items(metadata, "packages").filter(|package| members.contains(&string(package, "id")));
    packages
        .flat_map(|package| {
            let path = std::path::Path::new(string(package, "manifest_path"));
            let path = path
                .strip_prefix(tree.root())
                .unwrap_or(path)
                .to_string_lossy()
                .replace('\\', "/");
            check(package, &path)
        })
        .collect()
}

/// Runs a check on each manifest, member of the workspace or not.
fn on_manifests(tree: &Tree, check: impl Fn(&Table) -> Vec<String>) -> Vec<Finding> {
    let manifests = tree.texts_ending(&["Cargo.toml"]);
    manifests
        .flat_map(|(path, text)| {
            let found = match text.parse::<Table>() {
                Ok(manifest) => check(&manifest),
                Err(why) => vec![why.to_string()],
            };
            found
                .into_iter()
                .map(|what| Finding::new(path, 0, what))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// For each package reachable from `start` its name and those on a shortest way to it.
fn chains_from<'a>(metadata: &'a Value, start: &'a str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let packages = items(metadata, "packages");
    let names: BTreeMap<&str, &str> = packages.map(|p| (string(p, "id"), string(p, "name"))).collect();
    let resolve = &metadata["resolve"];
    let nodes: BTreeMap<&str, &Value> = items(resolve, "nodes")
        .map(|node| (string(node, "id"), node))
        .collect();

    let mut chains = BTreeMap::from([(start, vec![names[start]])]);
    let mut waiting = VecDeque::from([start]);
    while let Some(id) = waiting.pop_front() {
        for to in items(nodes[id], "dependencies").filter_map(Value::as_str) {
            if !chains.contains_key(to) {
                let chain = chains[id].iter().copied().chain([names[to]]).collect();
                chains.insert(to, chain);
                waiting.push_back(to);
            }
        }
    }
    chains
}

fn has_io(name: &str) -> bool {
    let family = |prefix: &str| name == prefix || name.starts_with(&format!("{prefix}-"));
    ["tokio", "libp2p", "quinn", "sled"].into_iter().any(family)
}

fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    items(package, "dependencies").map(|dependency| string(dependency, "name"))
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn table<'a>(manifest: &'a Table, key: &str) -> &'a Table {
    static EMPTY: LazyLock<Table> = LazyLock::new(Table::new);
    manifest.get(key).and_then(Toml::as_table).unwrap_or(&EMPTY)
}

fn strings(list: &Toml) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Toml::as_str)
}
