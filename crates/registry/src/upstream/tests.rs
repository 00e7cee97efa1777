use super::*;

#[test]
fn plain_addresses_are_upstreams() {
    for good in [
        "http://localhost",
        "http://127.0.0.1:8080/mcp",
        "https://mcp.example.com/v1/mcp/",
        "https://[::1]:9000/mcp",
        "https://a.b/%7Euser/x;y=1@z",
        "http://my_service.ns.svc.cluster.local:80/",
    ] {
        assert_eq!(Upstream::new(good).unwrap().as_str(), good);
    }
}

#[test]
fn each_fault_has_its_own_error() {
    let cases = [
        ("", UpstreamError::Scheme),
        ("ftp://a", UpstreamError::Scheme),
        ("HTTP://a", UpstreamError::Scheme),
        ("//a", UpstreamError::Scheme),
        ("http://", UpstreamError::Host),
        ("http:///path", UpstreamError::Host),
        ("http://:80", UpstreamError::Host),
        ("http://a..b", UpstreamError::Host),
        ("http://-a", UpstreamError::Host),
        ("http://a b", UpstreamError::Host),
        ("http://ä", UpstreamError::Host),
        ("http://[::1", UpstreamError::Host),
        ("http://[::1]x", UpstreamError::Host),
        ("http://[nonsense]", UpstreamError::Host),
        ("http://user:pw@a", UpstreamError::User),
        ("http://@a", UpstreamError::User),
        ("http://a?x=1", UpstreamError::Query),
        ("http://a/#x", UpstreamError::Query),
        ("http://a:", UpstreamError::Port),
        ("http://a:0", UpstreamError::Port),
        ("http://a:65536", UpstreamError::Port),
        ("http://a:+80", UpstreamError::Port),
        ("http://a/../b", UpstreamError::Path),
        ("http://a/./b", UpstreamError::Path),
        ("http://a/%2e%2E/b", UpstreamError::Path),
        ("http://a/%2f", UpstreamError::Path),
        ("http://a/%zz", UpstreamError::Path),
        ("http://a/%2", UpstreamError::Path),
        ("http://a/b c", UpstreamError::Path),
        ("http://a/\r\nHost: b", UpstreamError::Path),
        ("http://a/\\b", UpstreamError::Path),
    ];
    for (text, error) in cases {
        assert_eq!(Upstream::new(text).unwrap_err(), error, "{text:?}");
    }
    let long = format!("http://a/{}", "b".repeat(URL_BYTES_MAX));
    assert_eq!(Upstream::new(&long).unwrap_err(), UpstreamError::TooLong);
}
