//! The real Envoy with the shipped configuration: it asks the counter nodes of a cluster before it
//! passes a request on.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::balancer::authority;
use crate::bench::{Bench, free_port};
use crate::dev::Ready;
use crate::ensure;
use crate::failure::{Failure, Result};
use crate::http::{Http, Reply};
use crate::limits::{PORT_TRIES_MAX, SETTLE_MAX};
use crate::metrics::Figures;
use crate::poll;
use crate::process::Process;

/// The header that the shipped configuration makes a descriptor of.
const GRANT: &str = "x-grant-id";
/// Something that the demo server serves to everybody.
const PATH: &str = "/executions";

/// A running Envoy before the demo server.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    pub door: Door,
    figures: String,
}

/// Where its clients go.
#[derive(Debug, Clone)]
pub struct Door(String);

/// How often requests of one grant came to what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// What was said to be left after each request that was passed on.
    pub left: Vec<u64>,
    pub denied: usize,
    /// Denied since there was no answer in time.
    pub failed: usize,
}

// === impl Envoy ===

impl Envoy {
    /// Starts it, and returns when it has found every counter node healthy.
    pub async fn start(bench: &Bench, ready: &Ready) -> Result<Self> {
        for _ in 0..PORT_TRIES_MAX {
            let mut envoy = Self::launch(bench, ready)?;
            if envoy.sees(bench, ready.counters.len()).await? {
                return Ok(envoy);
            }
        }
        Err(Failure::new("Envoy ended again and again, as its log says"))
    }

    /// Waits until it takes exactly `nodes` counter nodes for healthy; `false`: it has ended.
    pub async fn sees(&mut self, bench: &Bench, nodes: usize) -> Result<bool> {
        let figures = self.figures.clone();
        let what = format!("{nodes} counter nodes behind Envoy");
        poll::until(&what, SETTLE_MAX, async || {
            if !self.process.is_running() {
                return Ok(Some(false));
            }
            let healthy = Figures::read(&bench.http, &figures).await?.sum(
                "envoy_cluster_membership_healthy",
                &[("envoy_cluster_name", "quotum")],
            );
            Ok((healthy == Some(nodes as f64)).then_some(true))
        })
        .await
    }

    /// One of Envoy's own figures of the rate limit filter; 0 where it counted nothing yet.
    pub async fn figure(&self, http: &Http, name: &str) -> Result<f64> {
        let name = format!("envoy_cluster_ratelimit_{name}");
        let figures = Figures::read(http, &self.figures).await?;
        Ok(figures.sum(&name, &[]).unwrap_or_default())
    }

    fn launch(bench: &Bench, ready: &Ready) -> Result<Self> {
        let (port, figures) = (free_port()?, free_port()?);
        let (port, figures) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{figures}"));
        let mut addresses = vec![
            ("0.0.0.0:10000".to_owned(), port.as_str()),
            ("127.0.0.1:9901".to_owned(), figures.as_str()),
            ("upstream:8080".to_owned(), authority(&ready.upstream)?),
        ];
        for (number, counter) in (1..).zip(&ready.counters) {
            addresses.push((format!("counter-{number}:7601"), counter.grpc.as_str()));
        }
        let shipped = fs::read_to_string(bench.tools.shipped("loadbalancer/envoy.yaml"))?;
        let config = bench.path("envoy.yaml");
        fs::write(&config, with_addresses(&shipped, &addresses)?)?;
        let mut command = Command::new(bench.tools.envoy());
        command.args(["--use-dynamic-base-id", "--log-level", "warning", "-c"]);
        Ok(Self {
            process: Process::start("envoy", command.arg(config), &bench.logs())?,
            door: Door(format!("http://{port}{PATH}")),
            figures: format!("http://{figures}/stats/prometheus"),
        })
    }
}

/// The shipped configuration with other addresses and nothing else changed.
fn with_addresses(shipped: &str, addresses: &[(String, &str)]) -> Result<String> {
    let mut text = shipped.to_owned();
    for (old, new) in addresses {
        let (old, new) = (socket_address(old)?, socket_address(new)?);
        ensure!(
            text.matches(&old).count() == 1,
            "`{old}` is not once in the shipped configuration"
        );
        text = text.replace(&old, &new);
    }
    Ok(text)
}

fn socket_address(address: &str) -> Result<String> {
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| Failure::new(format!("{address} has no port")))?;
    Ok(format!("address: {host}, port_value: {port} "))
}

// === impl Door ===

impl Door {
    /// A request of a grant, or of nobody.
    pub async fn ask(&self, http: &Http, grant: Option<&str>) -> Result<Reply> {
        let mut headers = HeaderMap::new();
        if let Some(grant) = grant {
            headers.insert(GRANT, HeaderValue::from_str(grant)?);
        }
        http.send(Method::GET, &self.0, &headers, Bytes::new())
            .await
    }
}

// === impl Tally ===

impl Tally {
    /// Counts a reply of a grant that may have `max` a year.
    pub fn count(&mut self, reply: &Reply, max: u64) -> Result {
        let limit = format!("{max}, {max};w=31536000");
        let number = |name| reply.header(name).parse::<u64>().ok();
        match reply.status {
            StatusCode::OK | StatusCode::TOO_MANY_REQUESTS => {
                let said = reply.header("x-ratelimit-limit");
                ensure!(
                    said == limit,
                    "x-ratelimit-limit is {said:?}, not {limit:?}"
                );
                let reset = number("x-ratelimit-reset");
                ensure!(
                    reset.is_some_and(|seconds| (1..=31_536_000).contains(&seconds)),
                    "x-ratelimit-reset is {reset:?}"
                );
            }
            StatusCode::SERVICE_UNAVAILABLE => {}
            other => return Err(Failure::new(format!("{other}: {}", reply.text()))),
        }
        let left = number("x-ratelimit-remaining");
        match (reply.status, left) {
            (StatusCode::OK, Some(left)) => self.left.push(left),
            (StatusCode::TOO_MANY_REQUESTS, Some(0)) => self.denied += 1,
            (StatusCode::SERVICE_UNAVAILABLE, _) => self.failed += 1,
            (status, left) => return Err(Failure::new(format!("{status} with {left:?} left"))),
        }
        Ok(())
    }

    pub fn passed(&self) -> usize {
        self.left.len()
    }

    /// Fails where more were passed on than may be, or fewer although nothing went wrong: a request
    /// that Envoy gave up may have been decided at that very moment.
    pub fn holds(&self, max: u64) -> Result {
        let max = usize::try_from(max)?;
        let most = self.passed() + self.failed;
        let summary = self.summary();
        ensure!(
            self.passed() <= max,
            "more than {max} were passed on: {summary}"
        );
        ensure!(most >= max, "fewer than {max} were passed on: {summary}");
        Ok(())
    }

    /// Fails where not every unit was the last one left once: what must be where all was answered.
    pub fn is_exact(&self, max: u64) -> Result {
        let mut left = self.left.clone();
        left.sort_unstable();
        ensure!(
            left.iter().copied().eq(0..max),
            "not each unit was left once: {left:?}"
        );
        Ok(())
    }

    pub fn summary(&self) -> String {
        let (passed, denied, failed) = (self.passed(), self.denied, self.failed);
        format!("{passed} passed on, {denied} denied, {failed} without an answer in time")
    }

    pub fn add(&mut self, other: Self) {
        self.left.extend(other.left);
        self.denied += other.denied;
        self.failed += other.failed;
    }
}
