use super::*;

#[test]
fn a_name_is_a_dns_label() {
    for good in ["a", "demo", "demo-2", "0", &"a".repeat(63)] {
        assert_eq!(Name::new(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "-a",
        "a-",
        "A",
        "a.b",
        "a_b",
        "a/b",
        "a b",
        "é",
        "a\n",
        &"a".repeat(64),
    ] {
        assert!(Name::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_grant_may_be_called_like_a_mail_address() {
    assert!(GrantName::new("alice@example.com").is_ok());
    assert!(GrantName::new("CI_bot-1").is_ok());
    for bad in [
        "",
        "@a",
        ".a",
        "-a",
        "a b",
        "a/b",
        "a\u{7f}",
        "ä",
        &"a".repeat(65),
    ] {
        assert!(GrantName::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn sixteen_random_bytes_make_a_grant_id_of_26_digits() {
    assert_eq!(GrantId::from_random([0; 16]).as_str(), "0".repeat(26));
    assert_eq!(
        GrantId::from_random([255; 16]).as_str(),
        format!("7{}", "z".repeat(25))
    );
    let id = GrantId::from_random(*b"0123456789abcdef");
    assert_eq!(GrantId::new(id.as_str()).unwrap(), id);
}

#[test]
fn an_error_shows_only_the_start_of_a_long_text() {
    let error = Name::new(&"x".repeat(100_000)).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn a_malformed_name_does_not_decode() {
    assert_eq!(
        serde_json::from_str::<Name>("\"demo\"").unwrap().as_str(),
        "demo"
    );
    assert!(serde_json::from_str::<Name>("\"De mo\"").is_err());
}
