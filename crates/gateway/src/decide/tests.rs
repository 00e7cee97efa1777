use quotum_limit::{Bound, Refusal};
use quotum_registry::command::{Change, Command, CredentialChange};
use quotum_registry::grant::GrantSpec;
use quotum_registry::name::{GrantId, GrantName, Name};
use quotum_registry::policy::Document;
use quotum_registry::server::ServerSpec;
use quotum_registry::upstream::Upstream;
use quotum_registry::{MasterKey, Outcome as Applied, State, View};

use super::*;
use crate::counters::Ticket;

/// Counters that always answer the same.
#[derive(Clone)]
struct Fixed(Decision);

#[derive(Debug)]
struct Paper;

impl Ticket for Paper {
    fn is_valid(&self) -> bool {
        true
    }

    fn refund(self) {}
}

impl Counters for Fixed {
    type Ticket = Paper;

    async fn acquire(&self, _: Vec<(Route, Item)>) -> (Decision, Option<Paper>) {
        let ticket = matches!(self.0, Decision::Admitted { .. }).then_some(Paper);
        (self.0.clone(), ticket)
    }
}

const POSITION: Position = Position {
    shard: 1,
    term: 2,
    index: 3,
};

fn grant(limits: &str) -> Arc<Grant> {
    let name = |text: &str| Name::new(text).expect("a name");
    let document =
        format!(r#"{{"version":"1","default":"deny","tools":{{"t":{{"limits":[{limits}]}}}}}}"#);
    let address = Upstream::new("http://127.0.0.1:9/").expect("an address");
    let changes = vec![
        Change::PutServer {
            server: ServerSpec::new(name("demo"), address),
            credential: CredentialChange::Keep,
        },
        Change::PutPolicy {
            name: name("p"),
            document: Document::new(&document),
        },
        Change::PutGrant {
            grant: GrantSpec {
                id: GrantId::new("g1").expect("an id"),
                name: GrantName::new("one").expect("a name"),
                server: name("demo"),
                policy: Some(name("p")),
                expires_at_ms: None,
            },
            token: None,
        },
    ];
    let mut state = State::new();
    let outcome = state.apply(&Command::apply(1, changes));
    assert!(matches!(outcome, Applied::Applied { .. }), "{outcome:?}");
    let key = MasterKey::from_bytes(b"a master key of thirty-two bytes").expect("a key");
    Arc::clone(View::of(&state, &key, None).grant("g1").expect("the grant"))
}

fn plan(limits: &str, session: Option<&str>) -> Plan {
    let grant = grant(limits);
    let call = Call {
        grant: &grant,
        tool: "t",
        arguments: None,
        session,
    };
    match judge(&call) {
        Judgement::Acquire(plan) => plan,
        Judgement::Stop(stop, _) => panic!("{stop:?}"),
    }
}

fn limit(counter: &str, more: &str) -> String {
    format!(r#"{{"counter":"{counter}","window":"minute","max":5{more}}}"#)
}

fn state(fits: bool, remaining: u64) -> ItemState {
    ItemState {
        fits,
        remaining,
        max: 5,
        reset_after_ms: 1_000,
    }
}

async fn decided(plan: &Plan, decision: Decision) -> Decided<Paper> {
    acquire(&Fixed(decision), plan, "t").await
}

#[test]
fn each_scope_has_its_route_and_its_own_key() {
    let scopes = ["grant", "session", "server", "global"];
    let limits: Vec<String> = scopes
        .iter()
        .map(|scope| limit(scope, &format!(r#","scope":"{scope}""#)))
        .collect();
    let plan = plan(&limits.join(","), Some("s1"));
    let routes: Vec<Route> = plan.items.iter().map(|(route, _)| *route).collect();
    let (grant, server) = (Route::of(b"g1"), Route::of(b"demo"));
    assert_eq!(routes, [grant, grant, server, Route::GLOBAL]);
    for (at, (_, item)) in plan.items.iter().enumerate() {
        assert!(
            plan.items[..at]
                .iter()
                .all(|(_, other)| other.key != item.key)
        );
        assert_eq!(
            (item.max, item.units, item.revision, item.shadow),
            (5, 1, 1, false)
        );
    }
}

#[test]
fn another_session_is_another_counter() {
    let limit = limit("n", r#","scope":"session""#);
    let key = |session| plan(&limit, session).items[0].1.key.clone();
    assert_ne!(key(Some("s1")), key(Some("s2")));
    assert_ne!(key(Some("s1")), key(None));
}

#[tokio::test]
async fn the_limit_with_the_least_left_binds_an_admitted_call() {
    let plan = plan(&[limit("a", ""), limit("b", "")].join(","), None);
    let items = [state(true, 4), state(true, 1)].into_iter().collect();
    let decided = decided(
        &plan,
        Decision::Admitted {
            items,
            position: POSITION,
        },
    )
    .await;
    assert!(matches!(decided.ruling, Ruling::Go(Some(Paper))));
    assert_eq!((decided.binding, decided.limits.len()), (1, 2));
    assert_eq!(decided.grounds.outcome, Outcome::Allowed);
    assert_eq!(decided.grounds.position, Some(POSITION));
}

#[tokio::test]
async fn a_denial_names_the_limit_that_binds() {
    let plan = plan(&[limit("a", ""), limit("b", "")].join(","), None);
    let items = [state(true, 4), state(false, 0)].into_iter().collect();
    let denied = Decision::Denied {
        binding: 1,
        retry_after: Some(Duration::from_millis(1)),
        items,
        path: Answered::DenyCache,
        position: None,
    };
    let decided = decided(&plan, denied).await;
    assert_eq!(decided.grounds.path, Path::DenyCache);
    assert_eq!(decided.grounds.rule, "/tools/t/limits/b");
    let Ruling::Stop(stop) = decided.ruling else {
        panic!("it is denied")
    };
    assert_eq!(
        stop.message,
        "Rate limit of 5 per minute reached for t. Retry in 1 s."
    );
    assert_eq!(stop.limit.expect("a limit").report.state, state(false, 0));
}

#[tokio::test]
async fn all_enforced_limits_must_allow_a_call_that_nobody_counted() {
    let allow = r#","on_unavailable":"allow""#;
    let shadow = r#","mode":"shadow""#;
    let cases = [
        (vec![limit("a", allow)], true),
        (vec![limit("a", allow), limit("b", "")], false),
        (vec![limit("a", allow), limit("b", shadow)], true),
        (vec![limit("a", "")], false),
    ];
    for (limits, goes) in cases {
        let plan = plan(&limits.join(","), None);
        let decided = decided(&plan, Decision::Unavailable).await;
        assert_eq!(
            matches!(decided.ruling, Ruling::Go(None)),
            goes,
            "{limits:?}"
        );
        assert_eq!(decided.grounds.outcome, Outcome::Unavailable);
        // What is let through is told from what is denied.
        let reason = if goes {
            Reason::None
        } else {
            Reason::Unavailable
        };
        assert_eq!(decided.grounds.reason, reason, "{limits:?}");
    }
}

#[tokio::test]
async fn a_full_service_denies_whatever_on_unavailable_says() {
    let allow = r#","on_unavailable":"allow""#;
    for decision in [
        Decision::Exhausted(Bound::Counters),
        Decision::Invalid(Refusal::ItemCount.into()),
    ] {
        let plan = plan(&limit("a", allow), None);
        let decided = decided(&plan, decision).await;
        assert!(matches!(decided.ruling, Ruling::Stop(_)));
    }
    let shadow = plan(&limit("a", r#","mode":"shadow""#), None);
    let decided = decided(&shadow, Decision::Exhausted(Bound::Counters)).await;
    assert!(matches!(decided.ruling, Ruling::Go(None)));
    assert_eq!(shadow.use_by(), UseBy::Whenever);
}

#[tokio::test]
async fn a_denial_of_a_limit_that_was_not_asked_stops_the_call() {
    let plan = plan(&limit("a", ""), None);
    let denied = Decision::Denied {
        binding: 3,
        retry_after: None,
        items: ItemStates::new(),
        path: Answered::Exact,
        position: None,
    };
    assert!(matches!(
        decided(&plan, denied).await.ruling,
        Ruling::Stop(_)
    ));
}
