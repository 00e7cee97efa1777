use super::*;

/// Whether a connection with these bytes is ambiguous, however they arrive.
fn is_ambiguous(bytes: &str) -> bool {
    let bytes = bytes.as_bytes();
    let seen_in = |size: usize| {
        let ambiguity = Ambiguity::default();
        let mut watch = Watch::new(ambiguity.clone());
        bytes.chunks(size).for_each(|piece| watch.see(piece));
        ambiguity.is_found()
    };
    let whole = seen_in(bytes.len());
    for size in 1..bytes.len() {
        assert_eq!(seen_in(size), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn a_request_that_tells_its_length_twice_is_found() {
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "TRANSFER-ENCODING:chunked\r\nHost: a\r\ncontent-length:\t 4 \r\n",
        "Content-Length: 4\nTransfer-Encoding: chunked\n",
        "Content-Length: x\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 4\r\n",
    ] {
        assert!(
            is_ambiguous(&format!("POST / HTTP/1.1\r\n{lines}\r\n")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_request_that_tells_it_once_is_not() {
    for lines in [
        "",
        "Content-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X-Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "X: Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding\r\nContent-Length: 4\r\n",
    ] {
        assert!(
            !is_ambiguous(&format!("POST / HTTP/1.1\r\n{lines}\r\n")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_body_is_no_head_and_the_request_after_it_is() {
    let twice = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let with = |body: &str| {
        let length = body.len();
        format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(!is_ambiguous(&format!(
        "{}{get}{}",
        with(twice),
        with("{}")
    )));
    assert!(is_ambiguous(&format!(
        "{}{get}\r\n\r\n{twice}",
        with(twice)
    )));
}

#[test]
fn what_is_never_served_is_not_looked_at() {
    let twice = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for first in [
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        assert!(!is_ambiguous(&format!("{first}{twice}")), "{first:?}");
    }
    let ambiguity = Ambiguity::default();
    let mut watch = Watch::new(ambiguity.clone());
    watch.see(b"GET / HTTP/1.1\r\n");
    for _ in 0..READ_BUFFER_BYTES_MAX {
        watch.see(b"xx");
    }
    assert!(watch.head.line.len() <= READ_BUFFER_BYTES_MAX);
    watch.see(twice.as_bytes());
    assert!(!ambiguity.is_found());
}
