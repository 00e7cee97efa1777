use super::*;

fn inspect(inspector: &Inspector, message: &str) -> Result<Inspected, Unreadable> {
    let mut inspector = inspector.clone();
    let sight = Sight {
        visible: &|name| name != "hidden",
        names_hidden: &|text| text.contains("hidden"),
    };
    inspector.inspect(message.as_bytes(), sight)
}

fn lists(id: &str) -> Inspector {
    Inspector {
        id: Some(id.to_owned()),
        lists_tools: true,
        modern: false,
        tasks: None,
    }
}

#[test]
fn a_list_is_filtered_and_known_as_the_answer() {
    let message = r#"{"id":1,"result":{"tools":[{"name":"hidden"},{"name":"a"}]}}"#;
    let inspected = inspect(&lists("1"), message).expect("readable");
    assert_eq!(
        inspected.text.as_deref(),
        Some(r#"{"id":1,"result":{"tools":[{"name":"a"}]}}"#)
    );
    assert_eq!(inspected.answer, Some(Answer::Result { is_error: false }));
}

#[test]
fn a_list_that_is_none_does_not_pass() {
    for message in [
        r#"{"id":1,"result":{}}"#,
        r#"{"id":1,"result":{"tools":null}}"#,
        r#"{"id":1,"result":{"tools":[]},"result":{"tools":[{"name":"hidden"}]}}"#,
        r#"{"id":1,"result":{"tools":[{"name":NaN}]}}"#,
        "hidden",
        "",
    ] {
        assert_eq!(inspect(&lists("1"), message), Err(Unreadable), "{message}");
    }
    let error = r#"{"id":1,"error":{"code":-32601,"message":"x"}}"#;
    assert!(inspect(&lists("1"), error).is_ok());
}

#[test]
fn a_list_is_filtered_even_where_none_was_asked_for() {
    let message = r#"[{"id":9,"result":{"tools":[{"name":"hidden"}]}}]"#;
    let stream = Inspector {
        id: None,
        lists_tools: false,
        modern: false,
        tasks: None,
    };
    let inspected = inspect(&stream, message).expect("readable");
    assert_eq!(
        inspected.text.as_deref(),
        Some(r#"[{"id":9,"result":{"tools":[]}}]"#)
    );
    assert_eq!(inspected.answer, None);
}
