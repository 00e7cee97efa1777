//! What both kinds of processes read alike: the master key, the admin token, and the log.

use std::path::Path;

use quotum_registry::MasterKey;
use quotum_registry::secret::token::Token;
use quotum_telemetry::logging::Format;
use zeroize::Zeroizing;

use super::{Settings, SettingsError};
use crate::process::Logging;
use crate::secrets;

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
