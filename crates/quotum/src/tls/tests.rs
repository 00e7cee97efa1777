use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use quotum_authority::{Authority, Identity, Validity};

use super::*;

/// The files of a port in a folder.
struct Bench {
    _folder: tempfile::TempDir,
    files: TlsFiles,
    cert: PathBuf,
    key: PathBuf,
}

impl Bench {
    fn new(identity: &Identity, authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (cert, key, ca) = (path("tls.crt"), path("tls.key"), path("ca.crt"));
        fs::write(&ca, authority.pem()).unwrap();
        let files = TlsFiles {
            identity: Some((cert.clone(), key.clone())),
            authorities: Some(ca),
        };
        let bench = Self {
            _folder: folder,
            files,
            cert,
            key,
        };
        bench.put(identity);
        bench
    }

    fn put(&self, identity: &Identity) {
        files::replace(&self.cert, identity.certificate.as_bytes()).unwrap();
        files::replace(&self.key, identity.key.as_bytes()).unwrap();
    }

    fn load(&self) -> Result<Watched, Failure> {
        let mut certificates = Certificates::default();
        certificates.load(Certificate::Listen, Ends::Server, &self.files)?;
        Ok(certificates.0.pop().unwrap())
    }
}

/// The outcomes of so many looks.
fn looks(watched: &mut Watched, count: usize) -> Vec<Option<Reload>> {
    (0..count).map(|_| watched.look()).collect()
}

#[test]
fn a_changed_certificate_is_taken_once_it_has_settled() {
    let authority = Authority::new("a");
    let bench = Bench::new(&authority.issue(&["a"], None), &authority);
    let mut watched = bench.load().unwrap();
    assert_eq!(looks(&mut watched, 3), [None, None, None]);
    bench.put(&authority.issue(&["a"], None));
    assert_eq!(looks(&mut watched, 3), [None, Some(Reload::Loaded), None]);
}

#[test]
fn what_is_wrong_with_a_new_certificate_is_told_once_and_changes_nothing() {
    let authority = Authority::new("a");
    let first = authority.issue(&["a"], None);
    let bench = Bench::new(&first, &authority);
    let mut watched = bench.load().unwrap();
    let expiry_s = watched.credentials.expiry_s();
    let other = authority.issue(&["a"], None);
    let mismatch = Identity {
        key: other.key,
        ..first.clone()
    };
    let garbage = Identity {
        certificate: "nothing".to_owned(),
        ..first.clone()
    };
    let expired = authority.issue_as(&["a"], None, Validity::Expired);
    for bad in [mismatch, garbage, expired] {
        bench.put(&bad);
        assert_eq!(looks(&mut watched, 3), [None, Some(Reload::Refused), None]);
        assert_eq!(watched.credentials.expiry_s(), expiry_s);
    }
    // Gone, as while a folder is replaced: told when it stays so.
    fs::remove_file(&bench.cert).unwrap();
    assert_eq!(looks(&mut watched, 3), [None, Some(Reload::Refused), None]);
    bench.put(&first);
    assert_eq!(looks(&mut watched, 3), [None, Some(Reload::Loaded), None]);
}

#[test]
fn a_key_that_everybody_reads_is_refused_at_the_start() {
    let authority = Authority::new("a");
    let bench = Bench::new(&authority.issue(&["a"], None), &authority);
    fs::set_permissions(&bench.key, fs::Permissions::from_mode(0o644)).unwrap();
    let text = bench.load().unwrap_err().to_string();
    assert!(
        text.contains("tls.key") && text.contains("chmod 600"),
        "{text}"
    );
}

#[test]
fn a_wrong_certificate_at_the_start_names_its_file() {
    let authority = Authority::new("a");
    let identity = authority.issue(&["a"], None);
    let bench = Bench::new(&identity, &authority);
    bench.put(&Identity {
        key: authority.issue(&["a"], None).key,
        ..identity
    });
    let failure = bench.load().unwrap_err();
    assert_eq!(failure.exit, crate::failure::Exit::Usage);
    assert!(failure.to_string().contains("tls.crt"), "{failure}");
}
