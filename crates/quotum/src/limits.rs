//! The named maximum of everything in this crate.

use std::time::Duration;

/// The longest file of configuration, key or token.
pub(crate) const SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// The longest file of a policy or of cases, with room for what the parser then refuses.
pub(crate) const POLICY_BYTES_MAX: u64 = 2 << 20;

/// The longest file of documents.
pub(crate) const DOCUMENTS_BYTES_MAX: u64 = 64 << 20;

/// The most files of one command.
pub(crate) const FILES_MAX: usize = 10_000;

/// The deepest folder in which files are looked for.
pub(crate) const FOLDER_DEPTH_MAX: usize = 16;

/// The longest copy of the registry that is read back.
pub(crate) const CACHE_BYTES_MAX: u64 = 512 << 20;

/// How often the files of rate limits are looked at.
pub(crate) const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// The most elements of one setting that is a list.
pub(crate) const SETTING_ELEMENTS_MAX: usize = 64;

/// The longest deadline or timeout that can be set: a day.
pub(crate) const SETTING_MS_MAX: u64 = 86_400_000;

/// How long a port or a data directory may still be in use by a process that is ending.
pub(crate) const TAKE_OVER_MAX: Duration = Duration::from_secs(10);

/// The pause between two looks at something that is waited for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long decision records that are queued may take to be written at the end.
pub(crate) const RECORDS_CLOSE_MAX: Duration = Duration::from_secs(5);

/// How long a gateway that has a copy of the registry waits for a counter node before it serves
/// what needs none.
pub(crate) const COUNTERS_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often the age of the registry's copy is looked at.
pub(crate) const REGISTRY_AGE_INTERVAL: Duration = Duration::from_secs(1);

/// How often the copy on disk is marked as confirmed.
pub(crate) const CACHE_MARK_INTERVAL: Duration = Duration::from_secs(15);

/// How long one request of an operator may take.
pub(crate) const ADMIN_CALL_MAX: Duration = Duration::from_secs(30);

/// How long a backup may take to be restored.
pub(crate) const ADMIN_TRANSFER_MAX: Duration = Duration::from_secs(3_600);

/// How long a node that was added is watched until it votes.
pub(crate) const JOINING_WAIT_MAX: Duration = Duration::from_secs(600);

/// How long an operator's request is tried again while no node can answer it.
pub(crate) const ADMIN_RETRY_MAX: Duration = Duration::from_secs(10);

/// How long connecting to a node may take.
pub(crate) const ADMIN_CONNECT_MAX: Duration = Duration::from_secs(2);

/// The most counter nodes that an operator names.
pub(crate) const ADMIN_ADDRESSES_MAX: usize = 15;

/// How often a plan is made anew because somebody else has changed the registry.
pub(crate) const APPLY_ATTEMPTS_MAX: usize = 3;

/// The largest answer to an operator.
pub(crate) const ADMIN_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How long a new revision may take to be served by every gateway.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a node is silent until none of its gateways is left there: as long as a gateway hears
/// nothing before it looks for another node, and what it may take to find one.
pub(crate) const SILENT_NODE_MS_MIN: u64 = 20_000;
const _: () = assert!(
    SILENT_NODE_MS_MIN >= 1_000 * quotum_client::limits::REGISTRY_SILENCE_MAX.as_secs() + 5_000
        && SILENT_NODE_MS_MIN < 1_000 * WAIT_MAX.as_secs()
);

/// How often the files of certificates are looked at.
pub(crate) const CERTIFICATES_LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most counter nodes of `dev`.
pub(crate) const DEV_COUNTERS_MAX: u8 = 7;

/// The most gateways of `dev`.
pub(crate) const DEV_GATEWAYS_MAX: u8 = 16;

/// How long the processes of `dev` may take to be ready.
pub(crate) const DEV_READY_MAX: Duration = Duration::from_secs(30);

/// How long gateways of `dev` let open requests go on at the end.
pub(crate) const DEV_DRAIN_MS: u64 = 1_000;

/// How long the processes of `dev` may take to end.
pub(crate) const DEV_END_MAX: Duration = Duration::from_secs(8);

/// The lines of a log that are shown when its process could not start.
pub(crate) const LOG_LINES_SHOWN_MAX: usize = 5;

/// The end of a log that is looked at for them.
pub(crate) const LOG_BYTES_SHOWN_MAX: u64 = 64 << 10;

/// Connections to the demo server at one time.
pub(crate) const DEMO_CONNECTIONS_MAX: usize = 1_024;

/// The longest message to the demo server.
pub(crate) const DEMO_BODY_BYTES_MAX: usize = 4 << 20;

/// How long a connection to the demo server may take to send a head.
pub(crate) const DEMO_HEAD_MAX: Duration = Duration::from_secs(60);
