use std::sync::Arc;

use super::*;
use crate::command::{Change, Command, CredentialChange, Outcome, Reason};
use crate::limits::{CHANGES_MAX, GRANTS_MAX, STATE_BYTES_MAX};
use crate::sample::{
    grant, hash, id, key, name, put_grant, put_policy, put_server, sealed, server, token,
};
use crate::state::State;

const NOW: u64 = 1_000_000;

fn apply(state: &mut State, changes: Vec<Change>) {
    let outcome = state.apply(&Command::apply(NOW, changes));
    assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
}

fn rotate(text: &str, number: u8, overlap_ms: u64) -> Change {
    Change::RotateGrant {
        id: id(&format!("id-{text}")),
        token: hash(number),
        overlap_ms,
    }
}

fn populated() -> State {
    let mut state = State::new();
    apply(
        &mut state,
        vec![
            put_server("demo"),
            put_policy("strict", 3),
            put_grant("alice", "demo", Some("strict")),
            rotate("alice", 1, 0),
        ],
    );
    state
}

#[test]
fn a_token_opens_its_grant() {
    let view = View::of(&populated(), &key(), None);
    let grant = view.grant_by_token(&key(), token(1).as_str(), NOW).unwrap();
    assert_eq!(
        (grant.name.as_str(), grant.server.spec.name.as_str()),
        ("alice", "demo")
    );
    assert_eq!(grant.policy.as_ref().unwrap().name, name("strict"));
    assert_eq!((view.revision(), view.problems()), (1, &[][..]));
}

#[test]
fn any_other_text_opens_nothing() {
    let view = View::of(&populated(), &key(), None);
    let admin = Token::from_random(TokenKind::Admin, &[1; 32]);
    for text in [
        "",
        "qtm_",
        token(2).as_str(),
        admin.as_str(),
        &format!("{} ", token(1).as_str()),
    ] {
        let refusal = view.grant_by_token(&key(), text, NOW).unwrap_err();
        assert_eq!(refusal, Refusal::Unknown, "{text}");
    }
    let other = MasterKey::from_bytes(b"another key, of thirty-two bytes").unwrap();
    assert!(view.grant_by_token(&other, token(1).as_str(), NOW).is_err());
    assert!(
        View::empty()
            .grant_by_token(&key(), token(1).as_str(), NOW)
            .is_err()
    );
}

#[test]
fn a_rotated_token_opens_until_the_overlap_ends() {
    let mut state = populated();
    apply(&mut state, vec![rotate("alice", 2, 500)]);
    let view = View::of(&state, &key(), None);
    let open = |number, at_ms| {
        view.grant_by_token(&key(), token(number).as_str(), at_ms)
            .map(drop)
    };
    assert_eq!(open(2, NOW + 9_999), Ok(()));
    assert_eq!(open(1, NOW + 499), Ok(()));
    assert_eq!(open(1, NOW + 500), Err(Refusal::Expired));
}

#[test]
fn expired_and_revoked_grants_open_nothing() {
    let mut state = populated();
    let mut spec = grant("alice", "demo", Some("strict"));
    spec.expires_at_ms = Some(NOW + 10);
    apply(
        &mut state,
        vec![Change::PutGrant {
            grant: spec,
            token: None,
        }],
    );
    let view = View::of(&state, &key(), None);
    assert!(
        view.grant_by_token(&key(), token(1).as_str(), NOW + 9)
            .is_ok()
    );
    let late = view.grant_by_token(&key(), token(1).as_str(), NOW + 10);
    assert_eq!(late.unwrap_err(), Refusal::Expired);

    apply(
        &mut state,
        vec![
            rotate("alice", 2, 5_000),
            Change::RevokeGrant { id: id("id-alice") },
        ],
    );
    let view = View::of(&state, &key(), None);
    for number in [1, 2] {
        let refusal = view
            .grant_by_token(&key(), token(number).as_str(), NOW)
            .unwrap_err();
        assert_eq!(refusal, Refusal::Revoked);
    }
}

#[test]
fn the_limit_revision_is_the_later_of_policy_and_grant() {
    let mut state = populated();
    let revision = |state: &State| {
        View::of(state, &key(), None)
            .grant("id-alice")
            .unwrap()
            .limit_revision()
    };
    assert_eq!(revision(&state), 1);
    apply(&mut state, vec![put_policy("strict", 4)]);
    assert_eq!(revision(&state), 2);
    apply(&mut state, vec![put_policy("old", 1)]);
    assert_eq!(revision(&state), 2);
    apply(&mut state, vec![put_grant("alice", "demo", Some("old"))]);
    assert_eq!(revision(&state), 4);
    apply(&mut state, vec![put_grant("alice", "demo", None)]);
    assert_eq!(revision(&state), 5);
}

#[test]
fn an_unchanged_policy_is_not_compiled_again() {
    let mut state = populated();
    apply(&mut state, vec![put_policy("other", 1)]);
    let first = View::of(&state, &key(), None);
    apply(&mut state, vec![put_policy("other", 2), put_server("more")]);
    let second = View::decode(&state.encode(), &key(), Some(&first)).unwrap();
    let policies = |view: &View, name: &str| Arc::clone(view.policy(name).unwrap());
    assert!(Arc::ptr_eq(
        &policies(&first, "strict"),
        &policies(&second, "strict")
    ));
    assert!(!Arc::ptr_eq(
        &policies(&first, "other"),
        &policies(&second, "other")
    ));
    assert_eq!(policies(&second, "other").revision, 3);
}

#[test]
fn a_credential_that_does_not_open_takes_down_its_server_only() {
    let mut state = populated();
    let other = MasterKey::from_bytes(b"another key, of thirty-two bytes").unwrap();
    let put = |text: &str, key: &MasterKey| Change::PutServer {
        server: server(text),
        credential: CredentialChange::Set(sealed(key, 1, text, "Bearer x")),
    };
    apply(&mut state, vec![put("good", &key()), put("bad", &other)]);
    let view = View::of(&state, &key(), None);
    let good = view.server("good").unwrap().credential().unwrap();
    assert_eq!(
        good.iter().collect::<Vec<_>>(),
        [("authorization", "Bearer x")]
    );
    assert!(
        view.server("demo")
            .unwrap()
            .credential()
            .unwrap()
            .is_empty()
    );
    assert!(view.server("bad").unwrap().credential().is_err());
    let problems: Vec<String> = view.problems().iter().map(Problem::to_string).collect();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("server bad is unusable: the seal does not open"));
}

#[test]
fn a_document_that_is_no_policy_leaves_its_grants_without_one() {
    let text = String::from_utf8(populated().encode()).unwrap();
    let newer = text.replace(r#"\"default\":\"allow\""#, r#"\"default\":\"maybe\""#);
    assert_ne!(text, newer);
    let view = View::decode(newer.as_bytes(), &key(), None).unwrap();
    assert!(view.grant("id-alice").unwrap().policy.is_none());
    assert!(
        matches!(&view.problems()[0], Problem::Policy { policy, .. } if *policy == name("strict"))
    );
}

#[test]
fn a_full_registry_decodes_and_opens_every_token() {
    let mut state = State::new();
    apply(
        &mut state,
        vec![put_server("demo"), put_policy("strict", 3)],
    );
    let token = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Token::from_random(TokenKind::Grant, &bytes)
    };
    let key = key();
    for first in (0..GRANTS_MAX).step_by(CHANGES_MAX) {
        let grants = (first..first + CHANGES_MAX).map(|number| Change::PutGrant {
            grant: grant(&format!("g{number}"), "demo", Some("strict")),
            token: Some(key.token_hash(&token(number))),
        });
        apply(&mut state, grants.collect());
    }
    let more = Command::apply(NOW, vec![put_grant("more", "demo", None)]);
    let Outcome::Refused(refused) = state.check(&more) else {
        panic!("not refused")
    };
    assert_eq!(refused.reason, Reason::Full);

    let bytes = state.encode();
    assert!(bytes.len() < STATE_BYTES_MAX / 4, "{}", bytes.len());
    let view = View::decode(&bytes, &key, None).unwrap();
    for number in (0..GRANTS_MAX).step_by(997) {
        let opened = view
            .grant_by_token(&key, token(number).as_str(), NOW)
            .unwrap();
        assert_eq!(opened.name.as_str(), format!("g{number}"));
    }
}
