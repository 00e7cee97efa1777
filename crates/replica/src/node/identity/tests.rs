use super::*;

fn identity() -> Identity {
    Identity {
        node: 0x000a_bcde_f012_3456,
        incarnation: 17,
        shards: 2,
        cluster: Some([0xc5; 16]),
        founder: true,
    }
}

#[test]
fn what_was_written_is_read() {
    let plain = Identity {
        cluster: None,
        founder: false,
        ..identity()
    };
    for identity in [identity(), plain] {
        let text = identity.encode();
        assert_eq!(Identity::decode(text.as_bytes(), "f").unwrap(), identity);
    }
}

#[test]
fn a_file_without_a_checksum_is_one_of_before() {
    let text = "node = 3\nincarnation = 4\nshards = 1\n";
    let identity = Identity::decode(text.as_bytes(), "f").unwrap();
    assert_eq!((identity.node, identity.incarnation), (3, 4));
}

#[test]
fn rot_of_any_bit_is_refused_with_the_file_named() {
    let sound = identity().encode().into_bytes();
    for bit in 0..8 * sound.len() {
        let mut rotten = sound.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        let refused = Identity::decode(&rotten, "/data/identity").unwrap_err();
        let text = refused.to_string();
        assert!(text.starts_with("/data/identity: "), "bit {bit}: {text}");
    }
}

#[test]
fn a_file_that_was_cut_is_refused_or_one_of_before() {
    let sound = identity().encode();
    for bytes in 0..sound.len() {
        let Ok(read) = Identity::decode(&sound.as_bytes()[..bytes], "f") else {
            continue;
        };
        // Nothing but the checksum is missing, or whole lines: they are written in one piece.
        assert_eq!(
            (read.node, read.shards),
            (identity().node, identity().shards)
        );
        assert!(sound.as_bytes()[bytes - 1] == b'\n' || sound[bytes..].starts_with('\n'));
    }
}
