use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use quotum_client::limits::DEADLINE;
use quotum_gateway::Hosts;
use quotum_gateway::limits as gateway_limits;
use quotum_registry::secret::token::{Token, TokenKind};
use quotum_replica::limits::{FEATURE_LEVEL, SEGMENT_BYTES};
use quotum_replica::node::Timings;
use quotum_replica::{Durability, NodeConfig};

use super::counter::CounterSettings;
use super::gateway::GatewaySettings;
use super::key::{Key, Kind};
use super::{Settings, SettingsError, counter, gateway, variable};
use crate::environment::Environment;
use crate::files;

mod options;
mod session_keys;

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A folder with the files of secrets, and a configuration that starts with them.
fn bench(rest: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (key, token) = (folder.path().join("key"), folder.path().join("token"));
    let admin = Token::from_random(TokenKind::Admin, &[7; 32]);
    files::replace(&key, SECRET.as_bytes()).unwrap();
    files::replace(&token, admin.as_str().as_bytes()).unwrap();
    let file = folder.path().join("quotum.toml");
    let text = rest
        .replace("KEY", &format!("secret_key_file = {key:?}"))
        .replace("TOKEN", &format!("admin_token_file = {token:?}"));
    fs::write(&file, text).unwrap();
    (folder, file)
}

const COUNTER: &str = "\
KEY
TOKEN
data_dir = \"/data\"
listen = \"127.0.0.1:7601\"
peer_listen = \"127.0.0.1:7602\"
admin_listen = \"127.0.0.1:7603\"
";

const GATEWAY: &str = "\
KEY
listen = \"0.0.0.0:8080\"
admin_listen = \"0.0.0.0:8081\"
counters = [\"http://a:7601\", \"b:7601\"]
insecure = [\"listen\", \"counters\"]
";

fn load_counter(rest: &str, environment: &Environment) -> Result<CounterSettings, SettingsError> {
    let (_folder, file) = bench(&format!("{COUNTER}{rest}"));
    CounterSettings::load(Some(&file), &[], environment)
}

fn load_gateway(rest: &str, environment: &Environment) -> Result<GatewaySettings, SettingsError> {
    let (_folder, file) = bench(&format!("{GATEWAY}{rest}"));
    GatewaySettings::load(&file, environment)
}

fn counter_refusal(rest: &str) -> String {
    load_counter(rest, &Environment::of([]))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_counter_node_has_defaults_for_what_need_not_be_said() {
    let settings = load_counter("", &Environment::of([])).unwrap();
    let NodeConfig {
        id,
        member,
        shards,
        caps,
        log,
        timings,
        feature_level,
    } = settings.node;
    assert_eq!((id, shards, caps.counters_max), (None, 1, 1_000_000));
    assert_eq!(caps.tenant_counters_max, 100_000);
    assert_eq!(member.client_address, "127.0.0.1:7601");
    assert_eq!(member.peer_address, "127.0.0.1:7602");
    assert_eq!(
        (log.durability, log.segment_bytes),
        (Durability::Fsync, SEGMENT_BYTES)
    );
    assert_eq!(timings, Timings::STANDARD);
    assert_eq!(feature_level, FEATURE_LEVEL);
    assert_eq!(settings.bootstrap, None);
    assert_eq!(settings.threads, None);
}

#[test]
fn every_key_of_a_counter_node_is_read() {
    let rest = "\
advertise = \"node-1.example\"
advertise_peer = \"other:9\"
node_id = 7
peers = [\"a:1\", \"http://b:2\"]
bootstrap_expect = 3
shards = 4
threads = 3
durability = \"os\"
segment_bytes = 1048576
counters_max = 10
heartbeat_ms = 100
election_min_ms = 300
election_max_ms = 600
feature_level_max = 1
log = \"debug\"
log_format = \"text\"
";
    let settings = load_counter(rest, &Environment::of([])).unwrap();
    assert_eq!(settings.threads, Some(3));
    let NodeConfig {
        id,
        member,
        shards,
        caps,
        log,
        timings,
        feature_level,
    } = settings.node;
    assert_eq!((id, shards, caps.counters_max), (Some(7), 4, 10));
    assert_eq!(feature_level, 1);
    assert_eq!(caps.tenant_counters_max, 10, "never more than in all");
    assert_eq!(member.client_address, "node-1.example:7601");
    assert_eq!(member.peer_address, "other:9");
    assert_eq!(
        (log.durability, log.segment_bytes),
        (Durability::Os, 1_048_576)
    );
    assert_eq!(timings.heartbeat, Duration::from_millis(100));
    assert_eq!(timings.election_min, Duration::from_millis(300));
    assert_eq!(timings.election_max, Duration::from_millis(600));
    let bootstrap = settings.bootstrap.unwrap();
    assert_eq!(
        (bootstrap.peers, bootstrap.expect),
        (vec!["a:1".into(), "b:2".into()], 3)
    );
    assert_eq!(settings.logging.filter, "debug");
    assert_eq!(
        settings.logging.format,
        quotum_telemetry::logging::Format::Text
    );
}

#[test]
fn every_key_of_a_gateway_is_read() {
    let rest = "\
name = \"gw\"
hosts = [\"mcp.example\"]
origins = [\"https://app.example\"]
registry_cache = \"/cache/registry\"
registry_staleness_max_s = 60
decision_deadline_ms = 500
upstream_head_timeout_ms = 1000
open_requests_per_grant_max = 5
buffered_bytes_max = 33554432
connections_max = 6
leave_delay_ms = 0
drain_timeout_ms = 7
log = \"warn\"
log_format = \"text\"
";
    let settings = load_gateway(rest, &Environment::of([])).unwrap();
    assert_eq!(settings.counters, ["a:7601", "b:7601"]);
    assert_eq!(settings.name, "gw");
    assert_eq!(settings.hosts, Hosts::Only(vec!["mcp.example".to_owned()]));
    assert_eq!(settings.origins, ["https://app.example"]);
    assert_eq!(settings.upstream_authorities, []);
    assert_eq!(settings.registry_cache, Some("/cache/registry".into()));
    assert_eq!(settings.registry_staleness_max, Duration::from_secs(60));
    assert_eq!(settings.decision_deadline, Duration::from_millis(500));
    assert_eq!(settings.upstream_head_timeout, Duration::from_secs(1));
    assert_eq!(
        (
            settings.open_requests_per_grant_max,
            settings.connections_max
        ),
        (5, 6)
    );
    assert_eq!(settings.leave_delay, Duration::ZERO);
    assert_eq!(settings.buffered_bytes_max, 32 << 20);
    assert_eq!(settings.drain_timeout, Duration::from_millis(7));
    assert_eq!(settings.logging.filter, "warn");
}

#[test]
fn the_defaults_of_a_gateway_are_those_of_its_crates() {
    let environment = Environment::of([("HOSTNAME", "pod-1")]);
    let settings = load_gateway("", &environment).unwrap();
    assert_eq!(settings.decision_deadline, DEADLINE);
    assert_eq!(
        settings.upstream_head_timeout,
        gateway_limits::UPSTREAM_HEAD_TIMEOUT
    );
    assert_eq!(settings.connections_max, gateway_limits::CONNECTIONS_MAX);
    let open_max = gateway_limits::OPEN_REQUESTS_PER_GRANT_MAX;
    assert_eq!(settings.open_requests_per_grant_max, open_max);
    let bytes_max = gateway_limits::BUFFERED_BYTES_MAX;
    assert_eq!(settings.buffered_bytes_max, bytes_max);
    let text = load_gateway("buffered_bytes_max = 33554431\n", &environment)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("line 6: `buffered_bytes_max`: use 33554432 to "),
        "{text}"
    );
    assert_eq!(settings.drain_timeout, gateway_limits::DRAIN_TIMEOUT);
    assert_eq!(settings.hosts, Hosts::Any);
    assert!(
        settings.name.starts_with("pod-1-") && settings.name.len() == 14,
        "{}",
        settings.name
    );
}

#[test]
fn an_unknown_key_is_told_with_line_and_nearest_name() {
    let text = counter_refusal("shrads = 2\n");
    assert!(
        text.contains("quotum.toml, line 7: unknown key `shrads`, did you mean `shards`?"),
        "{text}"
    );
    let text = counter_refusal("zzz = 2\n");
    assert!(text.ends_with("unknown key `zzz`"), "{text}");
}

#[test]
fn what_is_no_toml_is_told_with_line_and_column() {
    let text = counter_refusal("shards = \n");
    assert!(text.contains("quotum.toml, line 7, column "), "{text}");
}

#[test]
fn the_environment_replaces_every_key() {
    let token = Token::from_random(TokenKind::Admin, &[9; 32]);
    let environment = Environment::of([
        ("QUOTUM_SHARDS", "3"),
        ("QUOTUM_LISTEN", "127.0.0.1:1"),
        ("QUOTUM_PEERS", "a:1, b:2,"),
        ("QUOTUM_BOOTSTRAP_EXPECT", "2"),
        ("QUOTUM_ADMIN_TOKEN", token.as_str()),
        ("QUOTUM_DURABILITY", ""),
    ]);
    let settings = load_counter("shards = 2\n", &environment).unwrap();
    assert_eq!(settings.node.shards, 3);
    assert_eq!(settings.listen.port(), 1);
    assert_eq!(settings.bootstrap.unwrap().peers, ["a:1", "b:2"]);
    assert_eq!(settings.admin_token.as_str(), token.as_str());
    assert_eq!(settings.node.log.durability, Durability::Fsync);
}

#[test]
fn a_wrong_value_is_told_with_where_it_comes_from() {
    let cases = [
        (
            "shards = \"two\"\n",
            "line 7: `shards` must be a whole number",
        ),
        ("shards = 0\n", "line 7: `shards`: use 1 to 64, not 0"),
        ("threads = 0\n", "line 7: `threads`: use 1 to 256, not 0"),
        (
            "durability = \"maybe\"\n",
            "line 7: `durability`: use \"fsync\" or \"os\"",
        ),
        ("peers = \"a:1\"\n", "line 7: `peers` must be a list"),
        ("peers = [\"a:1\"]\n", "`bootstrap_expect` is missing"),
        (
            "peers = [\"a:1\"]\nbootstrap_expect = 5\n",
            "line 8: `bootstrap_expect`: 5 nodes",
        ),
        (
            "election_min_ms = 60\n",
            "line 7: `election_min_ms`: 60 must be at least twice",
        ),
        (
            "election_max_ms = 150\n",
            "line 7: `election_max_ms`: 150 must be more than",
        ),
        (
            "advertise = \"a:1\"\n",
            "line 7: `advertise`: \"a:1\" is no host",
        ),
        ("log_format = \"xml\"\n", "line 7: `log_format`"),
        (
            "segment_bytes = 1073741825\n",
            "line 7: `segment_bytes`: use 65536 to 1073741824, not 1073741825",
        ),
        ("node_id = -1\n", "line 7: `node_id` must be a whole number"),
        ("admin_token = \"x\"\n", "line 7: `admin_token` is a secret"),
    ];
    for (rest, told) in cases {
        let text = counter_refusal(rest);
        assert!(text.contains(told), "{rest}: {text}");
    }
    let environment = Environment::of([("QUOTUM_SHARDS", "many")]);
    let text = load_counter("", &environment).unwrap_err().to_string();
    assert!(
        text.starts_with("QUOTUM_SHARDS: `shards` must be"),
        "{text}"
    );
}

#[test]
fn the_authorities_of_upstreams_are_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    let load = |content: &str| {
        fs::write(&file, content).unwrap();
        load_gateway(
            &format!("upstream_ca_file = {file:?}\n"),
            &Environment::of([]),
        )
    };
    let authority = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["private".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().pem()
    };
    let two = format!("# ours\n{}\n{}", authority(), authority());
    assert_eq!(load(&two).unwrap().upstream_authorities.len(), 2);
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, told) in [
        ("", "there is no certificate in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
            "this is no PEM",
        ),
        (damaged, "certificate 1: "),
    ] {
        let text = load(content).unwrap_err().to_string();
        assert!(
            text.contains("line 6: `upstream_ca_file`: ") && text.contains(told),
            "{text}"
        );
    }
    fs::remove_file(&file).unwrap();
    let text = load_gateway(
        &format!("upstream_ca_file = {file:?}\n"),
        &Environment::of([]),
    )
    .unwrap_err()
    .to_string();
    assert!(text.contains("authorities.pem: No such file"), "{text}");
}

#[test]
fn a_port_that_other_machines_reach_needs_tls_or_somebody_who_asks_for_none() {
    let open = [
        ("QUOTUM_PEER_LISTEN", "0.0.0.0:7602"),
        ("QUOTUM_ADVERTISE", "a.example"),
    ];
    let environment = Environment::of(open);
    let text = load_counter("", &environment).unwrap_err().to_string();
    assert!(
        text.starts_with("QUOTUM_PEER_LISTEN: `peer_listen`: 0.0.0.0:7602 is not this machine"),
        "{text}"
    );
    let text = load_counter("insecure = [\"listen\"]\n", &environment)
        .unwrap_err()
        .to_string();
    assert!(text.contains("insecure = [\"peer_listen\"]"), "{text}");
    load_counter("insecure = [\"peer_listen\"]\n", &environment).unwrap();
    let secured = "\
peer_tls_cert_file = \"/c\"
peer_tls_key_file = \"/k\"
peer_tls_ca_file = \"/a\"
";
    let settings = load_counter(secured, &environment).unwrap();
    let files = settings.peer_tls.unwrap();
    assert_eq!(files.identity, Some(("/c".into(), "/k".into())));
    assert_eq!(files.authorities, Some("/a".into()));
    let everywhere = Environment::of([("QUOTUM_INSECURE", "peers")]);
    let text = load_counter("", &everywhere).unwrap_err().to_string();
    assert!(
        text.ends_with("\"peers\" is none of listen, peer_listen"),
        "{text}"
    );
}

#[test]
fn a_gateway_reaches_counters_elsewhere_over_tls() {
    let environment = Environment::of([("QUOTUM_INSECURE", "listen")]);
    let text = load_gateway("", &environment).unwrap_err().to_string();
    assert!(
        text.contains("`counters`: a:7601 is not this machine"),
        "{text}"
    );
    let settings = load_gateway("counters_tls_ca_file = \"/a\"\n", &environment).unwrap();
    let files = settings.counters_tls.unwrap();
    assert_eq!(
        (files.identity, files.authorities),
        (None, Some("/a".into()))
    );
    let nothing = Environment::of([("QUOTUM_INSECURE", "counters")]);
    let text = load_gateway("", &nothing).unwrap_err().to_string();
    assert!(text.contains("`listen`: 0.0.0.0:8080"), "{text}");
}

#[test]
fn files_of_tls_come_together_or_not_at_all() {
    let cases = [
        ("tls_cert_file = \"/c\"\n", "`tls_key_file` is missing"),
        ("tls_key_file = \"/k\"\n", "`tls_cert_file` is missing"),
        (
            "tls_client_ca_file = \"/a\"\n",
            "`tls_cert_file` is missing",
        ),
        (
            "peer_tls_ca_file = \"/a\"\n",
            "`peer_tls_cert_file` is missing",
        ),
        (
            "peer_tls_cert_file = \"/c\"\npeer_tls_key_file = \"/k\"\n",
            "`peer_tls_ca_file` is missing",
        ),
        ("tls_cert_file = \"\"\n", "this is no path"),
    ];
    for (rest, told) in cases {
        let text = counter_refusal(rest);
        assert!(text.contains(told), "{rest}: {text}");
    }
}

#[test]
fn a_secret_that_everybody_reads_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, file) = bench(COUNTER);
    let key = folder.path().join("key");
    for (mode, is_taken) in [
        (0o600, true),
        (0o440, true),
        (0o400, true),
        (0o644, false),
        (0o604, false),
        (0o620, false),
        (0o601, false),
    ] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let loaded = CounterSettings::load(Some(&file), &[], &Environment::of([]));
        assert_eq!(loaded.is_ok(), is_taken, "{mode:o}");
        if let Err(error) = loaded {
            let text = error.to_string();
            assert!(text.contains("chmod 600"), "{text}");
        }
    }
}

#[test]
fn a_node_that_listens_everywhere_must_say_where_it_is() {
    let environment = Environment::of([
        ("QUOTUM_LISTEN", "0.0.0.0:7601"),
        ("QUOTUM_INSECURE", "listen"),
    ]);
    let text = load_counter("", &environment).unwrap_err().to_string();
    assert!(
        text.starts_with("QUOTUM_LISTEN: `listen`: ") && text.contains("advertise"),
        "{text}"
    );
}

#[test]
fn a_missing_key_is_told_with_its_variable() {
    let (_folder, file) = bench("data_dir = \"/data\"\n");
    let text = CounterSettings::load(Some(&file), &[], &Environment::of([]))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("`listen` is missing: add it, set QUOTUM_LISTEN, or use --listen"),
        "{text}"
    );
}

#[test]
fn secrets_are_never_shown() {
    let token = Token::from_random(TokenKind::Admin, &[9; 32]);
    let environment = Environment::of([
        ("QUOTUM_ADMIN_TOKEN", token.as_str()),
        ("QUOTUM_SECRET_KEY", SECRET),
    ]);
    let settings = load_counter("", &environment).unwrap();
    let shown = format!("{settings:?} {environment:?}");
    assert!(
        !shown.contains("qta_C") && !shown.contains("AAECAw"),
        "{shown}"
    );
    for keys in [counter::KEYS, gateway::KEYS] {
        for key in keys {
            let names_secret = ["secret_key", "admin_token"].contains(&key.name);
            assert_eq!(key.is_secret, names_secret, "{}", key.name);
        }
    }
}

#[test]
fn the_shipped_configurations_are_accepted() {
    let shipped = |name: &str| {
        let path = format!(
            "{}/../../deploy/kubernetes/{name}-config.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = fs::read_to_string(path).unwrap();
        let map: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap();
        map["data"][format!("{name}.toml")]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let environment = Environment::of([
        (
            "QUOTUM_ADVERTISE",
            "quotum-counter-0.quotum-counter-peers.quotum.svc.cluster.local",
        ),
        ("QUOTUM_SECRET_KEY", SECRET),
        ("QUOTUM_ADMIN_TOKEN", SECRET),
    ]);
    let parse = |name, keys| Settings::parse(&shipped(name), name.to_owned(), keys, &environment);
    let node = CounterSettings::of(parse("counter", counter::KEYS).unwrap()).unwrap();
    assert!(
        node.bootstrap
            .unwrap()
            .peers
            .contains(&node.node.member.peer_address)
    );
    let settings = parse("gateway", gateway::KEYS).unwrap();
    assert_eq!(
        GatewaySettings::of(settings, &environment)
            .unwrap()
            .counters
            .len(),
        3
    );
}

#[test]
fn every_key_is_in_the_guide_with_its_default() {
    const GUIDE: &str = include_str!("../../../../docs/configuration.md");
    let row_of = |key: &Key| {
        let kind = match key.kind {
            Kind::Text => "text",
            Kind::Integer => "number",
            Kind::List => "list",
        };
        let default = key
            .default
            .map_or("-".to_owned(), |default| format!("`{default}`"));
        match key.is_secret {
            true => format!("| `{}` | {kind} | - |", variable(key.name)),
            false => format!("| `{}` | {kind} | {default} |", key.name),
        }
    };
    let (_, sections) = GUIDE.split_once("## counter.toml").unwrap();
    let (of_counter, of_gateway) = sections.split_once("## gateway.toml").unwrap();
    for (section, keys) in [(of_counter, counter::KEYS), (of_gateway, gateway::KEYS)] {
        for row in keys.iter().map(row_of) {
            assert!(section.contains(&row), "{row}");
        }
        let rows = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .count();
        assert_eq!(rows, keys.len(), "keys that do not exist");
    }
}

#[test]
fn the_seeds_of_the_fuzzer_hold_what_is_fuzzed() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/settings");
    let seeds: Vec<_> = fs::read_dir(seeds).unwrap().collect();
    assert!(seeds.len() >= 3);
    for seed in seeds {
        super::trial::both(&fs::read_to_string(seed.unwrap().path()).unwrap());
    }
    // The two that are right are accepted, else nothing of what is accepted were tried.
    let environment = super::trial::environment();
    let seed = include_str!("../../fuzz/corpus/settings/counter");
    let settings = Settings::parse(seed, "f".to_owned(), counter::KEYS, &environment).unwrap();
    CounterSettings::of(settings).unwrap();
    let seed = include_str!("../../fuzz/corpus/settings/gateway");
    let settings = Settings::parse(seed, "f".to_owned(), gateway::KEYS, &environment).unwrap();
    GatewaySettings::of(settings, &environment).unwrap();
}
