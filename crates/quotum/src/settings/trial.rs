//! What must hold of any text that is given as settings: fuzzed, and run on the seeds of the fuzzer
//! by the tests.

use super::counter::CounterSettings;
use super::gateway::GatewaySettings;
use super::key::{Key, Origin, Value};
use super::{Settings, SettingsError, addresses, counter, gateway, tls};
use crate::environment::Environment;

/// Secrets that nothing may show.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ADMIN: &str = "3q2-7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs";

/// Where the secrets come from.
pub(crate) fn environment() -> Environment {
    Environment::of([("QUOTUM_SECRET_KEY", SECRET), ("QUOTUM_ADMIN_TOKEN", ADMIN)])
}

/// Tries a text as the settings of either kind of process.
pub(crate) fn both(text: &str) {
    let environment = environment();
    if let Some(settings) = read(text, counter::KEYS, &environment) {
        match CounterSettings::of(settings) {
            Ok(settings) => hold_counter(&settings),
            Err(error) => hold_error(text, &error),
        }
    }
    let settings = read(text, gateway::KEYS, &environment);
    // Files that settings read themselves: no path that a fuzzer made up is opened.
    let reads_none = |one: &Settings| {
        one.text("upstream_ca_file").is_none() && one.list("session_key_files").is_none()
    };
    if let Some(settings) = settings.filter(reads_none) {
        match GatewaySettings::of(settings, &environment) {
            Ok(settings) => hold_gateway(&settings),
            Err(error) => hold_error(text, &error),
        }
    }
}

fn read(text: &str, keys: &'static [Key], environment: &Environment) -> Option<Settings> {
    let settings = Settings::parse(text, "f.toml".to_owned(), keys, environment);
    let settings = settings.map_err(|error| hold_error(text, &error)).ok()?;
    hold_variables(&settings, keys);
    hold_silence(&format!("{settings:?}"));
    Some(settings)
}

/// A variable with a value of the file is the same setting.
fn hold_variables(settings: &Settings, keys: &'static [Key]) {
    for key in keys {
        let Some(setting) = settings.get(key.name) else {
            continue;
        };
        let text = setting.value.to_string();
        let is_whole = match &setting.value {
            // What a list in a variable cannot say.
            Value::List(elements) => elements.iter().all(|element| {
                !element.is_empty() && element.trim() == element && !element.contains(',')
            }),
            _ => !text.is_empty(),
        };
        if matches!(setting.origin, Origin::File { .. }) && is_whole {
            assert_eq!(key.kind.parse(&text).as_ref(), Ok(&setting.value));
        }
    }
}

/// An error names its place, says something, and shows no secret.
fn hold_error(text: &str, error: &SettingsError) {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let known = |key: &str| {
        let mut keys = counter::KEYS.iter().chain(gateway::KEYS);
        assert!(keys.any(|known| known.name == key), "{key}");
    };
    match error {
        SettingsError::Syntax {
            line,
            column,
            message,
            ..
        } => assert!((1..=lines).contains(line) && *column >= 1 && !message.is_empty()),
        SettingsError::UnknownKey { line, .. } => assert!((1..=lines).contains(line)),
        SettingsError::Secret { line, key, .. } => {
            known(key);
            assert!((1..=lines).contains(line));
        }
        SettingsError::WrongType { origin, key, .. } => {
            known(key);
            assert!(matches!(origin, Origin::File { line, .. } if (1..=lines).contains(line)));
        }
        SettingsError::Missing { key, .. } => known(key),
        SettingsError::Invalid { key, message, .. } => {
            known(key);
            assert!(!message.is_empty());
        }
        SettingsError::Unreadable { .. } => unreachable!("no file was read"),
    }
    hold_silence(&error.to_string());
    hold_silence(&format!("{error:?}"));
}

fn hold_silence(shown: &str) {
    assert!(!shown.contains(SECRET) && !shown.contains(ADMIN), "{shown}");
}

fn hold_counter(settings: &CounterSettings) {
    let node = &settings.node;
    let timings = node.timings;
    assert!(timings.election_min >= 2 * timings.heartbeat);
    assert!(timings.election_max > timings.election_min);
    assert!(node.caps.tenant_counters_max <= node.caps.counters_max);
    assert!(node.shards >= 1 && node.id != Some(0));
    for address in [&node.member.client_address, &node.member.peer_address] {
        assert!(addresses::split(address).is_some(), "{address}");
    }
    if let Some(bootstrap) = &settings.bootstrap {
        assert!((bootstrap.expect - 1..=bootstrap.expect).contains(&bootstrap.peers.len()));
    }
    hold_plaintext(
        &settings.settings,
        "listen",
        settings.listen.ip(),
        settings.tls.is_some(),
    );
    let (peers, has_tls) = (settings.peer_listen.ip(), settings.peer_tls.is_some());
    hold_plaintext(&settings.settings, "peer_listen", peers, has_tls);
    hold_silence(&format!("{settings:?}"));
}

fn hold_gateway(settings: &GatewaySettings) {
    hold_plaintext(
        &settings.settings,
        "listen",
        settings.listen.ip(),
        settings.tls.is_some(),
    );
    assert!(!settings.counters.is_empty() && !settings.name.is_empty());
    let asked = insecure(&settings.settings, "counters") || settings.counters_tls.is_some();
    for node in &settings.counters {
        assert!(addresses::split(node).is_some(), "{node}");
        assert!(asked || tls::is_local(node), "{node}");
    }
    hold_silence(&format!("{settings:?}"));
}

/// No port in plaintext that others reach, unless it was asked for by name.
fn hold_plaintext(settings: &Settings, key: &str, listen: std::net::IpAddr, has_tls: bool) {
    let is_local = listen.to_canonical().is_loopback();
    assert!(has_tls || is_local || insecure(settings, key), "{key}");
}

fn insecure(settings: &Settings, key: &str) -> bool {
    let named = settings.list("insecure").unwrap_or_default();
    named.iter().any(|name| name == key)
}
