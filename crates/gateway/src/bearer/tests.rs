use http::HeaderValue;

use super::*;

fn token_of(value: &str) -> Result<String, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_str(value).expect("a value"),
    );
    token(&headers).map(str::to_owned)
}

#[test]
fn one_token_after_the_scheme_is_taken_as_it_is() {
    assert_eq!(token_of("Bearer abc"), Ok("abc".to_owned()));
    assert_eq!(token_of("bearer a.b-c_d"), Ok("a.b-c_d".to_owned()));
    assert_eq!(token(&HeaderMap::new()), Err(Refusal::TokenMissing));
    for (value, refusal) in [
        ("Bearer", Refusal::TokenMissing),
        ("Basic abc", Refusal::TokenMissing),
        ("Bearer ", Refusal::TokenInvalid),
        ("Bearer  abc", Refusal::TokenInvalid),
        ("Bearer a b", Refusal::TokenInvalid),
        ("Bearer a, Bearer b", Refusal::TokenInvalid),
        ("Bearer a,b", Refusal::TokenInvalid),
    ] {
        assert_eq!(token_of(value), Err(refusal), "{value}");
    }
    assert_eq!(
        token_of(&format!("Bearer {}", "x".repeat(600))),
        Err(Refusal::TokenInvalid)
    );
}
