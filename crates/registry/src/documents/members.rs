//! Members: reading an object member by member, and refusing what nobody asked for.

use serde_json::{Map, Value};

/// A fault and where it is.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: String,
    pub(super) message: String,
}

/// An object that is being read.
pub(super) struct Members<'a> {
    map: &'a Map<String, Value>,
    place: String,
    asked: Vec<&'static str>,
}

// === impl Fault ===

impl Fault {
    pub(super) fn new(place: &str, message: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            message: message.into(),
        }
    }
}

// === impl Members ===

impl<'a> Members<'a> {
    pub(super) fn of(value: &'a Value, place: &str) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self {
                map,
                place: place.to_owned(),
                asked: Vec::new(),
            }),
            other => Err(wrong_type(place, "an object", other)),
        }
    }

    /// The member called `name`, if there is one.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.map.get(name)
    }

    /// The JSON pointer of a member.
    pub(super) fn place_of(&self, name: &str) -> String {
        pointer(&self.place, name)
    }

    pub(super) fn required(&mut self, name: &'static str) -> Result<&'a Value, Fault> {
        let place = self.place.clone();
        self.take(name)
            .ok_or_else(|| Fault::new(&place, format!("{name:?} is missing")))
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<&'a str, Fault> {
        let value = self.required(name)?;
        as_text(value, &self.place_of(name))
    }

    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<&'a str>, Fault> {
        let place = self.place_of(name);
        self.take(name)
            .map(|value| as_text(value, &place))
            .transpose()
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Fault> {
        let place = self.place_of(name);
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(wrong_type(&place, "true or false", other)),
        }
    }

    /// Refuses every member that was not asked for.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let unknown = self
            .map
            .keys()
            .find(|name| !self.asked.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                let hint = nearest(name, &self.asked);
                Err(Fault::new(
                    &pointer(&self.place, &shown),
                    format!("unknown member{hint}"),
                ))
            }
        }
    }
}

/// `place` with one more step, escaped as RFC 6901 says.
pub(super) fn pointer(place: &str, step: &str) -> String {
    format!("{place}/{}", step.replace('~', "~0").replace('/', "~1"))
}

pub(super) fn as_text<'a>(value: &'a Value, place: &str) -> Result<&'a str, Fault> {
    value
        .as_str()
        .ok_or_else(|| wrong_type(place, "a string", value))
}

pub(super) fn wrong_type(place: &str, wanted: &str, found: &Value) -> Fault {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Fault::new(place, format!("expected {wanted}, found {found}"))
}

/// `: did you mean "x"?`, or which names there are.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> String {
    let close = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 3))
        .min();
    match close {
        Some((_, known)) => format!(": did you mean {known:?}?"),
        None => format!(": known are {}", known.join(", ")),
    }
}
