//! Inspecting what an upstream says: each message is read, its lists are filtered, and it is
//! compared with the request. What cannot be read with certainty does not pass.

use crate::filter::{self, Listing};
use crate::json::{Raw, scan_reply};
use crate::reply::{self, Answer};

#[cfg(test)]
mod tests;

/// What is known of the request whose answer is inspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspector {
    /// The JSON text of the request's id; `None` where no answer is expected.
    pub id: Option<String>,
    /// The answer must be a list of tools.
    pub lists_tools: bool,
    pub modern: bool,
}

/// A message that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The text in place of the original; `None`: it passes as it is.
    pub text: Option<String>,
    /// The answer to the request, if the message is that.
    pub answer: Option<Answer>,
}

/// A message that must not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message of the upstream cannot be read")]
pub struct Unreadable;

// === impl Inspector ===

impl Inspector {
    /// Reads one message, or an array of them.
    pub fn inspect(
        &self,
        message: &[u8],
        visible: &mut (dyn FnMut(&str) -> bool + Send),
    ) -> Result<Inspected, Unreadable> {
        let message = scan_reply(message).map_err(|_| Unreadable)?;
        let mut listing = Listing {
            visible,
            modern: self.modern,
        };
        let text = filter::filter(message, &mut listing).map_err(|_| Unreadable)?;
        let answer = self.answer(message);
        let missing = self.lists_tools
            && matches!(answer, Some(Answer::Result { .. }))
            && !filter::has_tools(message);
        if missing {
            Err(Unreadable)
        } else {
            Ok(Inspected { text, answer })
        }
    }

    fn answer(&self, message: Raw<'_>) -> Option<Answer> {
        let id = scan_reply(self.id.as_deref()?.as_bytes()).ok()?;
        reply::answer_to(message, id)
    }
}
