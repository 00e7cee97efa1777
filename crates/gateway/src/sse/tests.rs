use proptest::prelude::*;

use super::*;

fn events(pieces: &[&[u8]]) -> Vec<Event> {
    let mut splitter = Splitter::new();
    let mut events = Vec::new();
    for piece in pieces {
        splitter.push(piece);
        while let Some(event) = splitter.next_event().expect("small events") {
            events.push(event);
        }
    }
    events
}

/// What a reader sees: data of the events that have any.
fn data(events: &[Event]) -> Vec<Vec<u8>> {
    events
        .iter()
        .filter_map(Event::data)
        .map(Cow::into_owned)
        .collect()
}

fn raw(events: &[Event]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|event| event.raw().to_vec())
        .collect()
}

#[test]
fn lines_may_end_in_any_of_the_three_ways() {
    for stream in [
        "data: a\n\ndata: b\n\n",
        "data: a\r\rdata: b\r\r",
        "data: a\r\n\r\ndata: b\r\n\r\n",
    ] {
        let events = events(&[stream.as_bytes()]);
        assert_eq!(data(&events), [b"a", b"b"], "{stream:?}");
        assert_eq!(raw(&events), stream.as_bytes());
    }
}

#[test]
fn an_event_is_given_out_without_waiting_for_what_follows() {
    for stream in [
        "data: a\n\n",
        "data: a\r\r",
        "data: a\r\n\r",
        "data: a\r\n\r\n",
    ] {
        assert_eq!(data(&events(&[stream.as_bytes()])), [b"a"], "{stream:?}");
    }
}

#[test]
fn data_lines_are_joined_and_one_space_is_dropped() {
    let all = events(&[b"data:{\ndata: \"a\":\ndata\ndata:  1}\n\n"]);
    assert_eq!(data(&all), [b"{\n\"a\":\n\n 1}"]);
}

#[test]
fn an_event_may_have_no_data_or_empty_data() {
    let all = events(&[b": ping\n\nid: 7\ndata:\n\nid: 8\n\n\n"]);
    let seen: Vec<Option<Vec<u8>>> = all
        .iter()
        .map(|event| event.data().map(Cow::into_owned))
        .collect();
    assert_eq!(seen, [None, Some(vec![]), None, None]);
}

#[test]
fn a_byte_order_mark_counts_at_the_start_only() {
    let all = events(&[b"\xef\xbb", b"\xbfdata: a\n\n", b"\xef\xbb\xbfdata: b\n\n"]);
    assert_eq!(data(&all), [b"a"]);
    assert!(!all[0].has_unknown_lines() && all[1].has_unknown_lines());
}

#[test]
fn only_messages_are_messages() {
    let all = events(&[
        b"data: a\n\n",
        b"event: message\ndata: a\n\n",
        b"event:\ndata: a\n\n",
        b"event: endpoint\ndata: /x\n\n",
        b"event: message\nevent: endpoint\ndata: /x\n\n",
    ]);
    let seen: Vec<bool> = all.iter().map(Event::is_message).collect();
    assert_eq!(seen, [true, true, true, false, false]);
}

#[test]
fn other_data_leaves_id_retry_and_comments_alone() {
    let all = events(&[
        b": c\r\nid:7\r\nevent: message\r\nretry: 5\r\nx: y\r\ndata: {\r\ndata: }\r\n\r\n",
    ]);
    let rewritten = all[0].with_data(Some(b"[]"));
    assert_eq!(
        rewritten,
        &b": c\nid:7\nevent: message\nretry: 5\ndata: []\n\n"[..]
    );
    assert_eq!(all[0].with_data(None), &b": c\nid:7\nretry: 5\n\n"[..]);
    let two_lines = all[0].with_data(Some(b"{\n}"));
    assert_eq!(data(&events(&[&two_lines])), [b"{\n}"]);
}

#[test]
fn another_id_takes_the_place_of_all_that_were_there() {
    let all = events(&[b": c\r\nid:7\r\nid: 8\r\nid: \0\r\nretry: 5\r\nx: y\r\ndata: a\r\n\r\n"]);
    assert_eq!(all[0].id(), Some(&b"8"[..]));
    let (named, unnamed) = (all[0].with_id(Some("z")), all[0].with_id(None));
    let rest = ": c\nretry: 5\nx: y\ndata: a\n\n";
    assert_eq!(*named.raw(), format!("id: z\n{rest}"));
    assert_eq!(*unnamed.raw(), *rest);
    assert_eq!((named.id(), unnamed.id()), (Some(&b"z"[..]), None));
    assert_eq!(data(&[named]), [b"a"]);
    let ids = events(&[b"id\n\ndata: a\n\n"]);
    assert_eq!((ids[0].id(), ids[1].id()), (Some(&b""[..]), None));
}

#[test]
fn an_event_beyond_the_bound_is_refused_before_it_is_complete() {
    let mut splitter = Splitter::with_bound(16);
    splitter.push(b"data: 0123\n\n");
    assert!(matches!(splitter.next_event(), Ok(Some(_))));
    splitter.push(b"data: 0123456789");
    assert_eq!(splitter.next_event(), Ok(None));
    splitter.push(b"a");
    assert_eq!(splitter.next_event(), Err(EventTooLarge));
}

#[test]
fn what_is_incomplete_at_the_end_is_no_event() {
    assert_eq!(data(&events(&[b"data: a\n\ndata: b\n"])), [b"a"]);
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(b"data: {\"a\":1}".to_vec()),
        Just(b"data:".to_vec()),
        Just(b"data".to_vec()),
        Just(b"id: 1".to_vec()),
        Just(b"event: message".to_vec()),
        Just(b": comment".to_vec()),
        Just(b"\xef\xbb\xbfdata: x".to_vec()),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    let end = prop_oneof![Just(&b"\n"[..]), Just(&b"\r"[..]), Just(&b"\r\n"[..])];
    prop::collection::vec((line, end), 0..24).prop_map(|lines| {
        lines
            .into_iter()
            .flat_map(|(line, end)| [line, end.to_vec()].concat())
            .collect()
    })
}

proptest! {
    #[test]
    fn the_pieces_in_which_a_stream_arrives_do_not_matter(
        stream in any_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let mut start = 0;
        let pieces: Vec<&[u8]> = cuts.into_iter().map(|end| {
            let piece = &stream[start..end];
            start = end;
            piece
        }).collect();
        let whole = events(&[&stream]);
        let cut = events(&pieces);
        prop_assert_eq!(data(&whole), data(&cut));
        let (whole, cut) = (raw(&whole), raw(&cut));
        // A line feed after a final carriage return may still be on its way.
        let shorter = whole.len().min(cut.len());
        prop_assert!(whole.len().abs_diff(cut.len()) <= 1);
        prop_assert_eq!(&whole[..shorter], &cut[..shorter]);
    }

    #[test]
    fn every_byte_up_to_the_last_blank_line_is_relayed(stream in any_stream()) {
        let relayed = raw(&events(&[&stream]));
        let body = stream.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&stream);
        prop_assert!(body.starts_with(&relayed));
        let rest = &body[relayed.len()..];
        prop_assert!(events(&[rest]).is_empty());
    }

    #[test]
    fn rewritten_data_is_read_back(stream in any_stream(), json in "[\\PC\n]{1,12}") {
        for event in events(&[&stream]) {
            let json = json.replace('\r', "");
            let rewritten = events(&[&event.with_data(Some(json.as_bytes()))]);
            prop_assert_eq!(data(&rewritten), vec![json.into_bytes()]);
            // Another id changes nothing else.
            let named = events(&[event.with_id(Some("z")).raw()]);
            prop_assert_eq!(named[0].id(), Some(&b"z"[..]));
            prop_assert_eq!(named[0].data(), event.data());
            prop_assert_eq!(named[0].is_message(), event.is_message());
        }
    }
}
