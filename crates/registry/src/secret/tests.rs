use super::credential::{CredentialError, Headers, SealedCredential};
use super::sealing::{SealError, SealNonce};
use super::token::{TokenError, TokenKind};
use super::*;
use crate::limits::SEALED_BYTES_MAX;
use crate::name::Name;

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn key() -> MasterKey {
    MasterKey::from_text(HEX).unwrap()
}

fn token() -> Token {
    Token::from_random(TokenKind::Grant, &[7; 32])
}

fn server(name: &str) -> Name {
    Name::new(name).unwrap()
}

#[test]
fn a_master_key_reads_the_same_from_hex_and_base64() {
    let hash = key().token_hash(&token());
    for text in [
        BASE64,
        BASE64.trim_end_matches('='),
        &format!(" {HEX}\n"),
        &HEX.to_uppercase(),
    ] {
        assert_eq!(
            MasterKey::from_text(text).unwrap().token_hash(&token()),
            hash,
            "{text}"
        );
    }
}

#[test]
fn a_malformed_or_trivial_master_key_is_refused() {
    for bad in [
        "",
        "abc",
        &HEX[2..],
        &format!("{HEX}00"),
        &HEX.replace('1', "g"),
        "AAEC",
    ] {
        assert_eq!(
            MasterKey::from_text(bad).unwrap_err(),
            MasterKeyError::Malformed,
            "{bad}"
        );
    }
    assert_eq!(
        MasterKey::from_bytes(&[0; 32]).unwrap_err(),
        MasterKeyError::Trivial
    );
}

#[test]
fn a_session_key_has_a_name_of_its_own_and_everywhere_the_same() {
    let bytes: [u8; 32] = std::array::from_fn(|at| at as u8);
    let mut other = bytes;
    other[31] ^= 1;
    let id = |bytes: &[u8; 32]| {
        MasterKey::from_bytes(bytes)
            .unwrap()
            .session_key_id()
            .to_owned()
    };
    assert_eq!(id(&bytes), id(&bytes));
    assert_ne!(id(&bytes), id(&other));
    assert!(id(&bytes).len() == 16 && id(&bytes).bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn the_hash_of_a_token_depends_on_the_master_key() {
    let other = MasterKey::from_text(&HEX.replace('f', "e")).unwrap();
    assert_ne!(key().token_hash(&token()), other.token_hash(&token()));
    assert!(
        key()
            .token_hash(&token())
            .is_same(&key().token_hash(&token()))
    );
}

#[test]
fn a_token_is_read_as_it_was_shown() {
    for kind in [TokenKind::Grant, TokenKind::Admin] {
        let token = Token::from_random(kind, &[0xfe; 32]);
        assert_eq!(token.as_str().len(), Token::CHARS);
        assert!(token.as_str().starts_with(kind.prefix()));
        let read = Token::parse(token.as_str()).unwrap();
        assert_eq!((read.kind(), read.as_str()), (kind, token.as_str()));
    }
}

#[test]
fn a_token_with_any_character_changed_is_refused() {
    let text = token().as_str().to_owned();
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
        assert!(
            Token::parse(std::str::from_utf8(&bytes).unwrap()).is_err(),
            "{place}"
        );
    }
    assert_eq!(Token::parse(&text[..50]).unwrap_err(), TokenError::Length);
    assert_eq!(
        Token::parse(&format!("{text}x")).unwrap_err(),
        TokenError::Length
    );
    assert_eq!(Token::parse("Bearer x").unwrap_err(), TokenError::Prefix);
    let split_character = format!("qtm_{}€bc", "a".repeat(Token::CHARS - 9));
    assert_eq!(split_character.len(), Token::CHARS);
    assert_eq!(
        Token::parse(&split_character).unwrap_err(),
        TokenError::Check
    );
}

#[test]
fn no_secret_is_shown_by_debug() {
    let headers = Headers::new([("Authorization", "Bearer s3cret")]).unwrap();
    let sealed =
        SealedCredential::seal(&key(), SealNonce([1; 12]), &server("a"), &headers).unwrap();
    let shown = format!(
        "{:?} {:?} {headers:?} {sealed:?} {:?}",
        key(),
        token(),
        key().sessions()
    );
    assert!(
        !shown.contains("s3cret") && !shown.contains(&token().as_str()[4..]),
        "{shown}"
    );
    assert!(shown.contains("redacted"));
}

#[test]
fn a_seal_opens_only_with_its_key_in_its_context_and_unchanged() {
    let key = key();
    let sealed = key
        .sessions()
        .seal(SealNonce([3; 12]), b"grant 1", b"session")
        .unwrap();
    assert_eq!(
        key.sessions().open(b"grant 1", &sealed).unwrap().as_slice(),
        b"session"
    );
    assert_eq!(
        key.sessions().open(b"grant 2", &sealed).unwrap_err(),
        SealError::Broken
    );
    assert_eq!(
        key.credentials().open(b"grant 1", &sealed).unwrap_err(),
        SealError::Broken
    );
    for place in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        assert!(
            key.sessions().open(b"grant 1", &changed).is_err(),
            "{place}"
        );
        assert!(
            key.sessions().open(b"grant 1", &sealed[..place]).is_err(),
            "{place}"
        );
    }
    let long = vec![0; SEALED_BYTES_MAX + 1];
    assert_eq!(
        key.sessions().seal(SealNonce([3; 12]), b"", &long),
        Err(SealError::TooLong)
    );
}

#[test]
fn a_credential_opens_for_its_own_server_only() {
    let headers = Headers::new([("X-Api-Key", "k:1"), ("Authorization", "Bearer a b")]).unwrap();
    let sealed =
        SealedCredential::seal(&key(), SealNonce([1; 12]), &server("one"), &headers).unwrap();
    assert_eq!(sealed.open(&key(), &server("one")).unwrap(), headers);
    assert!(sealed.open(&key(), &server("two")).is_err());
    let shown: Vec<_> = headers.iter().collect();
    assert_eq!(
        shown,
        [("authorization", "Bearer a b"), ("x-api-key", "k:1")]
    );

    let text = serde_json::to_string(&sealed).unwrap();
    assert!(!text.contains("Bearer"));
    assert_eq!(
        serde_json::from_str::<SealedCredential>(&text).unwrap(),
        sealed
    );
}

#[test]
fn two_seals_of_the_same_headers_are_known_to_hold_the_same() {
    let seal = |nonce, value| {
        let headers = Headers::new([("authorization", value)]).unwrap();
        SealedCredential::seal(&key(), SealNonce([nonce; 12]), &server("a"), &headers).unwrap()
    };
    assert!(seal(1, "x").holds_the_same(&seal(2, "x")));
    assert_ne!(seal(1, "x"), seal(2, "x"));
    assert!(!seal(1, "x").holds_the_same(&seal(1, "y")));
}

#[test]
fn headers_that_could_change_a_request_are_refused() {
    let error = |name: &str, value: &str| Headers::new([(name, value)]).unwrap_err();
    for name in [
        "Host",
        "content-length",
        "Mcp-Session-Id",
        "X-Forwarded-For",
        "connection",
    ] {
        assert!(
            matches!(error(name, "x"), CredentialError::Reserved(_)),
            "{name}"
        );
    }
    for name in ["", "a b", "a:b", "a\n", "é"] {
        assert!(
            matches!(error(name, "x"), CredentialError::HeaderName(_)),
            "{name:?}"
        );
    }
    for value in ["", " x", "x\r\nHost: y", "x\0", "é", "x\n"] {
        assert!(
            matches!(error("a", value), CredentialError::HeaderValue(_)),
            "{value:?}"
        );
    }
    let twice = Headers::new([("a", "1"), ("A", "2")]).unwrap_err();
    assert_eq!(twice, CredentialError::Twice("a".to_owned()));
    assert_eq!(Headers::new([]).unwrap_err(), CredentialError::HeaderCount);
    assert_eq!(error("a", &"x".repeat(20_000)), CredentialError::TooLong);
}
