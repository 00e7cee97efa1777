use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::trace;

/// An error as the HTTP client gives it out.
#[derive(Debug, thiserror::Error)]
#[error("client error")]
struct Outer(#[source] Box<dyn Error + Send + Sync>);

fn of_tls(error: rustls::Error) -> Outer {
    Outer(io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error)).into())
}

#[test]
fn a_rejected_certificate_is_found_under_everything_around_it() {
    let rejected = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let traced = trace(&of_tls(rejected));
    assert!(traced.rejects_certificate);
    assert_eq!(
        traced.text,
        "client error: invalid peer certificate: UnknownIssuer"
    );
}

#[test]
fn other_errors_say_nothing_of_certificates() {
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
    assert!(!trace(&of_tls(alert)).rejects_certificate);
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    let traced = trace(&Outer(Box::new(refused)));
    assert!(!traced.rejects_certificate);
    assert_eq!(traced.text, "client error: connection refused");
}
