//! Secrets: read from files and the environment, drawn at random, never printed.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use quotum_registry::secret::token::{Token, TokenError, TokenKind};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files;
use crate::limits::SETTINGS_BYTES_MAX;

#[cfg(test)]
mod tests;

/// Random bytes of the operating system.
///
/// # Panics
/// Where it has none: nothing can be kept secret then.
pub(crate) fn fill(bytes: &mut [u8]) {
    SystemRandom::new()
        .fill(bytes)
        .expect("the operating system gives random bytes");
}

/// Random bytes of the operating system.
pub(crate) fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// A number that nobody can guess.
pub(crate) fn draw_seed() -> u64 {
    u64::from_le_bytes(draw())
}

/// A secret from a file.
pub(crate) fn read(path: &Path) -> std::io::Result<Zeroizing<String>> {
    if let Ok(mode) = mode(path) {
        guard(path, mode)?;
    }
    files::read_text(path, SETTINGS_BYTES_MAX).map(Zeroizing::new)
}

/// Refuses a secret that everybody on this machine reads or writes, and warns of one that a group
/// does.
pub(crate) fn check_mode(path: &Path) -> Result<(), Failure> {
    let checked = mode(path).and_then(|mode| guard(path, mode));
    checked.map_err(|error| Failure::usage(path.display().to_string()).because(&error))
}

fn mode(path: &Path) -> std::io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path)?;
    // What is no file, such as a pipe, was given to this process alone.
    let is_file = metadata.is_file();
    Ok(if is_file {
        metadata.permissions().mode()
    } else {
        0
    })
}

fn guard(path: &Path, mode: u32) -> std::io::Result<()> {
    if mode & 0o007 != 0 || mode & 0o020 != 0 {
        let text = format!(
            "its mode {:04o} lets others at this secret: chmod 600 it, or 440 for a group's own",
            mode & 0o7777
        );
        return Err(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            text,
        ));
    }
    if mode & 0o040 != 0 {
        let file = path.display().to_string();
        tracing::warn!(
            file,
            "a secret is readable by a group: 0600 is for its owner alone"
        );
    }
    Ok(())
}

/// An admin token as it was shown, or the 32 random bytes, in base64 or hexadecimal digits, that
/// make one: both ends make the same token of them.
pub(crate) fn admin_token(text: &str) -> Result<Token, TokenError> {
    let text = text.trim();
    let has_prefix = [TokenKind::Admin, TokenKind::Grant]
        .iter()
        .any(|kind| text.starts_with(kind.prefix()));
    if !has_prefix && let Some(bytes) = bytes_of(text) {
        return Ok(Token::from_random(TokenKind::Admin, &bytes));
    }
    let token = Token::parse(text)?;
    match token.kind() {
        TokenKind::Admin => Ok(token),
        TokenKind::Grant => Err(TokenError::Prefix),
    }
}

/// The admin token in a file.
pub(crate) fn read_admin_token(path: &Path) -> Result<Token, Failure> {
    let place = || path.display().to_string();
    let text = read(path).map_err(|error| Failure::usage(place()).because(&error))?;
    admin_token(&text).map_err(|error| {
        Failure::usage(format!("{}: this is no admin token", place())).because(&error)
    })
}

fn bytes_of(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let from_hex = || -> Option<Vec<u8>> {
        let digits = text.as_bytes().as_chunks::<2>();
        let (pairs, []) = digits else { return None };
        let byte = |pair: &[u8; 2]| {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            u8::try_from(high? << 4 | low?).ok()
        };
        pairs.iter().map(byte).collect()
    };
    let from_base64 = || {
        [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(text).ok())
    };
    let bytes = match text.len() {
        64 => from_hex(),
        _ => from_base64(),
    };
    let bytes = Zeroizing::new(bytes?);
    let bytes: [u8; 32] = bytes.as_slice().try_into().ok()?;
    // Bytes that are all alike were not drawn.
    let is_drawn = bytes.iter().any(|byte| *byte != bytes[0]);
    is_drawn.then(|| Zeroizing::new(bytes))
}
