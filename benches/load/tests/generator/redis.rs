//! A server that speaks as much of Redis' protocol as is needed to count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::program::{load, unused_address};

const SHORT: &str = "--warmup-secs 0 --output json";

/// What was asked.
#[derive(Debug, Default)]
struct Shared {
    counts: BTreeMap<String, u64>,
    expiries: BTreeMap<String, u64>,
    /// Decided commands before the connections break.
    left: Option<u64>,
}

async fn start(left: Option<u64>) -> (String, Arc<Mutex<Shared>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let shared = Arc::new(Mutex::new(Shared {
        left,
        ..Shared::default()
    }));
    let serving = shared.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, serving.clone()));
        }
    });
    (address, shared)
}

async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let words = read_command(&mut stream).await?;
        let answer = shared.lock().unwrap().answer(&words)?;
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn read_command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..read_size(stream, "*").await? {
        let mut word = vec![0; read_size(stream, "$").await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8(word).ok()?.trim_end().to_owned());
    }
    Some(words)
}

async fn read_size(stream: &mut BufReader<TcpStream>, kind: &str) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}

impl Shared {
    fn answer(&mut self, words: &[String]) -> Option<String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["INCR", key] => {
                if let Some(left) = &mut self.left {
                    *left = left.checked_sub(1)?;
                }
                let count = self.counts.entry(key.to_owned()).or_default();
                *count += 1;
                Some(format!(":{count}\r\n"))
            }
            ["EXPIRE", key, "60", "NX"] => {
                *self.expiries.entry(key.to_owned()).or_default() += 1;
                Some(":1\r\n".to_owned())
            }
            _ => Some("-ERR unknown command\r\n".to_owned()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_of_counts_are_counted() {
    let (address, shared) = start(None).await;
    let run = load(&format!(
        "redis --addr {address} --in-flight 4 --batch 8 --secs 1 --keys 3 --max 5 --window 60 {SHORT}"
    ))
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.count("admitted"), 3 * 5);
    let shared = shared.lock().unwrap();
    let counted: u64 = shared.counts.values().sum();
    assert_eq!(run.count("admitted") + run.count("denied"), counted);
    assert_eq!(
        shared.expiries.values().copied().collect::<Vec<_>>(),
        [1, 1, 1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_server_does_not_know_is_an_error() {
    let (address, _shared) = start(None).await;
    let run = load(&format!(
        "redis --addr {address} --command throttle --in-flight 1 --secs 0.2 --keys 3 {SHORT}"
    ))
    .await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.complaints.contains("unknown command"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_an_error() {
    let (address, _shared) = start(Some(100)).await;
    let dead = unused_address().await;
    for (address, place) in [(&address, "broke"), (&dead, "cannot connect")] {
        let line =
            format!("redis --addr {address} --in-flight 2 --secs 0.5 --keys 3 --window 60 {SHORT}");
        let run = load(&line).await;
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.complaints.contains(place), "{run:?}");
    }
}
