//! Who is at the other end of a connection.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::certificate;

/// What a certificate is for. A role opens some services and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A counter node, on the port of the peers.
    Peer,
    /// A gateway or Envoy: it asks for decisions.
    Gateway,
    /// A person or a program that administers the cluster; a token says what it may.
    Operator,
}

/// Who makes the calls of a connection. An extension of each request.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody was asked for a certificate.
    Anonymous,
    /// An authority that this port believes vouches for it.
    Certified(Arc<Certified>),
}

/// What the certificate of a caller says.
#[derive(Debug)]
pub struct Certified {
    /// The role and the name of the holder, if it gives exactly one.
    pub role: Option<(Role, String)>,
    certificate: CertificateDer<'static>,
}

// === impl Role ===

impl Role {
    pub const ALL: [Self; 3] = [Self::Peer, Self::Gateway, Self::Operator];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Gateway => "gateway",
            Self::Operator => "operator",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

// === impl Caller ===

impl Caller {
    /// Who has shown these certificates, which were verified.
    pub(crate) fn of(chain: Option<&[CertificateDer<'static>]>) -> Self {
        match chain.and_then(<[_]>::first) {
            None => Self::Anonymous,
            Some(certificate) => Self::Certified(Arc::new(Certified {
                role: certificate::role(certificate),
                certificate: certificate.clone(),
            })),
        }
    }
}

// === impl Certified ===

impl Certified {
    /// Whether the certificate is valid for a host: a DNS name, or an address, brackets or not.
    pub fn covers(&self, host: &str) -> bool {
        certificate::covers(&self.certificate, host)
    }
}
