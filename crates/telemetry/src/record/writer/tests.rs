use std::sync::mpsc::Sender;

use super::*;
use crate::exposition::BuildInfo;
use crate::record::tests::record;

/// An output that says what it got, and waits for leave to take each piece.
struct Gated {
    leave: Receiver<io::Result<()>>,
    written: Sender<String>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.leave.recv().map_err(io::Error::other)??;
        let text = String::from_utf8(bytes.to_vec()).map_err(io::Error::other)?;
        self.written.send(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn exposition() -> Exposition {
    Exposition::new(&BuildInfo {
        version: "0".to_owned(),
        revision: "r".to_owned(),
    })
}

fn gated() -> (Gated, Sender<io::Result<()>>, Receiver<String>) {
    let (give, leave) = mpsc::channel();
    let (written, read) = mpsc::channel();
    (Gated { leave, written }, give, read)
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn closing_writes_everything_that_was_queued() {
    let (output, give, read) = gated();
    let writer = RecordWriter::start(output, 100, &exposition()).unwrap();
    for number in 0..100 {
        writer.records().write(record(number));
    }
    for _ in 0..100 {
        give.send(Ok(())).unwrap();
    }
    writer.close(LONG).unwrap();
    let text: String = read.try_iter().collect();
    let expected: String = (0..100).map(|number| record(number).to_line()).collect();
    assert_eq!(text, expected);
}

#[test]
fn a_blocked_output_blocks_nobody_and_losses_are_counted() {
    let exposition = exposition();
    let (output, give, read) = gated();
    let writer = RecordWriter::start(output, 4, &exposition).unwrap();
    for number in 0..1_000 {
        writer.records().write(record(number));
    }
    let dropped = |exposition: &Exposition| {
        let text = exposition.render();
        let line = text
            .lines()
            .find(|line| line.contains(r#"reason="queue_full"} "#))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    // The thread may have taken some from the queue of 4 before the output blocked it.
    let lost = dropped(&exposition);
    assert!((1..=996).contains(&lost), "{lost}");
    drop(give);
    let records = writer.records();
    writer.close(LONG).unwrap();
    assert_eq!(read.try_iter().count(), 0);
    records.write(record(1));
    let text = exposition.render();
    let failed = format!(
        r#"quotum_records_dropped_total{{reason="write_failed"}} {}"#,
        1_001 - lost
    );
    assert!(text.contains(&failed), "{failed} in {text}");
}

#[test]
fn an_output_that_fails_once_is_tried_again() {
    let (output, give, read) = gated();
    let writer = RecordWriter::start(output, 4, &exposition()).unwrap();
    give.send(Err(io::Error::other("disk full"))).unwrap();
    writer.records().write(record(1));
    give.send(Ok(())).unwrap();
    give.send(Ok(())).unwrap();
    // Whichever piece the first record was in, a record after it gets through.
    while read.try_recv().is_err() {
        writer.records().write(record(2));
        thread::yield_now();
    }
    drop(give);
    writer.close(LONG).unwrap();
}

#[test]
fn closing_gives_up_on_an_output_that_never_returns() {
    let (output, give, _read) = gated();
    let writer = RecordWriter::start(output, 4, &exposition()).unwrap();
    writer.records().write(record(1));
    assert_eq!(
        writer.close(Duration::from_millis(1)),
        Err(CloseError(Duration::from_millis(1)))
    );
    drop(give);
}
