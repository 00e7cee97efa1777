use quotum_api::cluster::{Health, Matched, Node, Shard, Standing, StatusResponse};

use super::{text, value};

fn health(last_log_index: u64, applied_index: u64) -> Health {
    Health {
        version: "0.1.0".to_owned(),
        clock_offset_ms: Some(-12),
        standings: vec![Standing {
            shard: "0".to_owned(),
            last_log_index,
            applied_index,
        }],
        feature_level: 2,
    }
}

fn status() -> StatusResponse {
    StatusResponse {
        cluster_id: "c0ffee".to_owned(),
        node: 1,
        nodes: vec![
            Node {
                id: 1,
                peer_address: "a:2".to_owned(),
                client_address: "a:1".to_owned(),
                health: Some(health(10, 10)),
                ..Node::default()
            },
            Node {
                id: 2,
                peer_address: "b:2".to_owned(),
                client_address: "b:1".to_owned(),
                health: Some(health(7, 6)),
                ..Node::default()
            },
            Node {
                id: 3,
                peer_address: "c:2".to_owned(),
                client_address: "c:1".to_owned(),
                failure: "no answer in time".to_owned(),
                ..Node::default()
            },
        ],
        shards: vec![Shard {
            name: "0".to_owned(),
            term: 3,
            last_log_index: 10,
            applied_index: 9,
            voters: vec![1, 2],
            matched: vec![
                Matched { node: 1, index: 10 },
                Matched { node: 2, index: 7 },
            ],
            digest: Some(u64::MAX),
            log_time_ms: 86_400_000,
            ..Shard::default()
        }],
        version: "0.1.0".to_owned(),
        feature_level: 1,
    }
}

#[test]
fn the_table_shows_who_is_behind_and_who_leads() {
    let text = text(&status());
    let last = text.lines().last().unwrap();
    let cells: Vec<&str> = last
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    let expected = [
        "0",
        "none",
        "3",
        "10",
        "9",
        "1,2",
        "-",
        "0",
        "1970-01-02T00:00:00Z",
        "2 by 3",
        "ffffffffffffffff",
    ];
    assert_eq!(cells, expected);
    let table = "\
NODE  ROLE     LEADS  BEHIND  CLOCK   VERSION  CLIENTS  PEERS  STATE
1     voter    -      0       -12 ms  0.1.0    a:1      a:2    up
2     voter    -      4       -12 ms  0.1.0    b:1      b:2    up
3     learner  -      -       -       -        c:1      c:2    no answer in time
";
    assert!(text.contains(table), "{text}");
}

#[test]
fn programs_get_numbers_and_a_digest_as_text() {
    let value = value(&status());
    assert_eq!(value["shards"][0]["digest"], "ffffffffffffffff");
    assert_eq!(value["shards"][0]["leader"], serde_json::Value::Null);
    let mut plain = status();
    plain.shards[0].digest = None;
    assert!(!text(&plain).contains("DIGEST"));
    assert_eq!(
        super::value(&plain)["shards"][0]["digest"],
        serde_json::Value::Null
    );
    assert_eq!(value["nodes"][0]["client_address"], "a:1");
    assert_eq!(value["nodes"][1]["behind"], 4);
    assert_eq!(value["nodes"][1]["clock_offset_ms"], -12);
    assert_eq!(value["nodes"][2]["failure"], "no answer in time");
    assert_eq!(value["nodes"][2]["version"], serde_json::Value::Null);
    assert_eq!(
        (&value["feature_level"], &value["nodes"][0]["feature_level"]),
        (&1.into(), &2.into())
    );
}
