//! What a certificate says: when it expires, and which role it gives.
//!
//! Read only from certificates that are our own or that rustls has verified.

use rustls::pki_types::{CertificateDer, ServerName};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::caller::Role;
use crate::limits::NAME_BYTES_MAX;

/// Why a certificate cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate")]
pub struct CertificateError;

/// When a certificate expires, in seconds since 1970.
pub(crate) fn expiry_s(certificate: &CertificateDer<'_>) -> Result<i64, CertificateError> {
    Ok(parse(certificate)?.validity().not_after.timestamp())
}

/// The role that a certificate gives and the name of its holder: those of its only SAN of the form
/// `spiffe://TRUST-DOMAIN/quotum/ROLE/NAME`. None if it has no such SAN, or more than one.
pub(crate) fn role(certificate: &CertificateDer<'_>) -> Option<(Role, String)> {
    let parsed = parse(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let mut roles = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => role_of(uri),
            _ => None,
        });
    let first = roles.next()?;
    roles.next().is_none().then_some(first)
}

/// Whether a certificate is valid for a host: a DNS name or an address among its SANs.
pub(crate) fn covers(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let parsed = rustls::server::ParsedCertificate::try_from(certificate);
    match (parsed, ServerName::try_from(host)) {
        (Ok(parsed), Ok(name)) => rustls::client::verify_server_name(&parsed, &name).is_ok(),
        _ => false,
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    let parsed = X509Certificate::from_der(certificate.as_ref());
    parsed
        .map(|(_, parsed)| parsed)
        .map_err(|_| CertificateError)
}

fn role_of(uri: &str) -> Option<(Role, String)> {
    if uri.len() > NAME_BYTES_MAX {
        return None;
    }
    let (domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
    let (role, name) = path.strip_prefix("quotum/")?.split_once('/')?;
    let is_plain = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !text.is_empty() && text.bytes().all(plain)
    };
    let role = Role::of(role)?;
    (is_plain(domain) && is_plain(name)).then(|| (role, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_from_its_form_only() {
        let peer = role_of("spiffe://quotum.internal/quotum/peer/counter-0");
        assert_eq!(peer, Some((Role::Peer, "counter-0".to_owned())));
        let gateway = role_of("spiffe://a/quotum/gateway/g");
        assert_eq!(gateway, Some((Role::Gateway, "g".to_owned())));
        for none in [
            "spiffe://a/quotum/peer/",
            "spiffe://a/quotum/peer",
            "spiffe://a/quotum/admin/x",
            "spiffe://a/quotum/Peer/x",
            "spiffe:///quotum/peer/x",
            "spiffe://a/quotum/peer/x/y",
            "spiffe://a/x/quotum/peer/x",
            "https://a/quotum/peer/x",
            "spiffe://a/quotum/peer/x%2fy",
        ] {
            assert_eq!(role_of(none), None, "{none}");
        }
        assert_eq!(
            role_of(&format!("spiffe://a/quotum/peer/{}", "x".repeat(300))),
            None
        );
    }
}
