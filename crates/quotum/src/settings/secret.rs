//! What both kinds of processes read alike: the master key, the admin token, and the log; and the
//! keys of sessions, which only gateways have.

use std::path::Path;
use std::sync::Arc;

use quotum_gateway::limits::SESSION_KEYS_MAX;
use quotum_gateway::session::{SessionKey, SessionKeys};
use quotum_registry::MasterKey;
use quotum_registry::secret::token::Token;
use quotum_telemetry::logging::Format;
use zeroize::Zeroizing;

use super::{Settings, SettingsError};
use crate::process::Logging;
use crate::secrets;

/// The label of the master key as a session key, from before keys had files of their own.
const MASTER_LABEL: &str = "k1";

// === impl Settings ===

impl Settings {
    pub(crate) fn master_key(&self) -> Result<MasterKey, SettingsError> {
        let (key, text) = self.secret("secret_key", "secret_key_file")?;
        MasterKey::from_text(&text).map_err(|error| self.invalid(key, error.to_string()))
    }

    pub(crate) fn admin_token(&self) -> Result<Token, SettingsError> {
        let (key, text) = self.secret("admin_token", "admin_token_file")?;
        secrets::admin_token(&text).map_err(|error| {
            self.invalid(
                key,
                format!("{error}, or is 32 random bytes in base64 or hexadecimal digits"),
            )
        })
    }

    /// The keys of sessions: those in the files, of which the first seals; without any, the master
    /// key's.
    pub(crate) fn session_keys(
        &self,
        master: &Arc<MasterKey>,
    ) -> Result<SessionKeys, SettingsError> {
        const KEY: &str = "session_key_files";
        let keys = match self.list(KEY) {
            None => vec![SessionKey {
                id: MASTER_LABEL.to_owned(),
                key: Arc::clone(master),
            }],
            Some(files) if (1..=SESSION_KEYS_MAX).contains(&files.len()) => {
                let mut keys: Vec<SessionKey> = Vec::new();
                for file in files {
                    let refused = |why: String| self.invalid(KEY, format!("{file}: {why}"));
                    let key = session_key(file, master).map_err(refused)?;
                    if let Some(same) = keys.iter().position(|other| other.id == key.id) {
                        let why = format!("this is the same key as in {}", files[same]);
                        return Err(refused(why));
                    }
                    keys.push(key);
                }
                keys
            }
            Some(files) => {
                let message = format!("use 1 to {SESSION_KEYS_MAX} files, not {}", files.len());
                return Err(self.invalid(KEY, message));
            }
        };
        SessionKeys::new(keys).map_err(|error| self.invalid(KEY, error.to_string()))
    }

    pub(crate) fn logging(&self) -> Result<Logging, SettingsError> {
        let format = match self.text("log_format") {
            Some("json") => Format::Json,
            Some("text") => Format::Text,
            _ => return Err(self.invalid("log_format", "use \"json\" or \"text\"")),
        };
        let filter = self.text("log").ok_or_else(|| self.missing("log"))?;
        Ok(Logging {
            format,
            filter: filter.to_owned(),
        })
    }

    /// A secret and the key that gave it: the variable, else the file.
    fn secret(
        &self,
        key: &'static str,
        file_key: &'static str,
    ) -> Result<(&'static str, Zeroizing<String>), SettingsError> {
        if let Some(text) = self.text(key) {
            return Ok((key, Zeroizing::new(text.to_owned())));
        }
        let path = self.text(file_key).ok_or_else(|| self.missing(file_key))?;
        let text = secrets::read(Path::new(path));
        let text = text.map_err(|error| self.invalid(file_key, format!("{path}: {error}")))?;
        Ok((file_key, text))
    }
}

/// The key in a file. Its label is made of it, so that all gateways have the same for it.
fn session_key(file: &str, master: &MasterKey) -> Result<SessionKey, String> {
    let text = secrets::read(Path::new(file)).map_err(|error| error.to_string())?;
    let key = MasterKey::from_text(&text).map_err(|error| error.to_string())?;
    let id = match key.session_key_id() {
        // What it sealed while no files were named stays open.
        id if id == master.session_key_id() => MASTER_LABEL.to_owned(),
        id => id.to_owned(),
    };
    Ok(SessionKey {
        id,
        key: Arc::new(key),
    })
}
