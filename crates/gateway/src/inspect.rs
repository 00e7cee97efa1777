//! Inspecting what an upstream says: each message is read, its lists are filtered, and it is
//! compared with the request. What cannot be read with certainty does not pass.

use crate::filter::{self, Listing, Sight};
use crate::json::{Raw, scan_reply};
use crate::method::Tasks;
use crate::reply::{self, Answer};
use crate::task::TaskIds;

#[cfg(test)]
mod tests;

/// What is known of the request whose answer is inspected.
#[derive(Debug, Clone)]
pub struct Inspector {
    /// The JSON text of the request's id; `None` where no answer is expected.
    pub id: Option<String>,
    /// The answer must be a list of tools.
    pub lists_tools: bool,
    pub modern: bool,
    /// The tasks that the answer may speak of; `None`: the server's tasks are off.
    pub tasks: Option<TaskIds>,
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
    pub fn inspect(&mut self, message: &[u8], sight: Sight<'_>) -> Result<Inspected, Unreadable> {
        let message = scan_reply(message).map_err(|_| Unreadable)?;
        let listing = Listing {
            sight,
            modern: self.modern,
            tasks: match self.tasks {
                Some(_) => Tasks::On,
                None => Tasks::Off,
            },
        };
        let text = filter::filter(message, listing).map_err(|_| Unreadable)?;
        let answer = self.answer(message);
        let missing = self.lists_tools
            && matches!(answer, Some(Answer::Result { .. }))
            && !filter::has_tools(message);
        if missing {
            return Err(Unreadable);
        }
        let text = self.with_own_tasks(message, text)?;
        Ok(Inspected { text, answer })
    }

    fn answer(&self, message: Raw<'_>) -> Option<Answer> {
        answer_to(self.id.as_deref(), message)
    }

    /// The text with the client's task ids in place of the upstream's.
    fn with_own_tasks(
        &mut self,
        message: Raw<'_>,
        text: Option<String>,
    ) -> Result<Option<String>, Unreadable> {
        let id = self.id.as_deref();
        let Some(tasks) = &mut self.tasks else {
            return Ok(text);
        };
        let answers = |one: Raw<'_>| matches!(answer_to(id, one), Some(Answer::Result { .. }));
        let sealed = tasks
            .seal(text.as_deref().unwrap_or(message.text()), &answers)
            .map_err(|_| Unreadable)?;
        Ok(sealed.or(text))
    }
}

fn answer_to(id: Option<&str>, message: Raw<'_>) -> Option<Answer> {
    let id = scan_reply(id?.as_bytes()).ok()?;
    reply::answer_to(message, id)
}
