use crate::administrator::Role;
use crate::command::{Change, Command, Outcome, Reason};
use crate::limits::ADMINISTRATORS_MAX;
use crate::sample::{NOW, applied, hash, name, populated};
use crate::state::State;

fn create(called: &str, role: Role, token: u8) -> Change {
    Change::CreateAdministrator {
        name: name(called),
        role,
        token: hash(token),
    }
}

fn refused(state: &State, change: Change) -> Reason {
    match state.check(&Command::apply(NOW, vec![change])) {
        Outcome::Refused(refused) => refused.reason,
        applied => panic!("not refused: {applied:?}"),
    }
}

#[test]
fn an_administrator_is_found_by_its_token_until_it_is_deleted() {
    let mut state = populated();
    let changes = vec![
        create("alice", Role::Admin, 201),
        create("bob", Role::Viewer, 202),
    ];
    assert_eq!(applied(&mut state, changes), 2);
    let bob = state.administrator_with(&hash(202)).unwrap();
    assert_eq!((bob.name.as_str(), bob.role), ("bob", Role::Viewer));
    assert_eq!((bob.created_at_ms, bob.revision), (NOW, state.revision()));
    assert!(state.administrator_with(&hash(203)).is_none());
    let delete = Change::DeleteAdministrator { name: name("bob") };
    applied(&mut state, vec![delete.clone()]);
    assert!(state.administrator_with(&hash(202)).is_none());
    assert!(state.administrator_with(&hash(201)).is_some());
    assert_eq!(refused(&state, delete), Reason::Missing);
}

#[test]
fn a_name_and_a_token_are_given_once() {
    let mut state = populated();
    applied(&mut state, vec![create("alice", Role::Admin, 201)]);
    let again = create("alice", Role::Viewer, 202);
    assert_eq!(refused(&state, again), Reason::Taken);
    let same = create("bob", Role::Viewer, 201);
    assert_eq!(refused(&state, same), Reason::Taken);
}

#[test]
fn a_refused_change_undoes_administrators_too() {
    let mut state = populated();
    applied(&mut state, vec![create("alice", Role::Admin, 201)]);
    let before = state.clone();
    let changes = vec![
        create("bob", Role::Viewer, 202),
        Change::DeleteAdministrator {
            name: name("alice"),
        },
        create("bob", Role::Viewer, 203),
    ];
    let outcome = state.apply(&Command::apply(NOW, changes));
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(state, before);
}

#[test]
fn administrators_are_bounded() {
    let mut state = State::new();
    for number in 0..ADMINISTRATORS_MAX {
        let change = Change::CreateAdministrator {
            name: name(&format!("a{number}")),
            role: Role::Viewer,
            token: crate::secret::token::TokenHash::from_bytes(std::array::from_fn(|at| {
                number.to_le_bytes().get(at).copied().unwrap_or(0)
            })),
        };
        applied(&mut state, vec![change]);
    }
    assert_eq!(
        refused(&state, create("one-more", Role::Viewer, 201)),
        Reason::Full
    );
}

#[test]
fn administrators_survive_encoding_and_none_leave_no_trace() {
    let mut state = populated();
    assert!(
        !String::from_utf8(state.encode())
            .unwrap()
            .contains("administrators")
    );
    applied(
        &mut state,
        vec![
            create("alice", Role::Admin, 201),
            create("bob", Role::PolicyManager, 202),
        ],
    );
    let bytes = state.encode();
    let again = State::decode(&bytes).unwrap();
    assert_eq!(again, state);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("\"policy_manager\""), "{text}");
    let twice = text.replace(&String::from(hash(202)), &String::from(hash(201)));
    let error = State::decode(twice.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("has the token of another"), "{error}");
}
