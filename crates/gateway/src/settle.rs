//! Settling: whether the units of a call are given back, by how the call ended.
//!
//! Only what proves that the tool did not run gives units back. A tool that failed has run, and a
//! call whose end is unknown may have: an agent that loops on them stays bounded.

use http::StatusCode;
use quotum_registry::server::Refund;

use crate::reply::Answer;

#[cfg(test)]
mod tests;

/// How a forwarded call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The upstream did not get the request.
    NotSent,
    /// The upstream refused over HTTP.
    Status(StatusCode),
    /// The upstream answered the call.
    Answered(Answer),
    /// Nobody knows: the connection broke, the reply was unreadable, the client went away.
    Unknown,
}

/// What to do with the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    Keep,
    Refund,
}

/// Decides what becomes of the units of a call that ended so.
pub fn settle(rule: Refund, end: End) -> Settlement {
    let refund = match rule {
        Refund::Never => false,
        Refund::NotExecuted => did_not_run(end),
        Refund::AnyFailure => has_failed(end),
    };
    if refund {
        Settlement::Refund
    } else {
        Settlement::Keep
    }
}

fn did_not_run(end: End) -> bool {
    match end {
        End::NotSent => true,
        End::Status(status) => matches!(status.as_u16(), 401 | 404 | 405 | 406 | 413 | 415),
        End::Answered(Answer::Error { code: Some(code) }) => {
            matches!(code, -32700 | -32600 | -32601 | -32022..=-32020)
        }
        End::Answered(_) | End::Unknown => false,
    }
}

fn has_failed(end: End) -> bool {
    match end {
        End::Answered(Answer::Result { is_error }) => is_error,
        End::Status(status) => !status.is_success(),
        End::NotSent | End::Answered(Answer::Error { .. }) | End::Unknown => true,
    }
}
