//! Writes seeds for the fuzz targets: `cargo run -p quotum-limit --example corpus`.

use std::path::Path;

use quotum_limit::{
    Algorithm, Batch, Caller, Caps, Command, Epoch, Item, Key, LogTime, RequestId, Stamp, State,
    Window,
};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let item = |key: &[u8], window, units, shadow| Item {
        key: Key::new(key).expect("a short key"),
        max: 5,
        revision: 2,
        window,
        algorithm: Algorithm::Fixed,
        units,
        shadow,
    };
    let id = |seq| RequestId {
        epoch: Epoch(1),
        seq,
    };
    let minute = item(b"minute", Window::Minute, 2, false);
    let other = item(b"other", Window::Duration { ms: 90_000 }, 1, true);
    let sliding = Item {
        algorithm: Algorithm::Sliding,
        ..item(b"sliding", Window::Minute, 1, false)
    };
    let acquire = |seq, items: &[Item]| Command::Acquire {
        id: id(seq),
        acked_seq: 0,
        items: items.iter().cloned().collect(),
    };
    let commands = [
        Command::Open { caller: Caller(1) },
        acquire(1, &[minute.clone(), other.clone()]),
        acquire(2, std::slice::from_ref(&minute)),
        acquire(3, &[minute.clone(), minute.clone()]),
        acquire(2, std::slice::from_ref(&minute)),
        Command::Refund { id: id(1) },
        Command::Refund { id: id(9) },
        Command::Peek {
            items: [other].into_iter().collect(),
        },
        acquire(4, std::slice::from_ref(&sliding)),
        Command::Reserve {
            id: id(5),
            acked_seq: 3,
            items: [sliding, minute.clone()].into_iter().collect(),
        },
        Command::Confirm { id: id(5) },
        Command::Reserve {
            id: id(6),
            acked_seq: 5,
            items: [minute.clone()].into_iter().collect(),
        },
        acquire(7, std::slice::from_ref(&minute)),
    ];
    let stamp = Stamp {
        log: LogTime::from_ms(1_767_610_800_000),
        reference_ms: 5,
    };
    let mut state = State::new(1);
    std::fs::create_dir_all(corpus.join("batch"))?;
    std::fs::create_dir_all(corpus.join("snapshot"))?;
    for count in 1..=commands.len() {
        let commands = commands[..count].to_vec();
        let batch = Batch {
            stamp,
            caps: Caps {
                counters_max: 3,
                tenant_counters_max: 3,
            },
            commands,
        };
        std::fs::write(corpus.join(format!("batch/{count}")), batch.encode())?;
        state.apply_batch(&batch);
        std::fs::write(corpus.join(format!("snapshot/{count}")), state.encode())?;
    }
    Ok(())
}
