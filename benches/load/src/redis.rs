//! `redis`: decisions by servers that speak Redis' protocol, to measure them beside counter nodes.
//! A request is a pipeline of commands on one of as many connections as requests may be in flight.
//!
//! `incr` counts fixed windows as clients of Redis do: INCR, and EXPIRE when a count begins.
//! `throttle` is the command of redis-cell and throttlecrab.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::arguments::{Redis, RedisCommand};
use crate::failure::{Failure, shortened};
use crate::keys::{self, DIGITS, Keys};
use crate::limits::{CONNECT_TIMEOUT, REPLY_BYTES_MAX, REPLY_ELEMENTS_MAX};
use crate::pool::{Ask, Pool};
use crate::tally::Counted;

#[cfg(test)]
mod tests;

/// Connections with one pipeline on each.
pub(crate) type Link = Pool<Connection>;

/// A connection and what it asks.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    stream: TcpStream,
    script: Script,
    out: Vec<u8>,
    buffer: BytesMut,
}

/// What one connection asks, and how it reads the answers. Without IO.
#[derive(Debug)]
struct Script {
    command: RedisCommand,
    batch: u32,
    max: u64,
    window_s: u64,
    keys: Keys,
    /// The keys of the pipeline on its way.
    asked: Vec<[u8; DIGITS]>,
    /// Keys whose count began: their expiry goes out with the next pipeline.
    begun: Vec<[u8; DIGITS]>,
    /// Answers to expiries that come before those to `asked`.
    expiries: usize,
}

/// One answer, as much of it as is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Number(i64),
    /// The first number of an array.
    First(i64),
    Error(String),
}

/// Opens as many connections as pipelines may be in flight, to the addresses in turn.
pub(crate) async fn open(redis: &Redis) -> Result<Link, Failure> {
    let mut connections = Vec::new();
    let count = redis.load.in_flight as usize;
    for (seed, address) in redis.addresses.iter().cycle().take(count).enumerate() {
        let script = Script::new(redis, seed as u64);
        connections.push(Connection::open(address, script).await?);
    }
    Pool::new(connections)
}

// === impl Connection ===

impl Connection {
    async fn open(address: &str, script: Script) -> Result<Self, Failure> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| Failure::Connect {
                address: address.to_owned(),
                source: source.into(),
            })?;
        Ok(Self {
            address: address.to_owned(),
            stream,
            script,
            out: Vec::new(),
            buffer: BytesMut::new(),
        })
    }

    async fn exchange(&mut self) -> io::Result<Counted> {
        self.out.clear();
        let answers = self.script.ask(&mut self.out);
        self.stream.write_all(&self.out).await?;
        let mut counted = Counted::default();
        for at in 0..answers {
            let answer = loop {
                if let Some(answer) = read(&mut self.buffer)? {
                    break answer;
                }
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            };
            self.script.count(at, answer, &mut counted);
        }
        Ok(counted)
    }
}

impl Ask for Connection {
    /// Sends one pipeline and reads its answers. A connection that breaks ends the run.
    async fn ask(mut self) -> Result<(Self, Counted), Failure> {
        match self.exchange().await {
            Ok(counted) => Ok((self, counted)),
            Err(source) => Err(Failure::Connection {
                address: self.address,
                source,
            }),
        }
    }
}

// === impl Script ===

impl Script {
    fn new(redis: &Redis, seed: u64) -> Self {
        Self {
            command: redis.command,
            batch: redis.batch,
            max: redis.max,
            window_s: redis.window_s,
            keys: Keys::new(redis.keys, seed),
            asked: Vec::new(),
            begun: Vec::new(),
            expiries: 0,
        }
    }

    /// Writes the next pipeline, and says how many answers it has.
    fn ask(&mut self, out: &mut Vec<u8>) -> usize {
        self.expiries = self.begun.len();
        let window_s = self.window_s.to_string();
        for key in self.begun.drain(..) {
            let key = name(key);
            put_command(&[b"EXPIRE", &key, window_s.as_bytes(), b"NX"], out);
        }
        self.asked.clear();
        let max = self.max.to_string();
        for _ in 0..self.batch {
            let digits = self.keys.draw();
            let key = name(digits);
            match self.command {
                RedisCommand::Incr => put_command(&[b"INCR", &key], out),
                RedisCommand::Throttle => {
                    let (max, window_s) = (max.as_bytes(), window_s.as_bytes());
                    put_command(&[b"THROTTLE", &key, max, max, window_s], out);
                }
            }
            self.asked.push(digits);
        }
        self.expiries + self.asked.len()
    }

    /// Counts the answer at a place of the pipeline.
    fn count(&mut self, at: usize, answer: Answer, counted: &mut Counted) {
        let Some(asked) = at.checked_sub(self.expiries) else {
            if let Answer::Error(text) = answer {
                counted.errors += 1;
                counted.complaint = Some(text);
            }
            return;
        };
        let admitted = match (self.command, answer) {
            (RedisCommand::Incr, Answer::Number(count)) => {
                if count == 1 {
                    self.begun.push(self.asked[asked]);
                }
                u64::try_from(count).is_ok_and(|count| count <= self.max)
            }
            (RedisCommand::Throttle, Answer::First(limited @ (0 | 1))) => limited == 0,
            (_, answer) => {
                counted.errors += 1;
                counted.complaint = Some(match answer {
                    Answer::Error(text) => text,
                    other => format!("no answer to this command: {other:?}"),
                });
                return;
            }
        };
        match admitted {
            true => counted.admitted += 1,
            false => counted.denied += 1,
        }
    }
}

fn name(digits: [u8; DIGITS]) -> Vec<u8> {
    [keys::PREFIX, &digits].concat()
}

fn put_command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Takes one answer off the front of `buffer`, if it is all there.
fn read(buffer: &mut BytesMut) -> io::Result<Option<Answer>> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut rest = &buffer[..];
    let Some((kind, line)) = take_line(&mut rest)? else {
        return Ok(None);
    };
    let answer = match kind {
        b':' => Answer::Number(number(line)?),
        b'-' => Answer::Error(shortened(&String::from_utf8_lossy(line))),
        b'*' => {
            let count = number(line)?;
            if !(1..=REPLY_ELEMENTS_MAX).contains(&count) {
                return Err(malformed("an array of an unexpected length"));
            }
            let mut first = None;
            for _ in 0..count {
                let Some((kind, line)) = take_line(&mut rest)? else {
                    return Ok(None);
                };
                if kind != b':' {
                    return Err(malformed("an array of something else than numbers"));
                }
                let number = number(line)?;
                first.get_or_insert(number);
            }
            Answer::First(first.expect("an array of at least one"))
        }
        _ => return Err(malformed("an answer of an unexpected kind")),
    };
    let taken = buffer.len() - rest.len();
    buffer.advance(taken);
    Ok(Some(answer))
}

/// Takes one line: its first byte, and what follows up to its end.
fn take_line<'a>(rest: &mut &'a [u8]) -> io::Result<Option<(u8, &'a [u8])>> {
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return match rest.len() > REPLY_BYTES_MAX {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a line that does not end",
            )),
            false => Ok(None),
        };
    };
    let (line, after) = (&rest[..end], &rest[end + 2..]);
    let Some((kind, line)) = line.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an empty line"));
    };
    *rest = after;
    Ok(Some((*kind, line)))
}

fn number(line: &[u8]) -> io::Result<i64> {
    let number = std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no number"))
}
