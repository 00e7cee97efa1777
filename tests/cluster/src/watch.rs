//! A watch that asks every node again and again what it knows, and records it: who leads which
//! term, how far each has applied its log with which digest, and where log time is.

use std::sync::{Arc, Mutex, PoisonError};

use quotum_api::cluster::StatusResponse;
use quotum_checker::history::What;
use quotum_replica::clock::{Clock as _, RealClock};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::limits::WATCH_EVERY;
use crate::recorder::Recorder;
use crate::status::{Asked, GROUP, group};

/// Log time as a node showed it.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    pub node: u8,
    pub log_ms: u64,
    /// The wall clock of this machine when the answer was there.
    pub answered_wall_ms: u64,
    /// Whether it led then, as it believed, and in which term.
    pub leads: bool,
    pub term: u64,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    tasks: JoinSet<()>,
    recorder: Recorder,
    sights: Arc<Mutex<Vec<Sight>>>,
}

// === impl Watch ===

impl Watch {
    pub fn start(nodes: Vec<Asked>, recorder: &Recorder) -> Self {
        let mut watch = Self {
            tasks: JoinSet::new(),
            recorder: recorder.clone(),
            sights: Arc::default(),
        };
        for node in nodes {
            watch.add(node);
        }
        watch
    }

    /// Watches one more node.
    pub fn add(&mut self, node: Asked) {
        let (recorder, sights) = (self.recorder.clone(), self.sights.clone());
        self.tasks.spawn(async move {
            let mut beats = tokio::time::interval(WATCH_EVERY);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beats.tick().await;
                // A node that is down or cut off says nothing: that is what faults are for.
                let Ok(status) = node.status().await else {
                    continue;
                };
                note(&recorder, &status);
                if let Some(sight) = sight(&status, node.node) {
                    let mut sights = sights.lock().unwrap_or_else(PoisonError::into_inner);
                    sights.push(sight);
                }
            }
        });
    }

    /// Everything seen so far, in the order of the answers.
    pub fn sights(&self) -> Vec<Sight> {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        sights.clone()
    }
}

/// Records what one node said: of the counters' groups, and of the registry's, which is one more.
pub fn note(recorder: &Recorder, status: &StatusResponse) {
    for (number, shard) in (0..).zip(&status.shards) {
        if shard.leader == status.node {
            recorder.note(What::Leader {
                node: status.node,
                shard: number,
                term: shard.term,
            });
        }
        recorder.note(What::Applied {
            node: status.node,
            shard: number,
            index: shard.applied_index,
            term: None,
            entry: None,
            state: shard.digest,
        });
    }
}

fn sight(status: &StatusResponse, node: u8) -> Option<Sight> {
    let shard = group(status, GROUP)?;
    (shard.log_time_ms > 0).then_some(Sight {
        node,
        log_ms: shard.log_time_ms,
        answered_wall_ms: RealClock.wall_ms(),
        leads: shard.leader == status.node,
        term: shard.term,
    })
}
