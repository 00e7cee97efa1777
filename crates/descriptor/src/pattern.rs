//! Values with `*`, each of which stands for any text.

/// A value with at least one `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// What stands between the stars, the first and the last included.
    parts: Box<[Box<str>]>,
}

// === impl Pattern ===

impl Pattern {
    /// `None`: there is no `*` in it.
    pub fn new(text: &str) -> Option<Self> {
        text.contains('*').then(|| Self {
            text: text.into(),
            parts: text.split('*').map(Box::from).collect(),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, value: &str) -> bool {
        let [first, between @ .., last] = &*self.parts else {
            unreachable!("a star divides a text into two parts at least")
        };
        let Some(rest) = value.strip_prefix(&**first) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(&**last) else {
            return false;
        };
        // The leftmost place of each leaves the most for those after it.
        for part in between {
            let Some(at) = rest.find(&**part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(pattern: &[u8], value: &[u8]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some((b'*', rest)) => (0..=value.len()).any(|at| naive(rest, &value[at..])),
            Some((byte, rest)) => value.first() == Some(byte) && naive(rest, &value[1..]),
        }
    }

    #[test]
    fn a_text_without_a_star_is_no_pattern() {
        assert_eq!(Pattern::new("search"), None);
        assert!(Pattern::new("*").unwrap().matches(""));
        assert!(!Pattern::new("ab*ba").unwrap().matches("aba"));
    }

    proptest! {
        #[test]
        fn patterns_match_as_trying_everything_does(
            pattern in "[ab*]{0,6}", value in "[ab]{0,8}",
        ) {
            if let Some(compiled) = Pattern::new(&pattern) {
                let expected = naive(pattern.as_bytes(), value.as_bytes());
                prop_assert_eq!(compiled.matches(&value), expected);
            }
        }
    }
}
