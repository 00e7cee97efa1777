use super::*;

fn script(command: RedisCommand, batch: u32, max: u64) -> Script {
    Script {
        command,
        batch,
        max,
        window_s: 60,
        keys: Keys::new(1, 0),
        asked: Vec::new(),
        begun: Vec::new(),
        expiries: 0,
    }
}

fn asked(script: &mut Script) -> (usize, String) {
    let mut out = Vec::new();
    let answers = script.ask(&mut out);
    (answers, String::from_utf8(out).unwrap())
}

fn read_all(bytes: &[u8]) -> io::Result<Vec<Answer>> {
    let mut buffer = BytesMut::from(bytes);
    let mut answers = Vec::new();
    while let Some(answer) = read(&mut buffer)? {
        answers.push(answer);
    }
    Ok(answers)
}

#[test]
fn a_count_that_begins_gets_its_expiry_with_the_next_pipeline() {
    let mut script = script(RedisCommand::Incr, 2, 2);
    let incr = "*2\r\n$4\r\nINCR\r\n$13\r\nload-00000000\r\n";
    assert_eq!(asked(&mut script), (2, incr.repeat(2)));
    let mut counted = Counted::default();
    script.count(0, Answer::Number(1), &mut counted);
    script.count(1, Answer::Number(2), &mut counted);
    assert_eq!((counted.admitted, counted.denied), (2, 0));

    let expire = "*4\r\n$6\r\nEXPIRE\r\n$13\r\nload-00000000\r\n$2\r\n60\r\n$2\r\nNX\r\n";
    assert_eq!(
        asked(&mut script),
        (3, format!("{expire}{}", incr.repeat(2)))
    );
    let mut counted = Counted::default();
    script.count(0, Answer::Number(1), &mut counted);
    script.count(1, Answer::Number(3), &mut counted);
    script.count(2, Answer::Number(4), &mut counted);
    assert_eq!((counted.admitted, counted.denied), (0, 2));
    assert_eq!(asked(&mut script).0, 2);
}

#[test]
fn a_throttle_answers_whether_it_limits() {
    let mut script = script(RedisCommand::Throttle, 1, 30);
    let throttle =
        "*5\r\n$8\r\nTHROTTLE\r\n$13\r\nload-00000000\r\n$2\r\n30\r\n$2\r\n30\r\n$2\r\n60\r\n";
    assert_eq!(asked(&mut script), (1, throttle.to_owned()));
    let mut counted = Counted::default();
    script.count(0, Answer::First(0), &mut counted);
    script.count(0, Answer::First(1), &mut counted);
    assert_eq!(
        (counted.admitted, counted.denied, counted.errors),
        (1, 1, 0)
    );
}

#[test]
fn what_is_no_decision_is_an_error() {
    for (command, answer) in [
        (RedisCommand::Incr, Answer::Error("ERR no".to_owned())),
        (RedisCommand::Incr, Answer::First(1)),
        (RedisCommand::Throttle, Answer::Number(1)),
        (RedisCommand::Throttle, Answer::First(7)),
    ] {
        let mut script = script(command, 1, 30);
        asked(&mut script);
        let mut counted = Counted::default();
        script.count(0, answer, &mut counted);
        assert_eq!(
            (counted.admitted, counted.denied, counted.errors),
            (0, 0, 1)
        );
        assert!(counted.complaint.is_some());
    }
}

#[test]
fn answers_are_read_one_by_one_however_they_are_cut() {
    let bytes = b":1\r\n*5\r\n:0\r\n:30\r\n:29\r\n:-1\r\n:2\r\n-ERR no\r\n";
    let answers = [
        Answer::Number(1),
        Answer::First(0),
        Answer::Error("ERR no".to_owned()),
    ];
    assert_eq!(read_all(bytes).unwrap(), answers);
    for cut in 0..bytes.len() {
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            buffer.extend_from_slice(part);
            while let Some(answer) = read(&mut buffer).unwrap() {
                found.push(answer);
            }
        }
        assert_eq!(found, answers, "cut at {cut}");
    }
}

#[test]
fn what_is_not_the_protocol_is_refused() {
    for bytes in [
        &b"HTTP/1.1 400\r\n"[..],
        b":one\r\n",
        b"\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*9999\r\n",
        b"*1\r\n+OK\r\n",
        &[b'x'; REPLY_BYTES_MAX + 1],
    ] {
        assert!(read_all(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}
