//! What a group's log builds: the counters of a shard, or the registry.

use bytes::Bytes;
use quotum_api::peer::StateDigest;
use quotum_limit::{Entry, State as Counters};
use quotum_registry::State as Registry;

use crate::limits::SNAPSHOT_CHUNK_BYTES;
use crate::raft::Reply;

/// The rules of the digests that this build computes. Whoever changes what a state digests to counts
/// this up, or nodes of both builds refuse each other's snapshots.
pub(crate) const DIGEST_RULES: u32 = 1;

/// The state of one group.
#[derive(Debug)]
pub enum Machine {
    Counters(Counters),
    Registry(Registry),
}

/// Bytes that this build cannot apply: another version wrote them, and the node must stop.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be decoded: {cause}")]
pub struct Undecodable {
    pub what: &'static str,
    pub cause: String,
}

/// A state as it was at one entry, to be encoded while the machine goes on.
pub(crate) enum Frozen {
    Counters(Counters),
    Registry(Registry),
}

// === impl Machine ===

impl Machine {
    /// Applies one entry, on a node that knows feature levels up to `known`. `is_answered`: somebody
    /// reads the outcomes of counters.
    pub(crate) fn apply(
        &mut self,
        payload: &Bytes,
        is_answered: bool,
        known: u32,
    ) -> Result<Reply, Undecodable> {
        let undecodable = |cause: String| Undecodable {
            what: "an entry of the log",
            cause,
        };
        match self {
            Self::Counters(state) => {
                let entry = Entry::open(payload).map_err(|e| undecodable(e.to_string()))?;
                let entry = entry.up_to_level(known);
                let answered = if is_answered {
                    entry.commands_left()
                } else {
                    0
                };
                let mut outcomes = Vec::with_capacity(answered);
                let answer = |outcome| {
                    if is_answered {
                        outcomes.push(outcome);
                    }
                };
                let applied = state.apply_entry(entry, answer);
                applied.map_err(|error| match error.what {
                    Entry::ABOVE_LEVEL => undecodable(above(known)),
                    _ => undecodable(error.to_string()),
                })?;
                Ok(Reply::Counters {
                    stamp: state.last_stamp(),
                    outcomes,
                })
            }
            Self::Registry(state) => {
                let command = quotum_registry::Command::decode(payload)
                    .map_err(|e| undecodable(e.to_string()))?;
                if let quotum_registry::Command::RaiseLevel { level } = command
                    && level > known
                {
                    return Err(undecodable(above(known)));
                }
                Ok(Reply::Registry(Box::new(state.apply(&command))))
            }
        }
    }

    /// What a new cluster goes on from, where this is what a backup holds. A registry holds nothing
    /// that must not be used again.
    pub(crate) fn into_restored(self, accept_over: bool) -> Frozen {
        match self {
            Self::Counters(mut state) => {
                state.restore(accept_over);
                Frozen::Counters(state)
            }
            Self::Registry(state) => Frozen::Registry(state),
        }
    }

    /// A copy that shares what it can: microseconds, whatever the size.
    pub(crate) fn freeze(&self) -> Frozen {
        match self {
            Self::Counters(state) => Frozen::Counters(state.clone()),
            Self::Registry(state) => Frozen::Registry(state.clone()),
        }
    }

    /// Takes the state of a snapshot, on a node that knows feature levels up to `known`.
    pub(crate) fn restore(
        &mut self,
        bytes: &[u8],
        seed: u64,
        known: u32,
    ) -> Result<(), Undecodable> {
        let undecodable = |cause: String| Undecodable {
            what: "a snapshot",
            cause,
        };
        match self {
            Self::Counters(state) => {
                *state = Counters::decode(bytes, seed).map_err(|e| undecodable(e.to_string()))?;
            }
            Self::Registry(state) => {
                let restored = Registry::decode(bytes).map_err(|e| undecodable(e.to_string()))?;
                if restored.feature_level() > known {
                    return Err(undecodable(above(known)));
                }
                *state = restored;
            }
        }
        Ok(())
    }
}

/// Why a node cannot follow its cluster.
fn above(known: u32) -> String {
    format!(
        "the cluster is above feature level {known}, which is all that this node knows: start it as \
         a version that knows more, without a lower `feature_level_max`"
    )
}

// === impl Frozen ===

impl Frozen {
    /// Equal on replicas that have applied the same entries.
    pub(crate) fn digest(&self) -> u64 {
        match self {
            Self::Counters(state) => state.digest(),
            Self::Registry(state) => {
                let digest = state.digest().0;
                digest
                    .iter()
                    .take(8)
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
        }
    }

    /// The same, as it is written into a snapshot.
    pub(crate) fn state_digest(&self) -> StateDigest {
        StateDigest {
            rules: DIGEST_RULES,
            sum: self.digest(),
        }
    }

    /// Encodes it piece by piece, and gives up what is in a piece.
    pub(crate) fn into_pieces(self) -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        match self {
            Self::Counters(state) => Box::new(state.into_pieces(SNAPSHOT_CHUNK_BYTES)),
            Self::Registry(state) => Box::new(std::iter::once_with(move || state.encode())),
        }
    }
}
