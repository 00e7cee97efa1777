//! Settings on the command line: which goes first, and what an error names.

use clap::CommandFactory;
use quotum_registry::secret::token::{Token, TokenKind};

use super::{COUNTER, SECRET, bench};
use crate::arguments::Arguments;
use crate::environment::Environment;
use crate::settings::SettingsError;
use crate::settings::counter::{CounterSettings, KEYS};

type Options<'a> = &'a [(&'static str, &'a str)];

const WHOLE: Options<'_> = &[
    ("--data", "/data"),
    ("--listen", "127.0.0.1:1"),
    ("--peer-listen", "127.0.0.1:2"),
    ("--admin-listen", "127.0.0.1:3"),
];

fn with_file(
    rest: &str,
    options: Options<'_>,
    environment: &Environment,
) -> Result<CounterSettings, SettingsError> {
    let (_folder, file) = bench(&format!("{COUNTER}{rest}"));
    CounterSettings::load(Some(&file), options, environment)
}

fn without_file(options: Options<'_>) -> Result<CounterSettings, SettingsError> {
    let token = Token::from_random(TokenKind::Admin, &[9; 32]);
    let secrets = [
        ("QUOTUM_SECRET_KEY", SECRET),
        ("QUOTUM_ADMIN_TOKEN", token.as_str()),
    ];
    CounterSettings::load(None, options, &Environment::of(secrets))
}

#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    let rest = "peers = [\"f:1\"]\nbootstrap_expect = 2\nadvertise = \"file\"\n";
    let environment = Environment::of([
        ("QUOTUM_PEERS", "e:1,e:2"),
        ("QUOTUM_LISTEN", "127.0.0.1:5"),
    ]);
    let options: Options<'_> = &[
        ("--bootstrap-expect", "3"),
        ("--peers", "a.ns.svc:1, b.ns.svc:1,c.ns.svc:1"),
        ("--peer-listen", "127.0.0.1:6"),
    ];
    let settings = with_file(rest, options, &environment).unwrap();
    let bootstrap = settings.bootstrap.unwrap();
    assert_eq!(bootstrap.expect, 3);
    assert_eq!(bootstrap.peers, ["a.ns.svc:1", "b.ns.svc:1", "c.ns.svc:1"]);
    assert_eq!(settings.node.member.client_address, "file:5");
    assert_eq!(settings.node.member.peer_address, "file:6");
    assert_eq!(settings.admin_listen.port(), 7603);
    let settings = with_file(rest, &[("--bootstrap-expect", "3")], &environment).unwrap();
    assert_eq!(settings.bootstrap.unwrap().peers, ["e:1", "e:2"]);
}

#[test]
fn a_node_needs_no_file() {
    let settings = without_file(WHOLE).unwrap();
    assert_eq!(settings.data_dir, std::path::Path::new("/data"));
    let ports = [settings.listen, settings.peer_listen, settings.admin_listen];
    assert_eq!(ports.map(|port| port.port()), [1, 2, 3]);
    assert_eq!((settings.node.shards, settings.bootstrap), (1, None));
}

#[test]
fn an_error_names_the_option() {
    let cases: [(Options<'_>, &str); 7] = [
        (
            &[("--bootstrap-expect", "three")],
            "--bootstrap-expect: `bootstrap_expect` must be a whole number",
        ),
        (
            &[("--bootstrap-expect", "99")],
            "--bootstrap-expect: `bootstrap_expect`: use 1 to 15, not 99",
        ),
        (
            &[("--bootstrap-expect", "3")],
            "--bootstrap-expect: `bootstrap_expect`: 3 nodes are expected, and `peers` names 0",
        ),
        (
            &[("--peers", "a:1")],
            "`bootstrap_expect` is missing: use --bootstrap-expect, set QUOTUM_BOOTSTRAP_EXPECT, or name a file with --config",
        ),
        (
            &[("--peers", "a"), ("--bootstrap-expect", "1")],
            "--peers: `peers`: \"a\" is no address: use HOST:PORT",
        ),
        (
            &[("--advertise", "a:1")],
            "--advertise: `advertise`: \"a:1\" is no host",
        ),
        (
            &[("--listen", "7601")],
            "--listen: `listen`: \"7601\" is no socket",
        ),
    ];
    for (options, told) in cases {
        let all: Vec<_> = WHOLE.iter().chain(options).copied().collect();
        let text = without_file(&all).unwrap_err().to_string();
        assert!(text.starts_with(told), "{text}");
    }
    let text = without_file(&[]).unwrap_err().to_string();
    assert!(
        text.starts_with("`listen` is missing: use --listen,"),
        "{text}"
    );
    let text = CounterSettings::load(None, WHOLE, &Environment::of([]));
    let text = text.unwrap_err().to_string();
    let told = "`secret_key_file` is missing: set QUOTUM_SECRET_KEY_FILE, or name a file";
    assert!(text.starts_with(told), "{text}");
}

#[test]
fn every_option_that_is_a_setting_is_one_of_the_command() {
    let command = Arguments::command();
    let counter = command.find_subcommand("counter").unwrap();
    let mut options: Vec<String> = counter
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .filter(|long| !["config", "exit-with-stdin", "output"].contains(long))
        .map(|long| format!("--{long}"))
        .collect();
    let mut keys: Vec<&str> = KEYS.iter().filter_map(|key| key.option).collect();
    options.sort();
    keys.sort_unstable();
    assert_eq!(options, keys);
}
