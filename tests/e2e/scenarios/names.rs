//! Nodes that know each other by names, as the pods of a StatefulSet do: one comes back under another
//! address, and one does not come back at all.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use quotum_e2e::bench::Bench;
use quotum_e2e::drip::Drip;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::SETTLE_MAX;
use quotum_e2e::loopback::Loopback;
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::metrics::Figures;
use quotum_e2e::named::Names;
use quotum_e2e::operator::{Operator, policy_document};
use quotum_e2e::plain::{Secrets, Server};
use quotum_e2e::poll;
use quotum_e2e::upstream::Upstream;
use serde_json::{Value, json};

const TOOL: &str = "echo";
const SERVER: &str = "python";
const NODES: u8 = 3;
const CLIENTS: usize = 4;
/// So many calls must have been allowed before the next change.
const CALLS_BETWEEN: usize = 20;
/// A node that has been dead for as long as this has no gateways left, and is waited for no more.
const DEAD: Duration = Duration::from_secs(20);

/// Three counter nodes and a gateway, by their names.
struct World<'a> {
    bench: &'a Bench,
    secrets: Secrets,
    net: Loopback,
    names: Names,
    nodes: Vec<String>,
    counters: Vec<Server>,
    gateway: Server,
    upstream: Upstream,
}

pub(crate) async fn a_node_with_a_new_address_is_found_by_its_name(bench: &Bench) -> Result {
    let mut world = World::start(bench).await?;
    let token = world.grant("agent")?;
    let session = world.session(&token).await?;
    let mut drip = Drip::start(vec![session; CLIENTS], TOOL, &json!({ "message": "x" }));
    drip.after(CALLS_BETWEEN).await?;

    // Each in its turn, so that one of them leads: in the end nobody is where it was.
    for moved in 0..world.counters.len() {
        let host = world.net.host(10 + u8::try_from(moved)?);
        world.counters[moved].kill();
        world.names.change(&world.nodes[moved], host)?;
        let name = world.nodes[moved].clone();
        world.counters[moved] = world.counter(&name)?;
        world.in_step(moved).await?;
        drip.after(CALLS_BETWEEN).await?;
    }
    // The first leads, and the gateway asks it where it is now.
    let operator = world.operator();
    let id = world.id_of(&operator.cluster_status()?, 0)?;
    operator.json(&["cluster", "transfer-leader", &id])?;
    drip.after(CALLS_BETWEEN).await?;
    let figures = world.counters[0].figures();
    let decided = async || {
        let figures = Figures::read(&bench.http, &figures).await?;
        let asked = [("api", "native_stream"), ("outcome", "admitted")];
        let sum = figures.sum("quotum_counter_decisions_total", &asked);
        Ok::<_, Failure>(sum.unwrap_or_default())
    };
    let before = decided().await?;
    drip.after(CALLS_BETWEEN).await?;
    let after = decided().await?;
    ensure!(
        after > before,
        "the new leader decided {before}, then {after}"
    );

    let answers = drip.stop().await?;
    bench.note(&answers.summary());
    let other = answers.first_other(|answer| answer.is_allowed() || answer.is_unavailable());
    ensure!(other.is_none(), "{other:?}; {}", answers.summary());
    let allowed = answers.count(Answer::is_allowed) as u64;
    let ran = world.upstream.executions(bench, TOOL).await?;
    ensure!(ran == allowed, "{ran} ran, {}", answers.summary());
    Ok(())
}

pub(crate) async fn a_change_is_waited_for_while_a_node_is_dead(bench: &Bench) -> Result {
    let mut world = World::start(bench).await?;
    let token = world.grant("revoked")?;
    let session = world.session(&token).await?;
    let answer = session.call(TOOL, json!({ "message": "x" })).await;
    ensure!(answer.is_allowed(), "{:?}", answer.outcome);

    world.counters[2].kill();
    let operator = world.operator();
    let begun = Instant::now();
    let revoked = operator.run(&["grant", "revoke", "revoked", "--server", SERVER])?;
    let took = begun.elapsed();
    let said = String::from_utf8_lossy(&revoked.stderr).into_owned();
    ensure!(revoked.status.success(), "{}: {said}", revoked.status);
    ensure!(
        said.contains("does not answer"),
        "nothing is said of it: {said:?}"
    );
    // Its gateways had the time to leave it, from when it was last heard of.
    ensure!(
        took + Duration::from_secs(2) >= DEAD,
        "returned after {took:?}"
    );
    let answer = session.call(TOOL, json!({ "message": "x" })).await;
    ensure!(!answer.is_allowed(), "a revoked grant is served");

    // The next change finds it dead for long, and has nothing to wait for.
    let begun = Instant::now();
    world.grant("another")?;
    let took = begun.elapsed();
    bench.note(&format!(
        "the first change took {DEAD:?}, the next {took:?}"
    ));
    ensure!(took < DEAD / 2, "the second change took {took:?}");
    Ok(())
}

// === impl World ===

impl<'a> World<'a> {
    async fn start(bench: &'a Bench) -> Result<Self> {
        let upstream = Upstream::python(bench)?;
        let secrets = Secrets::write(bench)?;
        let net = Loopback::draw();
        let named = |number| (format!("counter-{number}.quotum.test"), net.host(number));
        let all: Vec<(String, Ipv4Addr)> = (1..=NODES).map(named).collect();
        let names = Names::write(bench, &all)?;
        let nodes: Vec<String> = all.into_iter().map(|(name, _)| name).collect();
        let gateway = Server::named_gateway(bench, &secrets, net.host(9), &nodes, &names)?;
        let mut world = Self {
            bench,
            secrets,
            net,
            names,
            counters: Vec::new(),
            nodes,
            gateway,
            upstream,
        };
        for name in world.nodes.clone() {
            let counter = world.counter(&name)?;
            world.counters.push(counter);
        }
        for counter in &world.counters {
            counter.ready(bench).await?;
        }
        let limit = json!({ "counter": "calls", "window": "month", "max": 1_000_000 });
        let policy = json!({
            "version": "1",
            "default": "deny",
            "tools": { TOOL: { "limits": [limit] } },
        });
        let server = json!({ "kind": "Server", "name": SERVER, "url": world.upstream.url });
        let operator = world.operator();
        operator.apply(&[server, policy_document("all", &policy)])?;
        world.gateway.ready(bench).await?;
        Ok(world)
    }

    fn counter(&self, name: &str) -> Result<Server> {
        Server::named_counter(self.bench, &self.secrets, name, &self.nodes, &self.names)
    }

    /// An operator who knows where everybody is now.
    fn operator(&self) -> Operator {
        let addresses = self.counters.iter().map(Server::client_address);
        Operator::of(self.bench, addresses, &self.secrets.admin_token)
    }

    fn grant(&self, name: &str) -> Result<String> {
        self.operator().create_grant_on(SERVER, name, "all")
    }

    async fn session(&self, token: &str) -> Result<Session> {
        Session::open(&self.bench.http, &self.gateway.mcp_url(SERVER), token).await
    }

    /// Waits until the others hear of a node under its name, and it lacks nothing that they have.
    async fn in_step(&self, number: usize) -> Result {
        let other = &self.counters[(number + 1) % self.counters.len()];
        let operator = self.operator().only(&other.client_address());
        poll::until("the others to find it", SETTLE_MAX, async || {
            let status = operator.cluster_status()?;
            let node = self.node(&status, number)?;
            let is_there = node["failure"].is_null() && node["behind"] == 0;
            match is_there {
                true => Ok(Some(())),
                false => Err(Failure::new(node.to_string())),
            }
        })
        .await
    }

    fn id_of(&self, status: &Value, number: usize) -> Result<String> {
        Ok(self.node(status, number)?["id"].to_string())
    }

    fn node<'s>(&self, status: &'s Value, number: usize) -> Result<&'s Value> {
        let name = &self.nodes[number];
        let nodes = status["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let found = nodes.iter().find(|node| {
            let address = node["client_address"].as_str().unwrap_or_default();
            address.rsplit_once(':').map(|(host, _)| host) == Some(name)
        });
        found.ok_or_else(|| Failure::new(format!("{name} is not in {status}")))
    }
}
