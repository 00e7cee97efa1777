//! Certificates of tests: authorities, and what they sign. Keys are drawn anew each time.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

/// Who vouches for others.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// Whether a certificate is still valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Valid,
    Expired,
}

// === impl Authority ===

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key is drawn");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority signs itself"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `hosts`, and for the role and the name in `role`, such as `gateway/g1`.
    pub fn issue(&self, hosts: &[&str], role: Option<&str>) -> Identity {
        self.issue_as(hosts, role, Validity::Valid)
    }

    pub fn issue_as(&self, hosts: &[&str], role: Option<&str>, validity: Validity) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("hosts are names or addresses");
        if let Some(role) = role {
            let uri = format!("spiffe://quotum.test/quotum/{role}");
            let uri = uri.try_into().expect("a role is ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        if validity == Validity::Expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key is drawn");
        let certificate = params.signed_by(&key, &*self.0).expect("it is signed");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
