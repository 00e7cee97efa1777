use quotum_registry::secret::token::{Token, TokenKind};

use super::{admin_token, draw};

#[test]
fn bytes_in_base64_and_in_hexadecimal_digits_are_the_same_token() {
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let [from_base64, from_hex] = [base64, hex].map(|text| admin_token(text).unwrap());
    assert_eq!(from_base64.as_str(), from_hex.as_str());
    assert_eq!(
        admin_token(from_hex.as_str()).unwrap().as_str(),
        from_hex.as_str()
    );
}

#[test]
fn what_is_no_admin_token_is_refused() {
    let grant = Token::from_random(TokenKind::Grant, &draw());
    let zeros = "0".repeat(64);
    let short = "AAECAwQFBgcICQoL";
    for text in [
        grant.as_str(),
        &zeros,
        short,
        "",
        "replace-with-32-random-bytes-in-base64",
    ] {
        assert!(admin_token(text).is_err(), "{text}");
    }
}
