//! The tasks of a message: their ids opened on the way to the upstream, and those that may be
//! spoken of on the way back.

use bytes::Bytes;
use quotum_policy::Unlisted;
use quotum_registry::view::Grant;

use super::Inner;
use crate::method::Tasks;
use crate::shape::Message;
use crate::status::Refusal;
use crate::task::{self, Opened, Sealer, TaskIds};

/// A message whose task ids were opened.
pub(super) struct OpenedTasks {
    /// The body for the upstream; `None`: as it came.
    pub(super) body: Option<Bytes>,
    /// `None`: the server's tasks are off.
    pub(super) ids: Option<TaskIds>,
}

// === impl Inner ===

impl<C> Inner<C> {
    /// Opens the ids of tasks in a message; where the server's tasks are off, takes back that the
    /// client takes any.
    pub(super) fn open_tasks(
        &self,
        message: &Message<'_>,
        body: &[u8],
        grant: &Grant,
    ) -> Result<OpenedTasks, Refusal> {
        let tasks = Tasks::of(&grant.server.spec);
        if tasks == Tasks::Off && !task::is_offered(message) {
            return Ok(OpenedTasks {
                body: None,
                ids: None,
            });
        }
        let sealer = self.sealer(grant);
        let Opened { body, tasks: own } = sealer.open(body, tasks, &|tool| permits(grant, tool))?;
        let called = message
            .call()
            .and_then(|(method, params)| task::called(method, params));
        let ids = TaskIds::new(sealer, own, called.map(std::borrow::Cow::into_owned));
        Ok(OpenedTasks {
            body,
            ids: (tasks == Tasks::On).then_some(ids),
        })
    }

    /// For an answer to a request that names no task.
    pub(super) fn no_tasks(&self, grant: &Grant) -> Option<TaskIds> {
        let ids = || TaskIds::new(self.sealer(grant), Vec::new(), None);
        (Tasks::of(&grant.server.spec) == Tasks::On).then(ids)
    }

    fn sealer(&self, grant: &Grant) -> Sealer {
        Sealer {
            keys: self.config.session_keys.clone(),
            server: grant.server.spec.name.as_str().to_owned(),
            grant: grant.id.as_str().to_owned(),
        }
    }
}

/// Whether a policy lets a tool be called at all, whatever its arguments.
fn permits(grant: &Grant, tool: &str) -> bool {
    grant.policy.as_ref().is_some_and(|policy| {
        let policy = &policy.compiled;
        !policy.hides(tool) && (policy.lists(tool) || policy.unlisted() == Unlisted::Allow)
    })
}
