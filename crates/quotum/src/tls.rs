//! Certificates of this process: read from their files, and read again when those change.
//!
//! Promises: what is wrong at the start ends the process before any socket opens; what is wrong
//! later is told, counted, and changes nothing; a file that is being written is left to settle.

use std::io;
use std::path::Path;

use quotum_replica::clock::{Clock as _, RealClock};
use quotum_telemetry::label::{Certificate, ClosedLabel, Reload};
use quotum_telemetry::{CertificateMetrics, Exposition};
use quotum_transport::{Credentials, Ends, Material};
use ring::digest::{Context, SHA256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files;
use crate::limits::{CERTIFICATES_LOOK_EVERY, SETTINGS_BYTES_MAX};
use crate::secrets;
use crate::settings::tls::TlsFiles;

#[cfg(test)]
mod tests;

/// The certificates of a process.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Vec<Watched>);

/// Credentials, and the files that they are of.
#[derive(Debug)]
struct Watched {
    name: Certificate,
    files: TlsFiles,
    credentials: Credentials,
    /// What the files held when they were last judged, for better or worse.
    judged: Digest,
    /// What they held at the last look.
    seen: Digest,
}

type Digest = [u8; 32];

// === impl Certificates ===

impl Certificates {
    /// Takes files into use, and remembers to look at them again.
    pub(crate) fn load(
        &mut self,
        name: Certificate,
        ends: Ends,
        files: &TlsFiles,
    ) -> Result<Credentials, Failure> {
        if let Some((_, key)) = &files.identity {
            secrets::check_mode(key)?;
        }
        let (material, digest) = read(files)?;
        let credentials = Credentials::new(ends, &material)
            .map_err(|error| Failure::usage(place(files)).because(&error))?;
        self.0.push(Watched {
            name,
            files: files.clone(),
            credentials: credentials.clone(),
            judged: digest,
            seen: digest,
        });
        Ok(credentials)
    }

    /// Looks at the files again and again, until `stop`.
    pub(crate) async fn watch(mut self, exposition: Exposition, stop: CancellationToken) {
        let metrics: Vec<CertificateMetrics> = self
            .0
            .iter()
            .map(|watched| CertificateMetrics::new(&exposition, watched.name))
            .collect();
        loop {
            for (watched, metrics) in self.0.iter().zip(&metrics) {
                if let Some(expiry_s) = watched.credentials.expiry_s() {
                    metrics.expires(expiry_s);
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CERTIFICATES_LOOK_EVERY) => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                let outcomes: Vec<_> = self.0.iter_mut().map(Watched::look).collect();
                (self, outcomes)
            });
            let (certificates, outcomes) = looked.await.expect("looking does not panic");
            self = certificates;
            for (outcome, metrics) in outcomes.into_iter().zip(&metrics) {
                if let Some(outcome) = outcome {
                    metrics.reload(outcome);
                }
            }
        }
    }
}

// === impl Watched ===

impl Watched {
    /// Reads the files, and takes them into use when they have changed and are as they were a look
    /// ago: certificate and key are seldom replaced in one instant.
    fn look(&mut self) -> Option<Reload> {
        let name = self.name.as_str();
        let (material, digest) = match read(&self.files) {
            Ok(read) => read,
            Err(failure) => {
                let gone = [0; 32];
                let is_news = self.judged != gone && self.seen == gone;
                self.seen = gone;
                if !is_news {
                    return None;
                }
                self.judged = gone;
                tracing::error!(name, %failure, "a certificate cannot be read: the old one stays");
                return Some(Reload::Refused);
            }
        };
        let has_settled = std::mem::replace(&mut self.seen, digest) == digest;
        if !has_settled || digest == self.judged {
            return None;
        }
        self.judged = digest;
        let now_s = i64::try_from(RealClock.wall_ms() / 1_000).unwrap_or(i64::MAX);
        match self.credentials.replace(&material, now_s) {
            Ok(()) => {
                let expiry_s = self.credentials.expiry_s();
                tracing::info!(name, expiry_s, "a new certificate is in use");
                Some(Reload::Loaded)
            }
            Err(error) => {
                tracing::error!(name, %error, "a new certificate is refused: the old one stays");
                Some(Reload::Refused)
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<(Material, Digest), Failure> {
    let mut context = Context::new(&SHA256);
    let mut bytes = |path: &Path| {
        let bytes = files::read(path, SETTINGS_BYTES_MAX);
        let bytes = bytes.map_err(|error: io::Error| {
            Failure::usage(path.display().to_string()).because(&error)
        })?;
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(&bytes);
        Ok(bytes)
    };
    let identity = match &files.identity {
        Some((cert, key)) => Some((bytes(cert)?, Zeroizing::new(bytes(key)?))),
        None => None,
    };
    let authorities = files.authorities.as_deref().map(&mut bytes).transpose()?;
    let material = Material {
        identity,
        authorities,
    };
    let digest = context.finish();
    let digest = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
    Ok((material, digest))
}

/// The files, as a complaint names them.
fn place(files: &TlsFiles) -> String {
    let (cert, key) = files.identity.clone().unzip();
    let paths = [cert, key, files.authorities.clone()].into_iter().flatten();
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    paths.join(", ")
}
