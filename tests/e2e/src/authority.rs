//! An authority that nobody trusts who was not told to, and the certificates that it issues.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::bench::Bench;
use crate::failure::Result;
use crate::secret;

/// An authority of this run.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub file: PathBuf,
}

/// A certificate and its key, each in PEM.
#[derive(Debug, Clone)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

// === impl Authority ===

impl Authority {
    /// An authority, which the scenario's folder holds under `name`.
    pub fn new(bench: &Bench, name: &str) -> Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let file = bench.path(&format!("{name}.pem"));
        fs::write(&file, issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// Issues a certificate for a server of this name.
    pub fn vouch(&self, bench: &Bench, host: &str) -> Result<Files> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name = named(host);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let files = Files {
            certificate: bench.path(&format!("{host}.crt")),
            key: bench.path(&format!("{host}.key")),
        };
        fs::write(&files.certificate, certificate.pem())?;
        secret::put(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}

/// OpenSSL takes a certificate for self-signed where its holder and its issuer have one name.
fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}
