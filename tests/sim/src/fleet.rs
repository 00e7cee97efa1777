//! What agents may do: a registry with grants and two revisions of a policy, as gateways see it.

use std::sync::Arc;

use quotum_registry::command::{Change, Command, CredentialChange};
use quotum_registry::grant::GrantSpec;
use quotum_registry::name::{GrantId, GrantName, Name};
use quotum_registry::policy::Document;
use quotum_registry::server::ServerSpec;
use quotum_registry::upstream::Upstream;
use quotum_registry::view::Grant;
use quotum_registry::{MasterKey, Outcome, State, View};

use crate::rng::Rng;

/// The grants, before and after the policy was changed.
pub(crate) struct Fleet {
    old: Vec<Arc<Grant>>,
    new: Vec<Arc<Grant>>,
}

/// How many agents there are.
const GRANTS: usize = 3;

fn document(max: u64) -> String {
    let limit = |counter: &str, window: &str, max: u64, more: &str| {
        format!(r#"{{"counter":"{counter}","window":"{window}","max":{max}{more}}}"#)
    };
    let scope = r#","scope":"server""#;
    let tools = [
        ("one", limit("one", "second", max, "")),
        (
            "bundle",
            format!(
                "{},{}",
                limit("one", "second", max + 2, ""),
                limit("long", "5s", 2 * max, "")
            ),
        ),
        (
            "units",
            limit("units", "2s", 12, r#","increment_from":"args.units""#),
        ),
        (
            "shadowed",
            format!(
                "{},{}",
                limit("shadow", "second", 1, r#","mode":"shadow""#),
                limit("long", "5s", 2 * max, "")
            ),
        ),
        ("shared", limit("shared", "3s", 9, scope)),
        (
            "both",
            format!(
                "{},{}",
                limit("long", "5s", 2 * max, ""),
                limit("shared", "3s", 9, scope)
            ),
        ),
        (
            "sliding",
            limit("sliding", "2s", max, r#","algorithm":"sliding""#),
        ),
    ];
    let tools: Vec<String> = tools
        .iter()
        .map(|(name, limits)| format!(r#""{name}":{{"limits":[{limits}]}}"#))
        .collect();
    format!(
        r#"{{"version":"1","default":"deny","tools":{{{}}}}}"#,
        tools.join(",")
    )
}

// === impl Fleet ===

impl Fleet {
    pub(crate) fn new() -> Self {
        let name = |text: &str| Name::new(text).expect("a name");
        let key = MasterKey::from_bytes(b"a master key of thirty-two bytes").expect("a key");
        let policy = |max: u64| Change::PutPolicy {
            name: name("p"),
            document: Document::new(&document(max)),
        };
        let address = Upstream::new("http://127.0.0.1:9/").expect("an address");
        let mut changes = vec![
            Change::PutServer {
                server: ServerSpec::new(name("demo"), address),
                credential: CredentialChange::Keep,
            },
            policy(5),
        ];
        for number in 0..GRANTS {
            changes.push(Change::PutGrant {
                grant: GrantSpec {
                    id: GrantId::new(&format!("g{number}")).expect("an id"),
                    name: GrantName::new(&format!("agent{number}")).expect("a name"),
                    server: name("demo"),
                    policy: Some(name("p")),
                    expires_at_ms: None,
                },
                token: None,
            });
        }
        let mut state = State::new();
        let applied = state.apply(&Command::apply(1, changes));
        assert!(matches!(applied, Outcome::Applied { .. }), "{applied:?}");
        let grants = |state: &State| -> Vec<Arc<Grant>> {
            let view = View::of(state, &key, None);
            let grant = |number| {
                let id = format!("g{number}");
                Arc::clone(view.grant(&id).expect("it was put there"))
            };
            (0..GRANTS).map(grant).collect()
        };
        let old = grants(&state);
        state.apply(&Command::apply(2, vec![policy(3)]));
        let new = grants(&state);
        Self { old, new }
    }

    pub(crate) fn grant(&self, rng: &mut Rng, is_new: bool) -> Arc<Grant> {
        let grants = if is_new { &self.new } else { &self.old };
        rng.pick(grants).expect("there are grants")
    }

    pub(crate) fn tool(rng: &mut Rng) -> &'static str {
        let tools = [
            "one", "bundle", "units", "shadowed", "shared", "both", "sliding",
        ];
        rng.pick(&tools).expect("there are tools")
    }
}
