use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let words = std::iter::once("quotum-load").chain(line.split_whitespace());
    Arguments::try_parse_from(words).and_then(Arguments::check)
}

fn stream(line: &str) -> NativeStream {
    match parse(&format!("native-stream {line}")).unwrap().target {
        Target::NativeStream(stream) => stream,
        other => panic!("{other:?}"),
    }
}

const LEAST: &str = "--addr a:1 --in-flight 1 --secs 1 --keys 1";

#[test]
fn a_stream_has_the_documented_defaults() {
    let stream = stream("--addr a:1,b:2 --in-flight 64 --secs 10 --keys 1000 --output json");
    assert_eq!(stream.nodes.addresses, ["a:1", "b:2"]);
    assert_eq!((stream.batch, stream.nodes.shard), (1, 0));
    assert_eq!(stream.nodes.max, 1_000_000_000);
    assert_eq!(stream.nodes.window, Window::Hour);
    assert_eq!(stream.load.rate, None);
    assert_eq!(stream.load.secs, Duration::from_secs(10));
    assert_eq!(stream.load.warmup_secs, Duration::from_secs(2));
    assert!(stream.load.pids.is_empty());
}

#[test]
fn every_option_of_a_stream_is_taken() {
    let stream = stream(
        "--addr a:1 --in-flight 8 --batch 16 --rate 2500.5 --secs 0.5 --keys 10 --max 5 \
         --window 90s --warmup-secs 0 --pids 12,34 --shard 3",
    );
    assert_eq!(
        (stream.batch, stream.nodes.shard, stream.nodes.max),
        (16, 3, 5)
    );
    assert_eq!(stream.nodes.window, Window::Duration { ms: 90_000 });
    assert_eq!(stream.load.rate, Some(2500.5));
    assert_eq!(stream.load.secs, Duration::from_millis(500));
    assert_eq!(stream.load.warmup_secs, Duration::ZERO);
    assert_eq!(stream.load.pids, [12, 34]);
}

#[test]
fn messages_in_flight_are_spread_over_as_many_streams_as_they_need() {
    let streams = |in_flight: u32, batch: u32| {
        stream(&format!(
            "--addr a:1 --in-flight {in_flight} --batch {batch} --secs 1 --keys 1"
        ))
        .streams()
    };
    assert_eq!(streams(1, 1), 1);
    assert_eq!(streams(64, 64), 1);
    assert_eq!(streams(65, 64), 2);
    assert_eq!(streams(512, 1), 8);
    // 64 messages of 1024 commands are more ids than an epoch has.
    assert_eq!(streams(64, 1024), 2);
    assert_eq!(streams(8, 8192), 2);
}

#[test]
fn http_takes_urls_a_tool_and_its_arguments() {
    let line = "http --addr http://a:1/mcp/x,http://b:2/mcp/x --in-flight 4 --secs 1 --keys 9 \
                --tool echo --args {\"n\":1} --token-file t";
    let Target::Http(http) = parse(line).unwrap().target else {
        panic!("http")
    };
    assert_eq!(http.urls.len(), 2);
    assert_eq!(http.urls[1].path(), "/mcp/x");
    assert_eq!(http.tool, "echo");
    assert_eq!(http.arguments, serde_json::json!({ "n": 1 }));
    assert_eq!(http.token_file, Some(PathBuf::from("t")));
}

#[test]
fn all_that_ask_nodes_or_gateways_take_the_same_options() {
    let options = "--in-flight 4 --rate 9 --secs 1 --keys 9 --max 5 --window hour --pids 1";
    for command in ["native-stream", "native-unary", "envoy", "http"] {
        let address = match command {
            "http" => "http://a:1/mcp",
            _ => "a:1",
        };
        let line = format!("{command} --addr {address} {options} --output json --batch");
        assert!(parse(&format!("{line} 1")).is_ok(), "{line} 1");
        let many = parse(&format!("{line} 2"));
        assert_eq!(many.is_ok(), command == "native-stream", "{line} 2");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let http = "http --in-flight 1 --secs 1 --tool t";
    for line in [
        "native-stream --in-flight 1 --secs 1 --keys 1".to_owned(),
        "native-unary --addr a:1 --in-flight 1 --secs 1".to_owned(),
        "native-unary --addr a:1 --in-flight 1 --secs 1 --keys 0".to_owned(),
        "native-unary --addr a:1 --in-flight 0 --secs 1 --keys 1".to_owned(),
        "native-unary --addr a:1 --in-flight 1 --secs 0 --keys 1".to_owned(),
        "native-unary --addr a:1 --in-flight 1 --secs -1 --keys 1".to_owned(),
        format!("native-unary {LEAST} --batch 2"),
        format!("native-unary {LEAST} --rate 0"),
        format!("native-unary {LEAST} --rate inf"),
        format!("native-unary {LEAST} --secs nan"),
        format!("native-unary {LEAST} --window soon"),
        format!("native-unary {LEAST} --max 9007199254740993"),
        format!("native-unary {LEAST} --pids x"),
        format!("native-stream {LEAST} --batch 8193"),
        format!("native-stream {LEAST} --output text"),
        "native-stream --addr a:1 --in-flight 8192 --batch 8192 --secs 1 --keys 1".to_owned(),
        "http --addr http://a:1/ --in-flight 1000 --secs 1 --tool t".to_owned(),
        format!("{http} --addr a:1"),
        format!("{http} --addr ftp://a:1/"),
        format!("{http} --addr https://a:1/"),
        format!("{http} --addr http://a:1/ --ca f"),
        format!("{http} --addr https://a:1/,http://b:1/ --ca f"),
        format!("{http} --addr https://a:1/ --ca f --cert f"),
        format!("native-unary {LEAST} --any-status"),
        format!("{http} --addr http://a:1/ --args 1"),
        "envoy --addr a:1".to_owned(),
    ] {
        assert!(parse(&line).is_err(), "{line}");
    }
    assert!(parse(&format!("native-unary {LEAST}")).is_ok());
    assert!(parse(&format!("{http} --addr http://a:1/")).is_ok());
    assert!(
        parse(&format!(
            "{http} --addr https://a:1/ --ca f --cert f --key f"
        ))
        .is_ok()
    );
    assert!(parse(&format!("envoy {LEAST} --any-status")).is_ok());
}
