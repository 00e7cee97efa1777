//! Every maximum and deadline of the scenarios. Machines are busy: what is only about speed gets
//! generous bounds, what is about correctness none at all.

use std::time::Duration;

/// Scenarios that run at a time, however many processors there are: they measure time.
pub const SLOTS_MAX: usize = 4;
/// A scenario that is not over after this never will be: three times the longest.
pub const SCENARIO_MAX: Duration = Duration::from_secs(180);
/// What it may take to end one, and to show its logs.
pub const END_MAX: Duration = Duration::from_secs(30);
/// A new cluster serves within this.
pub const READY_MAX: Duration = Duration::from_secs(30);
/// When the last fault is over, everything serves and agrees again within this.
pub const HEAL_MAX: Duration = Duration::from_secs(30);
/// From a leader's death, pause or isolation to the first decision of its successor. The failure
/// table says one second on a machine of its own; this one is shared by all nodes, the clients and
/// whatever else runs.
pub const FAILOVER_MAX: Duration = Duration::from_secs(5);
/// A process that cannot go on has ended within this.
pub const EXIT_MAX: Duration = Duration::from_secs(15);
/// The deadline of a decision, and what a busy machine adds.
pub const DECISION_MAX: Duration = Duration::from_millis(2_000 + 1_500);
/// One question to one node, which may ask the others first and wait for those that are gone.
pub const ASK_MAX: Duration = Duration::from_secs(2);
/// An operator's command that moves data between nodes.
pub const MEMBERS_MAX: Duration = Duration::from_secs(60);
/// How often the watch looks at every node.
pub const WATCH_EVERY: Duration = Duration::from_millis(200);

/// Log time may be this far from the wall clock while a minority of clocks is wrong.
pub const CLOCK_OFF_MS_MAX: u64 = 500;

/// The segments of the nodes' logs: a whole scenario fits into a few, so that the checker sees the
/// whole log.
pub const SEGMENT_BYTES: i64 = 8 << 20;
/// Segments that fill up every few seconds, so that snapshots are taken and sent: the smallest that
/// can be configured.
pub const SMALL_SEGMENT_BYTES: i64 = 64 << 10;
/// Segments that fill up within seconds, of a log that yet is never short of them.
pub const BRIEF_SEGMENT_BYTES: i64 = 128 << 10;
/// The size of a disk that is to be full.
pub const SMALL_DISK_BYTES: u64 = 16 << 20;
/// The size of the image that loses its power; XFS wants no less.
pub const IMAGE_BYTES: u64 = 320 << 20;
/// Packets that one host holds back at a time.
pub const HELD_PACKETS_MAX: usize = 4_096;
