//! Counter identity: which bytes name the counter of a limit.
//!
//! Promises: two identities that differ in any part have different keys (those longer than a key
//! differ unless SHA-256 collides); the bytes never change, they decide where counts live.

use quotum_limit::key::tag;
use quotum_limit::limits::KEY_BYTES_MAX;
use quotum_limit::{Algorithm, Key};

use crate::limit::Limit;

#[cfg(test)]
mod tests;

/// Whose count it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A grant, by id.
    Grant(&'a str),
    /// One MCP session of a grant, by ids.
    Session { grant: &'a str, session: &'a str },
    /// All grants of the server.
    Server,
    /// The whole cluster. The server and the owner of the limit are no part of the identity.
    Global,
}

/// The key of the counter that `limit` charges for `subject` on `server`. `max` is no part of it:
/// editing `max` keeps the count.
pub fn counter_key(server: &str, subject: Subject<'_>, limit: &Limit) -> Key {
    let (server, owner) = match subject {
        Subject::Global => ("", ""),
        _ => (server, limit.owner()),
    };
    let mut bytes = Vec::with_capacity(KEY_BYTES_MAX);
    bytes.push(tag_of(subject));
    put_text(&mut bytes, server);
    match subject {
        Subject::Grant(grant) => put_text(&mut bytes, grant),
        Subject::Session { grant, session } => {
            put_text(&mut bytes, grant);
            put_text(&mut bytes, session);
        }
        Subject::Server | Subject::Global => {}
    }
    put_text(&mut bytes, owner);
    put_text(&mut bytes, limit.counter());
    put_number(&mut bytes, limit.window().code());
    bytes.push(algorithm_code(limit.algorithm()));
    if bytes.len() > KEY_BYTES_MAX {
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let sha256 = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        return Key::hashed(&bytes, sha256);
    }
    Key::new(&bytes).expect("an encoding has a tag, and is no longer than a key")
}

fn tag_of(subject: Subject<'_>) -> u8 {
    match subject {
        Subject::Grant(_) => tag::GRANT,
        Subject::Session { .. } => tag::SESSION,
        Subject::Server => tag::SERVER,
        Subject::Global => tag::GLOBAL,
    }
}

fn algorithm_code(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Fixed => 1,
        Algorithm::Sliding => 2,
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// Seven bits a byte, low ones first, the high bit set on all but the last: no number starts
/// another, and names shorter than 128 bytes cost one byte.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
