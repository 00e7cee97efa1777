//! Every maximum and deadline of the scenarios.

use std::time::Duration;

/// A cluster of three counters and three gateways is ready within this.
pub const READY_MAX: Duration = Duration::from_secs(30);
/// A program that was asked to end has ended within this; then it is killed.
pub const END_MAX: Duration = Duration::from_secs(10);
/// One HTTP exchange, a decision that waits for a leader included.
pub const EXCHANGE_MAX: Duration = Duration::from_secs(20);
/// An operator's command, `--wait` included.
pub const COMMAND_MAX: Duration = Duration::from_secs(30);
/// An SDK client's whole job.
pub const SDK_JOB_MAX: Duration = Duration::from_secs(60);
/// A healthy cluster has settled after a fault within this.
pub const SETTLE_MAX: Duration = Duration::from_secs(20);
/// Between two looks at something that is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The default deadline of a decision, and what a gateway may need on a busy machine besides.
pub const DECISION_MAX: Duration = Duration::from_millis(2_000 + 1_000);
/// From a leader's death to the first decision of its successor.
pub const FAILOVER_MAX: Duration = Duration::from_millis(1_500);

/// Bytes of an answer that are read.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Lines of each log that go into a failure.
pub const LOG_LINES_SHOWN_MAX: usize = 20;
/// Times that a free port is looked for, since another program may take it first.
pub const PORT_TRIES_MAX: usize = 5;
/// Rounds that were cut in two by the end of a minute and are played again.
pub const VOID_ROUNDS_MAX: usize = 3;
