use super::ratelimit::{
    LimitState, Quota, RATELIMIT, RATELIMIT_POLICY, seconds, write, write_policy,
};
use super::*;

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &'static str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    lines.iter().map(line).collect()
}

fn limit(counter: &str, max: u64, remaining: u64) -> LimitState<'_> {
    LimitState {
        quota: Quota {
            counter,
            max,
            window_ms: 60_000,
        },
        remaining,
        reset_after_ms: 36_001,
    }
}

#[test]
fn a_policy_stands_alone_where_nothing_is_known_of_what_remains() {
    let mut headers = HeaderMap::new();
    write_policy(&mut headers, std::iter::empty());
    assert!(headers.is_empty());
    let quotas = [limit("a", 30, 0).quota, limit("b", 2, 0).quota];
    write_policy(&mut headers, quotas.into_iter());
    assert_eq!(headers[RATELIMIT_POLICY], r#""a";q=30;w=60, "b";q=2;w=60"#);
    assert!(!headers.contains_key(RATELIMIT));
}

#[test]
fn the_rate_limit_fields_read_as_the_draft_says() {
    let mut headers = HeaderMap::new();
    write(
        &mut headers,
        &[limit("send_interactive_flow_rate", 30, 12)],
        0,
    );
    assert_eq!(
        headers[RATELIMIT_POLICY],
        "\"send_interactive_flow_rate\";q=30;w=60"
    );
    assert_eq!(
        headers[RATELIMIT],
        "\"send_interactive_flow_rate\";r=12;t=37"
    );
}

#[test]
fn the_binding_limit_is_listed_first() {
    let mut headers = HeaderMap::new();
    write(
        &mut headers,
        &[limit("a", 1, 1), limit("b", 2, 0), limit("c", 3, 3)],
        1,
    );
    assert_eq!(
        headers[RATELIMIT],
        r#""b";r=0;t=37, "a";r=1;t=37, "c";r=3;t=37"#
    );
}

#[test]
fn a_counter_name_cannot_split_the_field() {
    let mut headers = HeaderMap::new();
    write(
        &mut headers,
        &[limit("a\"b\\c\r\nX: é", 1 << 53, 1 << 53)],
        0,
    );
    assert_eq!(
        headers[RATELIMIT],
        r#""a\"b\\c%0D%0AX: %C3%A9";r=999999999999999;t=37"#
    );
}

#[test]
fn without_limits_there_are_no_fields() {
    let mut headers = HeaderMap::new();
    write(&mut headers, &[], 0);
    assert!(headers.is_empty());
}

#[test]
fn seconds_are_rounded_up() {
    assert_eq!([0, 1, 1_000, 1_001].map(seconds), [0, 1, 1, 2]);
}

#[test]
fn a_second_line_of_a_protocol_header_is_refused_even_with_equal_values() {
    for name in [
        "mcp-name",
        "mcp-method",
        "mcp-session-id",
        "mcp-param-x",
        "last-event-id",
    ] {
        let twice = map(&[(name, "a"), (name, "a")]);
        assert!(
            check_single(&twice) == Err(Refusal::DuplicateHeader),
            "{name}"
        );
    }
    assert_eq!(
        check_single(&map(&[("accept", "a"), ("accept", "b")])),
        Ok(())
    );
}

#[test]
fn only_listed_headers_cross_in_either_direction() {
    let client = map(&[
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.2.3.4"),
        ("forwarded", "for=x"),
        ("origin", "http://evil"),
        ("x-http-method-override", "DELETE"),
        ("accept", "application/json"),
        ("traceparent", "00-1-2-3"),
        ("mcp-name", "lie"),
        ("mcp-param-region", "eu"),
    ]);
    let mut upstream = HeaderMap::new();
    copy_to_upstream(&client, &mut upstream);
    copy_params_to_upstream(&client, &mut upstream);
    let names: Vec<&str> = upstream.keys().map(HeaderName::as_str).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in ["accept", "traceparent", "mcp-param-region"] {
        assert!(upstream.contains_key(name), "{name}");
    }

    let reply = map(&[
        ("content-type", "application/json"),
        ("set-cookie", "a=b"),
        ("www-authenticate", "Bearer"),
        ("location", "http://elsewhere"),
        ("etag", "x"),
        ("access-control-allow-origin", "*"),
        ("retry-after", "3"),
    ]);
    let mut seen = HeaderMap::new();
    copy_to_client(&reply, &mut seen);
    let mut names: Vec<&str> = seen.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "retry-after"]);
}

#[test]
fn a_client_without_accept_gets_both_kinds() {
    let mut upstream = HeaderMap::new();
    copy_to_upstream(&HeaderMap::new(), &mut upstream);
    assert_eq!(upstream[ACCEPT], "application/json, text/event-stream");
}
