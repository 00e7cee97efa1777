//! What it costs to keep a log durable, and what a store does with a damaged one: ours beside
//! fjall and raft-log, in one run, on one disk.
//!
//! Each shard has a writer that appends a round of entries and waits until the disk has them, as a
//! node does. What is old is purged all the while, so that space is used again.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use hdrhistogram::Histogram;

mod damage;
mod fjall_store;
mod ours;
mod raft_log_store;

type Failure = Box<dyn Error + Send + Sync>;

/// The entries that a shard keeps: older ones are purged.
const KEPT: u64 = 2_048;

#[derive(Debug, Parser)]
struct Arguments {
    /// How long each store appends, for each number of shards, in seconds
    #[arg(long, default_value_t = 20)]
    secs: u64,
    /// Entries in a round
    #[arg(long, default_value_t = 4)]
    entries: u64,
    /// The bytes of an entry
    #[arg(long, default_value_t = 4_096)]
    bytes: usize,
    /// How many shards
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    shards: Vec<usize>,
    /// Where the data goes; folders in it are made and removed again
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

/// One shard of an open store.
pub(crate) trait Shard: Send {
    /// Returns when the disk has the entries, which follow those that were appended before.
    fn append(&mut self, first: u64, entries: &[Bytes]) -> Result<(), Failure>;

    /// Forgets the entries before `index`.
    fn purge(&mut self, index: u64) -> Result<(), Failure>;

    /// All entries, with their indexes.
    fn entries(&mut self) -> Result<Vec<(u64, Bytes)>, Failure>;
}

/// Opens a store of so many shards in a folder.
type Open = fn(&Path, usize) -> Result<Vec<Box<dyn Shard>>, Failure>;

const STORES: [(&str, Open); 3] = [
    ("quotum", ours::open),
    ("fjall 3.1", fjall_store::open),
    ("raft-log 0.4", raft_log_store::open),
];

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    println!("| store | shards | rounds/s | p50 us | p99 us | p99.9 us | max us |");
    println!("|---|---|---|---|---|---|---|");
    for shards in &arguments.shards {
        for (name, open) in STORES {
            let folder = tempfile::tempdir_in(&arguments.folder)?;
            let measured = measure(open(folder.path(), *shards)?, &arguments)?;
            let rate = measured.len() / arguments.secs;
            let at = |quantile| measured.value_at_quantile(quantile);
            println!(
                "| {name} | {shards} | {rate} | {} | {} | {} | {} |",
                at(0.5),
                at(0.99),
                at(0.999),
                measured.max()
            );
        }
    }
    println!("\n| store | the tail is torn | a synced byte is flipped |");
    println!("|---|---|---|");
    for (name, open) in STORES {
        let torn = damage::torn(open, &arguments.folder)?;
        let rotten = damage::rotten(open, &arguments.folder)?;
        println!("| {name} | {torn} | {rotten} |");
    }
    Ok(())
}

/// Microseconds, up to a minute.
fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// How long rounds took, in microseconds, over all shards.
fn measure(shards: Vec<Box<dyn Shard>>, arguments: &Arguments) -> Result<Histogram<u64>, Failure> {
    let until = Instant::now() + Duration::from_secs(arguments.secs);
    let writers: Vec<_> = shards
        .into_iter()
        .map(|mut shard| {
            let (count, bytes) = (arguments.entries, arguments.bytes);
            std::thread::spawn(move || write(shard.as_mut(), (count, bytes), until))
        })
        .collect();
    let mut all = histogram()?;
    for writer in writers {
        all.add(writer.join().map_err(|_| "a writer has panicked")??)?;
    }
    Ok(all)
}

fn write(
    shard: &mut dyn Shard,
    (count, bytes): (u64, usize),
    until: Instant,
) -> Result<Histogram<u64>, Failure> {
    let mut took = histogram()?;
    let mut next = 1;
    let mut purged = 1;
    while Instant::now() < until {
        let entries: Vec<Bytes> = (next..next + count)
            .map(|index| payload(index, bytes))
            .collect();
        let start = Instant::now();
        shard.append(next, &entries)?;
        took.saturating_record(start.elapsed().as_micros().try_into()?);
        next += count;
        if next > purged + 2 * KEPT {
            purged = next - KEPT;
            shard.purge(purged)?;
        }
    }
    Ok(took)
}

/// Bytes that name their entry and do not repeat: some stores compress.
pub(crate) fn payload(index: u64, bytes: usize) -> Bytes {
    let mut payload = mark(index);
    let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while payload.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        payload.extend_from_slice(&state.to_le_bytes());
    }
    payload.into()
}

/// What the payload of an entry begins with, and nothing else in a file does.
pub(crate) fn mark(index: u64) -> Vec<u8> {
    format!("<entry {index:08}>").into_bytes()
}
