//! The environment, read once when the program starts.

use std::collections::BTreeMap;

/// The variables of the environment whose names and values are text.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
}

/// What the names of our own variables start with.
pub(crate) const PREFIX: &str = "QUOTUM_";

// === impl Environment ===

impl Environment {
    /// The environment of this process.
    pub(crate) fn read() -> Self {
        let variables = std::env::vars_os();
        let text = variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self {
            variables: text.collect(),
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            variables: BTreeMap::from(owned),
        }
    }

    /// The names of our own variables.
    pub(crate) fn own(&self) -> impl Iterator<Item = &str> {
        let names = self.variables.keys().map(String::as_str);
        names.filter(|name| name.starts_with(PREFIX))
    }

    /// A variable; an empty one counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value)
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
