//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use http::Uri;
use quotum_limit::Window;
use quotum_limit::limits::UNITS_MAX;

use crate::limits::{
    ADDRESSES_MAX, BATCH_MAX, CONNECTIONS_MAX, IN_FLIGHT_MAX, KEYS_MAX, PIDS_MAX, RATE_MAX,
    RUN_MAX, STREAM_IDS_MAX, STREAM_MESSAGES_MAX,
};

#[cfg(test)]
mod tests;

/// A load generator for counter nodes and MCP gateways
///
/// Prints one JSON object. Exits with 1 if anything was answered with an error, or not at all.
#[derive(Debug, Parser)]
#[command(name = "quotum-load", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) target: Target,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Target {
    /// Decisions by streams to the leader
    NativeStream(NativeStream),
    /// Decisions one at a time, by requests to the leader
    NativeUnary(NativeUnary),
    /// Decisions one at a time by Envoy's rate-limit API: domain `bench`, descriptor `key`
    Envoy(Envoy),
    /// Calls of one tool, to a gateway or to an MCP server
    Http(Http),
    /// Decisions by a server that speaks Redis' protocol, for comparison
    Redis(Redis),
}

#[derive(Debug, Args)]
pub(crate) struct NativeStream {
    #[command(flatten)]
    pub(crate) nodes: Nodes,
    /// Commands of one message
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH_MAX)))]
    pub(crate) batch: u32,
    #[command(flatten)]
    pub(crate) load: Load,
}

#[derive(Debug, Args)]
pub(crate) struct NativeUnary {
    #[command(flatten)]
    pub(crate) nodes: Nodes,
    #[command(flatten)]
    pub(crate) single: Single,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// `--max`, `--window` and `--shard` say nothing here: the configuration of the service does.
#[derive(Debug, Args)]
pub(crate) struct Envoy {
    /// Count by the code alone, for services that send no status, such as limitador: then nothing
    /// tells whether a limit applied
    #[arg(long)]
    pub(crate) any_status: bool,
    #[command(flatten)]
    pub(crate) nodes: Nodes,
    #[command(flatten)]
    pub(crate) single: Single,
    #[command(flatten)]
    pub(crate) load: Load,
}

#[derive(Debug, Args)]
pub(crate) struct Http {
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Where the MCP endpoints are; connections go to them in turn
    #[arg(long = "addr", value_name = "URL", value_delimiter = ',', required = true, value_parser = parse_url)]
    pub(crate) urls: Vec<Uri>,
    /// The tool that is called: the default is one of `quotum dev`'s own server
    #[arg(long, default_value = "list_customers")]
    pub(crate) tool: String,
    /// The arguments of the calls
    #[arg(long = "args", value_name = "JSON", default_value = "{}", value_parser = parse_object)]
    pub(crate) arguments: serde_json::Value,
    /// The file with the token of a grant [default: the token in QUOTUM_TOKEN, if any]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) granted: Granted,
    #[command(flatten)]
    pub(crate) single: Single,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// Taken so that all commands have the same options: a request is one decision here.
#[derive(Debug, Args)]
pub(crate) struct Single {
    #[arg(long, hide = true, value_parser = clap::value_parser!(u32).range(1..=1))]
    pub(crate) batch: Option<u32>,
}

/// Taken for the same reason: calls of one grant share their counters, and its policy says how many
/// they are.
#[derive(Debug, Args)]
pub(crate) struct Granted {
    #[arg(long, hide = true)]
    pub(crate) keys: Option<u32>,
    #[arg(long, hide = true)]
    pub(crate) max: Option<u64>,
    #[arg(long, hide = true)]
    pub(crate) window: Option<Window>,
}

#[derive(Debug, Args)]
pub(crate) struct Redis {
    /// Where the servers are; connections go to them in turn
    #[arg(
        long = "addr",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        required = true
    )]
    pub(crate) addresses: Vec<String>,
    /// What decides
    #[arg(long, value_enum, default_value = "incr")]
    pub(crate) command: RedisCommand,
    /// Commands of one pipeline
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH_MAX)))]
    pub(crate) batch: u32,
    /// Counters, each of which is as likely as any other
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=i64::from(KEYS_MAX)))]
    pub(crate) keys: u32,
    /// What one counter admits in a window
    #[arg(long, value_name = "M", default_value_t = 1_000_000_000, value_parser = clap::value_parser!(u64).range(0..=UNITS_MAX))]
    pub(crate) max: u64,
    /// The length of a window, in seconds
    #[arg(long = "window", value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=31_622_400))]
    pub(crate) window_s: u64,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// What decides in a server that speaks Redis' protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RedisCommand {
    /// INCR, and EXPIRE when a count begins
    Incr,
    /// THROTTLE, of throttlecrab
    Throttle,
}

/// TLS to what is measured.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Tls {
    /// Who vouches for it; with it, TLS
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate to show; to counter nodes, one of the role gateway
    #[arg(long, value_name = "FILE", requires = "key", requires = "ca")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
}

/// What is asked of the counter nodes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Nodes {
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Counter nodes: one that answers is enough to find the leader
    #[arg(
        long = "addr",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        required = true
    )]
    pub(crate) addresses: Vec<String>,
    /// Counters, each of which is as likely as any other
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=i64::from(KEYS_MAX)))]
    pub(crate) keys: u32,
    /// What one counter admits in a window
    #[arg(long, value_name = "M", default_value_t = 1_000_000_000, value_parser = clap::value_parser!(u64).range(0..=UNITS_MAX))]
    pub(crate) max: u64,
    /// second, minute, hour, day, week, month, or a duration such as 90s
    #[arg(long, value_name = "W", default_value = "hour")]
    pub(crate) window: Window,
    /// The shard that decides
    #[arg(long, default_value_t = 0)]
    pub(crate) shard: u32,
}

/// How much load, and for how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct Load {
    /// The most requests without an answer; of a stream: messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    pub(crate) in_flight: u32,
    /// Decisions a second, whatever the answers take; without it, a request follows each answer
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// How long to measure, in seconds
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub(crate) secs: Duration,
    /// How long the load runs before it is measured, in seconds
    #[arg(long, value_name = "S", default_value = "2", value_parser = parse_seconds)]
    pub(crate) warmup_secs: Duration,
    /// Processes whose CPU time is measured
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pids: Vec<u32>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) output: Format,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One object in one line.
    Json,
}

// === impl Arguments ===

impl Arguments {
    /// What a single option cannot tell.
    pub(crate) fn check(self) -> Result<Self, clap::Error> {
        let complain = |text: String| Err(Self::command().error(ErrorKind::ValueValidation, text));
        let load = self.target.load();
        if load.secs.is_zero() {
            return complain("--secs must be more than 0".to_owned());
        }
        if load.pids.len() > PIDS_MAX {
            return complain(format!("--pids: at most {PIDS_MAX}"));
        }
        if let Target::Http(of) = &self.target
            && let Some(url) = of
                .urls
                .iter()
                .find(|url| is_secured(url) != of.tls.ca.is_some())
        {
            return complain(match is_secured(url) {
                true => format!("--addr {url}: --ca has to say who vouches for the server"),
                false => format!("--addr {url}: --ca is for https"),
            });
        }
        let addresses = match &self.target {
            Target::NativeStream(of) => of.nodes.addresses.len(),
            Target::NativeUnary(of) => of.nodes.addresses.len(),
            Target::Envoy(of) => of.nodes.addresses.len(),
            Target::Http(of) => of.urls.len(),
            Target::Redis(of) => of.addresses.len(),
        };
        if addresses > ADDRESSES_MAX {
            return complain(format!("--addr: at most {ADDRESSES_MAX}"));
        }
        let connections = match &self.target {
            Target::NativeStream(of) => of.streams(),
            Target::NativeUnary(_) | Target::Envoy(_) => 1,
            Target::Http(of) => of.load.in_flight as usize,
            Target::Redis(of) => of.load.in_flight as usize,
        };
        if connections > CONNECTIONS_MAX {
            return complain(format!(
                "--in-flight: this takes {connections} connections, and {CONNECTIONS_MAX} are the most"
            ));
        }
        Ok(self)
    }
}

// === impl Target ===

impl Target {
    pub(crate) fn load(&self) -> &Load {
        match self {
            Self::NativeStream(of) => &of.load,
            Self::NativeUnary(of) => &of.load,
            Self::Envoy(of) => &of.load,
            Self::Http(of) => &of.load,
            Self::Redis(of) => &of.load,
        }
    }
}

// === impl NativeStream ===

impl NativeStream {
    /// How many streams it takes, each a client with a connection and an epoch of its own.
    pub(crate) fn streams(&self) -> usize {
        let messages = STREAM_IDS_MAX / self.batch as usize;
        let messages = messages.clamp(1, STREAM_MESSAGES_MAX);
        (self.load.in_flight as usize).div_ceil(messages)
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "no number of seconds")?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    match duration <= RUN_MAX {
        true => Ok(duration),
        false => Err(format!("at most {} seconds", RUN_MAX.as_secs())),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .parse()
        .map_err(|_| "no number of decisions a second")?;
    match rate > 0.0 && rate <= RATE_MAX {
        true => Ok(rate),
        false => Err(format!("more than 0 and at most {RATE_MAX}")),
    }
}

fn parse_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("no URL: {error}"))?;
    let is_known = matches!(url.scheme_str(), Some("http" | "https"));
    match is_known && url.host().is_some_and(|host| !host.is_empty()) {
        true => Ok(url),
        false => Err("no http://HOST:PORT/PATH, and no https one".to_owned()),
    }
}

/// Whether a URL is one of TLS.
pub(crate) fn is_secured(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

fn parse_object(text: &str) -> Result<serde_json::Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ serde_json::Value::Object(_)) => Ok(object),
        Ok(_) => Err("no JSON object".to_owned()),
        Err(error) => Err(format!("no JSON: {error}")),
    }
}
