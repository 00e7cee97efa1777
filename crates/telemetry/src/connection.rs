//! What a process records of its connections and certificates.

use crate::catalog;
use crate::exposition::{Count, Exposition, Reading};
use crate::label::{CallRefusal, Certificate, ClosedLabel, ConnectionRefusal, Listener, Reload};

#[cfg(test)]
mod tests;

/// The metrics of one port.
pub struct ListenerMetrics {
    open: Reading,
    refused: Vec<Count>,
    calls_refused: Vec<Count>,
}

/// The metrics of one certificate.
pub struct CertificateMetrics {
    expiry: Reading,
    reloads: Vec<Count>,
}

// === impl ListenerMetrics ===

impl ListenerMetrics {
    pub fn new(exposition: &Exposition, listener: Listener) -> Self {
        let listener = listener.as_str();
        let refused = ConnectionRefusal::ALL.iter().map(|reason| {
            exposition.count(&catalog::CONNECTIONS_REFUSED, &[listener, reason.as_str()])
        });
        let calls_refused = CallRefusal::ALL
            .iter()
            .map(|reason| exposition.count(&catalog::CALLS_REFUSED, &[listener, reason.as_str()]));
        Self {
            open: exposition.reading(&catalog::CONNECTIONS_OPEN, &[listener]),
            refused: refused.collect(),
            calls_refused: calls_refused.collect(),
        }
    }

    /// So many connections are open now.
    pub fn open(&self, connections: usize) {
        self.open.set_integer(connections as u64);
    }

    /// A connection was closed before its first request.
    pub fn refused(&self, reason: ConnectionRefusal) {
        self.refused[reason.index()].one();
    }

    /// A call was refused before any service saw it.
    pub fn call_refused(&self, reason: CallRefusal) {
        self.calls_refused[reason.index()].one();
    }
}

impl std::fmt::Debug for ListenerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListenerMetrics")
    }
}

// === impl CertificateMetrics ===

impl CertificateMetrics {
    pub fn new(exposition: &Exposition, certificate: Certificate) -> Self {
        let certificate = certificate.as_str();
        let reloads = Reload::ALL.iter().map(|outcome| {
            exposition.count(&catalog::TLS_RELOADS, &[certificate, outcome.as_str()])
        });
        Self {
            expiry: exposition.reading(&catalog::TLS_EXPIRY, &[certificate]),
            reloads: reloads.collect(),
        }
    }

    /// The certificate that is in use expires then.
    pub fn expires(&self, at_s: i64) {
        self.expiry.set(at_s as f64);
    }

    /// A changed file was taken into use, or refused.
    pub fn reload(&self, outcome: Reload) {
        self.reloads[outcome.index()].one();
    }
}

impl std::fmt::Debug for CertificateMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateMetrics")
    }
}
