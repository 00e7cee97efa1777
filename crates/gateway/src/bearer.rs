//! The bearer token of a request. Which grant it opens is for the registry to say.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::limits::TOKEN_BYTES_MAX;
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// The token in `Authorization: Bearer <token>`.
pub fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(AUTHORIZATION).ok_or(Refusal::TokenMissing)?;
    let text = value.to_str().map_err(|_| Refusal::TokenInvalid)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refusal::TokenMissing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::TokenMissing);
    }
    let well_formed = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if well_formed {
        Ok(token)
    } else {
        Err(Refusal::TokenInvalid)
    }
}
