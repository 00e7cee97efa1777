use super::*;
use crate::json::{scan_reply, scan_request};
use crate::shape::classify;

const LEGACY: Era = Era::Legacy(None);

fn outcome(
    method: &str,
    params: &str,
    id: &str,
    era: Era,
    extra: Extra<'_>,
) -> Result<(), Refusal> {
    let body = format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{params}}}"#);
    let message = classify(scan_request(body.as_bytes()).expect("JSON")).expect("a message");
    check(&message, era, extra)
}

fn request(method: &str, era: Era, extra: Extra<'_>) -> Result<(), Refusal> {
    outcome(method, "{}", "\"id\":1,", era, extra)
}

fn notification(method: &str, era: Era, extra: Extra<'_>) -> Result<(), Refusal> {
    outcome(method, "{}", "", era, extra)
}

#[test]
fn only_listed_methods_pass_and_names_are_exact() {
    let none = BTreeSet::new();
    let extra = Extra {
        methods: &none,
        tasks: Tasks::Off,
    };
    for method in LEGACY_REQUESTS {
        assert_eq!(request(method, LEGACY, extra), Ok(()), "{method}");
    }
    for method in MODERN_REQUESTS {
        assert_eq!(request(method, Era::Modern, extra), Ok(()), "{method}");
    }
    for method in [
        "Tools/Call",
        " tools/call",
        "tools/call ",
        "tools/call\\u0000",
        "resources/read",
        "prompts/get",
        "completion/complete",
        "tasks/get",
        "tasks/list",
        "acme/do",
        "rpc.discover",
        "skills/list",
        "notifications/cancelled",
        "",
    ] {
        assert_eq!(
            request(method, LEGACY, extra),
            Err(Refusal::MethodForbidden),
            "{method}"
        );
        let modern = request(method, Era::Modern, extra);
        assert_eq!(modern, Err(Refusal::MethodForbiddenModern), "{method}");
    }
    let modern = request("initialize", Era::Modern, extra);
    assert_eq!(modern, Err(Refusal::MethodForbiddenModern));
}

#[test]
fn a_call_without_an_id_never_passes() {
    let all = BTreeSet::from([TOOLS_CALL.to_owned()]);
    let extra = Extra {
        methods: &all,
        tasks: Tasks::Off,
    };
    for era in [LEGACY, Era::Modern] {
        let refused = Err(Refusal::NotificationForbidden);
        assert_eq!(notification("tools/call", era, extra), refused);
        assert_eq!(notification("notifications/unknown", era, extra), refused);
        assert_eq!(notification("notifications/cancelled", era, extra), Ok(()));
    }
    assert_eq!(
        notification("notifications/initialized", LEGACY, extra),
        Ok(())
    );
}

#[test]
fn a_server_may_allow_more() {
    let more = BTreeSet::from(["resources/read".to_owned(), "notifications/x".to_owned()]);
    let extra = Extra {
        methods: &more,
        tasks: Tasks::Off,
    };
    assert_eq!(request("resources/read", LEGACY, extra), Ok(()));
    assert_eq!(notification("notifications/x", LEGACY, extra), Ok(()));
    assert_eq!(
        request("notifications/x", LEGACY, extra),
        Err(Refusal::MethodForbidden)
    );
}

#[test]
fn tasks_are_off_until_the_server_turns_them_on() {
    let listed = BTreeSet::from(["tasks/get".to_owned(), "tasks/list".to_owned()]);
    let off = Extra {
        methods: &listed,
        tasks: Tasks::Off,
    };
    let on = Extra {
        methods: &listed,
        tasks: Tasks::On,
    };
    assert_eq!(
        request("tasks/get", LEGACY, off),
        Err(Refusal::MethodForbidden)
    );
    assert_eq!(request("tasks/get", LEGACY, on), Ok(()));
    assert_eq!(
        request("tasks/list", LEGACY, on),
        Err(Refusal::MethodForbidden)
    );
    let task = |extra| {
        outcome(
            TOOLS_CALL,
            r#"{"name":"a","task":{}}"#,
            "\"id\":1,",
            LEGACY,
            extra,
        )
    };
    assert_eq!(task(off), Err(Refusal::MethodForbidden));
    assert_eq!(task(on), Ok(()));
    let params = r#"{"notifications":{"taskIds":["a"]}}"#;
    let listen = |extra| {
        outcome(
            SUBSCRIPTIONS_LISTEN,
            params,
            "\"id\":1,",
            Era::Modern,
            extra,
        )
    };
    assert_eq!(listen(off), Err(Refusal::MethodForbiddenModern));
    assert_eq!(listen(on), Ok(()));
}

#[test]
fn the_name_of_a_tool_is_exact_and_plain() {
    let read =
        |params: &'static str| ToolCall::read(Some(scan_reply(params.as_bytes()).expect("JSON")));
    let call = read(r#"{"name":"a_b.c-d/E","arguments":{"x":1.0}}"#).expect("a call");
    assert_eq!(call.tool, "a_b.c-d/E");
    assert_eq!(call.arguments.expect("arguments").text(), r#"{"x":1.0}"#);
    assert_eq!(read(r#"{"name":"\u0061"}"#).expect("a call").tool, "a");
    for params in [
        r#"{}"#,
        r#"{"name":"a "}"#,
        r#"{"name":" a"}"#,
        r#"{"name":"a\u0000"}"#,
        r#"{"name":"\uff41"}"#,
        r#"{"name":""}"#,
        r#"{"name":["a"]}"#,
        r#"{"name":null}"#,
    ] {
        assert_eq!(read(params), Err(Refusal::ToolNameInvalid), "{params}");
    }
    for params in [
        r#"{"name":"a","arguments":[]}"#,
        r#"{"name":"a","arguments":null}"#,
    ] {
        assert_eq!(read(params), Err(Refusal::ParamsInvalid), "{params}");
    }
    assert_eq!(ToolCall::read(None), Err(Refusal::ToolNameInvalid));
}
