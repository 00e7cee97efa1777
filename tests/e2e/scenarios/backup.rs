//! A cluster is backed up, and two others are made of the file: one waits for the windows of the
//! restore to end, the other counts on from the backup. A file that was tampered with makes none.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::SETTLE_MAX;
use quotum_e2e::loopback::Loopback;
use quotum_e2e::mcp::Session;
use quotum_e2e::metrics::Figures;
use quotum_e2e::minute::limit_state;
use quotum_e2e::operator::{Operator, policy_document};
use quotum_e2e::plain::{Secrets, Server};
use quotum_e2e::poll;
use quotum_e2e::upstream::Upstream;
use serde_json::json;

const SERVER: &str = "python";
/// A tool with a limit whose window outlasts the test, and one whose window does not.
const LONG: &str = "echo";
/// What a denial by its limit names.
const RULE: &str = "/tools/echo/limits/echo";
const SHORT: &str = "test_simple_text";
const MAX: u64 = 30;
const USED: u64 = 12;
/// Admitted after the backup, which knows nothing of them.
const USED_LATER: u64 = 5;
/// Two windows of the short limit, the node's margin, and what a busy machine needs besides.
const SHORT_MAX: Duration = Duration::from_secs(40);

/// What is around the clusters.
struct World<'a> {
    bench: &'a Bench,
    secrets: Secrets,
    net: Loopback,
}

/// A counter node, the gateway before it, and who may command it.
struct Cluster {
    node: Server,
    address: String,
    operator: Operator,
    gateway: Server,
}

pub(crate) async fn a_new_cluster_counts_on_from_a_backup(bench: &Bench) -> Result {
    let upstream = Upstream::python(bench)?;
    let world = World {
        bench,
        secrets: Secrets::write(bench)?,
        net: Loopback::draw(),
    };
    let mut old = world.cluster("old", 1)?;
    old.operator.json(&["cluster", "init"])?;
    let second = world.node("old-2", world.net.host(3))?;
    old.operator
        .json(&["cluster", "add", &second.peer_address()])?;
    old.gateway.ready(bench).await?;
    let token = grant(&old.operator, &upstream)?;
    call(&old, bench, &token, LONG, USED).await?;
    call(&old, bench, &token, SHORT, 1).await?;
    let file = back_up(bench, &old.operator)?;
    let left = call(&old, bench, &token, LONG, USED_LATER).await?;
    ensure!(left == MAX - USED - USED_LATER, "{left} are left");

    let waits = world.cluster("waits", 4)?;
    refuse_tampered(&waits.operator, &file)?;
    let made = waits.operator.json(&["cluster", "restore", &text(&file)])?;
    ensure!(made["accept_over"] == false, "restored {made}");
    let again = waits.operator.run(&["cluster", "restore", &text(&file)])?;
    ensure!(again.status.code() == Some(1), "restored twice: {again:?}");
    // The grant is there under its token. Its long window is as if it was used up; the short one
    // ends.
    waits.gateway.ready(bench).await?;
    let session = waits.session(bench, &token).await?;
    poll::until("the next short window", SHORT_MAX, async || {
        let answer = session.call(SHORT, json!({})).await;
        Ok(answer.is_allowed().then_some(()))
    })
    .await?;
    let answer = session.call(LONG, json!({ "message": "x" })).await;
    ensure!(answer.is_denied_by(RULE), "{:?}", answer.outcome);

    let counts = world.cluster("counts", 6)?;
    let restore = ["cluster", "restore", &text(&file), "--accept-over"];
    counts.operator.json(&restore)?;
    counts.gateway.ready(bench).await?;
    // Another node that joins it counts the same: it leads from here on.
    let joined = world.node("joined", world.net.host(8))?;
    counts
        .operator
        .json(&["cluster", "add", &joined.peer_address()])?;
    lead(&counts, &joined)?;
    let left = call(&counts, bench, &token, LONG, MAX - USED).await?;
    ensure!(left == 0, "{left} are left of what the backup had");
    let session = counts.session(bench, &token).await?;
    let answer = session.call(LONG, json!({ "message": "x" })).await;
    ensure!(answer.is_denied_by(RULE), "{:?}", answer.outcome);
    // Figures follow within a second.
    poll::until("what was admitted as over", SETTLE_MAX, async || {
        let figures = Figures::read(&bench.http, &joined.figures()).await?;
        let over = figures.sum("quotum_admitted_after_restore_total", &[("shard", "0")]);
        match over == Some((MAX - USED) as f64) {
            true => Ok(Some(())),
            false => Err(Failure::new(format!("{over:?} are counted"))),
        }
    })
    .await?;

    // The old cluster goes on, and the new ones are strangers to it.
    let stranger = old
        .operator
        .run(&["cluster", "add", &counts.node.peer_address()])?;
    ensure!(stranger.status.code() == Some(1), "joined: {stranger:?}");
    call(&old, bench, &token, LONG, 1).await?;
    ensure!(old.node.end()?, "the old node did not end");
    Ok(())
}

/// Makes a backup, which only its owner can read, and which is not written over.
fn back_up(bench: &Bench, operator: &Operator) -> Result<PathBuf> {
    let file = bench.path("quotum.backup");
    let made = operator.json(&["cluster", "backup", &text(&file)])?;
    let metadata = fs::metadata(&file)?;
    ensure!(made["bytes"] == metadata.len(), "made {made}");
    let mode = metadata.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the mode of a backup is {mode:o}");
    let again = operator.run(&["cluster", "backup", &text(&file)])?;
    ensure!(again.status.code() == Some(1), "written over: {again:?}");
    Ok(file)
}

/// Damaged, cut off, and something else: each is refused by its name, and the node stays new.
fn refuse_tampered(operator: &Operator, file: &Path) -> Result {
    let sound = fs::read(file)?;
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 0x10;
    let cut = &sound[..sound.len() - 7];
    for (name, bytes) in [
        ("flipped", &flipped[..]),
        ("cut", cut),
        ("other", b"not a backup".as_slice()),
    ] {
        let tampered = file.with_file_name(format!("{name}.backup"));
        fs::write(&tampered, bytes)?;
        let refused = operator.run(&["cluster", "restore", &text(&tampered)])?;
        let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
        let says = complaint.contains(&format!("{} is no sound backup", tampered.display()));
        ensure!(
            refused.status.code() == Some(1) && says,
            "a {name} backup: {}: {complaint}",
            refused.status
        );
    }
    let status = operator.cluster_status()?;
    ensure!(status["cluster_id"] == "", "after refusals: {status}");
    Ok(())
}

/// Puts the upstream and a policy into the registry, and gives a grant's token.
fn grant(operator: &Operator, upstream: &Upstream) -> Result<String> {
    let limit = |counter: &str, window: &str, max: u64| {
        let limit = json!({ "counter": counter, "window": window, "max": max, "scope": "grant" });
        json!({ "limits": [limit] })
    };
    let policy = json!({
        "version": "1",
        "default": "deny",
        "tools": { LONG: limit(LONG, "month", MAX), SHORT: limit(SHORT, "10s", 1_000) },
    });
    let server = json!({ "kind": "Server", "name": SERVER, "url": upstream.url });
    operator.apply(&[server, policy_document("all", &policy)])?;
    operator.create_grant_on(SERVER, "agent", "all")
}

/// Calls a tool so many times, each of which must be allowed; gives what is left then.
async fn call(
    cluster: &Cluster,
    bench: &Bench,
    token: &str,
    tool: &str,
    calls: u64,
) -> Result<u64> {
    let session = cluster.session(bench, token).await?;
    let mut left = None;
    for _ in 0..calls {
        let arguments = match tool {
            LONG => json!({ "message": "x" }),
            _ => json!({}),
        };
        let answer = session.call(tool, arguments).await;
        ensure!(answer.is_allowed(), "{:?}", answer.outcome);
        left = limit_state(answer.header("ratelimit"), tool).map(|state| state.remaining);
    }
    left.ok_or_else(|| Failure::new(format!("nothing is said of {tool}")))
}

/// Hands everything to a node that has joined.
fn lead(cluster: &Cluster, joined: &Server) -> Result {
    let status = cluster.operator.cluster_status()?;
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let address = joined.client_address();
    let node = nodes.iter().find(|one| one["client_address"] == *address);
    let id = node.map(|one| one["id"].to_string());
    let id = id.ok_or_else(|| Failure::new(format!("{address} is not in {status}")))?;
    cluster
        .operator
        .json(&["cluster", "transfer-leader", &id])?;
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

// === impl World ===

impl World<'_> {
    /// A new node, with a gateway that waits for it.
    fn cluster(&self, name: &str, number: u8) -> Result<Cluster> {
        let node = self.node(name, self.net.host(number))?;
        let address = node.client_address();
        let gateway = Server::gateway(
            self.bench,
            &self.secrets,
            &format!("{name}-gateway"),
            self.net.host(number + 1),
            std::slice::from_ref(&address),
        )?;
        let nodes = [address.clone()];
        Ok(Cluster {
            node,
            operator: Operator::of(self.bench, nodes, &self.secrets.admin_token),
            address,
            gateway,
        })
    }

    fn node(&self, name: &str, host: Ipv4Addr) -> Result<Server> {
        Server::counter(self.bench, &self.secrets, name, host)
    }
}

// === impl Cluster ===

impl Cluster {
    async fn session(&self, bench: &Bench, token: &str) -> Result<Session> {
        let opened = Session::open(&bench.http, &self.gateway.mcp_url(SERVER), token).await;
        opened.map_err(|failure| failure.during(format!("a session behind {}", self.address)))
    }
}
