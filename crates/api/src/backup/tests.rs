use super::*;
use crate::cluster::{BackupEnd, BackupGroup};

fn chunk(part: Part) -> BackupChunk {
    BackupChunk { part: Some(part) }
}

/// A sound backup of two groups.
fn sound() -> Vec<BackupChunk> {
    let head = BackupHead {
        groups: 2,
        ..BackupHead::default()
    };
    let group = |shard| {
        chunk(Part::Group(BackupGroup {
            shard,
            ..BackupGroup::default()
        }))
    };
    let piece = |text: &'static str| chunk(Part::Piece(Bytes::from_static(text.as_bytes())));
    let mut chunks = vec![
        chunk(Part::Head(head)),
        group(0),
        piece("some counters"),
        piece("and more"),
        group(u32::MAX),
        piece("the registry"),
    ];
    let mut check = Check::default();
    chunks.iter().for_each(|chunk| check.take(chunk).unwrap());
    let crc32 = check.sum();
    chunks.push(chunk(Part::End(BackupEnd { crc32 })));
    chunks
}

fn check(chunks: &[BackupChunk]) -> Result<BackupHead, Unsound> {
    let mut check = Check::default();
    for chunk in chunks {
        check.take(chunk)?;
    }
    check.end()
}

fn file(chunks: &[BackupChunk]) -> Vec<u8> {
    chunks.iter().flat_map(frame).collect()
}

fn parse(bytes: &[u8]) -> Result<BackupHead, String> {
    let mut input = bytes;
    let mut check = Check::default();
    while let Some(chunk) = read(&mut input).map_err(|error| error.to_string())? {
        check.take(&chunk).map_err(|error| error.to_string())?;
    }
    check.end().map_err(|error| error.to_string())
}

fn chunks(mut input: &[u8]) -> Vec<BackupChunk> {
    std::iter::from_fn(|| read(&mut input).unwrap()).collect()
}

#[test]
fn a_sound_backup_passes_and_survives_a_file() {
    assert_eq!(check(&sound()).unwrap().groups, 2);
    assert_eq!(parse(&file(&sound())).unwrap().groups, 2);
}

#[test]
fn one_that_ends_anywhere_before_its_end_does_not() {
    let chunks = sound();
    for length in 0..chunks.len() {
        assert_eq!(check(&chunks[..length]), Err(Unsound::Short), "{length}");
    }
    let bytes = file(&chunks);
    for length in 0..bytes.len() {
        assert!(parse(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn parts_that_are_missing_or_out_of_order_do_not_pass() {
    let chunks = sound();
    for gone in 0..chunks.len() {
        let mut without = chunks.clone();
        without.remove(gone);
        assert!(check(&without).is_err(), "without {gone}");
    }
    let mut longer = chunks.clone();
    longer.push(chunks[1].clone());
    assert_eq!(check(&longer), Err(Unsound::Order));
}

#[test]
fn no_flipped_bit_passes_as_something_else() {
    let bytes = file(&sound());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A number may have bits that say nothing.
        assert!(
            parse(&flipped).is_err() || chunks(&flipped) == sound(),
            "bit {bit}"
        );
    }
}
