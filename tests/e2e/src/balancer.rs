//! HAProxy with the shipped configuration before the gateways.

use std::process::Command;

use crate::bench::{Bench, free_port};
use crate::dev::Ready;
use crate::failure::{Failure, Result};
use crate::limits::{PORT_TRIES_MAX, SETTLE_MAX};
use crate::metrics::Figures;
use crate::poll;
use crate::process::Process;

/// A running load balancer.
#[derive(Debug)]
pub struct Balancer {
    process: Process,
    /// Where MCP clients go.
    pub url: String,
    figures: String,
}

// === impl Balancer ===

impl Balancer {
    /// Starts it, and returns when it sees every gateway as ready.
    pub async fn start(bench: &Bench, ready: &Ready) -> Result<Self> {
        for _ in 0..PORT_TRIES_MAX {
            let mut balancer = Self::launch(bench, ready)?;
            if balancer.sees(bench, ready.gateways.len()).await? {
                return Ok(balancer);
            }
        }
        Err(Failure::new(
            "HAProxy ended again and again, as its log says",
        ))
    }

    /// Waits until exactly `gateways` of them are taken for ready; `false`: it has ended.
    pub async fn sees(&mut self, bench: &Bench, gateways: usize) -> Result<bool> {
        let up = [("proxy", "gateways"), ("state", "UP")];
        let figures = self.figures.clone();
        poll::until(
            &format!("{gateways} gateways behind HAProxy"),
            SETTLE_MAX,
            async || {
                if !self.process.is_running() {
                    return Ok(Some(false));
                }
                let figures = Figures::read(&bench.http, &figures).await?;
                let passed = figures.sum("haproxy_server_check_status", &[("state", "L7OK")]);
                let servers = figures.sum("haproxy_server_status", &up);
                let wanted = gateways as f64;
                Ok((servers == Some(wanted) && passed == Some(wanted)).then_some(true))
            },
        )
        .await
    }

    fn launch(bench: &Bench, ready: &Ready) -> Result<Self> {
        let (port, figures_port) = (free_port()?, free_port()?);
        let mut command = Command::new("haproxy");
        command
            .arg("-db")
            .arg("-f")
            .arg(bench.tools.shipped("loadbalancer/haproxy.cfg"));
        command.env("QUOTUM_LISTEN", format!("127.0.0.1:{port}"));
        command.env(
            "QUOTUM_LB_ADMIN_LISTEN",
            format!("127.0.0.1:{figures_port}"),
        );
        for (number, gateway) in (1..).zip(&ready.gateways) {
            let address = authority(&gateway.url)?;
            let admin = authority(&gateway.metrics)?;
            let admin_port = admin.rsplit_once(':').map_or(admin, |(_, port)| port);
            command.env(format!("QUOTUM_GATEWAY_{number}"), address);
            command.env(format!("QUOTUM_GATEWAY_{number}_ADMIN_PORT"), admin_port);
        }
        Ok(Self {
            process: Process::start("haproxy", &mut command, &bench.logs())?,
            url: format!("http://127.0.0.1:{port}{}", path(&ready.gateways[0].url)),
            figures: format!("http://127.0.0.1:{figures_port}/metrics"),
        })
    }
}

/// `host:port` of an address.
pub fn authority(url: &str) -> Result<&str> {
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| Failure::new(format!("{url} is no http:// address")))?;
    Ok(rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority))
}

fn path(url: &str) -> &str {
    let rest = url.trim_start_matches("http://");
    rest.find('/').map_or("", |start| &rest[start..])
}
