//! Hosts on a bridge: each a network namespace with one interface, and a firewall to break it with.
//!
//! The test itself stands on the bridge, at [`OUTSIDE`]: clients and upstreams are there, and cuts
//! between nodes do not touch them.

use std::net::Ipv4Addr;
use std::process::Command;

use quotum_e2e::failure::Result;

use crate::shell;

const BRIDGE: &str = "quotum0";
/// Where the test is.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// The bridge.
#[derive(Debug)]
pub struct Network {
    _private: (),
}

/// One host. It goes with this, and with it all its rules.
#[derive(Debug)]
pub struct Host {
    name: String,
    pub ip: Ipv4Addr,
}

// === impl Network ===

impl Network {
    pub fn new() -> Result<Self> {
        shell::line(&format!("ip link add {BRIDGE} type bridge"))?;
        let network = Self { _private: () };
        shell::line(&format!("ip addr add {OUTSIDE}/24 dev {BRIDGE}"))?;
        shell::line(&format!("ip link set {BRIDGE} up"))?;
        Ok(network)
    }

    /// Adds the host with this number, from 1 to 253.
    pub fn host(&self, number: u8) -> Result<Host> {
        let name = format!("h{number}");
        shell::line(&format!("ip netns add {name}"))?;
        let host = Host {
            ip: Ipv4Addr::new(10, 77, 0, number),
            name,
        };
        let (name, ip) = (&host.name, host.ip);
        shell::line(&format!(
            "ip link add {name} type veth peer name eth0 netns {name}"
        ))?;
        shell::line(&format!("ip link set {name} master {BRIDGE} up"))?;
        shell::line(&format!("ip -n {name} addr add {ip}/24 dev eth0"))?;
        shell::line(&format!("ip -n {name} link set eth0 up"))?;
        shell::line(&format!("ip -n {name} link set lo up"))?;
        Ok(host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The sandbox takes it in the end.
        let _gone = shell::line(&format!("ip link del {BRIDGE}"));
    }
}

// === impl Host ===

impl Host {
    /// A command that runs on this host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        // Not `ip netns exec`: that has mounts of its own, which would keep ours alive.
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.name))
            .arg("--")
            .arg(program);
        command
    }

    /// Receives nothing from `other` any more.
    pub fn is_deaf_to(&self, other: &Self) -> Result {
        self.firewall(&format!("-A INPUT -s {} -j DROP", other.ip))
    }

    /// Loses a part of what comes in from other hosts: clients stand outside.
    pub fn lose(&self, probability: f64) -> Result {
        self.firewall(&format!(
            "-A INPUT ! -s {OUTSIDE} -m statistic --mode random --probability {probability} -j DROP"
        ))
    }

    /// Hands what goes out to other hosts to a program that holds the queue.
    pub fn queue(&self, number: u16) -> Result {
        self.firewall(&format!(
            "-A OUTPUT ! -d {OUTSIDE} -o eth0 -j NFQUEUE --queue-num {number}"
        ))
    }

    /// How many packets the rules for incoming ones have dropped.
    pub fn dropped(&self) -> Result<u64> {
        let mut command = self.command("iptables");
        let rules = shell::run(command.args(["-w", "-nvxL", "INPUT"]))?;
        let counts = rules.lines().filter(|line| line.contains("DROP"));
        let counts = counts.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(counts.sum())
    }

    /// All rules are gone.
    pub fn heal(&self) -> Result {
        self.firewall("-F")
    }

    /// The file that stands for the namespace.
    pub fn namespace(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    fn firewall(&self, rule: &str) -> Result {
        shell::run(
            self.command("iptables")
                .arg("-w")
                .args(rule.split_whitespace()),
        )?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its processes are gone before; the interface goes with the namespace.
        let _gone = shell::line(&format!("ip netns del {}", self.name));
        let _gone = shell::line(&format!("ip link del {}", self.name));
    }
}
