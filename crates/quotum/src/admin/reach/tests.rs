use quotum_registry::secret::token::{Token, TokenKind};

use super::{Cluster, refused};
use crate::arguments::Reach;
use crate::environment::Environment;
use crate::failure::Exit;

fn reach(addresses: &[&str]) -> Reach {
    Reach {
        address: addresses.iter().map(|text| (*text).to_owned()).collect(),
        admin_token_file: None,
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
    let cluster = Cluster::of(&reach(&[]), &environment).unwrap();
    assert_eq!(cluster.nodes, ["a:1", "b:2"]);
    let cluster = Cluster::of(&reach(&["http://c:3/"]), &environment).unwrap();
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
        (reach(&["https://a:1"]), with_token, "TLS"),
    ];
    for (reach, environment, told) in cases {
        let failure = Cluster::of(&reach, &environment).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains(told), "{failure}");
    }
}

#[test]
fn a_refused_token_says_what_to_check() {
    let failure = refused("n:1", &tonic::Status::unauthenticated("no"));
    assert_eq!(failure.to_string(), "n:1: no; check the admin token");
}
