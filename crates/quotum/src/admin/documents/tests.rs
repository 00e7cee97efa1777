use std::fs;
use std::path::PathBuf;

use super::load;
use crate::environment::Environment;
use crate::failure::Exit;

const SERVER: &str = "kind: Server\nname: demo\nurl: http://127.0.0.1:1/mcp\n";

fn write(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let paths = vec![folder.path().to_owned()];
    (folder, paths)
}

fn refusal(files: &[(&str, &str)]) -> String {
    let (_folder, paths) = write(files);
    let failure = load(&paths, &Environment::of([])).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    failure.to_string()
}

#[test]
fn many_documents_in_many_files_are_one_bundle() {
    let grants = r#"[{"kind":"Grant","name":"a","server":"demo"},{"kind":"Grant","name":"b","server":"demo"}]"#;
    let policy = "---\nkind: Policy\nname: p\ndocument: {version: \"1\", default: deny}\n---\n";
    let both = format!("{SERVER}{policy}");
    let (_folder, paths) = write(&[("1.yaml", &both), ("2.json", grants), ("notes.md", "no")]);
    let bundle = load(&paths, &Environment::of([])).unwrap();
    let names: Vec<&str> = bundle
        .values
        .iter()
        .filter_map(|value| value["name"].as_str())
        .collect();
    assert_eq!(names, ["demo", "p", "a", "b"]);
    assert!(bundle.credentials.is_empty());
}

#[test]
fn a_fault_is_told_with_file_document_and_place() {
    let text = refusal(&[("s.yaml", &format!("{SERVER}---\nkind: Servr\nname: x\n"))]);
    assert!(
        text.contains("s.yaml, document 2 at /kind: unknown kind"),
        "{text}"
    );
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let yaml = refusal(&[("s.yaml", &format!("{SERVER}name: other\n"))]);
    assert!(yaml.contains("duplicate"), "{yaml}");
    // However deep: in a policy, in JSON inside YAML, in a policy that is a text.
    for document in [
        "document:\n  version: \"1\"\n  tools:\n    a: {}\n    a: {}\n",
        "document:\n  {\"version\": \"1\", \"tools\": {\"a\": {},\n   \"a\": {}}}\n",
        "document: |\n  {\"version\": \"1\", \"tools\": {\"a\": {},\n  \"a\": {}}}\n",
    ] {
        let yaml = refusal(&[("p.yaml", &format!("kind: Policy\nname: p\n{document}"))]);
        let says = yaml.contains("p.yaml: document.tools: duplicate entry with key \"a\" at line ")
            || (yaml.contains("p.yaml, document 1 at /document: ")
                && yaml.contains("line 2, column 1 (/tools/a): this member stands here twice"));
        assert!(says, "{yaml}");
    }
    let json = refusal(&[(
        "p.json",
        "{\"kind\": \"Policy\", \"name\": \"p\", \"document\": {\"version\": \"1\", \"tools\": {\n\"a\": {},\n\"a\": {}}}}",
    )]);
    assert!(json.contains("p.json, line 3: "), "{json}");
    let json = refusal(&[(
        "s.json",
        "{\"kind\":\"Server\",\n\"name\":\"a\",\n\"name\":\"b\"}",
    )]);
    assert!(json.contains("s.json, line 3: "), "{json}");
}

#[test]
fn credentials_come_from_the_environment_and_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    crate::files::replace(&secret, b"from a file\n").unwrap();
    let sources = format!(
        "credential:\n  headers:\n    Authorization: {{env: UPSTREAM}}\n    x-key: {{file: {}}}\n",
        secret.display()
    );
    let (_folder, paths) = write(&[("s.yaml", &format!("{SERVER}{sources}"))]);
    let bundle = load(&paths, &Environment::of([("UPSTREAM", "Bearer x")])).unwrap();
    let headers = &bundle.credentials["demo"].headers;
    assert_eq!(headers["authorization"], "Bearer x");
    assert_eq!(headers["x-key"], "from a file");
    let failure = load(&paths, &Environment::of([])).unwrap_err().to_string();
    assert!(failure.contains("UPSTREAM is not set"), "{failure}");
}
