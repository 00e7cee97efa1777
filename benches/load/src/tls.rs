//! TLS to an MCP endpoint: 1.3, or 1.2 where the other side has no better, with HTTP/1.1 in it.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::arguments::Tls;
use crate::failure::Failure;

/// What is shown and believed; none: plaintext.
pub(crate) fn config(tls: &Tls) -> Result<Option<Arc<ClientConfig>>, Failure> {
    let Some(ca) = &tls.ca else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca)? {
        roots.add(authority)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// A file, whole.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|source| Failure::File {
        file: file.to_owned(),
        source,
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let no_item = rustls::pki_types::pem::Error::NoItemsFound;
    let certificates = certificates.and_then(|certificates| match certificates.is_empty() {
        false => Ok(certificates),
        true => Err(no_item),
    });
    certificates.map_err(|source| Failure::Pem {
        file: file.to_owned(),
        source,
    })
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|source| Failure::Pem {
        file: file.to_owned(),
        source,
    })
}
