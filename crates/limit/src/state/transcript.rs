//! Transcripts: commands and what they answer, in `testdata/*.txt`.
//!
//! A line starts with `>` (a command) and is followed by what it answered. `just bless` writes the
//! answers anew. Commands: `at TIME` (`HH:MM:SS.mmm` on Monday 2026-01-05), `open`,
//! `acquire E/S [acked=N] KEY WINDOW UNITS/MAX [rev=N] [shadow] [sliding] [, ...]`, `reserve` as `acquire`, `confirm E/S`, `refund E/S`,
//! `peek KEY WINDOW MAX [sliding]`, `cap N [TENANT]`, `snapshot` (encode, decode, go on).

use std::fmt::Write;
use std::path::Path;

use super::model::OPEN;
use super::*;
use crate::{Algorithm, Epoch, Key};

const MONDAY_MS: u64 = 1_767_571_200_000;

struct Stage {
    state: State,
    now: LogTime,
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "`just bless` says through it what is wanted"
)]
fn transcripts_hold() {
    let bless = std::env::var_os("QUOTUM_BLESS").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 8, "transcripts are there");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let played = play(&text);
        if bless {
            std::fs::write(&file, played).unwrap();
        } else {
            assert_eq!(text, played, "{}: `just bless` rewrites it", file.display());
        }
    }
}

fn play(text: &str) -> String {
    let mut stage = Stage {
        state: State::new(1),
        now: time("10:00:00"),
    };
    stage.state.caps = Caps {
        counters_max: 100,
        tenant_counters_max: 100,
    };
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix("> ") {
            Some(command) => writeln!(out, "{line}\n{}", stage.play(command)).unwrap(),
            None if line.is_empty() || line.starts_with('#') => writeln!(out, "{line}").unwrap(),
            None => {}
        }
    }
    out
}

// === impl Stage ===

impl Stage {
    fn play(&mut self, command: &str) -> String {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "at" => {
                self.now = time(rest);
                "ok".to_owned()
            }
            "cap" => {
                let (all, tenant) = rest.split_once(' ').unwrap_or((rest, "100"));
                self.state.caps = Caps {
                    counters_max: all.parse().unwrap(),
                    tenant_counters_max: tenant.parse().unwrap(),
                };
                "ok".to_owned()
            }
            "snapshot" => {
                let digest = self.state.digest();
                self.state = State::decode(&self.state.encode(), 2).unwrap();
                assert_eq!(self.state.digest(), digest);
                format!(
                    "live {} held {}",
                    self.state.counters_live(),
                    self.state.requests_held()
                )
            }
            "open" => self.apply(&OPEN),
            "refund" => self.apply(&Command::Refund { id: id(rest) }),
            "peek" => {
                let mut words = rest.split(' ');
                let (key, window) = (words.next().unwrap(), words.next().unwrap());
                let text = format!("{key} {window} 0/{}", words.collect::<Vec<_>>().join(" "));
                self.apply(&Command::Peek {
                    items: [item(&text)].into_iter().collect(),
                })
            }
            "confirm" => self.apply(&Command::Confirm { id: id(rest) }),
            "acquire" | "reserve" => {
                let (name, mut rest) = rest.split_once(' ').unwrap();
                let mut acked_seq = 0;
                if let Some(acked) = rest.strip_prefix("acked=") {
                    let (number, items) = acked.split_once(' ').unwrap();
                    (acked_seq, rest) = (number.parse().unwrap(), items);
                }
                let items = rest.split(", ").map(item).collect();
                let id = id(name);
                self.apply(&match verb {
                    "reserve" => Command::Reserve {
                        id,
                        acked_seq,
                        items,
                    },
                    _ => Command::Acquire {
                        id,
                        acked_seq,
                        items,
                    },
                })
            }
            other => panic!("unknown command {other}"),
        }
    }

    fn apply(&mut self, command: &Command) -> String {
        show(&self.state.apply(self.now, command))
    }
}

fn time(text: &str) -> LogTime {
    let (seconds, ms) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<u64> = seconds
        .split(':')
        .map(|part| part.parse().unwrap())
        .collect();
    let seconds = parts.iter().fold(0, |sum, part| sum * 60 + part);
    LogTime::from_ms(MONDAY_MS + seconds * 1_000 + ms.parse::<u64>().unwrap())
}

fn id(text: &str) -> RequestId {
    let (epoch, seq) = text.split_once('/').unwrap();
    RequestId {
        epoch: Epoch(epoch.parse().unwrap()),
        seq: seq.parse().unwrap(),
    }
}

fn item(text: &str) -> Item {
    let words: Vec<&str> = text.split(' ').collect();
    let (units, max) = words[2].split_once('/').unwrap();
    let revision = words
        .iter()
        .find_map(|word| word.strip_prefix("rev="))
        .unwrap_or("1");
    Item {
        key: Key::new(words[0].as_bytes()).unwrap(),
        max: max.parse().unwrap(),
        revision: revision.parse().unwrap(),
        window: words[1].parse().unwrap(),
        algorithm: match words.contains(&"sliding") {
            true => Algorithm::Sliding,
            false => Algorithm::Fixed,
        },
        units: units.parse().unwrap(),
        shadow: words.contains(&"shadow"),
    }
}

fn show(outcome: &Outcome) -> String {
    let states = |items: &ItemStates| {
        let one = |s: &ItemState| {
            let fits = if s.fits { "" } else { "!" };
            format!("{fits}{}/{} reset {}", s.remaining, s.max, s.reset_after_ms)
        };
        items.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match outcome {
        Outcome::Opened { epoch } => format!("opened {}", epoch.0),
        Outcome::Admitted {
            valid_for_ms,
            items,
        } => {
            format!("admitted for {valid_for_ms}: {}", states(items))
        }
        Outcome::Denied {
            binding,
            retry_after_ms,
            items,
        } => {
            let retry = retry_after_ms.map_or("never".to_owned(), |ms| ms.to_string());
            format!("denied by {binding} retry {retry}: {}", states(items))
        }
        Outcome::Reserved { hold_for_ms, items } => {
            format!("reserved for {hold_for_ms}: {}", states(items))
        }
        Outcome::Contended {
            binding,
            retry_after_ms,
            items,
        } => format!(
            "contended by {binding} retry {retry_after_ms}: {}",
            states(items)
        ),
        Outcome::Refunded { units } => format!("refunded {units}"),
        Outcome::Peeked { items } => states(items),
        other => format!("{other:?}").to_lowercase(),
    }
}
