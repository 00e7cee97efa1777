//! The secrets of a test cluster. They guard nothing: each run has the same.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use quotum_e2e::failure::Result;
use quotum_registry::secret::token::{Token, TokenKind};

/// 32 bytes in hexadecimal digits.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TOKEN_BYTES: &[u8; 32] = b"a token that guards nothing here";

/// The secrets, and the files that hold them.
#[derive(Debug, Clone)]
pub struct Secrets {
    pub key_file: PathBuf,
    pub token_file: PathBuf,
    pub token: String,
}

// === impl Secrets ===

impl Secrets {
    pub fn write(folder: &Path) -> Result<Self> {
        let secrets = Self {
            key_file: folder.join("secret-key"),
            token_file: folder.join("admin-token"),
            token: Token::from_random(TokenKind::Admin, TOKEN_BYTES)
                .as_str()
                .to_owned(),
        };
        write(&secrets.key_file, KEY)?;
        write(&secrets.token_file, &secrets.token)?;
        Ok(secrets)
    }
}

/// For its owner alone: the programs refuse anything else.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut options = File::options();
    let mut file = options.write(true).create(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
