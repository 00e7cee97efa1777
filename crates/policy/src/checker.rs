//! Checking a JSON document value by value: every fault is kept with its place, and checking goes
//! on, so that one look shows all that is wrong.
//!
//! A function that returns `None` has reported why.

use crate::json::{Member, Node, Value};
use crate::problem::{PolicyError, nearest, shown};

/// Collects the faults of one document.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Byte offset and message.
    faults: Vec<(usize, String)>,
}

// === impl Checker ===

impl Checker {
    /// A checker that already knows which members stand twice.
    pub(crate) fn with_duplicates(root: &Node<'_>, duplicates: &[usize]) -> Self {
        let within = |at: &&usize| (root.span.start..root.span.end).contains(*at);
        let fault = |at: &usize| (*at, "this member stands here twice".to_owned());
        Self {
            faults: duplicates.iter().filter(within).map(fault).collect(),
        }
    }

    pub(crate) fn fault(&mut self, at: usize, message: impl Into<String>) {
        self.faults.push((at, message.into()));
    }

    /// The checked value, if nothing was wrong with `root`.
    pub(crate) fn finish<T>(
        mut self,
        text: &str,
        root: &Node<'_>,
        checked: Option<T>,
    ) -> Result<T, PolicyError> {
        if checked.is_none() && self.faults.is_empty() {
            self.fault(root.span.start, "this document cannot be used");
        }
        match (PolicyError::of(text, root, self.faults), checked) {
            (None, Some(checked)) => Ok(checked),
            (Some(error), _) => Err(error),
            (None, None) => unreachable!("what was not checked has a fault"),
        }
    }

    /// The members of an object.
    pub(crate) fn entries<'n, 'a>(
        &mut self,
        node: &'n Node<'a>,
        what: &str,
    ) -> Option<&'n [Member<'a>]> {
        match &node.value {
            Value::Object(members) => Some(members),
            _ => self.wrong(node, what, "an object"),
        }
    }

    /// The members of an object that has no others than `names`, in the order of `names`.
    pub(crate) fn members<'n, 'a, const N: usize>(
        &mut self,
        node: &'n Node<'a>,
        what: &str,
        names: [&str; N],
    ) -> Option<[Option<&'n Node<'a>>; N]> {
        for member in self.entries(node, what)? {
            if !names.contains(&&*member.name) {
                let hint = hint(&member.name, names);
                let name = shown(&member.name);
                self.fault(
                    member.at,
                    format!("unknown member `{name}` of {what}{hint}"),
                );
            }
        }
        Some(names.map(|name| node.get(name)))
    }

    /// A member that must be there: its absence is a fault of the object around it.
    pub(crate) fn required<'n, 'a>(
        &mut self,
        parent: &Node<'_>,
        name: &str,
        member: Option<&'n Node<'a>>,
    ) -> Option<&'n Node<'a>> {
        if member.is_none() {
            self.fault(parent.span.start, format!("`{name}` is missing"));
        }
        member
    }

    /// The elements of an array of at most `max`.
    pub(crate) fn items<'n, 'a>(
        &mut self,
        node: &'n Node<'a>,
        what: &str,
        max: usize,
    ) -> Option<&'n [Node<'a>]> {
        match &node.value {
            Value::Array(items) if items.len() > max => {
                let message = format!(
                    "{what} has {} elements, at most {max} may stand",
                    items.len()
                );
                self.fault(node.span.start, message);
                None
            }
            Value::Array(items) => Some(items),
            _ => self.wrong(node, what, "an array"),
        }
    }

    /// A string, however long.
    pub(crate) fn string<'n>(&mut self, node: &'n Node<'_>, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::String(text) => Some(text),
            _ => self.wrong(node, what, "a string"),
        }
    }

    /// A string of at most `chars_max` characters.
    pub(crate) fn text<'n>(
        &mut self,
        node: &'n Node<'_>,
        what: &str,
        chars_max: usize,
    ) -> Option<&'n str> {
        let text = self.string(node, what)?;
        if text.chars().count() > chars_max {
            self.fault(
                node.span.start,
                format!("{what} has at most {chars_max} characters"),
            );
            return None;
        }
        Some(text)
    }

    /// A name: a string of 1 to `chars_max` characters.
    pub(crate) fn name<'n>(
        &mut self,
        node: &'n Node<'_>,
        what: &str,
        chars_max: usize,
    ) -> Option<&'n str> {
        let name = self.text(node, what, chars_max)?;
        if name.is_empty() {
            self.fault(node.span.start, format!("{what} must not be empty"));
            return None;
        }
        Some(name)
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy, const N: usize>(
        &mut self,
        node: &Node<'_>,
        what: &str,
        words: [(&'static str, T); N],
    ) -> Option<T> {
        let names = words.map(|(name, _)| name);
        let Value::String(text) = &node.value else {
            let quoted = names.map(|name| format!("{name:?}")).join(", ");
            let kind = node.value.kind();
            self.fault(
                node.span.start,
                format!("{what} must be one of {quoted}, not {kind}"),
            );
            return None;
        };
        let found = words.into_iter().find(|(name, _)| *name == *text);
        if found.is_none() {
            let (word, quoted) = (
                shown(text),
                names.map(|name| format!("{name:?}")).join(", "),
            );
            let hint = hint(text, names);
            self.fault(
                node.span.start,
                format!("{what} is one of {quoted}, not {word:?}{hint}"),
            );
        }
        found.map(|(_, value)| value)
    }

    /// A whole number within bounds, both included; 5.0 is whole.
    pub(crate) fn whole(&mut self, node: &Node<'_>, what: &str, min: u64, max: u64) -> Option<u64> {
        let units = match &node.value {
            Value::Number(number) => number.units(),
            _ => None,
        };
        match units {
            Some(units) if (min..=max).contains(&units) => Some(units),
            _ => {
                let message = format!("{what} must be a whole number from {min} to {max}");
                self.fault(node.span.start, message);
                None
            }
        }
    }

    fn wrong<T>(&mut self, node: &Node<'_>, what: &str, wanted: &str) -> Option<T> {
        let kind = node.value.kind();
        self.fault(
            node.span.start,
            format!("{what} must be {wanted}, not {kind}"),
        );
        None
    }
}

fn hint<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    match nearest(name, known) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => String::new(),
    }
}
