//! Settings: a file of TOML, each value of which a variable of the environment may replace, and some
//! an option of the command line.
//!
//! Promises: a key that is not known, a value of another type and a value that makes no sense are
//! refused with the file, the line and the key; no secret stands in the file or is shown.
//!
//! # Layout
//! * [`key`]: what a key is, and how its values are written.
//! * [`counter`], [`gateway`]: the keys of each kind of process, and what is made of them.
//! * [`addresses`]: `HOST:PORT` and what there is to say about it. [`authorities`]: files of
//!   certificates. `secret`: what both kinds share.
//! * [`tls`]: files of certificates, and what may do without. `trial`: what holds of any text.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::environment::{Environment, PREFIX};
use crate::files;
use crate::limits::SETTINGS_BYTES_MAX;

pub(crate) mod addresses;
pub(crate) mod authorities;
pub(crate) mod counter;
pub(crate) mod gateway;
pub(crate) mod key;
mod secret;
pub(crate) mod tls;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;

#[cfg(test)]
mod tests;

use key::{Key, Origin, Value, WrongType};

/// The settings of one process, read and of the right types.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `None`: there is no file.
    file: Option<String>,
    keys: &'static [Key],
    values: BTreeMap<&'static str, Setting>,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What is wrong with settings: where, and what.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{file}")]
    Unreadable {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{file}, line {line}, column {column}: {message}")]
    Syntax {
        file: String,
        line: usize,
        column: usize,
        message: String,
    },
    #[error("{file}, line {line}: unknown key `{key}`{hint}")]
    UnknownKey {
        file: String,
        line: usize,
        key: String,
        hint: String,
    },
    #[error(
        "{file}, line {line}: `{key}` is a secret and does not stand in this file: use `{key}_file`, or the variable {}", variable(.key)
    )]
    Secret {
        file: String,
        line: usize,
        key: &'static str,
    },
    #[error("{origin}: `{key}` {wrong}")]
    WrongType {
        origin: Origin,
        key: &'static str,
        wrong: WrongType,
    },
    #[error("{}`{key}` is missing: {}", start(.file), ways(.file, .option, .key))]
    Missing {
        file: Option<String>,
        key: &'static str,
        option: Option<&'static str>,
    },
    #[error("{origin}: `{key}`: {message}")]
    Invalid {
        origin: Origin,
        key: &'static str,
        message: String,
    },
}

/// The variable that replaces a key.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

fn start(file: &Option<String>) -> String {
    file.as_ref()
        .map_or_else(String::new, |file| format!("{file}: "))
}

/// How a key that is missing can be given.
fn ways(file: &Option<String>, option: &Option<&str>, key: &str) -> String {
    let set = format!("set {}", variable(key));
    match (file, option) {
        (Some(_), None) => format!("add it, or {set}"),
        (Some(_), Some(option)) => format!("add it, {set}, or use {option}"),
        (None, None) => format!("{set}, or name a file that has it with --config"),
        (None, Some(option)) => format!("use {option}, {set}, or name a file with --config"),
    }
}

// === impl Settings ===

impl Settings {
    /// Reads `path`, and what of `environment` replaces it.
    pub(crate) fn load(
        path: &Path,
        keys: &'static [Key],
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let file = path.display().to_string();
        let text = files::read_text(path, SETTINGS_BYTES_MAX);
        let text = text.map_err(|source| SettingsError::Unreadable {
            file: file.clone(),
            source,
        })?;
        Self::parse(&text, file, keys, environment)
    }

    pub(crate) fn parse(
        text: &str,
        file: String,
        keys: &'static [Key],
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let table = DeTable::parse(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            let message = error.message().to_owned();
            SettingsError::Syntax {
                file: file.clone(),
                line,
                column,
                message,
            }
        })?;
        let mut settings = Self {
            file: Some(file.clone()),
            keys,
            values: BTreeMap::new(),
        };
        // In the order of the lines, so that the first mistake is the first told.
        let mut members: Vec<_> = table.get_ref().iter().collect();
        members.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in members {
            settings.take(text, &file, name, value)?;
        }
        settings.take_environment(environment)?;
        settings.take_defaults();
        Ok(settings)
    }

    /// What `environment` says, and the defaults.
    pub(crate) fn without_file(
        keys: &'static [Key],
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self {
            file: None,
            keys,
            values: BTreeMap::new(),
        };
        settings.take_environment(environment)?;
        settings.take_defaults();
        Ok(settings)
    }

    /// Puts what was said on the command line in place of everything else.
    ///
    /// # Panics
    /// Where an option is one of no key.
    pub(crate) fn take_options(
        &mut self,
        options: &[(&'static str, &str)],
    ) -> Result<(), SettingsError> {
        for (option, text) in options {
            let key = self.keys.iter().find(|key| key.option == Some(*option));
            let key = key.expect("an option of a key");
            self.put(key, text, Origin::Option(option))?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        text: &str,
        file: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), SettingsError> {
        let (line, _) = position(text, name.span().start);
        let file = file.to_owned();
        let Some(key) = self.keys.iter().find(|key| key.name == name.get_ref()) else {
            let shown: String = name.get_ref().chars().take(64).collect();
            let hint = nearest(&shown, self.keys);
            return Err(SettingsError::UnknownKey {
                file,
                line,
                key: shown,
                hint,
            });
        };
        let name = key.name;
        if key.is_secret {
            return Err(SettingsError::Secret {
                file,
                line,
                key: name,
            });
        }
        let origin = Origin::File { file, line };
        let value = key.kind.read(value.get_ref()).map_err(|wrong| {
            let origin = origin.clone();
            SettingsError::WrongType {
                origin,
                key: name,
                wrong,
            }
        })?;
        self.values.insert(name, Setting { value, origin });
        Ok(())
    }

    fn take_environment(&mut self, environment: &Environment) -> Result<(), SettingsError> {
        for key in self.keys {
            let variable = variable(key.name);
            let Some(text) = environment.get(&variable) else {
                continue;
            };
            self.put(key, text, Origin::Variable(variable))?;
        }
        Ok(())
    }

    /// Takes a text as the value of a key, in place of the one before.
    fn put(&mut self, key: &Key, text: &str, origin: Origin) -> Result<(), SettingsError> {
        match key.kind.parse(text) {
            Ok(value) => drop(self.values.insert(key.name, Setting { value, origin })),
            Err(wrong) => {
                return Err(SettingsError::WrongType {
                    origin,
                    key: key.name,
                    wrong,
                });
            }
        }
        Ok(())
    }

    fn take_defaults(&mut self) {
        for key in self.keys {
            let Some(text) = key.default else { continue };
            let value = key.kind.parse(text);
            let value = value.expect("a default has the type of its key");
            let origin = Origin::Default;
            self.values
                .entry(key.name)
                .or_insert(Setting { value, origin });
        }
    }

    /// A setting, if it was set or has a default.
    pub(crate) fn get(&self, key: &'static str) -> Option<&Setting> {
        assert!(
            self.keys.iter().any(|known| known.name == key),
            "{key} is no key"
        );
        self.values.get(key)
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            other => unreachable!("{key} is {other:?}"),
        }
    }

    pub(crate) fn integer(&self, key: &'static str) -> Option<u64> {
        match &self.get(key)?.value {
            Value::Integer(number) => Some(*number),
            other => unreachable!("{key} is {other:?}"),
        }
    }

    pub(crate) fn list(&self, key: &'static str) -> Option<&[String]> {
        match &self.get(key)?.value {
            Value::List(elements) => Some(elements),
            other => unreachable!("{key} is {other:?}"),
        }
    }

    /// The error that a key which must be there is not.
    pub(crate) fn missing(&self, key: &'static str) -> SettingsError {
        let option = self.keys.iter().find(|known| known.name == key);
        SettingsError::Missing {
            file: self.file.clone(),
            key,
            option: option.and_then(|known| known.option),
        }
    }

    /// The error that a value makes no sense.
    pub(crate) fn invalid(&self, key: &'static str, message: impl Into<String>) -> SettingsError {
        let origin = match (self.get(key), &self.file) {
            (Some(setting), _) => setting.origin.clone(),
            (None, Some(file)) => Origin::File {
                file: file.clone(),
                line: 1,
            },
            (None, None) => Origin::Default,
        };
        SettingsError::Invalid {
            origin,
            key,
            message: message.into(),
        }
    }

    /// A number from `least` to `most`.
    pub(crate) fn between(
        &self,
        key: &'static str,
        least: u64,
        most: u64,
    ) -> Result<u64, SettingsError> {
        let number = self.integer(key).ok_or_else(|| self.missing(key))?;
        match (least..=most).contains(&number) {
            true => Ok(number),
            false => Err(self.invalid(key, format!("use {least} to {most}, not {number}"))),
        }
    }

    /// A count of at least one.
    pub(crate) fn count(&self, key: &'static str, most: u64) -> Result<usize, SettingsError> {
        let number = self.between(key, 1, most)?;
        Ok(usize::try_from(number).expect("a machine has 64 bits"))
    }

    /// A number of bytes from `least` to `most`.
    pub(crate) fn size(
        &self,
        key: &'static str,
        least: usize,
        most: usize,
    ) -> Result<usize, SettingsError> {
        let number = self.between(key, least as u64, most as u64)?;
        Ok(usize::try_from(number).expect("a machine has 64 bits"))
    }

    /// Writes every setting into the log, secrets redacted.
    pub(crate) fn log(&self) {
        for key in self.keys {
            if let Some(Setting { value, origin }) = self.values.get(key.name) {
                let value = match key.is_secret {
                    true => "(redacted)".to_owned(),
                    false => value.to_string(),
                };
                tracing::info!(key = key.name, value, from = %origin, "setting");
            }
        }
    }
}

/// Line and column, from 1, of the byte at `at`.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let lines = before.bytes().filter(|byte| *byte == b'\n').count();
    (lines + 1, before[line_start..].chars().count() + 1)
}

/// The known key that was probably meant.
fn nearest(name: &str, keys: &[Key]) -> String {
    let distance = |key: &&Key| strsim::osa_distance(&name.to_lowercase(), key.name);
    let near = keys
        .iter()
        .filter(|key| !key.is_secret)
        .min_by_key(distance);
    match near.filter(|key| distance(key) <= 1 + key.name.len() / 4) {
        Some(key) => format!(", did you mean `{}`?", key.name),
        None => String::new(),
    }
}
