//! One stream of decisions to one node.

use std::time::Duration;

use quotum_api::counter::counter_client::CounterClient;
use quotum_api::counter::{DecideRequest, DecideResponse, ShardsRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::dialer::{DialError, Dialer};
use crate::limits::{ANSWER_BYTES_MAX, SHARDS_MAX};

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: String,
    messages: mpsc::Sender<DecideRequest>,
    answers: Streaming<DecideResponse>,
}

/// Why a node cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the node refused")]
    Refused(#[from] Status),
    #[error("the node did not answer in time")]
    Late,
    #[error("the node claims to have {0} shards")]
    ShardCount(usize),
}

// === impl Link ===

impl Link {
    /// Opens a stream on a connection of its own, on which at most `messages_max` messages are
    /// unanswered. A connection of its own: an old one may lead to a node that is gone.
    pub(crate) async fn open(
        dialer: &Dialer,
        address: String,
        messages_max: usize,
        timeout: Duration,
    ) -> Result<Self, LinkError> {
        let (messages, stream) = mpsc::channel(messages_max);
        let mut client = client(dialer, &address)?;
        let opened = tokio::time::timeout(timeout, client.decide(ReceiverStream::new(stream)));
        let answers = opened.await.map_err(|_| LinkError::Late)??.into_inner();
        Ok(Self {
            address,
            messages,
            answers,
        })
    }

    /// Sends a message, or says that the stream has ended.
    pub(crate) fn send(&self, message: DecideRequest) -> bool {
        self.messages.try_send(message).is_ok()
    }

    /// The next answer; `None`: the stream has ended.
    pub(crate) async fn hear(&mut self) -> Option<DecideResponse> {
        match self.answers.message().await {
            Ok(answer) => answer,
            Err(status) => {
                tracing::debug!(node = self.address, %status, "the stream of decisions broke");
                None
            }
        }
    }
}

/// Asks one node for the leaders of all shards, empty where it knows none.
pub(crate) async fn leaders(
    dialer: &Dialer,
    address: &str,
    timeout: Duration,
) -> Result<Vec<String>, LinkError> {
    let mut client = client(dialer, address)?;
    let answer = tokio::time::timeout(timeout, client.shards(ShardsRequest {}));
    let leaders = answer
        .await
        .map_err(|_| LinkError::Late)??
        .into_inner()
        .leaders;
    if leaders.is_empty() || leaders.len() > SHARDS_MAX {
        return Err(LinkError::ShardCount(leaders.len()));
    }
    Ok(leaders)
}

fn client(dialer: &Dialer, address: &str) -> Result<CounterClient<Channel>, DialError> {
    let channel = dialer.dial(address)?;
    Ok(CounterClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
}
