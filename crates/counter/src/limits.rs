//! The named maximum of everything in this crate.

use std::time::Duration;

/// The largest message of a client.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The largest message of the registry: its whole state.
pub const REGISTRY_BYTES_MAX: usize = 256 << 20;

/// Values in the documents of one change of the registry.
pub const DOCUMENT_VALUES_MAX: usize = 10_000_000;

/// Messages of one stream that are being decided at a time.
pub const STREAM_MESSAGES_MAX: usize = 64;

/// Connections of clients at a time, by default: gateways that watch, and those that ask.
pub const CLIENT_CONNECTIONS_MAX: usize = 20_000;

/// Connections of clients from one address, by default.
pub const CLIENT_CONNECTIONS_PER_IP_MAX: usize = 2_048;

/// Connections of other nodes at a time.
pub const PEER_CONNECTIONS_MAX: usize = 1_024;

/// How long a unary decision is tried again before its caller is told that none is known.
pub const UNARY_DEADLINE: Duration = Duration::from_secs(2);

/// The largest request of the rate-limit API.
pub const ENVOY_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The largest question of reflection: a name.
pub const REFLECTION_BYTES_MAX: usize = 4 << 10;

/// How often a report that does not fit is cut to what is left.
pub const REPORT_TRIES_MAX: usize = 4;

/// How long a request that is passed on to the leader may take.
pub const FORWARD_DEADLINE: Duration = Duration::from_secs(2);

/// How long between two tries of a unary decision.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// How long a node that has caught up waits for its cluster to agree on all that it knows itself, before
/// it says that it is ready.
pub const LEVEL_PATIENCE: Duration = Duration::from_secs(2);

/// How often a node looks whether it is ready.
pub const READY_INTERVAL: Duration = Duration::from_millis(100);

/// How long a node has been out of contact with a leader, or behind, when it is no longer ready: much
/// longer than a change of leaders takes.
pub const UNREADY_AFTER: Duration = Duration::from_secs(3);

/// How long it has then been in contact again when it is ready again.
pub const READY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Ids that this node makes for others and that are not decided yet, for each shard.
pub const MINTED_MAX: usize = 32_768;

/// Abandoned ids that are refunded with one message.
pub const REFUNDS_PER_MESSAGE: usize = 256;

/// How often a gateway hears that its registry is current.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Gateways that watch the registry at one node.
pub const WATCHERS_MAX: usize = 10_000;

/// The longest name of a gateway.
pub const GATEWAY_NAME_BYTES_MAX: usize = 128;

/// How long the overlap of two tokens of a grant may be.
pub const OVERLAP_MS_MAX: u64 = 30 * 86_400_000;

/// How often the metrics follow the state of the groups.
pub const OBSERVE_INTERVAL: Duration = Duration::from_millis(500);

/// How long HTTP/2 connections to other nodes may be silent before they are asked for a sign of life, and how
/// long the answer may take.
pub const KEEPALIVE_PING: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE_PING`].
pub const KEEPALIVE_PING_DEADLINE: Duration = Duration::from_secs(5);

/// How long the connections of other nodes have to end when the node has left its groups.
pub const PEERS_END_DEADLINE: Duration = Duration::from_millis(500);

/// How long open requests have to end when the node stops.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
