//! A steady load: each client calls again as soon as it was answered, until it is told to stop.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::burst::Answers;
use crate::failure::{Failure, Result};
use crate::limits::SETTLE_MAX;
use crate::mcp::{Answer, Session};

/// Calls that go on in the background.
#[derive(Debug)]
pub struct Drip {
    clients: JoinSet<Vec<Answer>>,
    stop: watch::Sender<bool>,
    /// How many calls were allowed so far.
    allowed: watch::Receiver<usize>,
}

/// A client's pause between two calls: this is a load, not a flood.
const PAUSE: Duration = Duration::from_millis(10);

// === impl Drip ===

impl Drip {
    pub fn start(clients: Vec<Session>, tool: &'static str, arguments: &Value) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (count, allowed) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for client in clients {
            let (stopped, count, arguments) = (stopped.clone(), count.clone(), arguments.clone());
            tasks.spawn(async move {
                let mut answers = Vec::new();
                let mut pause = tokio::time::interval(PAUSE);
                while !*stopped.borrow() {
                    pause.tick().await;
                    let answer = client.call(tool, arguments.clone()).await;
                    if answer.is_allowed() {
                        count.send_modify(|allowed| *allowed += 1);
                    }
                    answers.push(answer);
                }
                answers
            });
        }
        Self {
            clients: tasks,
            stop,
            allowed,
        }
    }

    /// Returns when so many more calls have been allowed.
    pub async fn after(&mut self, calls: usize) -> Result {
        let wanted = *self.allowed.borrow() + calls;
        let reached = self.allowed.wait_for(|allowed| *allowed >= wanted);
        match tokio::time::timeout(SETTLE_MAX, reached).await {
            Ok(reached) => reached.map(drop).map_err(Failure::from),
            Err(_) => Err(Failure::new(format!(
                "fewer than {calls} calls were allowed in {SETTLE_MAX:?}"
            ))),
        }
    }

    /// Ends the load and gives all its answers.
    pub async fn stop(mut self) -> Result<Answers> {
        self.stop.send_replace(true);
        let mut answers = Vec::new();
        while let Some(ended) = self.clients.join_next().await {
            answers.extend(ended?);
        }
        Ok(Answers(answers))
    }
}
