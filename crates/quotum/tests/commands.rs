//! The binary without a cluster: checks of files, and what is refused before anything starts.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const POLICY: &str = r#"{
  "version": "1",
  "default": "deny",
  "tools": { "send": { "rate_limit": "30/minute" } }
}"#;

fn quotum(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quotum"))
        .args(line.split(' '))
        .current_dir(folder)
        .env_remove("QUOTUM_ADDRESS")
        .env_remove("QUOTUM_ADMIN_TOKEN")
        .output()
        .unwrap()
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_good_policy_is_ok_and_a_bad_one_fails_with_its_places() {
    let bad = POLICY.replace("minute", "minuet");
    let folder = folder(&[("good.json", POLICY), ("bad.json", &bad)]);
    let (code, out, _) = told(&quotum(folder.path(), "policy check good.json"));
    assert_eq!((code, out.as_str()), (Some(0), "good.json: ok\n"));
    let (code, out, err) = told(&quotum(folder.path(), "policy check good.json bad.json"));
    assert_eq!(code, Some(1));
    assert!(
        out.contains("bad.json: line 4, column 38 (/tools/send/rate_limit)"),
        "{out}"
    );
    assert_eq!(err, "error: one policy is refused\n");
    let json = quotum(folder.path(), "policy check bad.json --output json");
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value[0]["problems"][0]["line"], 4);
}

#[test]
fn a_call_is_explained() {
    let folder = folder(&[("policy.json", POLICY), ("args.json", "{\"to\":\"x\"}")]);
    let line = "policy explain policy.json --tool send --args @args.json";
    let (code, out, _) = told(&quotum(folder.path(), line));
    assert_eq!(code, Some(0));
    assert!(out.contains("takes 1 of 30 per minute"), "{out}");
    assert!(
        out.ends_with("allowed, if all these units are there\n"),
        "{out}"
    );
    let line = "policy explain policy.json --tool other";
    let (code, out, _) = told(&quotum(folder.path(), line));
    assert_eq!(code, Some(0));
    assert!(out.ends_with("denied by (default deny)\n"), "{out}");
    let line = "policy explain policy.json --tool send --args {";
    let (code, _, err) = told(&quotum(folder.path(), line));
    assert_eq!(code, Some(64), "{err}");
}

#[test]
fn files_of_cases_run_and_fail() {
    let step = r#"{"at":"2026-01-05T10:00:00Z","grant":"g","tool":"send","expect":"allow","rule":"","repeat":30}"#;
    let cases = |step: &str| format!(r#"{{"about":"a","policy":{POLICY},"steps":[{step}]}}"#);
    let folder = folder(&[("1.json", &cases(step)), ("notes.txt", "")]);
    let (code, out, _) = told(&quotum(folder.path(), "policy test ."));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.ends_with("1 of 1 files passed\n"), "{out}");
    fs::write(
        folder.path().join("2.json"),
        cases(&step.replace("30}", "31}")),
    )
    .unwrap();
    let (code, out, err) = told(&quotum(folder.path(), "policy test ."));
    assert_eq!(
        (code, err.as_str()),
        (Some(1), "error: 1 of 2 files passed\n")
    );
    assert!(out.contains("FAILED"), "{out}");
}

#[test]
fn bad_usage_ends_with_64_and_one_error() {
    let folder = folder(&[
        ("empty.toml", ""),
        ("bad.toml", "listne = \"x\"\n"),
        ("none.json", "{"),
    ]);
    let cases = [
        ("", "Usage:"),
        ("deev", "unrecognized subcommand"),
        ("dev --counters 99", "99 is not in 1..=7"),
        ("dev --upstream ftp://x", "error: --upstream: "),
        ("dev --policy none.json", "none.json: line 1"),
        (
            "dev --upstream https://x --upstream-ca-file none.json",
            "none.json: there is no certificate in PEM",
        ),
        ("dev --upstream-ca-file none.json", "--upstream <URL>"),
        (
            "counter",
            "`listen` is missing: use --listen, set QUOTUM_LISTEN, or name a file with --config",
        ),
        (
            "counter --config empty.toml --bootstrap-expect three",
            "--bootstrap-expect: `bootstrap_expect` must be a whole number",
        ),
        (
            "counter --listen 127.0.0.1:1 --peer-listen 127.0.0.1:2 --admin-listen 127.0.0.1:3 --data quotum-data --bootstrap-expect 3",
            "--bootstrap-expect: `bootstrap_expect`: 3 nodes are expected, and `peers` names 0",
        ),
        ("gateway", "--config"),
        (
            "counter --config nowhere.toml",
            "nowhere.toml: No such file",
        ),
        (
            "counter --config empty.toml",
            "empty.toml: `listen` is missing",
        ),
        (
            "gateway --config bad.toml",
            "bad.toml, line 1: unknown key `listne`, did you mean `listen`?",
        ),
        (
            "get --address a:1",
            "error: the admin token is missing; use --admin-token-file",
        ),
        ("apply -f none.json", "none.json, line 1: "),
        ("apply -f nowhere.yaml", "nowhere.yaml: No such file"),
        (
            "grant create a --server s --expires-in soon",
            "is no duration",
        ),
        ("policy check nowhere.json", "nowhere.json: No such file"),
        ("policy test empty.d", "empty.d: No such file"),
    ];
    for (line, expected) in cases {
        let (code, out, err) = told(&quotum(folder.path(), line));
        assert_eq!(code, Some(64), "{line}: {err}");
        assert!(err.contains(expected), "{line}: {err}");
        assert_eq!(out, "", "{line}");
    }
    assert!(
        !folder.path().join("quotum-data").exists(),
        "something was started"
    );
}

#[test]
fn help_and_version_are_no_failure() {
    let folder = folder(&[]);
    for line in ["--help", "--version", "help dev", "grant create --help"] {
        let (code, out, err) = told(&quotum(folder.path(), line));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{line}");
        assert!(out.contains("quotum"), "{line}: {out}");
    }
}

#[test]
fn nodes_that_do_not_answer_are_a_failure_and_not_bad_usage() {
    let folder = folder(&[]);
    // Reserved: nobody listens there.
    let output = Command::new(env!("CARGO_BIN_EXE_quotum"))
        .args(["get", "--address", "127.0.0.1:1"])
        .env(
            "QUOTUM_ADMIN_TOKEN",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (code, _, err) = told(&output);
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("error: 127.0.0.1:1 cannot be reached: "),
        "{err}"
    );
    assert!(!err.contains("AAECAw"), "{err}");
}
