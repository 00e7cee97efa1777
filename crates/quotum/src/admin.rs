//! The commands of an operator: requests to the registry and the cluster, over gRPC.
//!
//! Promises: the token comes from a file or the environment and is not shown; any node of the
//! cluster does; what cannot be answered for a moment is asked again, within a deadline.
//!
//! # Layout
//! * [`reach`]: nodes, the token, and asking. [`wait`]: until every gateway serves a revision.
//! * [`apply`], [`documents`]: documents. [`get`], [`grant`], [`administrator`], [`cluster`]: the
//!   other commands.

pub(crate) mod administrator;
pub(crate) mod apply;
mod backup;
pub(crate) mod cluster;
pub(crate) mod documents;
pub(crate) mod get;
pub(crate) mod grant;
mod joining;
pub(crate) mod reach;
pub(crate) mod wait;

use std::future::Future;

use crate::arguments::Reach;
use crate::environment::Environment;
use crate::failure::Failure;
use reach::Cluster;

/// Runs a command that talks to the cluster.
fn block_on<T, F: Future<Output = Result<T, Failure>>>(
    reach: &Reach,
    environment: &Environment,
    command: impl FnOnce(Cluster) -> F,
) -> Result<T, Failure> {
    let cluster = Cluster::of(reach, environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("the runtime cannot start").because(&error))?;
    runtime.block_on(command(cluster))
}
