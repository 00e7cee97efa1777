//! The invariants of ARCHITECTURE.md that a machine can hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// What cargo knows of the members.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The direct dependencies of each member, without those of its tests and build script.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let members = packages().into_iter().map(|package| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let normal = all
            .filter(|dependency| dependency["kind"].is_null())
            .map(name)
            .collect();
        (name(&package), normal)
    });
    members.collect()
}

#[test]
fn cargo_run_means_the_product() {
    let packages = packages();
    let named = packages
        .iter()
        .filter_map(|package| package["default_run"].as_str());
    assert_eq!(named.collect::<Vec<_>>(), ["quotum"]);
}

/// The arrows between our own crates. A crate that is not listed is a test or a tool.
const ARROWS: [(&str, &[&str]); 12] = [
    ("quotum-limit", &[]),
    ("quotum-policy", &["limit"]),
    ("quotum-registry", &["policy"]),
    ("quotum-descriptor", &["limit"]),
    ("quotum-api", &["limit"]),
    ("quotum-telemetry", &[]),
    ("quotum-transport", &["telemetry"]),
    ("quotum-replica", &["limit", "registry", "api"]),
    (
        "quotum-counter",
        &[
            "replica",
            "limit",
            "policy",
            "registry",
            "descriptor",
            "api",
            "telemetry",
            "transport",
        ],
    ),
    ("quotum-client", &["api", "limit"]),
    (
        "quotum-gateway",
        &[
            "client",
            "policy",
            "registry",
            "limit",
            "telemetry",
            "transport",
        ],
    ),
    (
        "quotum",
        &[
            "gateway",
            "counter",
            "replica",
            "client",
            "policy",
            "registry",
            "descriptor",
            "limit",
            "api",
            "telemetry",
            "transport",
        ],
    ),
];

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let dependencies = dependencies();
    for (member, allowed) in ARROWS {
        for dependency in &dependencies[member] {
            if let Some(own) = dependency.strip_prefix("quotum-") {
                assert!(
                    allowed.contains(&own),
                    "{member} must not depend on {dependency}"
                );
            }
        }
    }
    let drawn: BTreeSet<&str> = ARROWS.iter().map(|arrow| arrow.0).collect();
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    for folder in crates.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let name = match folder.as_str() {
            "quotum" => folder.clone(),
            _ => format!("quotum-{folder}"),
        };
        assert!(
            drawn.contains(name.as_str()),
            "{name} is not in the drawing"
        );
    }
}

#[test]
fn the_pure_crates_have_no_io_time_randomness_or_async() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "quotum-limit",
            &["bytes", "foldhash", "hashbrown", "smallvec", "thiserror"][..],
        ),
        (
            "quotum-policy",
            &["quotum-limit", "regex", "ring", "strsim", "thiserror"][..],
        ),
        (
            "quotum-descriptor",
            &[
                "quotum-limit",
                "ring",
                "saphyr-parser",
                "smallvec",
                "strsim",
            ][..],
        ),
        (
            "quotum-registry",
            &[
                "base64",
                "quotum-policy",
                "ring",
                "serde",
                "serde_json",
                "strsim",
                "subtle",
                "thiserror",
                "zeroize",
            ][..],
        ),
    ]);
    let dependencies = dependencies();
    for (member, allowed) in allowed {
        for dependency in &dependencies[member] {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{member} is pure: {dependency}?"
            );
        }
        let name = member.strip_prefix("quotum-").unwrap();
        for (file, text) in sources(&root().join("crates").join(name).join("src")) {
            let banned = [
                "std::fs",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "std::thread",
                "std::time::Instant",
                "SystemTime",
                "SystemRandom",
                "async fn",
                "std::io::stdin",
                "RandomState",
                "HashMap",
                "HashSet",
            ];
            for word in banned {
                let used = text
                    .lines()
                    .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
                assert!(!used, "{} is pure: {word}?", file.display());
            }
        }
    }
}

/// What builds the simulator has no share in the features that the workspace is built with.
#[test]
fn the_launcher_of_the_simulator_depends_on_nothing() {
    assert_eq!(dependencies()["quotum-sim"], BTreeSet::new());
}

#[test]
fn only_replica_names_openraft() {
    for (member, dependencies) in dependencies() {
        let names = dependencies
            .iter()
            .any(|dependency| dependency.starts_with("openraft"));
        let may = member == "quotum-replica";
        assert!(!names || may, "{member} must not depend on openraft");
    }
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let banned = [
        "util", "utils", "common", "core", "manager", "handler", "helper", "helpers", "types",
    ];
    for (file, _) in sources(&root().join("crates")) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(!banned.contains(&name), "{}", file.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (file, text) in sources(&root().join("crates")) {
        for mark in ["TODO", "FIXME", "unimplemented!(", "todo!("] {
            assert!(!text.contains(mark), "{}: {mark}", file.display());
        }
    }
}

/// The Rust files of a folder without its tests, and what they hold.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", "tests", "fuzz", "corpus", "testdata"].contains(&name) {
            found.extend(sources(&path));
        }
        let is_test = name.ends_with("tests.rs") || ["model.rs", "transcript.rs"].contains(&name);
        if name.ends_with(".rs") && !is_test {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(
        !found.is_empty() || !folder.ends_with("src"),
        "{}",
        folder.display()
    );
    found
}
