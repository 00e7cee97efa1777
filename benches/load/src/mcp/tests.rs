use super::*;

const ALLOWED: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hi"}]}}"#;
const REFUSED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[{"type":"text",
    "text":"[POLICY DENIED] \"quotum\" says no"}],"_meta":{"a":[1]}}}"#;

fn json(body: &str) -> Counted {
    count(StatusCode::OK, false, body.as_bytes())
}

#[test]
fn a_result_is_an_allowed_call() {
    let counted = json(ALLOWED);
    assert_eq!(
        (counted.admitted, counted.denied, counted.errors),
        (1, 0, 0)
    );
    let quotes = ALLOWED.replace("hi", "[POLICY DENIED] is only what the tool said");
    assert_eq!(json(&quotes).admitted, 1);
    assert_eq!(json(r#"{"id":1,"result":{}}"#).admitted, 1);
}

#[test]
fn a_denial_is_a_denied_call() {
    let counted = json(REFUSED);
    assert_eq!(
        (counted.admitted, counted.denied, counted.errors),
        (0, 1, 0)
    );
}

#[test]
fn an_event_stream_has_the_response_in_it() {
    let stream = |body: &str| {
        let text = format!(
            "event: message\r\ndata: {{\"method\":\"notifications/progress\"}}\r\n\r\n\
             id: 7\r\ndata: {}\r\n\r\n",
            body.replace('\n', "")
        );
        count(StatusCode::OK, true, text.as_bytes())
    };
    assert_eq!(stream(ALLOWED).admitted, 1);
    assert_eq!(stream(REFUSED).denied, 1);
    assert_eq!(count(StatusCode::OK, true, b"data:\n\n").errors, 1);
}

#[test]
fn everything_else_is_an_error_and_says_why() {
    let unavailable = REFUSED.replace(
        "\\\"quotum\\\" says no",
        "The rate limit cannot be checked right now. Retry later.",
    );
    let failed = REFUSED.replace("[POLICY DENIED] ", "");
    for (status, body, says) in [
        (200, unavailable.as_str(), "cannot be checked"),
        (200, failed.as_str(), "says no"),
        (
            200,
            r#"{"id":1,"error":{"code":-32602,"message":"odd"}}"#,
            "-32602",
        ),
        (401, "{}", "401"),
        (503, ALLOWED, "503"),
        (200, "", "200"),
        (502, "bad gateway", "bad gateway"),
    ] {
        let counted = count(
            StatusCode::from_u16(status).unwrap(),
            false,
            body.as_bytes(),
        );
        assert_eq!(
            (counted.admitted, counted.denied, counted.errors),
            (0, 0, 1),
            "{body}"
        );
        let complaint = counted.complaint.unwrap();
        assert!(complaint.contains(says), "{complaint}");
    }
}

#[test]
fn the_token_in_a_file_comes_before_the_one_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "secret\n").unwrap();
    let given = Some("given".to_owned());
    assert_eq!(
        token(Some(&file), given.clone()).unwrap().as_deref(),
        Some("secret")
    );
    assert_eq!(token(None, given.clone()).unwrap(), given);
    assert_eq!(token(None, None).unwrap(), None);
    assert!(token(Some(&folder.path().join("none")), given).is_err());
    assert!(headers(&Uri::from_static("http://a:1/mcp"), Some("two\nlines")).is_err());
}
