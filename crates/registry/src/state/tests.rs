use crate::command::{Apply, Change, Command, CredentialChange, Outcome, Reason, Refused};
use crate::limits::{CHANGES_MAX, INSTANT_MS_MAX, OVERLAP_MS_MAX};
use crate::policy::Document;
use crate::sample::{
    NOW, applied, grant, hash, id, key, name, populated, put_grant, put_policy, put_server, sealed,
    server,
};
use crate::state::State;

/// Applies what must be refused, and checks that nothing at all has changed.
fn refused(state: &mut State, changes: Vec<Change>) -> Refused {
    let before = state.clone();
    let outcome = state.apply(&Command::apply(NOW, changes));
    assert_eq!(*state, before);
    match outcome {
        Outcome::Refused(refused) => refused,
        applied => panic!("not refused: {applied:?}"),
    }
}

#[test]
fn each_changed_object_carries_the_revision_of_its_last_change() {
    let mut state = populated();
    assert_eq!(state.revision(), 1);
    applied(
        &mut state,
        vec![put_policy("strict", 4), put_server("other")],
    );
    assert_eq!(state.revision(), 2);
    assert_eq!(state.policy("strict").unwrap().revision, 2);
    assert_eq!(state.server("other").unwrap().revision, 2);
    assert_eq!(state.server("demo").unwrap().revision, 1);
    assert_eq!(state.grant_named("alice").unwrap().revision, 1);
}

#[test]
fn a_change_that_changes_nothing_does_not_raise_the_revision() {
    let mut state = populated();
    let same = vec![
        put_server("demo"),
        put_policy("strict", 3),
        put_grant("alice", "demo", Some("strict")),
    ];
    let before = state.digest();
    assert_eq!(applied(&mut state, same), 0);
    assert_eq!(applied(&mut state, Vec::new()), 0);
    assert_eq!((state.revision(), state.digest()), (1, before));
}

#[test]
fn a_refused_change_undoes_the_changes_before_it() {
    let mut state = populated();
    let refused = refused(
        &mut state,
        vec![
            put_server("second"),
            put_policy("strict", 9),
            Change::RotateGrant {
                id: id("id-alice"),
                token: hash(1),
                overlap_ms: 0,
            },
            Change::DeleteGrant { id: id("id-alice") },
            Change::DeletePolicy {
                name: name("strict"),
            },
            put_grant("bob", "absent", None),
        ],
    );
    assert_eq!(
        (refused.change, refused.place.as_str()),
        (Some(5), "/grant/server")
    );
    assert_eq!(refused.reason, Reason::Missing);
    assert_eq!(
        refused.to_string(),
        "change 5 at /grant/server: there is no server absent"
    );
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let mut state = populated();
    let server = refused(
        &mut state,
        vec![Change::DeleteServer { name: name("demo") }],
    );
    assert_eq!(server.reason, Reason::InUse);
    assert_eq!(server.message, "server demo is used by grant alice");
    applied(
        &mut state,
        (0..6)
            .map(|n| put_grant(&format!("b{n}"), "demo", Some("strict")))
            .collect(),
    );
    let policy = refused(
        &mut state,
        vec![Change::DeletePolicy {
            name: name("strict"),
        }],
    );
    assert_eq!(
        policy.message,
        "policy strict is used by grants alice, b0, b1, b2, b3 and 2 more"
    );
}

#[test]
fn what_is_used_no_longer_is_deleted() {
    let mut state = populated();
    applied(
        &mut state,
        vec![
            put_grant("alice", "demo", None),
            Change::DeletePolicy {
                name: name("strict"),
            },
            Change::DeleteGrant { id: id("id-alice") },
            Change::DeleteServer { name: name("demo") },
        ],
    );
    assert_eq!(
        state.encode(),
        State {
            revision: 2,
            ..State::new()
        }
        .encode()
    );
}

#[test]
fn what_does_not_exist_is_not_changed() {
    let mut state = State::new();
    for change in [
        Change::DeleteServer { name: name("a") },
        Change::DeletePolicy { name: name("a") },
        Change::DeleteGrant { id: id("a") },
        Change::RevokeGrant { id: id("a") },
        Change::RotateGrant {
            id: id("a"),
            token: hash(1),
            overlap_ms: 0,
        },
        put_grant("a", "b", None),
    ] {
        assert_eq!(refused(&mut state, vec![change]).reason, Reason::Missing);
    }
    let mut state = populated();
    let grant = put_grant("bob", "demo", Some("absent"));
    assert_eq!(
        refused(&mut state, vec![grant]).message,
        "there is no policy absent"
    );
}

#[test]
fn a_document_that_is_no_policy_is_refused_with_its_fault() {
    let mut state = State::new();
    for text in ["", "{", "{}", r#"{"version":"2","default":"allow"}"#] {
        let document = Document::new(text);
        let refused = refused(
            &mut state,
            vec![Change::PutPolicy {
                name: name("p"),
                document,
            }],
        );
        assert_eq!(
            (refused.reason, refused.place.as_str()),
            (Reason::Invalid, "/document")
        );
        assert!(!refused.message.is_empty());
    }
}

#[test]
fn an_unexpected_revision_is_stale() {
    let mut state = populated();
    let apply = |expected| {
        let changes = vec![put_server("next")];
        Command::Apply(Apply {
            at_ms: NOW,
            expected_revision: Some(expected),
            changes,
        })
    };
    let Outcome::Refused(refused) = state.apply(&apply(0)) else {
        panic!("not refused")
    };
    assert_eq!((refused.reason, refused.change), (Reason::Stale, None));
    assert_eq!(refused.message, "the registry is at revision 1, not at 0");
    assert_eq!(
        state.apply(&apply(1)),
        Outcome::Applied {
            revision: 2,
            changed: 1
        }
    );
}

#[test]
fn checking_a_command_changes_nothing() {
    let state = populated();
    let command = Command::apply(NOW, vec![put_server("next")]);
    assert_eq!(
        state.check(&command),
        Outcome::Applied {
            revision: 2,
            changed: 1
        }
    );
    assert!(state.server("next").is_none());
}

#[test]
fn a_rotation_keeps_the_token_before_for_the_overlap() {
    let mut state = populated();
    let rotate = |number, overlap_ms| Change::RotateGrant {
        id: id("id-alice"),
        token: hash(number),
        overlap_ms,
    };
    applied(&mut state, vec![rotate(1, 500)]);
    assert_eq!(state.grant("id-alice").unwrap().previous, None);
    applied(&mut state, vec![rotate(2, 500)]);
    let grant = state.grant("id-alice").unwrap();
    assert_eq!(grant.token, Some(hash(2)));
    let previous = grant.previous.unwrap();
    assert_eq!((previous.hash, previous.ends_at_ms), (hash(1), NOW + 500));

    assert_eq!(applied(&mut state, vec![rotate(2, 500)]), 0, "repeated");
    assert_eq!(
        refused(&mut state, vec![rotate(1, 0)]).reason,
        Reason::Taken
    );
    applied(&mut state, vec![rotate(3, 0)]);
    assert_eq!(state.grant("id-alice").unwrap().previous, None);
    assert_eq!(
        refused(&mut state, vec![rotate(4, OVERLAP_MS_MAX + 1)]).place,
        "/overlap_ms"
    );
}

#[test]
fn a_token_belongs_to_one_grant() {
    let mut state = populated();
    let with_token = |text: &str, number| Change::PutGrant {
        grant: grant(text, "demo", None),
        token: Some(hash(number)),
    };
    applied(&mut state, vec![with_token("bob", 1)]);
    assert_eq!(
        refused(&mut state, vec![with_token("carol", 1)]).reason,
        Reason::Taken
    );
    assert_eq!(applied(&mut state, vec![with_token("bob", 1)]), 0);
    let other = refused(&mut state, vec![with_token("bob", 2)]);
    assert_eq!(other.message, "grant bob has a token: rotate it");
    let rotate = Change::RotateGrant {
        id: id("id-alice"),
        token: hash(1),
        overlap_ms: 0,
    };
    assert_eq!(refused(&mut state, vec![rotate]).reason, Reason::Taken);
}

#[test]
fn a_revoked_grant_stays_revoked() {
    let mut state = populated();
    let revoke = Change::RevokeGrant { id: id("id-alice") };
    assert_eq!(applied(&mut state, vec![revoke.clone()]), 1);
    assert_eq!(applied(&mut state, vec![revoke]), 0);
    applied(&mut state, vec![put_grant("alice", "demo", None)]);
    assert!(state.grant("id-alice").unwrap().revoked);
    let rotate = Change::RotateGrant {
        id: id("id-alice"),
        token: hash(1),
        overlap_ms: 0,
    };
    assert_eq!(
        refused(&mut state, vec![rotate]).message,
        "grant alice is revoked: create another"
    );
}

#[test]
fn a_grants_name_is_unique_and_free_again_after_it() {
    let mut state = populated();
    let mut twin = grant("alice", "demo", None);
    twin.id = id("another");
    let put = |grant| Change::PutGrant { grant, token: None };
    assert_eq!(
        refused(&mut state, vec![put(twin.clone())]).place,
        "/grant/name"
    );
    let mut renamed = grant("alicia", "demo", None);
    renamed.id = id("id-alice");
    applied(&mut state, vec![put(renamed), put(twin)]);
    assert_eq!(state.grant_named("alice").unwrap().spec.id, id("another"));
    assert_eq!(state.grant_named("alicia").unwrap().spec.id, id("id-alice"));
}

#[test]
fn a_credential_is_kept_set_and_cleared() {
    let mut state = State::new();
    let put = |credential| Change::PutServer {
        server: server("demo"),
        credential,
    };
    let credential = sealed(&key(), 1, "demo", "Bearer x");
    applied(
        &mut state,
        vec![put(CredentialChange::Set(credential.clone()))],
    );
    applied(&mut state, vec![put(CredentialChange::Keep)]);
    let again = CredentialChange::Set(sealed(&key(), 2, "demo", "Bearer x"));
    assert_eq!(
        applied(&mut state, vec![put(again)]),
        0,
        "the same headers under another nonce"
    );
    assert_eq!(state.server("demo").unwrap().credential, Some(credential));
    let other = CredentialChange::Set(sealed(&key(), 3, "demo", "Bearer y"));
    assert_eq!(applied(&mut state, vec![put(other)]), 1);
    applied(&mut state, vec![put(CredentialChange::Clear)]);
    assert_eq!(state.server("demo").unwrap().credential, None);
}

#[test]
fn bounds_are_refused_with_their_place() {
    let mut state = populated();
    let mut spec = server("demo");
    spec.methods = ["a b".to_owned()].into();
    let put = Change::PutServer {
        server: spec,
        credential: CredentialChange::Keep,
    };
    assert_eq!(refused(&mut state, vec![put]).place, "/server/methods");

    let mut late = grant("bob", "demo", None);
    late.expires_at_ms = Some(u64::MAX);
    let put = Change::PutGrant {
        grant: late,
        token: None,
    };
    assert_eq!(refused(&mut state, vec![put]).place, "/grant/expires_at_ms");

    let many = vec![put_server("demo"); CHANGES_MAX + 1];
    assert_eq!(refused(&mut state, many).place, "/changes");
    let late = Command::apply(INSTANT_MS_MAX + 1, Vec::new());
    assert!(matches!(state.apply(&late), Outcome::Refused(refused) if refused.place == "/at_ms"));
}

#[test]
fn the_cap_of_servers_holds_and_is_reusable() {
    let mut state = State::new();
    let names = (0..crate::limits::SERVERS_MAX).map(|n| put_server(&format!("s{n}")));
    applied(&mut state, names.collect());
    assert_eq!(
        refused(&mut state, vec![put_server("more")]).reason,
        Reason::Full
    );
    let swap = vec![
        Change::DeleteServer { name: name("s0") },
        put_server("more"),
    ];
    assert_eq!(applied(&mut state, swap), 2);
}

#[test]
fn the_feature_level_rises_only_and_is_no_revision() {
    let mut state = State::new();
    assert_eq!((state.feature_level(), state.revision()), (1, 0));
    let plain = state.encode();
    for (level, changed, reached) in [(1, 0, 1), (3, 1, 3), (2, 0, 3), (3, 0, 3)] {
        let command = Command::RaiseLevel { level };
        let decoded = Command::decode(&command.encode()).unwrap();
        assert_eq!(decoded, command);
        let revision = 0;
        assert_eq!(
            state.apply(&command),
            Outcome::Applied { revision, changed }
        );
        assert_eq!(state.feature_level(), reached);
    }
    assert_ne!(state.encode(), plain);
    assert_eq!(State::decode(&state.encode()).unwrap(), state);
}
