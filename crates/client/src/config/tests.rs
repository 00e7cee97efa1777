use super::*;

fn config(nodes: &[&str]) -> Config {
    Config::new(nodes.iter().map(|node| (*node).to_owned()).collect(), 1)
}

#[test]
fn the_usual_values_pass() {
    config(&["a:1", "10.0.0.1:7301", "[::1]:7301", "c-0.c.ns.svc:7301"])
        .check()
        .unwrap();
}

#[test]
fn bad_addresses_are_named() {
    for bad in [
        "a",
        ":1",
        "a:",
        "a:0",
        "a:65536",
        "a:+1",
        "http://a:1",
        "a b:1",
        "::1:1",
        "a@b:1",
    ] {
        assert_eq!(
            config(&[bad]).check(),
            Err(ConfigError::Address(bad.to_owned())),
            "{bad}"
        );
    }
    assert_eq!(config(&[]).check(), Err(ConfigError::NodeCount(0)));
    assert_eq!(
        config(&["a:1", "a:1"]).check(),
        Err(ConfigError::AddressTwice("a:1".to_owned()))
    );
}

#[test]
fn a_deadline_that_outlives_the_ids_is_refused() {
    let mut config = config(&["a:1"]);
    config.deadline = DEADLINE_MAX;
    config.check().unwrap();
    config.deadline = DEADLINE_MAX + Duration::from_millis(1);
    assert_eq!(config.check(), Err(ConfigError::Deadline(config.deadline)));
}

#[test]
fn bounds_of_zero_and_beyond_the_maximum_are_refused() {
    let mut wide = config(&["a:1"]);
    wide.message_commands_max = MESSAGE_COMMANDS_MAX + 1;
    assert!(matches!(
        wide.check(),
        Err(ConfigError::Bound {
            name: "message_commands_max",
            ..
        })
    ));
    let mut none = config(&["a:1"]);
    none.queue_max = 0;
    assert!(matches!(
        none.check(),
        Err(ConfigError::Bound {
            name: "queue_max",
            ..
        })
    ));
    let mut slow = config(&["a:1"]);
    slow.attempt_timeout = slow.deadline * 2;
    assert!(matches!(
        slow.check(),
        Err(ConfigError::Timeout {
            name: "attempt_timeout",
            ..
        })
    ));
}
