//! Delay on the wire: a host's outgoing packets are held in user space, each for a while of its
//! own, so that they also overtake each other. TCP is the kernel's own, with its retransmissions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nfq::{Message, Queue, Verdict};
use quotum_e2e::failure::{Failure, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::limits::HELD_PACKETS_MAX;
use crate::network::Host;

/// Each namespace has queues of its own.
const QUEUE: u16 = 0;
/// How long the holder sleeps while it has nothing to do.
const IDLE: Duration = Duration::from_millis(1);

/// Holds what one host sends, until it is ended or dropped.
#[derive(Debug)]
pub struct Delay {
    stop: Arc<AtomicBool>,
    holder: Option<JoinHandle<io::Result<u64>>>,
}

/// A packet and when it may go on.
struct Held {
    due: Instant,
    message: Message,
}

// === impl Delay ===

impl Delay {
    /// Holds each packet from `least` to twice as long.
    pub fn start(host: &Host, least: Duration) -> Result<Self> {
        let namespace = File::open(host.namespace())?;
        let (ready, is_ready) = std::sync::mpsc::channel();
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let holder = std::thread::spawn(move || {
            let queue = open(&namespace);
            let queue = match queue {
                Ok(queue) => {
                    let _heard = ready.send(Ok(()));
                    queue
                }
                Err(error) => {
                    let _heard = ready.send(Err(error));
                    return Ok(0);
                }
            };
            hold(queue, least, &stopped)
        });
        is_ready.recv()??;
        // What is sent from now on needs the holder.
        host.queue(QUEUE)?;
        Ok(Self {
            stop,
            holder: Some(holder),
        })
    }

    /// Lets everything pass again, and tells how many packets were held.
    pub fn end(mut self, host: &Host) -> Result<u64> {
        host.heal()?;
        self.stop.store(true, Ordering::Relaxed);
        let holder = self.holder.take().expect("it is taken here only");
        let held = holder
            .join()
            .map_err(|_| Failure::new("the holder of packets panicked"))?;
        Ok(held?)
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A queue of the namespace: this thread moves there, and never comes back.
fn open(namespace: &File) -> io::Result<Queue> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let mut queue = Queue::open()?;
    queue.bind(QUEUE)?;
    queue.set_queue_max_len(QUEUE, u32::try_from(HELD_PACKETS_MAX).unwrap_or(u32::MAX))?;
    queue.set_nonblocking(true);
    Ok(queue)
}

fn hold(mut queue: Queue, least: Duration, stop: &AtomicBool) -> io::Result<u64> {
    let mut held = BinaryHeap::new();
    let mut total = 0;
    loop {
        let now = Instant::now();
        let is_over = stop.load(Ordering::Relaxed);
        while held
            .peek()
            .is_some_and(|Reverse(held): &Reverse<Held>| is_over || held.due <= now)
        {
            if let Some(Reverse(mut held)) = held.pop() {
                held.message.set_verdict(Verdict::Accept);
                queue.verdict(held.message)?;
            }
        }
        if is_over {
            return Ok(total);
        }
        match queue.recv() {
            Ok(message) => {
                total += 1;
                // Spread evenly: the golden ratio, in 16 bits.
                let part = u32::from((total as u16).wrapping_mul(40_503));
                let due = now + least + least * part / (1 << 16);
                held.push(Reverse(Held { due, message }));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(IDLE),
            Err(error) => return Err(error),
        }
    }
}

// === impl Held ===

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Held {}
