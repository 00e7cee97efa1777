//! Many clients of one grant that call one tool at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::failure::Result;
use crate::mcp::{Answer, Session};

/// What is called, by whom, how often.
#[derive(Debug, Clone)]
pub struct Burst {
    pub clients: Vec<Session>,
    pub tool: &'static str,
    pub arguments: Value,
    pub calls: usize,
}

/// Something that happens once, after so many allowed calls. Until then only `calls_before` calls
/// are on their way at a time, so that the limit is not used up before it happens.
pub struct Strike {
    pub after_allowed: usize,
    pub calls_before: usize,
    pub strike: Box<dyn FnOnce() + Send>,
}

/// The answers of a burst, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Answers(pub Vec<Answer>);

// === impl Burst ===

impl Burst {
    /// Makes all calls: each client takes the next as soon as its last was answered.
    pub async fn run(self) -> Result<Answers> {
        let ways = self.clients.len();
        self.answers(Arc::new(Semaphore::new(ways)), None).await
    }

    /// The same, with a strike in the middle of it.
    pub async fn run_with(self, strike: Strike) -> Result<Answers> {
        let ways = Arc::new(Semaphore::new(strike.calls_before));
        self.answers(ways, Some(strike)).await
    }

    async fn answers(self, ways: Arc<Semaphore>, mut strike: Option<Strike>) -> Result<Answers> {
        let taken = Arc::new(AtomicUsize::new(0));
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let clients = self.clients.len();
        let mut tasks = JoinSet::new();
        for client in self.clients {
            let (taken, ways, sender) = (taken.clone(), ways.clone(), sender.clone());
            let (tool, arguments, calls) = (self.tool, self.arguments.clone(), self.calls);
            tasks.spawn(async move {
                loop {
                    let way = ways.acquire().await.expect("it is never closed");
                    if taken.fetch_add(1, Ordering::Relaxed) >= calls {
                        return;
                    }
                    let answer = client.call(tool, arguments.clone()).await;
                    let _counted = sender.send(answer);
                    drop(way);
                }
            });
        }
        drop(sender);
        let mut answers = Vec::new();
        let mut allowed = 0;
        while let Some(answer) = received.recv().await {
            allowed += usize::from(answer.is_allowed());
            answers.push(answer);
            if let Some(due) = strike.take_if(|strike| allowed >= strike.after_allowed) {
                (due.strike)();
                ways.add_permits(clients);
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok(Answers(answers))
    }
}

// === impl Answers ===

impl Answers {
    pub fn count(&self, of: impl Fn(&Answer) -> bool) -> usize {
        self.0.iter().filter(|answer| of(answer)).count()
    }

    /// How the calls ended, for a failure or a note.
    pub fn summary(&self) -> String {
        let allowed = self.count(Answer::is_allowed);
        let unavailable = self.count(Answer::is_unavailable);
        let lost = self.count(Answer::is_lost);
        let other = self.0.len() - allowed - unavailable - lost;
        format!("{allowed} allowed, {other} denied, {unavailable} unavailable, {lost} lost")
    }

    /// The first answer that is none of what is expected.
    pub fn first_other(&self, expected: impl Fn(&Answer) -> bool) -> Option<String> {
        let other = self.0.iter().find(|answer| !expected(answer));
        other.map(|answer| format!("{:?}", answer.outcome))
    }
}
