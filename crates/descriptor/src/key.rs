//! Counter identity: which bytes name the counter of a descriptor.
//!
//! Promises: two descriptors that differ in any part have different keys (those longer than a key
//! differ unless SHA-256 collides), whatever their keys and values hold; the bytes never change.

use quotum_limit::Key;
use quotum_limit::key::tag;
use quotum_limit::limits::KEY_BYTES_MAX;

use crate::domain::Found;
use crate::plan::Entry;

const VALUE: u8 = 0;
const SHARED: u8 = 1;

/// The key of the counter of a descriptor; `found` is `None` where its limit stands in the request.
/// The limit's numbers are no part of it: editing `requests_per_unit` keeps the count.
pub fn counter_key(domain: &str, entries: &[Entry<'_>], found: Option<&Found<'_>>) -> Key {
    let mut bytes = Vec::with_capacity(KEY_BYTES_MAX);
    bytes.push(match found {
        Some(_) => tag::DESCRIPTOR,
        None => tag::OVERRIDE,
    });
    put_text(&mut bytes, domain);
    for (depth, entry) in entries.iter().enumerate() {
        put_text(&mut bytes, entry.key);
        match found.and_then(|found| found.shared(depth)) {
            None => {
                bytes.push(VALUE);
                put_text(&mut bytes, entry.value);
            }
            Some(pattern) => {
                bytes.push(SHARED);
                put_text(&mut bytes, pattern.as_str());
            }
        }
    }
    if bytes.len() > KEY_BYTES_MAX {
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let sha256 = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        return Key::hashed(&bytes, sha256);
    }
    Key::new(&bytes).expect("an encoding has a tag, and is no longer than a key")
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(domain: &str, entries: &[(String, String)]) -> Key {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, value)| Entry { key, value })
            .collect();
        counter_key(domain, &entries, None)
    }

    proptest! {
        #[test]
        fn descriptors_that_differ_have_different_keys(
            one in prop::collection::vec(("[a_\u{0}\u{1}]{1,3}", "[a_\u{0}\u{1}]{0,3}"), 1..4),
            other in prop::collection::vec(("[a_\u{0}\u{1}]{1,3}", "[a_\u{0}\u{1}]{0,3}"), 1..4),
            domains in ("[a_]{1,2}", "[a_]{1,2}"),
        ) {
            let same = domains.0 == domains.1 && one == other;
            prop_assert_eq!(key(&domains.0, &one) == key(&domains.1, &other), same);
        }
    }

    #[test]
    fn long_values_are_hashed_and_stay_apart() {
        let long = |last: &str| [("k".to_owned(), "v".repeat(500) + last)];
        assert_ne!(key("d", &long("1")), key("d", &long("2")));
        assert_eq!(key("d", &long("1")).as_bytes().len(), 41);
    }
}
