//! Keys: their names, the types of their values, and how those are written.

use std::fmt;

use toml::de::DeValue;

use crate::limits::SETTING_ELEMENTS_MAX;

/// A key of a configuration.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As in the environment.
    pub(crate) default: Option<&'static str>,
    /// The option of the command line that replaces it.
    pub(crate) option: Option<&'static str>,
    /// Taken from the environment only, and never shown.
    pub(crate) is_secret: bool,
}

/// The type of a key's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Whole, from 0.
    Integer,
    /// Of texts; in the environment with commas between them.
    List,
}

/// The value of a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Integer(u64),
    List(Vec<String>),
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    File { file: String, line: usize },
    Variable(String),
    Option(&'static str),
    Default,
}

/// What was expected in place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongType {
    #[error("must be a text in quotes")]
    Text,
    #[error("must be a whole number, 0 or more")]
    Integer,
    #[error("must be a list of at most {SETTING_ELEMENTS_MAX} texts")]
    List,
}

// === impl Key ===

impl Key {
    pub(crate) const fn text(name: &'static str) -> Self {
        Self::new(name, Kind::Text)
    }

    pub(crate) const fn integer(name: &'static str) -> Self {
        Self::new(name, Kind::Integer)
    }

    pub(crate) const fn list(name: &'static str) -> Self {
        Self::new(name, Kind::List)
    }

    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            default: None,
            option: None,
            is_secret: false,
        }
    }

    pub(crate) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(crate) const fn option(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    pub(crate) const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }
}

// === impl Kind ===

impl Kind {
    /// Reads a value of a file.
    pub(crate) fn read(self, value: &DeValue<'_>) -> Result<Value, WrongType> {
        match self {
            Self::Text => text(value).map(Value::Text).ok_or(WrongType::Text),
            Self::Integer => integer(value).map(Value::Integer).ok_or(WrongType::Integer),
            Self::List => {
                let DeValue::Array(elements) = value else {
                    return Err(WrongType::List);
                };
                let texts = elements.iter().map(|element| text(element.get_ref()));
                let texts: Option<Vec<String>> = texts.collect();
                let fits = |texts: &Vec<String>| texts.len() <= SETTING_ELEMENTS_MAX;
                texts.filter(fits).map(Value::List).ok_or(WrongType::List)
            }
        }
    }

    /// Reads a value of the environment.
    pub(crate) fn parse(self, text: &str) -> Result<Value, WrongType> {
        match self {
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Integer => text
                .parse()
                .map(Value::Integer)
                .map_err(|_| WrongType::Integer),
            Self::List => {
                let elements = text.split(',').map(|element| element.trim().to_owned());
                let elements: Vec<String> = elements.filter(|text| !text.is_empty()).collect();
                match elements.len() <= SETTING_ELEMENTS_MAX {
                    true => Ok(Value::List(elements)),
                    false => Err(WrongType::List),
                }
            }
        }
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        _ => None,
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

// === impl Value ===

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::List(elements) => f.write_str(&elements.join(",")),
        }
    }
}

impl fmt::Debug for Value {
    /// The type only: the value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::List(_) => "a list",
        })
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{file}, line {line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Option(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}
