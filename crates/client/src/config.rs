//! What an operator chooses, and what of it cannot work.

use std::time::Duration;

use crate::limits::{
    ADDRESS_BYTES_MAX, ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, DEADLINE, DEADLINE_MAX,
    MESSAGE_COMMANDS_MAX, MESSAGES_IN_FLIGHT_MAX, NODES_MAX, QUEUE_MAX,
};

#[cfg(test)]
mod tests;

/// How the client reaches the counter service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `HOST:PORT` of 1 to [`NODES_MAX`] counter nodes; any subset leads to the others.
    pub nodes: Vec<String>,
    /// How long a decision may take, at most [`DEADLINE_MAX`].
    pub deadline: Duration,
    /// How long one attempt may take before another node is tried.
    pub attempt_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// The most requests of one shard that wait, at most [`QUEUE_MAX`].
    pub queue_max: usize,
    /// The most commands of one message, at most [`MESSAGE_COMMANDS_MAX`].
    pub message_commands_max: usize,
    /// The most unanswered messages of one shard, at most [`MESSAGES_IN_FLIGHT_MAX`].
    pub messages_in_flight_max: usize,
    /// Spreads pauses and first nodes: draw it at random, or fix it to repeat a run.
    pub seed: u64,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("1 to {NODES_MAX} counter nodes are needed, {0} are given")]
    NodeCount(usize),
    #[error("{0:?} is no address: use HOST:PORT")]
    Address(String),
    #[error("{0:?} is given twice")]
    AddressTwice(String),
    #[error("the deadline must be more than 0 and at most {DEADLINE_MAX:?}, it is {0:?}")]
    Deadline(Duration),
    #[error("{name} must be more than 0 and at most the deadline, it is {value:?}")]
    Timeout { name: &'static str, value: Duration },
    #[error("{name} must be 1 to {max}, it is {value}")]
    Bound {
        name: &'static str,
        value: usize,
        max: usize,
    },
    #[error("the gateway token and name must be 1 to 255 visible ASCII characters")]
    Gateway,
}

// === impl Config ===

impl Config {
    /// The usual bounds and timeouts for these nodes.
    pub fn new(nodes: Vec<String>, seed: u64) -> Self {
        Self {
            nodes,
            deadline: DEADLINE,
            attempt_timeout: ATTEMPT_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            queue_max: QUEUE_MAX,
            message_commands_max: MESSAGE_COMMANDS_MAX,
            messages_in_flight_max: MESSAGES_IN_FLIGHT_MAX,
            seed,
        }
    }

    pub fn check(&self) -> Result<(), ConfigError> {
        check_nodes(&self.nodes)?;
        if self.deadline.is_zero() || self.deadline > DEADLINE_MAX {
            return Err(ConfigError::Deadline(self.deadline));
        }
        let timeouts = [
            ("attempt_timeout", self.attempt_timeout),
            ("connect_timeout", self.connect_timeout),
        ];
        for (name, value) in timeouts {
            if value.is_zero() || value > self.deadline {
                return Err(ConfigError::Timeout { name, value });
            }
        }
        let bounds = [
            ("queue_max", self.queue_max, QUEUE_MAX),
            (
                "message_commands_max",
                self.message_commands_max,
                MESSAGE_COMMANDS_MAX,
            ),
            (
                "messages_in_flight_max",
                self.messages_in_flight_max,
                MESSAGES_IN_FLIGHT_MAX,
            ),
        ];
        for (name, value, max) in bounds {
            if value == 0 || value > max {
                return Err(ConfigError::Bound { name, value, max });
            }
        }
        Ok(())
    }
}

pub(crate) fn check_nodes(nodes: &[String]) -> Result<(), ConfigError> {
    if nodes.is_empty() || nodes.len() > NODES_MAX {
        return Err(ConfigError::NodeCount(nodes.len()));
    }
    for (at, node) in nodes.iter().enumerate() {
        if !is_address(node) {
            return Err(ConfigError::Address(node.clone()));
        }
        if nodes[..at].contains(node) {
            return Err(ConfigError::AddressTwice(node.clone()));
        }
    }
    Ok(())
}

/// Whether `text` is `HOST:PORT` with a DNS name, an IPv4 address or an IPv6 one in brackets.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = digits && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    text.len() <= ADDRESS_BYTES_MAX && is_port && is_host
}
