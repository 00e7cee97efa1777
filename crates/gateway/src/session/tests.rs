use super::*;

fn key(id: &str, byte: u8) -> SessionKey {
    let mut bytes = [byte; 32];
    bytes[0] = !byte;
    let key = MasterKey::from_bytes(&bytes).expect("a key");
    SessionKey {
        id: id.to_owned(),
        key: Arc::new(key),
    }
}

fn keys(list: &[(&str, u8)]) -> SessionKeys {
    let keys = list.iter().map(|(id, byte)| key(id, *byte)).collect();
    SessionKeys::new(keys).expect("keys")
}

#[test]
fn any_replica_with_the_key_opens_the_id() {
    let sealed = keys(&[("a", 1)])
        .seal("files", "g1", "upstream-1")
        .expect("sealed");
    assert!(!sealed.sealed.contains("upstream"));
    let opened = keys(&[("a", 1)])
        .open("files", "g1", &sealed.sealed)
        .expect("opens");
    assert_eq!(opened.upstream, "upstream-1");
    assert_eq!(opened, sealed);
}

#[test]
fn another_grant_another_server_or_another_key_does_not_open_it() {
    let all = keys(&[("a", 1)]);
    let sealed = all
        .seal("files", "g1", "upstream-1")
        .expect("sealed")
        .sealed;
    assert_eq!(
        all.open("files", "g2", &sealed),
        Err(Refusal::SessionUnknown)
    );
    assert_eq!(
        all.open("mail", "g1", &sealed),
        Err(Refusal::SessionUnknown)
    );
    assert_eq!(
        all.open("filesg", "1", &sealed),
        Err(Refusal::SessionUnknown)
    );
    assert_eq!(
        keys(&[("a", 2)]).open("files", "g1", &sealed),
        Err(Refusal::SessionUnknown)
    );
    assert_eq!(
        keys(&[("b", 1)]).open("files", "g1", &sealed),
        Err(Refusal::SessionUnknown)
    );
}

#[test]
fn an_older_key_opens_after_rotation_and_the_newest_seals() {
    let before = keys(&[("a", 1)])
        .seal("files", "g1", "x")
        .expect("sealed")
        .sealed;
    let rotated = keys(&[("b", 2), ("a", 1)]);
    assert_eq!(
        rotated
            .open("files", "g1", &before)
            .expect("opens")
            .upstream,
        "x"
    );
    let after = rotated.seal("files", "g1", "x").expect("sealed").sealed;
    assert!(after.starts_with("v1.b."));
    assert_ne!(before, after);
}

#[test]
fn no_changed_text_opens() {
    let all = keys(&[("a", 1)]);
    let sealed = all
        .seal("files", "g1", "upstream-1")
        .expect("sealed")
        .sealed;
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert_eq!(
            all.open("files", "g1", &changed),
            Err(Refusal::SessionUnknown),
            "{at}"
        );
    }
    for text in [
        "",
        "v1",
        "v1.",
        "v1.a",
        "v1.a.",
        "upstream-1",
        "v1.a.AAAA",
        "v2.a.AAAA",
    ] {
        assert_eq!(
            all.open("files", "g1", text),
            Err(Refusal::SessionUnknown),
            "{text}"
        );
    }
    assert_eq!(
        all.open(
            "files",
            "g1",
            &format!("v1.a.{}", "A".repeat(SEALED_ID_BYTES_MAX))
        ),
        Err(Refusal::SessionUnknown)
    );
}

#[test]
fn what_is_no_session_id_is_not_sealed() {
    let all = keys(&[("a", 1)]);
    for upstream in [
        "",
        "a b",
        "a\r\nb",
        "é",
        &"x".repeat(SESSION_ID_BYTES_MAX + 1),
    ] {
        assert_eq!(all.seal("files", "g1", upstream), None, "{upstream}");
    }
    let longest = "x".repeat(SESSION_ID_BYTES_MAX);
    let sealed = all.seal("files", "g1", &longest).expect("sealed").sealed;
    assert!(sealed.len() <= SEALED_ID_BYTES_MAX && sealed.bytes().all(|b| b.is_ascii_graphic()));
}

#[test]
fn keys_have_distinct_plain_ids() {
    assert!(matches!(
        SessionKeys::new(vec![]),
        Err(SessionKeysError::Count)
    ));
    assert!(matches!(
        SessionKeys::new(vec![key("a", 1), key("a", 2)]),
        Err(SessionKeysError::Twice(_))
    ));
    assert!(matches!(
        SessionKeys::new(vec![key("A.", 1)]),
        Err(SessionKeysError::Id(_))
    ));
}

#[test]
fn an_event_is_known_in_its_own_session_only() {
    let all = keys(&[("a", 1)]);
    let owner = ("files", "g1");
    let session = all.seal("files", "g1", "upstream-1").expect("sealed");
    let sealed = all.seal_event(owner, &session, "7 of 9").expect("sealed");
    assert_eq!(
        all.open_event(owner, &session, &sealed).as_deref(),
        Ok("7 of 9")
    );
    let other = all.seal("files", "g1", "upstream-2").expect("sealed");
    for (owner, session) in [
        (owner, &other),
        (("files", "g2"), &session),
        (("mail", "g1"), &session),
    ] {
        let opened = all.open_event(owner, session, &sealed);
        assert_eq!(opened, Err(Refusal::EventIdUnknown));
    }
    for foreign in ["7 of 9", "", &session.sealed, &sealed.replace("e1", "v1")] {
        let opened = all.open_event(owner, &session, foreign);
        assert_eq!(opened, Err(Refusal::EventIdUnknown), "{foreign}");
    }
    // An event opens as no session either.
    assert_eq!(
        all.open("files", "g1", &sealed),
        Err(Refusal::SessionUnknown)
    );
}

#[test]
fn an_event_id_that_no_header_carries_has_no_seal() {
    let all = keys(&[("a", 1)]);
    let session = all.seal("files", "g1", "upstream-1").expect("sealed");
    let longest = "x".repeat(EVENT_ID_BYTES_MAX);
    let sealed = all.seal_event(("files", "g1"), &session, &longest);
    let sealed = sealed.expect("sealed");
    assert!(all.open_event(("files", "g1"), &session, &sealed).is_ok());
    for id in ["", "a\tb", "\u{e9}", &format!("{longest}x")] {
        assert_eq!(all.seal_event(("files", "g1"), &session, id), None, "{id}");
    }
}
