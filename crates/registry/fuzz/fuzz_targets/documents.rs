//! Any bytes as the documents of an operator's request, after a byte that says what else the request
//! has: refused with a place, or a plan that the registry takes and that leaves nothing to do.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use quotum_registry::documents::Documents;
use quotum_registry::documents::plan::{Plan, Unmentioned};
use quotum_registry::name::{GrantId, Name};
use quotum_registry::secret::credential::{Headers, SealedCredential};
use quotum_registry::secret::sealing::SealNonce;
use quotum_registry::{Command, MasterKey, Outcome, State, View};

type Sealed = BTreeMap<Name, SealedCredential>;

/// The documents of a request, read as the counter nodes read them.
fn read(json: &[u8]) -> Option<Documents> {
    let values: Vec<serde_json::Value> = serde_json::from_slice(json).ok()?;
    match Documents::parse(&values) {
        Ok(documents) => Some(documents),
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(error.document <= values.len() && !error.message.is_empty());
            }
            None
        }
    }
}

/// A credential for every server whose document names the sources of one.
fn seal(key: &MasterKey, documents: &Documents) -> Sealed {
    let headers = Headers::new([("authorization", "Bearer x")]).expect("a header");
    let seal = |name: &Name| {
        let nonce = SealNonce([7; SealNonce::BYTES]);
        SealedCredential::seal(key, nonce, name, &headers).expect("it is short")
    };
    let names = documents.servers.keys();
    names.map(|name| (name.clone(), seal(name))).collect()
}

fn plan(state: &State, documents: &Documents, prune: bool, sealed: &Sealed) -> Option<Plan> {
    let unmentioned = if prune { Unmentioned::Delete } else { Unmentioned::Keep };
    let mut drawn = state.revision();
    let mut new_id = || {
        drawn += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&drawn.to_be_bytes());
        GrantId::from_random(bytes)
    };
    Plan::new(state, documents, unmentioned, sealed, &mut new_id).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((options, json)) = bytes.split_first() else { return };
    let (prune, sends_credentials) = (options & 1 != 0, options & 2 != 0);
    let Some(documents) = read(json) else { return };
    let key = MasterKey::from_bytes(b"a master key of thirty-two bytes").expect("a key");
    let sealed = match sends_credentials {
        true => seal(&key, &documents),
        false => Sealed::new(),
    };
    let mut state = State::new();
    let Some(first) = plan(&state, &documents, prune, &sealed) else { return };
    assert_eq!(first.is_empty(), first.lines.is_empty());
    if first.is_empty() {
        return;
    }
    let command = Command::apply(1, first.changes);
    let decoded = Command::decode(&command.encode()).expect("we wrote it");
    assert_eq!(decoded, command);
    let checked = state.check(&command);
    let applied = state.apply(&command);
    assert_eq!(checked, applied);
    if let Outcome::Applied { .. } = applied {
        let again = State::decode(&state.encode()).expect("we wrote it");
        assert_eq!(again.digest(), state.digest());
        let second = plan(&state, &documents, prune, &sealed).expect("as before");
        assert!(second.is_empty(), "{:?}", second.lines);
        let _ = View::of(&state, &key, None);
    }
});
