use super::*;

#[test]
fn an_mcp_method_has_its_own_label_or_is_other() {
    assert_eq!(Method::of("tools/call"), Method::ToolsCall);
    assert_eq!(Method::of("initialize"), Method::Initialize);
    assert_eq!(
        Method::of("notifications/initialized"),
        Method::Notification
    );
    assert_eq!(Method::of("tasks/get"), Method::Tasks);
    for other in [
        "",
        "stream",
        "session_end",
        "response",
        "tasks",
        "Tools/Call",
        "x\n",
    ] {
        assert_eq!(Method::of(other), Method::Other, "{other:?}");
    }
}

#[test]
fn a_status_falls_into_its_class() {
    let classes = [101, 200, 302, 404, 599, 0, 600].map(|status| StatusClass::of(status).as_str());
    assert_eq!(classes, ["1xx", "2xx", "3xx", "4xx", "5xx", "none", "none"]);
}

#[test]
fn the_index_of_a_value_is_its_place() {
    for (place, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(reason.index(), place);
    }
    let mut texts: Vec<&str> = Method::ALL.iter().map(|method| method.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), Method::ALL.len());
}
