use super::*;
use crate::policy::Policy;

/// The only limit of a tool `send_interactive_flow`, or of `all_tools`.
fn only_limit(owner: &str, members: &str) -> Limit {
    let limits = format!(r#"{{"limits": [{{"counter": "n", {members}}}]}}"#);
    let document = match owner {
        ALL_TOOLS => format!(r#"{{"version":"1","default":"deny","all_tools":{limits}}}"#),
        tool => format!(r#"{{"version":"1","default":"deny","tools":{{"{tool}":{limits}}}}}"#),
    };
    let policy = Policy::parse(document.as_bytes()).unwrap();
    Limit::clone(policy.limits().next().unwrap())
}

fn text(limit: &Limit, retry_after_ms: Option<u64>) -> String {
    limit_denied(
        limit,
        "send_interactive_flow",
        retry_after_ms.map(Duration::from_millis),
    )
}

#[test]
fn a_limit_names_its_rate_the_tool_and_the_wait() {
    let limit = only_limit("send_interactive_flow", r#""window": "minute", "max": 30"#);
    let expected = "Rate limit of 30 per minute reached for send_interactive_flow. Retry in 12 s.";
    for wait in [11_001, 12_000] {
        assert_eq!(text(&limit, Some(wait)), expected);
    }
    assert!(text(&limit, Some(0)).ends_with("Retry in 1 s."));
    let limit = only_limit("send_interactive_flow", r#""window": "90s", "max": 30"#);
    assert!(text(&limit, Some(1)).starts_with("Rate limit of 30 per 90s reached"));
    let limit = only_limit(ALL_TOOLS, r#""window": "hour", "max": 5"#);
    let expected = "Rate limit of 5 per hour reached for all tools together. Retry in 9 s.";
    assert_eq!(text(&limit, Some(9_000)), expected);
}

#[test]
fn a_call_that_never_fits_is_not_told_to_wait() {
    let limit = only_limit("t", r#""window": "minute", "max": 1, "increment": 2"#);
    let expected = "This call asks for more than the rate limit of 1 per minute for t ever admits.";
    assert_eq!(limit_denied(&limit, "t", None), expected);
}

#[test]
fn on_deny_replaces_the_text() {
    let limit = only_limit(
        "t",
        r#""window": "minute", "max": 1, "on_deny": "slow down""#,
    );
    assert_eq!(text(&limit, Some(1)), "slow down");
    assert_eq!(text(&limit, None), "slow down");
    let limit = only_limit("t", r#""window": "minute", "max": 1, "on_deny": """#);
    assert!(text(&limit, Some(1)).starts_with("Rate limit of 1 per minute"));
}

#[test]
fn long_names_are_clipped() {
    assert!(not_permitted(&"x".repeat(10_000)).len() < 400);
    assert!(unknown_tool(&"é".repeat(10_000)).len() < 700);
}
