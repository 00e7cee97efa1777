use serde_json::json;

use super::plan::{Plan, PlanError, Unmentioned};
use super::*;
use crate::command::{Change, Command, Outcome};
use crate::name::GrantId;
use crate::sample::{key, name, sealed};
use crate::secret::credential::SealedCredential;
use crate::state::State;

fn policy(max: u64) -> Value {
    json!({"version": "1", "default": "allow", "all_tools": {"limits": [
        {"counter": "calls", "window": "minute", "max": max, "scope": "grant"}]}})
}

fn usual() -> Vec<Value> {
    vec![
        json!({"kind": "Grant", "name": "alice", "server": "demo", "policy": "strict",
               "expires_at": "2027-01-31T00:00:00Z"}),
        json!({"kind": "Server", "name": "demo", "url": "https://mcp.example.com/mcp"}),
        json!({"kind": "Policy", "name": "strict", "document": policy(30)}),
    ]
}

fn fault(value: Value) -> String {
    let errors = Documents::parse(&[value]).unwrap_err();
    assert_eq!(errors.len(), 1);
    errors[0].to_string()
}

fn plan(state: &State, values: &[Value], unmentioned: Unmentioned) -> Plan {
    let documents = Documents::parse(values).unwrap();
    let mut drawn = state.revision() as u8;
    let mut new_id = || {
        drawn += 1;
        GrantId::from_random([drawn; 16])
    };
    Plan::new(
        state,
        &documents,
        unmentioned,
        &BTreeMap::new(),
        &mut new_id,
    )
    .unwrap()
}

fn apply(state: &mut State, plan: &Plan) {
    let outcome = state.apply(&Command::apply(1, plan.changes.clone()));
    assert!(matches!(outcome, Outcome::Applied { changed, .. } if changed == plan.lines.len()));
}

fn usual_state() -> State {
    let mut state = State::new();
    let first = plan(&state, &usual(), Unmentioned::Keep);
    apply(&mut state, &first);
    state
}

#[test]
fn documents_in_any_order_become_changes_in_a_good_order() {
    let mut state = State::new();
    let first = plan(&state, &usual(), Unmentioned::Keep);
    assert_eq!(
        first.lines,
        ["+ server demo", "+ policy strict", "+ grant alice"]
    );
    apply(&mut state, &first);
    let grant = state.grant_named("alice").unwrap();
    assert_eq!(
        (grant.token, grant.spec.expires_at_ms),
        (None, Some(1_801_353_600_000))
    );
    assert!(plan(&state, &usual(), Unmentioned::Delete).is_empty());
}

#[test]
fn a_difference_names_what_changes() {
    let mut state = usual_state();
    let changed = [
        json!({"kind": "Server", "name": "demo", "url": "https://mcp.example.com/v2", "tasks": true,
               "refund": "never", "methods": ["x/y"]}),
        json!({"kind": "Policy", "name": "strict", "document": policy(60)}),
        json!({"kind": "Grant", "name": "alice", "server": "demo"}),
    ];
    let second = plan(&state, &changed, Unmentioned::Keep);
    assert_eq!(
        second.lines,
        [
            "~ server demo: url https://mcp.example.com/mcp -> https://mcp.example.com/v2, \
             tasks false -> true, refund not_executed -> never, + method x/y",
            "~ policy strict: /all_tools/limits/0/max 30 -> 60",
            "~ grant alice: policy strict -> none, expires_at 2027-01-31T00:00:00Z -> never",
        ]
    );
    apply(&mut state, &second);
    assert!(plan(&state, &changed, Unmentioned::Delete).is_empty());
}

#[test]
fn the_same_policy_in_another_layout_is_no_change() {
    let state = usual_state();
    let text = serde_json::to_string(&policy(30)).unwrap();
    let same = json!({"kind": "Policy", "name": "strict", "document": text});
    assert!(plan(&state, &[same], Unmentioned::Keep).is_empty());
}

#[test]
fn what_no_document_mentions_is_deleted_only_where_asked() {
    let mut state = usual_state();
    assert!(plan(&state, &[], Unmentioned::Keep).is_empty());
    let all = plan(&state, &[], Unmentioned::Delete);
    assert_eq!(
        all.lines,
        ["- grant alice", "- policy strict", "- server demo"]
    );
    apply(&mut state, &all);
    assert_eq!(
        (
            state.servers().len(),
            state.policies().len(),
            state.grants().len()
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_credential_comes_sealed_from_where_the_document_says() {
    let values = [
        json!({"kind": "Server", "name": "demo", "url": "http://a", "credential":
        {"headers": {"Authorization": {"env": "TOKEN"}, "X-Key": {"file": "/run/key"}}}}),
    ];
    let documents = Documents::parse(&values).unwrap();
    let CredentialSource::Headers(sources) = &documents.servers["demo"].credential else {
        panic!("no headers")
    };
    assert_eq!(
        sources["authorization"],
        SecretSource::Env("TOKEN".to_owned())
    );
    assert_eq!(sources["x-key"], SecretSource::File("/run/key".to_owned()));

    let mut state = State::new();
    let planned = |state: &State, sealed: Option<SealedCredential>| {
        let sealed = sealed
            .into_iter()
            .map(|sealed| (name("demo"), sealed))
            .collect();
        let mut new_id = || unreachable!("no grants");
        Plan::new(state, &documents, Unmentioned::Keep, &sealed, &mut new_id)
    };
    let missing = planned(&state, None).unwrap_err();
    assert_eq!(missing, PlanError::CredentialNotSealed(name("demo")));
    let seal = |nonce, value| Some(sealed(&key(), nonce, "demo", value));
    let first = planned(&state, seal(1, "x")).unwrap();
    apply(&mut state, &first);
    assert!(planned(&state, seal(2, "x")).unwrap().is_empty());
    let changed = planned(&state, seal(2, "y")).unwrap();
    assert_eq!(changed.lines, ["~ server demo: credential changed"]);

    let unsaid = json!({"kind": "Server", "name": "demo", "url": "http://a"});
    assert!(plan(&state, std::slice::from_ref(&unsaid), Unmentioned::Keep).is_empty());
    let mut empty = unsaid;
    empty["credential"] = json!({});
    let cleared = plan(&state, &[empty], Unmentioned::Keep);
    assert_eq!(cleared.lines, ["~ server demo: credential removed"]);
    assert!(matches!(&cleared.changes[0], Change::PutServer { .. }));
}

#[test]
fn faults_name_the_document_and_the_place() {
    let server = |member: &str, value: Value| {
        let mut server = json!({"kind": "Server", "name": "demo", "url": "http://a"});
        server[member] = value;
        fault(server)
    };
    assert_eq!(
        fault(json!(3)),
        "document 0: expected an object, found a number"
    );
    assert_eq!(fault(json!({})), "document 0: \"kind\" is missing");
    assert_eq!(
        fault(json!({"kind": "server"})),
        "document 0 at /kind: unknown kind \"server\": did you mean \"Server\"?"
    );
    assert_eq!(
        server("grant_lable", json!(true)),
        "document 0 at /grant_lable: unknown member: did you mean \"grant_label\"?"
    );
    assert_eq!(
        server("tasks", json!("yes")),
        "document 0 at /tasks: expected true or false, found a string"
    );
    assert!(server("url", json!("ftp://a")).starts_with("document 0 at /url: "));
    assert!(server("name", json!("De mo")).starts_with("document 0 at /name: "));
    assert!(server("methods", json!(["a", "a"])).contains("/methods/1: the method appears twice"));
    assert!(server("methods", json!(["a b"])).contains("/methods: "));
    assert!(server("refund", json!("allways")).contains("/refund: unknown refund"));
    let credential = |headers: Value| server("credential", json!({ "headers": headers }));
    assert!(credential(json!({"A": "s3cret"})).contains("/credential/headers/A: a document holds"));
    assert!(!credential(json!({"A": "s3cret"})).contains("s3cret"));
    assert!(credential(json!({"A": {}})).contains("expected one of"));
    assert!(credential(json!({"a/b": {"env": "X"}})).contains("/credential/headers/a~1b: "));
    assert!(credential(json!({"Host": {"env": "X"}})).contains("belongs to the gateway"));

    let grant = |value: Value| fault(value);
    let text = grant(json!({"kind": "Grant", "name": "a", "server": "b", "token": "x"}));
    assert!(
        text.starts_with("document 0 at /token: unknown member"),
        "{text}"
    );
    let text = grant(json!({"kind": "Grant", "name": "a", "server": "b", "expires_at": "soon"}));
    assert!(text.contains("/expires_at: expected an instant"), "{text}");
    let text = grant(json!({"kind": "Grant", "name": "a", "server": "b", "policy": null}));
    assert!(
        text.contains("/policy: expected a string, found null"),
        "{text}"
    );
    let text = fault(json!({"kind": "Policy", "name": "p", "document": {"version": "7"}}));
    assert!(text.starts_with("document 0 at /document: "), "{text}");
}

#[test]
fn every_faulty_document_is_named_and_names_stand_once() {
    let mut values = usual();
    values.push(json!({"kind": "Nothing"}));
    values.push(json!({"kind": "Server", "name": "demo", "url": "http://b"}));
    let errors = Documents::parse(&values).unwrap_err();
    let numbers: Vec<usize> = errors.iter().map(|error| error.document).collect();
    assert_eq!(numbers, [3, 4]);
    assert_eq!(
        errors[1].to_string(),
        "document 4 at /name: server demo has another document"
    );
}

#[test]
fn too_many_documents_are_refused() {
    let errors = Documents::parse(&vec![json!({}); DOCUMENTS_MAX + 1]).unwrap_err();
    assert_eq!(errors.len(), 1);
}
