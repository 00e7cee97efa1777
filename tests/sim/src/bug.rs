//! Bugs that can be put in, to prove that the checker is sharp.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The disk says that it has synced before it has.
    AckBeforeSync,
}

/// All of them, by name.
pub(crate) const ALL: [(&str, Bug, &str); 1] = [(
    "ack-before-sync",
    Bug::AckBeforeSync,
    "the log is acknowledged before the disk has it",
)];

// === impl Bug ===

impl Bug {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = ALL.iter().find(|(known, ..)| *known == name);
        found.map(|(_, bug, _)| *bug)
    }
}
