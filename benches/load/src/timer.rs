//! Waiting for an instant. The runtime's own timers are a millisecond coarse, which is longer than
//! what is measured here; those of the system are not.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::failure::Failure;

#[cfg(test)]
mod tests;

/// One timer, for one instant at a time.
#[derive(Debug)]
pub(crate) struct Timer {
    timer: AsyncFd<OwnedFd>,
    armed: Option<Instant>,
}

// === impl Timer ===

impl Timer {
    #[allow(
        deprecated,
        reason = "an `OwnedFd` is sound here, and what replaces it is unsafe, which is forbidden"
    )]
    pub(crate) fn new() -> Result<Self, Failure> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags);
        let timer = timer.map_err(|error| Failure::Timer(error.into()))?;
        let timer = AsyncFd::with_interest(timer, Interest::READABLE).map_err(Failure::Timer)?;
        Ok(Self { timer, armed: None })
    }

    /// Returns when `due` has come. May be dropped and called again.
    pub(crate) async fn until(&mut self, due: Instant) -> Result<(), Failure> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if self.armed != Some(due) {
            arm(&self.timer, left).map_err(Failure::Timer)?;
            self.armed = Some(due);
        }
        let expire = |timer: &OwnedFd| Ok(rustix::io::read(timer, &mut [0_u8; 8])?);
        let expired = self.timer.async_io(Interest::READABLE, expire).await;
        self.armed = None;
        expired.map(drop).map_err(Failure::Timer)
    }
}

fn arm(timer: &AsyncFd<OwnedFd>, after: Duration) -> io::Result<()> {
    let value = Timespec::try_from(after).map_err(io::Error::other)?;
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: value,
    };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
    Ok(())
}
