//! A cluster of `quotum dev`, its processes, and plain HTTP to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Unoptimized, on a busy machine.
const READY_MAX: Duration = Duration::from_secs(45);
const END_MAX: Duration = Duration::from_secs(15);
const EXCHANGE_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running cluster; killed when this is dropped.
pub(crate) struct Dev {
    process: Child,
    data: PathBuf,
    pub(crate) ready: Value,
}

// === impl Dev ===

impl Dev {
    pub(crate) fn start(data: &Path, options: &[&str]) -> Self {
        let mut process = command(data, options).spawn().unwrap();
        let stdout = process.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut dev = Self {
            process,
            data: data.to_owned(),
            ready: Value::Null,
        };
        let line = lines
            .recv_timeout(READY_MAX)
            .expect("a line when all is ready");
        dev.ready = serde_json::from_str(&line).unwrap();
        dev
    }

    /// Starts one that is expected to fail.
    pub(crate) fn fail(data: &Path, options: &[&str]) -> Output {
        command(data, options).output().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(u64::from(self.process.id()), signal);
    }

    /// Waits for its end, and for that of all its processes.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        until("dev to end", END_MAX, || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        let pids = self.pids();
        until("the processes of dev to end", END_MAX, || {
            !pids.iter().any(|pid| is_running(*pid))
        });
        status.and_then(|status| status.code())
    }

    /// The processes that it has started.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let all = ["gateways", "counters"].map(|kind| self.ready[kind].as_array().unwrap().clone());
        all.iter()
            .flatten()
            .map(|one| one["pid"].as_u64().unwrap())
            .collect()
    }

    pub(crate) fn gateway(&self, number: usize) -> &str {
        self.ready["gateways"][number]["url"].as_str().unwrap()
    }

    /// The decisions that a gateway has recorded.
    pub(crate) fn records(&self, gateway: u8) -> Vec<Value> {
        let name = format!("logs/gateway-{gateway}.decisions.jsonl");
        let lines = std::fs::read_to_string(self.data.join(name)).unwrap_or_default();
        // The last line may be on its way.
        let whole = lines
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn token(&self, grant: usize) -> &str {
        self.ready["grants"][grant]["token"].as_str().unwrap()
    }

    /// How often the demo server ran a tool.
    pub(crate) fn executions(&self, tool: &str) -> u64 {
        let origin = self.ready["upstream"]
            .as_str()
            .unwrap()
            .strip_suffix("/mcp")
            .unwrap();
        let counts = exchange("GET", &format!("{origin}/executions"), "", "");
        counts.body[tool].as_u64().unwrap_or(0)
    }

    /// Runs an operator's command, and gives its JSON.
    pub(crate) fn operate(&self, line: &str) -> Value {
        let output = self.try_operate(line);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {err}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn try_operate(&self, line: &str) -> Output {
        let counters = self.ready["counters"].as_array().unwrap();
        let addresses: Vec<&str> = counters
            .iter()
            .map(|counter| counter["grpc"].as_str().unwrap())
            .collect();
        Command::new(env!("CARGO_BIN_EXE_quotum"))
            .args(line.split(' '))
            .args(["--output", "json"])
            .env("QUOTUM_ADDRESS", addresses.join(","))
            .env(
                "QUOTUM_ADMIN_TOKEN",
                self.ready["admin_token"].as_str().unwrap(),
            )
            .current_dir(self.data.parent().unwrap())
            .output()
            .unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already; its processes follow it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            for log in std::fs::read_dir(self.data.join("logs"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let text = std::fs::read_to_string(log.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = &lines[lines.len().saturating_sub(10)..];
                let _ = writeln!(
                    std::io::stderr(),
                    "--- {:?}\n{}",
                    log.path(),
                    tail.join("\n")
                );
            }
        }
    }
}

fn command(data: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotum"));
    command
        .args(["dev", "--output", "json", "--data"])
        .arg(data)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a `tools/call` was answered with.
pub(crate) fn call(url: &str, token: &str, tool: &str, arguments: Value) -> Value {
    let (status, answer) = post(url, token, tool, arguments);
    assert_eq!(status, 200, "{answer}");
    answer["result"].clone()
}

/// The status and the message.
pub(crate) fn post(url: &str, token: &str, tool: &str, arguments: Value) -> (u16, Value) {
    let params = json!({ "name": tool, "arguments": arguments });
    message(url, token, "tools/call", params)
}

pub(crate) fn message(url: &str, token: &str, method: &str, params: Value) -> (u16, Value) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = send_message(url, token, &body);
    (answer.status, answer.body)
}

/// Sends a JSON-RPC message.
pub(crate) fn send_message(url: &str, token: &str, message: &Value) -> Answer {
    let headers = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n"
    );
    exchange("POST", url, &headers, &message.to_string())
}

/// What a gateway or the demo server has answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(named, _)| named.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

fn exchange(method: &str, url: &str, headers: &str, body: &str) -> Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(EXCHANGE_MAX)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    // Whole, or in chunks of which one has it all.
    let json = body
        .find('{')
        .map(|start| &body[start..=body.rfind('}').unwrap()]);
    let body = json.map_or(Value::Null, |json| serde_json::from_str(json).unwrap());
    Answer {
        status,
        head: head.to_owned(),
        body,
    }
}

pub(crate) fn send(pid: u64, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Whether a process is there and does more than wait to be reaped.
pub(crate) fn is_running(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, state)| !state.starts_with('Z'))
    })
}

/// Polls until it is so.
pub(crate) fn until(what: &str, time_max: Duration, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < time_max, "waited {time_max:?} for {what}");
        thread::park_timeout(LOOK_EVERY);
    }
}
