//! How long decisions wait while snapshots are taken: one node on a real disk with many live
//! counters, decisions at a steady rate, first without snapshots and then while one follows the
//! other. Latency counts from when a decision was due, not from when it was sent.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use hdrhistogram::Histogram;
use quotum_limit::{
    Algorithm, Caller, Caps, Command, Epoch, Item, Key, Outcome, RequestId, Window,
};
use quotum_replica::clock::RealClock;
use quotum_replica::disk::real::RealDisk;
use quotum_replica::limits::FEATURE_LEVEL;
use quotum_replica::node::Timings;
use quotum_replica::observe::{Observe, Step};
use quotum_replica::{Dialer, Durability, LogConfig, Member, Node, NodeConfig, Seams, ShardId};
use tokio::task::JoinSet;
use tokio::time::Instant;

type Failure = Box<dyn Error + Send + Sync>;

/// Commands of one entry while the counters are made.
const FILL_COMMANDS: u64 = 4_096;
/// How long a node may take to lead.
const LEAD_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Parser)]
struct Arguments {
    /// Live counters
    #[arg(long, default_value_t = 1_000_000)]
    counters: u64,
    /// Decisions a second
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// How long each of the two parts takes, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Where the data goes; a folder in it is made and removed again
    #[arg(long, default_value = ".")]
    folder: std::path::PathBuf,
}

/// The longest that entries took to apply, and snapshots to write.
struct Applied(Mutex<(Histogram<u64>, Vec<Duration>)>);

impl Observe for Applied {
    fn took(&self, step: Step, duration: Duration) {
        let mut seen = self.0.lock().expect("nobody panics with it");
        match step {
            Step::Apply(ShardId(0)) => seen.0.saturating_record(micros(duration)),
            Step::Snapshot(ShardId(0)) => seen.1.push(duration),
            _ => {}
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    let applied = Arc::new(Applied(Mutex::new((histogram(), Vec::new()))));
    let node = start(folder.path(), applied.clone()).await?;
    let mut load = Load::open(node.clone(), arguments.counters).await?;
    let begun = Instant::now();
    load.fill().await?;
    println!(
        "{} live counters in {:.1?}",
        arguments.counters,
        begun.elapsed()
    );
    // What the fill has left to do is not measured.
    node.snapshot(ShardId(0)).await?;

    applied.clear();
    let quiet = load.measure(&arguments).await?;
    let (quiet_apply, _) = applied.clear();
    let snapshots = tokio::spawn({
        let node = node.clone();
        async move { while node.snapshot(ShardId(0)).await.is_ok() {} }
    });
    let busy = load.measure(&arguments).await?;
    let (busy_apply, written) = applied.clear();
    snapshots.abort();

    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "microseconds", "count", "p50", "p99", "p99.9", "max"
    );
    show("decision, no snapshot", &quiet);
    show("decision, snapshots all the time", &busy);
    show("apply, no snapshot", &quiet_apply);
    show("apply, snapshots all the time", &busy_apply);
    println!(
        "{} snapshots, each within {:.1?}",
        written.len(),
        written.iter().max()
    );
    println!("decisions while snapshots were taken, by milliseconds:");
    for step in busy
        .iter_linear(1_000)
        .filter(|step| step.count_since_last_iteration() > 0)
    {
        println!(
            "  <= {:>4} ms {:>9}",
            step.value_iterated_to().div_ceil(1_000),
            step.count_since_last_iteration()
        );
    }
    node.shutdown().await;
    Ok(())
}

async fn start(folder: &Path, observer: Arc<Applied>) -> Result<Node, Failure> {
    let config = NodeConfig {
        id: Some(1),
        member: Member::default(),
        shards: 1,
        caps: CAPS,
        log: LogConfig {
            durability: Durability::Fsync,
            segment_bytes: LogConfig::DEFAULT_SEGMENT_BYTES,
        },
        timings: Timings::STANDARD,
        feature_level: FEATURE_LEVEL,
    };
    let seams = Seams {
        disk: Arc::new(RealDisk::open(folder)?),
        clock: Arc::new(RealClock),
        dialer: Dialer::new(|address| {
            Ok(tonic::transport::Endpoint::from_shared(address.to_owned())?.connect_lazy())
        }),
        observer,
        seed: 1,
    };
    let node = Node::start(config, seams).await?;
    node.init().await?;
    Ok(node)
}

const CAPS: Caps = Caps {
    counters_max: 100_000_000,
    tenant_counters_max: 100_000_000,
};

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000, 3).expect("these bounds are sound")
}

fn show(what: &str, taken: &Histogram<u64>) {
    let at = |quantile| taken.value_at_quantile(quantile);
    println!(
        "{what:<34} {:>9} {:>9} {:>9} {:>9} {:>9}",
        taken.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        taken.max()
    );
}

// === impl Applied ===

impl Applied {
    /// What was seen, and starts anew.
    fn clear(&self) -> (Histogram<u64>, Vec<Duration>) {
        let mut seen = self.0.lock().expect("nobody panics with it");
        std::mem::replace(&mut *seen, (histogram(), Vec::new()))
    }
}

/// One client of the node.
struct Load {
    node: Node,
    epoch: Epoch,
    seq: u64,
    counters: u64,
    random: u64,
}

// === impl Load ===

impl Load {
    async fn open(node: Node, counters: u64) -> Result<Self, Failure> {
        let deadline = Instant::now() + LEAD_MAX;
        loop {
            match node
                .decide(0, vec![Command::Open { caller: Caller(1) }])
                .await
            {
                Ok(decided) => match decided.outcomes[..] {
                    [Outcome::Opened { epoch }] => {
                        return Ok(Self {
                            node,
                            epoch,
                            seq: 0,
                            counters,
                            random: 1,
                        });
                    }
                    ref other => return Err(format!("no epoch: {other:?}").into()),
                },
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn acquire(&mut self, counter: u64) -> Command {
        self.seq += 1;
        let item = Item {
            key: Key::new(format!("tenant-{:04}/counter-{counter:08}", counter % 1_000).as_bytes())
                .expect("it is short"),
            max: 1_000_000,
            revision: 1,
            window: Window::Month,
            algorithm: Algorithm::Fixed,
            units: 1,
            shadow: false,
        };
        Command::Acquire {
            id: RequestId {
                epoch: self.epoch,
                seq: self.seq,
            },
            acked_seq: self.seq.saturating_sub(FILL_COMMANDS * 4),
            items: [item].into_iter().collect(),
        }
    }

    /// Makes all counters.
    async fn fill(&mut self) -> Result<(), Failure> {
        let mut made = 0;
        while made < self.counters {
            let to = self.counters.min(made + FILL_COMMANDS);
            let commands: Vec<Command> = (made..to).map(|counter| self.acquire(counter)).collect();
            for outcome in self.node.decide(0, commands).await?.outcomes {
                if !matches!(outcome, Outcome::Admitted { .. }) {
                    return Err(format!("a counter was not made: {outcome:?}").into());
                }
            }
            made = to;
        }
        Ok(())
    }

    /// Decides at a steady rate, each time about another counter.
    async fn measure(&mut self, arguments: &Arguments) -> Result<Histogram<u64>, Failure> {
        let every = Duration::from_secs(1) / u32::try_from(arguments.rate)?;
        let begun = Instant::now();
        let mut decisions = JoinSet::new();
        for number in 0..u32::try_from(arguments.rate * arguments.seconds)? {
            let due = begun + every * number;
            tokio::time::sleep_until(due).await;
            self.random = self
                .random
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(1);
            let command = self.acquire((self.random >> 33) % self.counters);
            let node = self.node.clone();
            decisions.spawn(async move {
                let decided = node.decide(0, vec![command]).await;
                decided.map(|_| due.elapsed())
            });
        }
        let mut taken = histogram();
        while let Some(decided) = decisions.join_next().await {
            taken.saturating_record(micros(decided??));
        }
        Ok(taken)
    }
}
