//! Readiness: whether a node should get traffic, followed for as long as it serves.
//!
//! Ready is a node that is a member, that has a leader in every group and has applied what it knew to
//! be committed. It stays ready through a change of leaders: only what lasts makes it unready.

use quotum_replica::Node;
use quotum_telemetry::{Latch, Readiness};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::limits::{
    LEVEL_PATIENCE, READY_AGAIN_AFTER, READY_INTERVAL, RETRY_INTERVAL, UNREADY_AFTER,
};

/// What `/readyz` waits for.
const CAUSE: &str = "every shard has a leader and this node has caught up";

/// What a node tells of its readiness, and whom.
pub(crate) struct Teller {
    node: Node,
    readiness: Readiness,
    health: HealthReporter,
    /// Held while the node is not ready.
    latch: Option<Latch>,
}

/// The end of a node's service: asked for, and told to everybody.
#[derive(Clone, Default)]
pub(crate) struct Farewell {
    asked: CancellationToken,
    told: CancellationToken,
}

// === impl Farewell ===

impl Farewell {
    /// Returns when whoever asks is told that the node no longer serves.
    pub(crate) async fn say(&self) {
        self.asked.cancel();
        self.told.cancelled().await;
    }
}

// === impl Teller ===

impl Teller {
    /// Not ready, until [`Teller::run`] finds that the node is.
    pub(crate) async fn new(node: Node, readiness: Readiness, health: HealthReporter) -> Self {
        let mut teller = Self {
            latch: Some(readiness.latch(CAUSE)),
            node,
            readiness,
            health,
        };
        teller.tell(false).await;
        teller
    }

    /// Follows the node until it is asked to say farewell. Never returns: the health service has
    /// answers for as long as this is held.
    pub(crate) async fn run(mut self, farewell: Farewell) {
        tokio::select! {
            biased;
            () = farewell.asked.cancelled() => {}
            () = self.follow() => {}
        }
        self.tell(false).await;
        farewell.told.cancel();
        std::future::pending().await
    }

    async fn follow(&mut self) {
        while !self.node.is_caught_up() {
            sleep(RETRY_INTERVAL).await;
        }
        // A new cluster has its feature level in a moment, and refuses nothing for it. One whose
        // members know less than this node goes on as it is.
        let node = &self.node;
        let level = async {
            while node.is_below_level() {
                sleep(RETRY_INTERVAL).await;
            }
        };
        let _below = timeout(LEVEL_PATIENCE, level).await;
        loop {
            self.tell(true).await;
            self.lost().await;
            tracing::warn!(
                "not ready: this node is no member, hears of no leader, or has fallen behind"
            );
            self.tell(false).await;
            self.regained().await;
            tracing::info!("ready again");
        }
    }

    /// Waits until the node has been out of contact, or behind, for so long that it is not ready.
    async fn lost(&self) {
        let mut well = Instant::now();
        // Under load some of what is committed is always still to be applied.
        let mut goal = self.node.committed();
        while well.elapsed() < UNREADY_AFTER {
            sleep(READY_INTERVAL).await;
            if self.node.is_in_contact() && self.node.has_applied(&goal) {
                well = Instant::now();
                goal = self.node.committed();
            }
        }
    }

    /// Waits until it has been well for long enough.
    async fn regained(&self) {
        let mut ill = Instant::now();
        let mut goal = self.node.committed();
        while ill.elapsed() < READY_AGAIN_AFTER || !self.node.has_applied(&goal) {
            sleep(READY_INTERVAL).await;
            if !self.node.is_in_contact() {
                ill = Instant::now();
                goal = self.node.committed();
            }
        }
    }

    async fn tell(&mut self, is_ready: bool) {
        let status = match is_ready {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        self.health.set_service_status("", status).await;
        self.latch = (!is_ready).then(|| self.readiness.latch(CAUSE));
    }
}
