//! The process of a counter node: a runtime of its own beside the host of its machine, so that it can
//! be stopped for a while and go on as if nothing had been, and end by a panic without anybody else.

use std::time::Duration;

use tokio::runtime::{Builder, RngSeed, Runtime};
use tokio::task::JoinHandle;

use crate::clock;
use crate::rng::Rng;

/// One process, which runs while it is ticked.
pub(crate) struct Process {
    runtime: Runtime,
    life: JoinHandle<()>,
    /// Since when it is stopped.
    stopped_at: Option<Duration>,
}

// === impl Process ===

impl Process {
    pub(crate) fn start(
        rng: &mut Rng,
        now: Duration,
        life: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&rng.next().to_le_bytes());
        }
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&seed))
            .build()
            .expect("a runtime without threads and sockets");
        // From here on its clock is at whole milliseconds between ticks.
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        let _inside = clock::enter(now, &runtime);
        let life = runtime.spawn(life);
        Self {
            runtime,
            life,
            stopped_at: None,
        }
    }

    /// Lets so much time pass in it.
    pub(crate) fn tick(&self, now: Duration, tick: Duration) {
        if self.stopped_at.is_none() {
            let _inside = clock::enter(now, &self.runtime);
            self.runtime
                .block_on(async { tokio::time::sleep(tick).await });
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.life.is_finished()
    }

    /// `false`: it is stopped already.
    pub(crate) fn stop(&mut self, now: Duration) -> bool {
        let is_first = self.stopped_at.is_none();
        self.stopped_at.get_or_insert(now);
        is_first
    }

    /// It finds that its clocks have gone on without it.
    pub(crate) fn go_on(&mut self, now: Duration) {
        let Some(since) = self.stopped_at.take() else {
            return;
        };
        let _inside = clock::enter(since, &self.runtime);
        self.runtime
            .block_on(async { tokio::time::advance(now - since).await });
    }
}
