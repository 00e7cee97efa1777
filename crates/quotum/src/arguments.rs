//! The command line: every command and its options, as `--help` shows them.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum};

use quotum_registry::administrator::Role;

use crate::duration;
use crate::limits::{DEV_COUNTERS_MAX, DEV_GATEWAYS_MAX};
use crate::output::Format;
use crate::process::REVISION;

#[cfg(test)]
mod tests;

/// An MCP gateway whose rate limits hold.
#[derive(Debug, Parser)]
#[command(name = "quotum", version = VERSION.as_str(), max_term_width = 100)]
pub(crate) struct Arguments {
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `--version` says: the revision where it is known.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match REVISION {
        "unknown" => version.to_owned(),
        revision => format!("{version} ({revision})"),
    }
});

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a cluster on this machine, with a demo MCP server behind it
    Dev(Dev),
    /// Run one node of the counter service
    Counter(Counter),
    /// Run one gateway
    Gateway(Gateway),
    /// Change servers, policies and grants to what documents say
    Apply(Apply),
    /// Show servers, policies and grants
    Get(Get),
    /// Make and end grants, and change their tokens
    #[command(subcommand)]
    Grant(Grant),
    /// Make and end administrators, each with a token and a role
    #[command(subcommand)]
    Administrator(Administrator),
    /// Look at policies: check them, explain decisions, run their cases
    #[command(subcommand)]
    Policy(Policy),
    /// Look at the rate limits of Envoy's API
    #[command(subcommand)]
    Descriptors(Descriptors),
    /// Look at the counter nodes, and change which belong to the cluster
    #[command(subcommand)]
    Cluster(Cluster),
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// How many counter nodes; fixed by the first start on a data directory
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(DEV_COUNTERS_MAX)))]
    pub(crate) counters: u8,
    /// How many gateways
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(DEV_GATEWAYS_MAX)))]
    pub(crate) gateways: u8,
    /// The MCP server behind the gateways; without it, a demo server runs
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// Authorities in PEM that may vouch for that server, beside the public ones
    #[arg(long, value_name = "FILE", requires = "upstream")]
    pub(crate) upstream_ca_file: Option<PathBuf>,
    /// The policy of the grants
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = "./quotum-data")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Counter {
    /// The configuration, in TOML; without it, options and the environment have to say everything
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: CounterOptions,
    /// End when standard input ends, as when whoever started this is gone; ignore Ctrl-C
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}

/// Settings of a counter node, in place of what the environment and the file say.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings, in place of the file's")]
pub(crate) struct CounterOptions {
    /// How many nodes start the cluster together
    #[arg(long, value_name = "N")]
    pub(crate) bootstrap_expect: Option<String>,
    /// Where they serve each other, this one included or not; hosts may be DNS names
    #[arg(long, value_name = "HOST:PORT,..")]
    pub(crate) peers: Option<String>,
    /// Where the node keeps its log and its identity
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// The socket for gateways, operators and other clients
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: Option<String>,
    /// The socket for the other nodes
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) peer_listen: Option<String>,
    /// The socket for metrics and readiness
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) admin_listen: Option<String>,
    /// The host under which others reach this node
    #[arg(long, value_name = "HOST")]
    pub(crate) advertise: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// End when standard input ends, as when whoever started this is gone; ignore Ctrl-C
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}

/// How an operator reaches the cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Reach {
    /// Counter nodes, any of the cluster [default: QUOTUM_ADDRESS]
    #[arg(
        long,
        visible_alias = "admin",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) address: Vec<String>,
    /// The file with the admin token [default: the token in QUOTUM_ADMIN_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Who vouches for counter nodes; with it, TLS [default: QUOTUM_CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate to show them [default: QUOTUM_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key [default: QUOTUM_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Send the admin token in plaintext to another machine
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A file of documents in YAML or JSON, a folder of them, or - for standard input
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE-or-DIR",
        required = true
    )]
    pub(crate) files: Vec<PathBuf>,
    /// Delete what no document names
    #[arg(long)]
    pub(crate) prune: bool,
    /// Return when every live gateway serves the change
    #[arg(long, conflicts_with = "plan")]
    pub(crate) wait: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to show; without it, everything
    #[arg(value_enum)]
    pub(crate) kind: Option<Kind>,
    /// Show one only
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    #[value(alias = "server")]
    Servers,
    #[value(alias = "policy")]
    Policies,
    #[value(alias = "grant")]
    Grants,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// Make a grant, and show its token: this once only
    Create(CreateGrant),
    /// Give a grant another token, and show it: this once only
    Rotate(RotateGrant),
    /// End a grant for good
    Revoke(RevokeGrant),
}

#[derive(Debug, Args)]
pub(crate) struct CreateGrant {
    pub(crate) name: String,
    /// The server that may be called
    #[arg(long)]
    pub(crate) server: String,
    /// The policy of the calls; without one every call is denied
    #[arg(long)]
    pub(crate) policy: Option<String>,
    /// How long the grant lasts, such as 90m, 12h or 30d; without it, until it is revoked
    #[arg(long, value_name = "TIME", value_parser = duration::parse_ms)]
    pub(crate) expires_in: Option<u64>,
    /// Return when every live gateway knows the grant
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct RotateGrant {
    pub(crate) name: String,
    /// How long the old token stays valid, such as 1h; without it, not at all
    #[arg(long, value_name = "TIME", value_parser = duration::parse_ms)]
    pub(crate) overlap: Option<u64>,
    #[command(flatten)]
    pub(crate) promptness: Promptness,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeGrant {
    pub(crate) name: String,
    /// Refuse if the grant is one of another server
    #[arg(long)]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) promptness: Promptness,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Whether a command waits for the gateways: by default it does.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Promptness {
    /// Do not wait until every live gateway knows of the change
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// What happens anyway, for scripts that say it
    #[arg(long, hide = true, conflicts_with = "no_wait")]
    pub(crate) wait: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Administrator {
    /// Make an administrator, and show its token: this once only
    Create(CreateAdministrator),
    /// Show the administrators, without their tokens
    List(ListAdministrators),
    /// End an administrator and its token
    Revoke(RevokeAdministrator),
}

#[derive(Debug, Args)]
pub(crate) struct CreateAdministrator {
    pub(crate) name: String,
    /// viewer: look; policy_manager: change servers, policies and grants; admin: everything
    #[arg(long)]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ListAdministrators {
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeAdministrator {
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check policies, and show everything that is wrong with them
    Check(CheckPolicy),
    /// Show step by step why a call would be decided as it is
    Explain(ExplainPolicy),
    /// Run files of cases
    Test(TestPolicy),
}

#[derive(Debug, Args)]
pub(crate) struct CheckPolicy {
    /// Policies, in JSON
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainPolicy {
    /// The policy, in JSON
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The tool that is called
    #[arg(long)]
    pub(crate) tool: String,
    /// The arguments of the call: a JSON object, or @FILE with one; without it, none
    #[arg(long = "args", value_name = "JSON|@FILE")]
    pub(crate) arguments: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TestPolicy {
    /// Files of cases in JSON, or folders of them
    #[arg(value_name = "FILE-or-DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Descriptors {
    /// Check files of descriptors, and show everything that is wrong with them
    Check(CheckDescriptors),
}

#[derive(Debug, Args)]
pub(crate) struct CheckDescriptors {
    /// Files of descriptors in YAML, or folders of them; together they are one configuration
    #[arg(value_name = "FILE-or-DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show the nodes, and how far each shard is
    Status(ClusterStatus),
    /// Make a new node a cluster of its own
    Init(ClusterInit),
    /// Add a node that serves peers at an address
    Add(ClusterAdd),
    /// Remove a node for good
    Remove(ClusterRemove),
    /// Let a node lead one shard, or all
    TransferLeader(ClusterTransferLeader),
    /// Write everything to a file
    Backup(ClusterBackup),
    /// Make a new node a cluster with what a backup holds
    Restore(ClusterRestore),
}

#[derive(Debug, Args)]
pub(crate) struct ClusterStatus {
    /// Compute the digest of each shard's state, which reads every counter of the node
    #[arg(long)]
    pub(crate) digests: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterInit {
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterAdd {
    /// Where the new node serves peers
    #[arg(value_name = "HOST:PORT")]
    pub(crate) peer_address: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterBackup {
    /// A file that is not there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterRestore {
    /// What `cluster backup` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Admit units in windows that the old cluster may have used up: limits may be exceeded
    #[arg(long)]
    pub(crate) accept_over: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterTransferLeader {
    /// The id of the node that is to lead, as `cluster status` shows it
    #[arg(value_name = "ID")]
    pub(crate) node: u64,
    /// Only this shard: a number, or `registry`
    #[arg(long, value_name = "SHARD")]
    pub(crate) shard: Option<String>,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterRemove {
    /// The node's id, as `cluster status` shows it
    #[arg(value_name = "ID")]
    pub(crate) node: u64,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

// === impl CounterOptions ===

impl CounterOptions {
    /// What was said, each under the name of its option.
    pub(crate) fn said(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("--bootstrap-expect", &self.bootstrap_expect),
            ("--peers", &self.peers),
            ("--data", &self.data),
            ("--listen", &self.listen),
            ("--peer-listen", &self.peer_listen),
            ("--admin-listen", &self.admin_listen),
            ("--advertise", &self.advertise),
        ];
        let said = all
            .into_iter()
            .filter_map(|(option, text)| Some((option, text.as_deref()?)));
        said.collect()
    }
}

// === impl Kind ===

impl Kind {
    /// As the registry names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Policies => "policies",
            Self::Grants => "grants",
        }
    }
}
