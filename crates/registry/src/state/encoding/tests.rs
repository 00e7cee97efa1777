use super::*;
use crate::command::{Change, CredentialChange, Outcome};
use crate::sample::{
    NOW, applied, document, grant, hash, id, key, populated, put_policy, sealed, server,
};

#[test]
fn a_state_and_a_command_survive_encoding() {
    let mut state = populated();
    let credential = CredentialChange::Set(sealed(&key(), 1, "demo", "Bearer x"));
    let command = Command::apply(
        NOW,
        vec![
            Change::PutServer {
                server: server("demo"),
                credential,
            },
            Change::RotateGrant {
                id: id("id-alice"),
                token: hash(1),
                overlap_ms: 0,
            },
            Change::RotateGrant {
                id: id("id-alice"),
                token: hash(2),
                overlap_ms: 60_000,
            },
        ],
    );
    assert_eq!(Command::decode(&command.encode()).unwrap(), command);
    assert!(matches!(state.apply(&command), Outcome::Applied { .. }));
    let decoded = State::decode(&state.encode()).unwrap();
    assert_eq!(decoded, state);
    assert_eq!(decoded.digest(), state.digest());
}

#[test]
fn another_format_and_unknown_members_are_told_apart() {
    let text = String::from_utf8(populated().encode()).unwrap();
    let other = text.replace(r#""format":1"#, r#""format":2,"more":true"#);
    let error = State::decode(other.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the state has format 2, this program reads format 1"
    );
    let unknown = text.replace(r#""format":1"#, r#""format":1,"more":true"#);
    assert!(matches!(
        State::decode(unknown.as_bytes()),
        Err(DecodeError::Malformed { .. })
    ));
    assert!(matches!(
        Command::decode(b"\xff"),
        Err(DecodeError::Malformed { .. })
    ));
    let change = br#"{"format":1,"command":{"apply":{"at_ms":1,"expected_revision":null,"changes":[{"delete_grant":{"id":"a","x":1}}]}}}"#;
    assert!(matches!(
        Command::decode(change),
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn a_state_that_contradicts_itself_does_not_decode() {
    let mut state = populated();
    applied(
        &mut state,
        vec![
            Change::PutGrant {
                grant: grant("bob", "demo", None),
                token: Some(hash(1)),
            },
            Change::PutGrant {
                grant: grant("carol", "demo", None),
                token: Some(hash(2)),
            },
        ],
    );
    let text = String::from_utf8(state.encode()).unwrap();
    let hex = |number| String::from(hash(number));
    for (from, to) in [
        (r#""server":"demo""#.to_owned(), r#""server":"absent""#),
        (r#""policy":"strict""#.to_owned(), r#""policy":"absent""#),
        (r#""name":"bob""#.to_owned(), r#""name":"alice""#),
        (r#""id":"id-carol""#.to_owned(), r#""id":"id-aaa""#),
        (r#""revision":2"#.to_owned(), r#""revision":1"#),
        (r#""revision":2}]}"#.to_owned(), r#""revision":0}]}"#),
        (hex(2), hex(1).as_str()),
    ] {
        assert!(text.contains(&from), "{from} in {text}");
        let error = State::decode(text.replacen(&from, to, 1).as_bytes()).unwrap_err();
        assert!(
            matches!(error, DecodeError::Inconsistent(_)),
            "{from}: {error:?}"
        );
    }
}

#[test]
fn a_policy_document_is_kept_to_the_byte() {
    let mut state = State::new();
    applied(&mut state, vec![put_policy("p", 5)]);
    assert_eq!(state.policy("p").unwrap().document, document(5));
    let decoded = State::decode(&state.encode()).unwrap();
    assert_eq!(
        decoded.policy("p").unwrap().document.as_str(),
        document(5).as_str()
    );
}
