//! The host of one counter node: the real server on a simulated disk, clock and network.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use quotum_checker::What;
use quotum_counter::{Bootstrap, Server, ServerConfig};
use quotum_limit::Caps;
use quotum_registry::MasterKey;
use quotum_registry::secret::token::{Token, TokenKind};
use quotum_replica::{Durability, LogConfig, Member, Node, NodeConfig, Seams};
use quotum_telemetry::{Exposition, Readiness};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::service::Routes;

use crate::machine::Sockets;
use crate::record::Watcher;
use crate::run::build_info;
use crate::twice::Twice;
use crate::wire::node_dialer;
use crate::world::{SEGMENT_BYTES, Stage, World, client_address, peer_address};

/// How often a node is looked at for what it leads.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) fn admin() -> Token {
    Token::from_random(TokenKind::Admin, &[9; 32])
}

fn config(world: &World, machine: u64) -> ServerConfig {
    let is_founder = machine <= world.founders();
    let peers: Vec<String> = (1..=world.founders()).map(peer_address).collect();
    let mut random = world.rng(0x5ec << 8 | machine);
    let draws = std::sync::Mutex::new(move || random.next());
    ServerConfig {
        node: NodeConfig {
            id: None,
            member: Member {
                peer_address: peer_address(machine),
                client_address: client_address(machine),
                incarnation: 0,
            },
            shards: world.shards(),
            caps: Caps {
                counters_max: world.counters_max(),
                tenant_counters_max: world.counters_max(),
            },
            log: LogConfig {
                durability: Durability::Fsync,
                segment_bytes: SEGMENT_BYTES,
            },
            timings: world.timings(),
            feature_level: quotum_replica::limits::FEATURE_LEVEL,
        },
        bootstrap: is_founder.then_some(Bootstrap {
            expect: peers.len(),
            peers,
        }),
        master_key: MasterKey::from_bytes(b"a master key of thirty-two bytes").expect("a key"),
        admin_token: admin(),
        envoy: None,
        random: Arc::new(move |bytes: &mut [u8]| {
            let mut draw = draws.lock().expect("one thread");
            bytes.fill_with(|| draw().to_le_bytes()[0]);
        }),
    }
}

/// One process: from its start to its end.
pub(crate) async fn run(world: World, machine: u64, sockets: Sockets) {
    let mut life = 0;
    world.change_machine(machine, |machine| {
        machine.lives += 1;
        life = machine.lives;
    });
    let here = world.machine(machine);
    let recorder = world.recorder().clone();
    recorder.trace(|| format!("n{machine} starts life {life}"));
    let seams = Seams {
        disk: Arc::new(here.disk.clone()),
        clock: Arc::new(here.clock.clone()),
        dialer: node_dialer(sockets.dial),
        observer: Arc::new(Watcher {
            recorder: recorder.clone(),
            node: machine,
        }),
        seed: world.rng(machine << 32 | life).next(),
    };
    let exposition = Exposition::new(&build_info());
    let readiness = Readiness::new();
    let started = Server::assemble(config(&world, machine), seams, &exposition, &readiness).await;
    let (server, services) = match started {
        Ok(started) => started,
        Err(error) => {
            let mut why = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                why = format!("{why}: {error}");
                cause = error.source();
            }
            recorder.trace(|| format!("n{machine} does not start: {why}"));
            if here.rot.is_some_and(|file| !why.contains(&file)) {
                recorder.trouble(format!("n{machine} does not name what is rotten: {why}"));
            }
            return;
        }
    };
    if let Some(file) = world.machine(machine).rot {
        recorder.trouble(format!("n{machine} starts though {file} is rotten"));
    }
    let twice = |routes: Routes, name: u64| {
        let rng = world.rng(name << 40 | machine << 32 | life);
        Twice::new(routes, here.repeats.clone(), rng, recorder.clone(), machine)
    };
    serve(
        twice(services.clients.routes.prepare(), 0x271ce),
        sockets.clients,
    );
    serve(
        twice(services.peers.routes.prepare(), 0x271cf),
        sockets.peers,
    );
    world.set_live(machine, Some(server.node().clone()));
    let look = look(&world, machine, server.node().clone());
    tokio::select! {
        biased;
        why = server.failed() => recorder.trace(|| format!("n{machine} fails: {why}")),
        () = here.leave.notified() => {
            recorder.trace(|| format!("n{machine} leaves"));
            world.set_live(machine, None);
            server.shutdown().await;
        }
        () = look => {}
    }
    world.set_live(machine, None);
}

/// Serves connections as tonic does, but for the header `date`: it tells the real time, and its
/// size decides where the bytes of a connection are cut.
fn serve(service: Twice, mut incoming: mpsc::Receiver<DuplexStream>) {
    tokio::spawn(async move {
        while let Some(accepted) = incoming.recv().await {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .auto_date_header(false)
                .max_concurrent_streams(1_024)
                .keep_alive_interval(quotum_counter::limits::KEEPALIVE_PING)
                .keep_alive_timeout(quotum_counter::limits::KEEPALIVE_PING_DEADLINE)
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20);
            let connection = builder.serve_connection(TokioIo::new(accepted), service.clone());
            tokio::spawn(async move { drop(connection.await) });
        }
    });
}

/// Notes what the node leads, and how large things are.
async fn look(world: &World, machine: u64, node: Node) {
    let recorder = world.recorder();
    let mut led = BTreeSet::new();
    let mut looks = 0_u64;
    loop {
        tokio::time::sleep(LOOK).await;
        let status = node.status();
        for group in &status.groups {
            if group.is_leader && led.insert((group.shard, group.term)) {
                recorder.note(What::Leader {
                    node: machine,
                    shard: group.shard.0,
                    term: group.term,
                });
            }
        }
        looks += 1;
        if world.stage() == Stage::Final {
            note_final(world, machine, &node).await;
            return std::future::pending().await;
        }
        if !looks.is_multiple_of(100) {
            continue;
        }
        let bound = |bound: &str, value: u64, max: u64| {
            recorder.note(What::Bound {
                node: machine,
                bound: bound.to_owned(),
                value,
                max,
            });
        };
        bound("log bytes", status.log_used_bytes, 64 * SEGMENT_BYTES);
        for group in &status.groups {
            let counters = group.counters_live as u64;
            bound("counters", counters, world.counters_max() as u64);
            bound("request ids", group.requests_held as u64, 1 << 18);
        }
    }
}

/// Tells the state that the node ends in.
async fn note_final(world: &World, machine: u64, node: &Node) {
    for shard in world.all_shards() {
        let Some((index, state)) = node.digest(shard).await else {
            continue;
        };
        let leader = node.leader(shard);
        world.recorder().note(What::Final {
            node: machine,
            shard: shard.0,
            index,
            state,
            leads: leader.is_some_and(|(leader, _)| leader == node.id()),
        });
    }
}
