use super::*;

fn grant(name: &str) -> GrantId {
    GrantId::new(name).expect("an id")
}

fn piece(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

/// A part of `room` that is as large as `bytes`.
fn taken(room: &Room, name: &str, bytes: usize) -> Result<Taken, NoRoom> {
    let mut taken = room.take(&grant(name));
    taken.resize(bytes)?;
    Ok(taken)
}

#[test]
fn a_grant_gets_its_share_and_all_get_what_there_is() {
    let room = Room::new(100);
    let one = taken(&room, "a", 50).unwrap();
    assert!(taken(&room, "a", 1).is_err(), "its share is full");
    let other = taken(&room, "b", 30).unwrap();
    assert!(taken(&room, "c", 21).is_err(), "there are 20 left");
    assert_eq!(room.held_bytes(), 80);
    drop(one);
    drop(taken(&room, "a", 50).unwrap());
    drop(other);
    assert_eq!(room.held_bytes(), 0);
    assert!(room.held().grants.is_empty(), "nothing is remembered");
}

#[test]
fn a_part_that_cannot_grow_stays_as_it_was() {
    let room = Room::new(100);
    let mut part = taken(&room, "a", 40).unwrap();
    assert_eq!(part.resize(51), Err(NoRoom));
    assert_eq!(room.held_bytes(), 40);
    part.resize(10).unwrap();
    assert_eq!(room.held_bytes(), 10);
    let rest = part.split(4);
    assert_eq!((part.bytes, rest.bytes, room.held_bytes()), (4, 6, 10));
    drop(part);
    assert_eq!(room.held_bytes(), 6);
    drop(rest);
    assert_eq!(room.held_bytes(), 0);
}

#[test]
fn a_body_holds_its_room_until_its_last_reader_lets_it_go() {
    let room = Room::new(100);
    let mut gathered = Gathered::new(room.take(&grant("a")), 0).unwrap();
    for bytes in [10, 20, 15] {
        gathered.push(piece(bytes)).unwrap();
    }
    assert_eq!(gathered.push(piece(6)), Err(NoRoom));
    assert_eq!((gathered.bytes_held(), room.held_bytes()), (45, 45));
    let bytes = gathered.finish().into_bytes();
    assert_eq!(bytes, piece(45));
    let part = bytes.slice(40..);
    drop(bytes);
    assert_eq!(room.held_bytes(), 45, "a part of it is still read");
    drop(part);
    assert_eq!(room.held_bytes(), 0);
}

#[test]
fn what_is_written_in_place_of_a_body_takes_no_more_than_it_did() {
    let room = Room::new(100);
    let whole = || {
        let mut gathered = Gathered::new(room.take(&grant("a")), 0).unwrap();
        gathered.push(piece(40)).unwrap();
        gathered.finish()
    };
    let shorter = whole().replaced("short".to_owned());
    assert_eq!((&shorter[..], room.held_bytes()), (&b"short"[..], 5));
    drop(shorter);
    let longer = whole().replaced("y".repeat(41));
    assert_eq!((longer.len(), room.held_bytes()), (41, 40));
    drop(longer);
    assert_eq!(room.held_bytes(), 0);
}

#[test]
fn what_is_there_is_held_or_let_go() {
    let room = Room::new(100);
    let held = room.hold(&grant("a"), piece(50)).unwrap();
    assert_eq!(room.hold(&grant("a"), piece(1)), Err(NoRoom));
    assert_eq!((held.len(), room.held_bytes()), (50, 50));
    drop(held);
    assert_eq!(room.held_bytes(), 0);
}

#[test]
fn a_body_whose_length_is_known_has_all_its_room_before_it_comes() {
    let room = Room::new(100);
    let mut gathered = Gathered::new(room.take(&grant("a")), 45).unwrap();
    assert_eq!((gathered.bytes_held(), room.held_bytes()), (0, 45));
    assert!(Gathered::new(room.take(&grant("a")), 6).is_err());
    gathered.push(piece(45)).unwrap();
    assert_eq!(room.held_bytes(), 45);
    drop(gathered);
    assert_eq!(room.held_bytes(), 0);
}
