use proptest::prelude::*;
use quotum_limit::Window;

use super::*;
use crate::limit::{Increment, Mode, OnUnavailable, Scope};

fn limit(owner: &str, counter: &str, window: Window) -> Limit {
    Limit {
        counter: counter.to_owned(),
        owner: owner.to_owned(),
        pointer: String::new(),
        window,
        algorithm: Algorithm::Fixed,
        max: 1,
        scope: Scope::Grant,
        mode: Mode::Enforce,
        on_unavailable: OnUnavailable::Deny,
        on_deny: None,
        increment: Increment::Units(1),
    }
}

#[test]
fn the_bytes_of_a_key_are_fixed() {
    let limit = limit("pay", "spend", Window::Day);
    let key = counter_key("shop", Subject::Grant("g1"), &limit);
    assert_eq!(
        key.as_bytes(),
        b"\x01\x04shop\x02g1\x03pay\x05spend\x04\x01"
    );
    let session = Subject::Session {
        grant: "g1",
        session: "s",
    };
    let key = counter_key("shop", session, &limit);
    assert_eq!(
        key.as_bytes(),
        b"\x02\x04shop\x02g1\x01s\x03pay\x05spend\x04\x01"
    );
    let key = counter_key("shop", Subject::Server, &limit);
    assert_eq!(key.as_bytes(), b"\x03\x04shop\x03pay\x05spend\x04\x01");
    let key = counter_key("shop", Subject::Global, &limit);
    assert_eq!(key.as_bytes(), b"\x04\x00\x00\x05spend\x04\x01");
}

#[test]
fn an_identity_longer_than_a_key_is_hashed() {
    let fits = limit(&"t".repeat(100), "n", Window::Minute);
    let subject = Subject::Grant(&"g".repeat(17));
    let key = counter_key("srv", subject, &fits);
    assert_eq!(
        (key.as_bytes().len(), key.as_bytes()[0]),
        (KEY_BYTES_MAX, tag::GRANT)
    );
    let longer = limit(&"t".repeat(101), "n", Window::Minute);
    let key = counter_key("srv", subject, &longer);
    assert_eq!((key.as_bytes().len(), key.as_bytes()[0]), (41, tag::HASHED));
    let short = limit("t", "n", Window::Minute);
    assert_eq!(key.tenant(), counter_key("srv", subject, &short).tenant());
}

#[test]
fn editing_max_keeps_the_counter() {
    let before = limit("t", "n", Window::Minute);
    let after = Limit {
        max: 99,
        mode: Mode::Shadow,
        ..before.clone()
    };
    let key = |limit| counter_key("s", Subject::Grant("g"), limit);
    assert_eq!(key(&before), key(&after));
}

#[derive(Debug, Clone, PartialEq)]
struct Identity {
    server: String,
    kind: u8,
    grant: String,
    session: String,
    owner: String,
    counter: String,
    window: u64,
}

impl Identity {
    fn key(&self) -> Key {
        let window = Window::from_code(self.window).unwrap();
        let subject = match self.kind {
            0 => Subject::Grant(&self.grant),
            1 => Subject::Session {
                grant: &self.grant,
                session: &self.session,
            },
            2 => Subject::Server,
            _ => Subject::Global,
        };
        counter_key(
            &self.server,
            subject,
            &limit(&self.owner, &self.counter, window),
        )
    }

    /// With the parts that are not in the identity emptied.
    fn canonical(&self) -> Self {
        let mut identity = self.clone();
        if identity.kind != 1 {
            identity.session.clear();
        }
        if identity.kind >= 2 {
            identity.grant.clear();
        }
        if identity.kind >= 3 {
            identity.server.clear();
            identity.owner.clear();
        }
        identity
    }
}

/// Few and short names of bytes that lengths are made of, so that aliases would be met; and long
/// ones, that are hashed.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[\u{0}\u{1}\u{2}\u{3}a]{0,3}",
        1 => (125_usize..135).prop_map(|length| "a".repeat(length)),
    ]
}

fn identity() -> impl Strategy<Value = Identity> {
    let windows = prop_oneof![1_u64..=6, Just(90_000), Just(90_097)];
    (name(), 0_u8..4, name(), name(), name(), name(), windows).prop_map(
        |(server, kind, grant, session, owner, counter, window)| Identity {
            server,
            kind,
            grant,
            session,
            owner,
            counter,
            window,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn different_identities_have_different_keys(a in identity(), b in identity()) {
        prop_assert_eq!(a.key() == b.key(), a.canonical() == b.canonical());
    }

    #[test]
    fn moving_bytes_between_neighbours_changes_the_key(all in "[\u{0}-\u{5}]{4,8}", cut in 0_usize..4) {
        let split = |at: usize| Identity {
            server: "s".into(), kind: 0, grant: "g".into(), session: String::new(),
            owner: all[..at].into(), counter: all[at..].into(), window: 2,
        };
        prop_assert_ne!(split(cut).key(), split(cut + 1).key());
    }
}
