use quotum_registry::secret::token::{Token, TokenKind};

use super::{Cluster, refused};
use crate::arguments::Reach;
use crate::environment::Environment;
use crate::failure::Exit;

fn reach(addresses: &[&str]) -> Reach {
    Reach {
        address: addresses.iter().map(|text| (*text).to_owned()).collect(),
        admin_token_file: None,
        ca: None,
        cert: None,
        key: None,
        insecure: false,
    }
}

/// A reach that may send its token in plaintext.
fn insecure(addresses: &[&str]) -> Reach {
    Reach {
        insecure: true,
        ..reach(addresses)
    }
}

#[test]
fn nodes_and_token_come_from_options_or_the_environment() {
    let token = Token::from_random(TokenKind::Admin, &[7; 32]);
    let environment = [
        ("QUOTUM_ADMIN_TOKEN", token.as_str()),
        ("QUOTUM_ADDRESS", "a:1, b:2"),
    ];
    let environment = Environment::of(environment);
    let cluster = Cluster::of(&insecure(&[]), &environment).unwrap();
    assert_eq!(cluster.nodes, ["a:1", "b:2"]);
    let cluster = Cluster::of(&insecure(&["http://c:3/"]), &environment).unwrap();
    assert_eq!(cluster.nodes, ["c:3"]);
    assert!(!format!("{cluster:?}").contains("qta_"));
}

#[test]
fn what_is_missing_or_wrong_is_bad_usage() {
    let token = Token::from_random(TokenKind::Admin, &[7; 32]);
    let with_token = Environment::of([("QUOTUM_ADMIN_TOKEN", token.as_str())]);
    let grant = Token::from_random(TokenKind::Grant, &[7; 32]);
    let with_grant = Environment::of([("QUOTUM_ADMIN_TOKEN", grant.as_str())]);
    let cases = [
        (reach(&["a:1"]), Environment::of([]), "QUOTUM_ADMIN_TOKEN"),
        (reach(&["a:1"]), with_grant, "QUOTUM_ADMIN_TOKEN"),
        (reach(&[]), with_token.clone(), "--address"),
        (reach(&["a"]), with_token.clone(), "HOST:PORT"),
        (
            reach(&["127.0.0.1:1", "a:1"]),
            with_token.clone(),
            "a:1 is not this machine",
        ),
        (
            Reach {
                cert: Some("c".into()),
                ..insecure(&["a:1"])
            },
            with_token.clone(),
            "--cert and --key",
        ),
        (
            Reach {
                cert: Some("c".into()),
                key: Some("k".into()),
                ..insecure(&["a:1"])
            },
            with_token.clone(),
            "--ca",
        ),
        (
            Reach {
                ca: Some("/no/such/ca".into()),
                ..reach(&["a:1"])
            },
            with_token,
            "/no/such/ca",
        ),
    ];
    for (reach, environment, told) in cases {
        let failure = Cluster::of(&reach, &environment).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains(told), "{failure}");
    }
}

#[test]
fn this_machine_is_asked_in_plaintext_and_others_are_not() {
    let token = Token::from_random(TokenKind::Admin, &[7; 32]);
    let environment = Environment::of([("QUOTUM_ADMIN_TOKEN", token.as_str())]);
    for local in ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:1"] {
        Cluster::of(&reach(&[local]), &environment).unwrap();
    }
    let asked = Environment::of([
        ("QUOTUM_ADMIN_TOKEN", token.as_str()),
        ("QUOTUM_INSECURE", "1"),
    ]);
    for remote in ["10.0.0.1:1", "localhost.example:1", "0.0.0.0:1"] {
        Cluster::of(&reach(&[remote]), &environment).unwrap_err();
        Cluster::of(&reach(&[remote]), &asked).unwrap();
    }
}

#[test]
fn a_refused_token_says_what_to_check() {
    let failure = refused("n:1", &tonic::Status::unauthenticated("no"));
    assert_eq!(failure.to_string(), "n:1: no; check the admin token");
}
