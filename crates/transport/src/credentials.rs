//! Credentials: what this end of a connection shows, and whom it believes.
//!
//! Promises: whoever holds a clone sees the latest that was put in place; new connections go by it
//! and open ones go on; a certificate without its key, one that has expired or a file that is none
//! replaces nothing. Sessions are never resumed where certificates of clients count: a resumed
//! session would not look at them again.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::certificate::{self, CertificateError};
use crate::limits::{AUTHORITIES_MAX, CHAIN_MAX};

/// Certificates, keys and authorities as files hold them: PEM.
#[derive(Clone, Default)]
pub struct Material {
    /// The chain that this end shows, its own certificate first, and its key.
    pub identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    /// Who vouches for the other end.
    pub authorities: Option<Vec<u8>>,
}

/// Which ends of connections the material is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// gRPC is served, and clients must show a certificate if there are authorities.
    Server,
    /// Servers are connected to; they must show a certificate of the authorities.
    Client,
    /// Both, with the same material.
    Both,
    /// HTTP/1.1 is served to programs that are not ours: some of them have no TLS 1.3, so 1.2 will
    /// do, with the forward secrecy and the authenticated ciphers that are all rustls has.
    Public,
}

/// What is in use, and can be replaced. Clones share it.
#[derive(Clone)]
pub struct Credentials {
    ends: Ends,
    loaded: Arc<ArcSwap<Loaded>>,
}

struct Loaded {
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
    expiry_s: Option<i64>,
}

/// What is wrong with material.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("the certificate: {0}")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("there is no certificate in the file")]
    Empty,
    #[error("the key: {0}")]
    Key(#[source] rustls::pki_types::pem::Error),
    #[error("the authorities: {0}")]
    AuthorityPem(#[source] rustls::pki_types::pem::Error),
    #[error("there is no authority in the file")]
    NoAuthority,
    #[error("an authority cannot be used: {0}")]
    Authority(#[source] rustls::Error),
    #[error("the authorities cannot be used: {0}")]
    Authorities(#[source] rustls::server::VerifierBuilderError),
    #[error("more than {0} certificates")]
    TooMany(usize),
    #[error("the certificate and the key do not go together: {0}")]
    Identity(#[source] rustls::Error),
    #[error("the certificate cannot be read: {0}")]
    Unreadable(#[from] CertificateError),
    #[error("the certificate has expired")]
    Expired,
    #[error("a certificate is missing")]
    NoIdentity,
}

// === impl Credentials ===

impl Credentials {
    /// Takes what is there at the start. A certificate that has expired is taken: a new one may be
    /// on its way, and until then the other end refuses it.
    pub fn new(ends: Ends, material: &Material) -> Result<Self, CredentialsError> {
        let loaded = Loaded::of(ends, material)?;
        Ok(Self {
            ends,
            loaded: Arc::new(ArcSwap::from_pointee(loaded)),
        })
    }

    /// Puts other material in place, for the connections from now on; or says what is wrong with
    /// it, and leaves what is.
    pub fn replace(&self, material: &Material, now_s: i64) -> Result<(), CredentialsError> {
        let loaded = Loaded::of(self.ends, material)?;
        if loaded.expiry_s.is_some_and(|expiry_s| expiry_s <= now_s) {
            return Err(CredentialsError::Expired);
        }
        self.loaded.store(Arc::new(loaded));
        Ok(())
    }

    /// When the certificate that is shown expires, in seconds since 1970.
    pub fn expiry_s(&self) -> Option<i64> {
        self.loaded.load().expiry_s
    }

    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.loaded.load().server.clone()
    }

    pub(crate) fn client(&self) -> Option<Arc<ClientConfig>> {
        self.loaded.load().client.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("ends", &self.ends)
            .field("expiry_s", &self.expiry_s())
            .finish()
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material")
    }
}

// === impl Loaded ===

impl Loaded {
    fn of(ends: Ends, material: &Material) -> Result<Self, CredentialsError> {
        let identity = material.identity.as_ref();
        let identity = identity.map(|(chain, key)| Identity::parse(chain, key));
        let identity = identity.transpose()?;
        let authorities = material.authorities.as_deref().map(authorities);
        let authorities = authorities.transpose()?.map(Arc::new);
        let expiry_s = match &identity {
            Some(identity) => Some(certificate::expiry_s(&identity.chain[0])?),
            None => None,
        };
        let is_server = matches!(ends, Ends::Server | Ends::Both | Ends::Public);
        let is_client = matches!(ends, Ends::Client | Ends::Both);
        let server = is_server.then(|| server(ends, identity.as_ref(), authorities.as_ref()));
        let client = is_client.then(|| client(identity.as_ref(), authorities.as_ref()));
        Ok(Self {
            server: server.transpose()?.map(Arc::new),
            client: client.transpose()?.map(Arc::new),
            expiry_s,
        })
    }
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

// === impl Identity ===

impl Identity {
    fn parse(chain: &[u8], key: &[u8]) -> Result<Self, CredentialsError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(CredentialsError::Pem)?;
        if chain.is_empty() {
            return Err(CredentialsError::Empty);
        }
        if chain.len() > CHAIN_MAX {
            return Err(CredentialsError::TooMany(CHAIN_MAX));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(CredentialsError::Key)?;
        Ok(Self { chain, key })
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, CredentialsError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(CredentialsError::AuthorityPem)?;
        if store.len() == AUTHORITIES_MAX {
            return Err(CredentialsError::TooMany(AUTHORITIES_MAX));
        }
        store
            .add(certificate)
            .map_err(CredentialsError::Authority)?;
    }
    match store.is_empty() {
        true => Err(CredentialsError::NoAuthority),
        false => Ok(store),
    }
}

/// ring, whatever else may be linked.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn server(
    ends: Ends,
    identity: Option<&Identity>,
    authorities: Option<&Arc<RootCertStore>>,
) -> Result<ServerConfig, CredentialsError> {
    let identity = identity.ok_or(CredentialsError::NoIdentity)?;
    let versions: &[_] = match ends {
        Ends::Public => &[&TLS13, &TLS12],
        _ => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(CredentialsError::Identity)?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider())
                    .build()
                    .map_err(CredentialsError::Authorities)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(CredentialsError::Identity)?;
    if ends == Ends::Public {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    } else {
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn client(
    identity: Option<&Identity>,
    authorities: Option<&Arc<RootCertStore>>,
) -> Result<ClientConfig, CredentialsError> {
    let authorities = authorities.ok_or(CredentialsError::NoAuthority)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(CredentialsError::Identity)?
        .with_root_certificates(authorities.clone());
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(CredentialsError::Identity)?,
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
