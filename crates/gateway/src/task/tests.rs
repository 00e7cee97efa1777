use std::sync::Arc;

use quotum_registry::secret::MasterKey;

use super::*;
use crate::session::SessionKey;

fn sealer() -> Sealer {
    let mut bytes = [7; 32];
    bytes[0] = 1;
    let key = SessionKey {
        id: "a".to_owned(),
        key: Arc::new(MasterKey::from_bytes(&bytes).expect("a key")),
    };
    Sealer {
        keys: SessionKeys::new(vec![key]).expect("keys"),
        server: "demo".to_owned(),
        grant: "g1".to_owned(),
    }
}

fn sealed(sealer: &Sealer, id: &str) -> Task {
    let Sealer {
        keys,
        server,
        grant,
    } = sealer;
    keys.seal_task(server, grant, "tool", id).expect("sealed")
}

fn open(body: &str) -> Result<Opened, Refusal> {
    sealer().open(body.as_bytes(), Tasks::On, &|_| true)
}

#[test]
fn every_place_that_names_a_task_is_opened() {
    let sealer = sealer();
    let one = sealed(&sealer, "up \"1\"").sealed;
    let two = sealed(&sealer, "up-2").sealed;
    let body = format!(
        r#" {{"method":"tasks/get","params":{{"taskId":"{one}","_meta":{{"io.modelcontextprotocol/related-task":{{"taskId":"{two}"}}}}}}}} "#
    );
    let opened = open(&body).expect("opened");
    let text = String::from_utf8(opened.body.expect("changed").to_vec()).expect("text");
    assert_eq!(
        text.trim(),
        r#"{"method":"tasks/get","params":{"taskId":"up \"1\"","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up-2"}}}}"#
    );
    let ids: Vec<&str> = opened.tasks.iter().map(|task| &*task.upstream).collect();
    assert_eq!(ids, ["up-2", "up \"1\""]);
}

#[test]
fn what_names_no_task_stays_as_it_is() {
    for body in [
        r#"{"method":"ping"}"#,
        r#"{"method":"tools/call","params":{"name":"a","arguments":{"taskId":"x"}}}"#,
        r#"{"id":1,"result":{"taskId":"x"}}"#,
        r#"{"id":1,"result":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"of-the-client"}}}}"#,
    ] {
        let opened = open(body).expect("opened");
        assert_eq!((opened.body, opened.tasks.len()), (None, 0), "{body}");
    }
}

#[test]
fn what_names_a_task_by_anything_else_is_refused() {
    let foreign = Sealer {
        grant: "g2".to_owned(),
        ..sealer()
    };
    let foreign = sealed(&foreign, "up").sealed;
    for id in ["\"up\"", "1", "null", "[]", &format!("\"{foreign}\"")] {
        for body in [
            format!(r#"{{"method":"tasks/cancel","params":{{"taskId":{id}}}}}"#),
            format!(
                r#"{{"method":"subscriptions/listen","params":{{"notifications":{{"taskIds":[{id}]}}}}}}"#
            ),
            format!(
                r#"{{"method":"tools/call","params":{{"name":"a","_meta":{{"io.modelcontextprotocol/related-task":{{"taskId":{id}}}}}}}}}"#
            ),
        ] {
            assert!(open(&body).is_err(), "{body}");
        }
    }
    let answer = format!(
        r#"{{"id":1,"result":{{"_meta":{{"io.modelcontextprotocol/related-task":{{"taskId":"{foreign}"}}}}}}}}"#
    );
    assert_eq!(open(&answer), Err(Refusal::TaskUnknown));
    let many = vec!["\"x\""; 65].join(",");
    let many = format!(
        r#"{{"method":"subscriptions/listen","params":{{"notifications":{{"taskIds":[{many}]}}}}}}"#
    );
    assert!(open(&many).is_err());
}

#[test]
fn only_the_answer_to_a_call_makes_a_task_the_clients_own() {
    let answer = r#"{"id":1,"result":{"task":{"taskId":"up"}}}"#;
    let mut not_asked = TaskIds::new(sealer(), Vec::new(), Some("tool".to_owned()));
    assert_eq!(not_asked.seal(answer, &|_| false), Ok(None));
    let mut no_call = TaskIds::new(sealer(), Vec::new(), None);
    assert_eq!(no_call.seal(answer, &|_| true), Ok(None));
    let mut ids = TaskIds::new(sealer(), Vec::new(), Some("tool".to_owned()));
    let text = ids
        .seal(answer, &|_| true)
        .expect("passes")
        .expect("changed");
    assert!(!text.contains("\"up\""), "{text}");
    let again = ids
        .seal(answer, &|_| true)
        .expect("passes")
        .expect("changed");
    assert_eq!(again, text, "one task has one id");
    let status = r#" [{"method":"notifications/tasks/status","params":{"taskId":"up"}}]"#;
    let told = ids
        .seal(status, &|_| false)
        .expect("passes")
        .expect("changed");
    assert!(
        told.starts_with(" [{") && !told.contains("\"up\""),
        "{told}"
    );
}

#[test]
fn what_is_said_of_other_tasks_does_not_pass() {
    let mut ids = TaskIds::new(sealer(), Vec::new(), Some("tool".to_owned()));
    for message in [
        r#"{"method":"notifications/tasks/status","params":{"taskId":"up"}}"#,
        r#"{"method":"notifications/tasks","params":{}}"#,
        r#"[{"id":1,"result":{"tasks":[{"taskId":"up"}]}}]"#,
    ] {
        assert_eq!(ids.seal(message, &|_| true), Err(Foreign), "{message}");
    }
}

#[test]
fn capabilities_lose_tasks_and_nothing_else() {
    let without = |text: &str| without_tasks(scan_reply(text.as_bytes()).expect("JSON"));
    for (given, left) in [
        (r#"{"tasks":{"list":{}}}"#, "{}"),
        (
            r#"{ "tools":{"a": 1}, "t\u0061sks":{}, "é":[ ] }"#,
            r#"{"tools":{"a": 1},"é":[ ]}"#,
        ),
        (
            r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{"z":1}},"tasks":null}"#,
            r#"{"extensions":{"x/y":{"z":1}}}"#,
        ),
        (r#"{"tasks":1,"a":2,"tasks":3}"#, r#"{"a":2}"#),
    ] {
        assert_eq!(without(given).as_deref(), Some(left), "{given}");
    }
    for untouched in [
        "{}",
        "null",
        r#"["tasks"]"#,
        r#"{"tools":{"tasks":{}},"extensions":{"tasks":{}}}"#,
    ] {
        assert_eq!(without(untouched), None, "{untouched}");
    }
}
