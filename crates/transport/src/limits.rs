//! The named maximum of everything in this crate.

use std::time::Duration;

/// How long a TLS handshake may take.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a connection that is open may take to say what protocol it speaks.
pub const PREFACE_DEADLINE: Duration = Duration::from_secs(5);

/// The bytes of HTTP/2's opening words.
pub const PREFACE_BYTES: u64 = 24;

/// The authorities that one file may hold.
pub const AUTHORITIES_MAX: usize = 64;

/// The certificates of one chain.
pub const CHAIN_MAX: usize = 10;

/// The longest name in a certificate that is read.
pub const NAME_BYTES_MAX: usize = 256;

/// The longest list of headers of one gRPC call.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;

/// What may wait in one stream to be sent.
pub const SEND_BUFFER_BYTES_MAX: usize = 1 << 20;

/// What of a connection is gathered to be written in one piece.
pub const GATHER_BYTES_MAX: usize = 64 << 10;

/// How many streams a peer may have broken off before it is hung up on.
pub const PENDING_RESETS_MAX: usize = 64;

/// How many streams we may have broken off because of the peer's mistakes.
pub const LOCAL_ERROR_RESETS_MAX: usize = 256;

/// What of a stream may be on its way.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// What of all streams of a connection may be on its way.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How long a connection may be silent before it is asked for a sign of life.
pub const KEEPALIVE_PING: Duration = Duration::from_secs(5);

/// How long the sign of life may take.
pub const KEEPALIVE_PING_DEADLINE: Duration = Duration::from_secs(5);

/// How long a connection between processes lives: whoever lost the right to it is gone then.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3_600);

/// How long what is open on a connection that is too old may go on.
pub const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(30);

/// How long the request of a call that is no stream may take to come in: nobody holds the room of a
/// call by sending next to nothing.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// How long nothing is accepted after the system could not.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
