//! Files of certificates: authorities in PEM that a process trusts.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Settings, SettingsError};
use crate::files;
use crate::limits::SETTINGS_BYTES_MAX;

// === impl Settings ===

impl Settings {
    /// The authorities in the file that `key` names; none if it is not set.
    pub(super) fn authorities(
        &self,
        key: &'static str,
    ) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
        let Some(path) = self.text(key) else {
            return Ok(Vec::new());
        };
        read(Path::new(path)).map_err(|wrong| self.invalid(key, format!("{path}: {wrong}")))
    }
}

/// The certificates in a file, each of which can vouch for others.
pub(crate) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = files::read(path, SETTINGS_BYTES_MAX).map_err(|error| error.to_string())?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("this is no PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("there is no certificate in PEM".to_owned());
    }
    for (index, certificate) in certificates.iter().enumerate() {
        let mut store = RootCertStore::empty();
        store
            .add(certificate.clone())
            .map_err(|error| format!("certificate {}: {error}", index + 1))?;
    }
    Ok(certificates)
}
