//! However a stream arrives in pieces: the same data, and every byte once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_gateway::sse::Splitter;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (stream, cuts) = input;
    let read = |pieces: &[&[u8]]| {
        let mut splitter = Splitter::new();
        let (mut data, mut raw) = (Vec::new(), Vec::new());
        for piece in pieces {
            splitter.push(piece);
            while let Some(event) = splitter.next_event().expect("small events") {
                raw.extend_from_slice(event.raw());
                data.extend(event.data().map(|data| data.into_owned()));
            }
        }
        (data, raw)
    };
    let mut pieces = Vec::new();
    let mut rest = &stream[..];
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    let (whole, cut) = (read(&[&stream]), read(&pieces));
    assert_eq!(whole.0, cut.0);
    let body = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&stream);
    assert!(body.starts_with(&whole.1) && body.starts_with(&cut.1));
});
