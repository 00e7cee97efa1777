//! The named maximum of everything in this crate.

use std::time::Duration;

/// The longest request body, in bytes: what the MCP SDKs accept by default.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// The deepest nesting of a request: objects and arrays, the message itself included.
pub const JSON_DEPTH_MAX: usize = 64;

/// The deepest nesting of a message from an upstream, which is data the client asked for.
pub const REPLY_DEPTH_MAX: usize = 128;

/// The most members of one object of a request.
pub const JSON_MEMBERS_MAX: usize = 16_384;

/// The longest number, in bytes of its text.
pub const JSON_NUMBER_BYTES_MAX: usize = 1_024;

/// The longest `id` of a request, in bytes of its JSON text.
pub const REQUEST_ID_BYTES_MAX: usize = 256;

/// The longest method name.
pub const METHOD_BYTES_MAX: usize = 128;

/// The longest tool name: what the protocol recommends.
pub const TOOL_NAME_BYTES_MAX: usize = 128;

/// The request head, in bytes, and the number of its header lines.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// See [`HEAD_BYTES_MAX`].
pub const HEADER_LINES_MAX: usize = 100;

/// What is read of a connection before a head is complete, in bytes: room for a head that is refused
/// for its size.
pub const READ_BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

/// The longest grant token that is looked up.
pub const TOKEN_BYTES_MAX: usize = 512;

/// The longest session id of an upstream, and of its sealed form.
pub const SESSION_ID_BYTES_MAX: usize = 512;
/// See [`SESSION_ID_BYTES_MAX`]: base64 of nonce, id and tag, after the version and the key id.
pub const SEALED_ID_BYTES_MAX: usize = 1_024;

/// The longest id of an event as the upstream minted it. Longer ones are left out of the stream.
pub const EVENT_ID_BYTES_MAX: usize = 512;

/// The longest id of a task as the upstream minted it. Its seal, which holds the name of the tool
/// too, fits into [`SEALED_ID_BYTES_MAX`].
pub const TASK_ID_BYTES_MAX: usize = 512;

/// The most tasks that one request names.
pub const TASKS_PER_REQUEST_MAX: usize = 64;

/// The most keys that open session ids: the current one, and those before it.
pub const SESSION_KEYS_MAX: usize = 8;

/// The longest JSON reply of an upstream. A reply is read whole, since it may hold a list of tools.
pub const REPLY_BYTES_MAX: usize = 16 << 20;

/// The longest event of an event stream.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// The largest `ttlMs` that a filtered list keeps: how long a client may go on showing a tool that
/// was hidden meanwhile.
pub const LIST_TTL_MS_MAX: u64 = 60_000;

/// The most mirrored arguments (`Mcp-Param-*`) of one request.
pub const PARAM_HEADERS_MAX: usize = 32;

/// The most argument names in a decision record, and the bytes of each.
pub const ARGUMENT_NAMES_MAX: usize = 64;
/// See [`ARGUMENT_NAMES_MAX`].
pub const ARGUMENT_NAME_BYTES_MAX: usize = 64;

/// How long a client may take to send a request head, and then the body.
pub const HEAD_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// See [`HEAD_READ_TIMEOUT`].
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a TCP connection to an upstream may take.
pub const UPSTREAM_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may wait until it leaves: for a connection, TLS included. Past that it does not
/// leave any more, while its units can still be given back.
pub const UPSTREAM_LEAVE_TIMEOUT: Duration = Duration::from_secs(8);
const _: () = assert!(
    UPSTREAM_LEAVE_TIMEOUT.as_micros() < quotum_client::limits::HOLD_US_MAX as u128,
    "units that are held for longer stay charged"
);

/// How long an idle connection to an upstream is kept. Shorter than the five seconds after which
/// uvicorn and Node close theirs: a request written into a closing connection is lost.
pub const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle connections kept for each upstream.
pub const UPSTREAM_IDLE_MAX: usize = 64;

/// How long a connection to an upstream carries nothing before the kernel asks the other side whether
/// it is still there, how often it asks again, and how many questions may go without an answer.
pub const UPSTREAM_KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// See [`UPSTREAM_KEEPALIVE_AFTER`].
pub const UPSTREAM_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// See [`UPSTREAM_KEEPALIVE_AFTER`].
pub const UPSTREAM_KEEPALIVE_RETRIES: u32 = 3;

/// How long the head of an upstream's reply may take: a tool that answers with JSON is silent until
/// it has run.
pub const UPSTREAM_HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// How long an upstream's reply may be silent between two pieces. Servers send a comment every
/// 15 seconds on an event stream.
pub const UPSTREAM_SILENCE_TIMEOUT: Duration = Duration::from_secs(300);

/// Requests that one grant may have open on one gateway, streams included.
pub const OPEN_REQUESTS_PER_GRANT_MAX: usize = 256;

/// The bytes of bodies, requests and answers together, that a gateway holds at one time.
pub const BUFFERED_BYTES_MAX: usize = 128 << 20;

/// A grant may hold one of so many shares of that, so that no flood of one takes everybody's room.
pub const ROOM_SHARES: usize = 2;

/// The least room in which a share has space for the longest reply.
pub const BUFFERED_BYTES_MIN: usize = ROOM_SHARES * REPLY_BYTES_MAX;
const _: () = assert!(REPLY_BYTES_MAX >= BODY_BYTES_MAX && REPLY_BYTES_MAX >= EVENT_BYTES_MAX);

/// Connections from clients.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long open requests may go on after the gateway was told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Tool names learned from the lists of one server: they become metric labels.
pub const KNOWN_TOOLS_PER_SERVER_MAX: usize = 500;
/// Servers of which tool names are remembered.
pub const KNOWN_SERVERS_MAX: usize = 1_000;
