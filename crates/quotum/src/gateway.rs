//! `quotum gateway`: one stateless gateway.
//!
//! # Layout
//! * [`registry`]: the copy of the registry, from the counter nodes or from disk.
//! * [`cache`]: the copy on disk. [`counters`]: the seam to the counter service.

use std::sync::Arc;
use std::time::Duration;

use quotum_client::{Client, Config as ClientConfig};
use quotum_gateway::room::Room;
use quotum_gateway::{Clock, Config, Gateway, Telemetry};
use quotum_replica::clock::{Clock as _, RealClock};
use quotum_telemetry::label::{Certificate, Listener};
use quotum_telemetry::limits::RECORD_QUEUE_MAX;
use quotum_telemetry::record::writer::RecordWriter;
use quotum_telemetry::{GatewayMetrics, ListenerMetrics};
use quotum_transport::{Acceptor, Bounds, Credentials, Ends, Security};
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use tokio_util::sync::CancellationToken;

use crate::admin::reach;
use crate::arguments;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::{COUNTERS_WAIT_MAX, LOOK_EVERY, RECORDS_CLOSE_MAX};
use crate::process::{self, Admin, Ending, Endings};
use crate::secrets;
use crate::settings::gateway::GatewaySettings;
use crate::tls::Certificates;

mod cache;
mod counters;
mod registry;

use counters::ClientCounters;
use registry::RegistryCopy;

pub(crate) fn run(options: &arguments::Gateway, environment: &Environment) -> Result<(), Failure> {
    let settings = GatewaySettings::load(&options.config, environment)
        .map_err(|error| Failure::usage("the configuration is refused").because(&error))?;
    settings.logging.start()?;
    settings.settings.log();
    process::runtime()?.block_on(serve(settings, options.exit_with_stdin))
}

async fn serve(settings: GatewaySettings, exit_with_stdin: bool) -> Result<(), Failure> {
    let mut certificates = Certificates::default();
    let (security, counters) = secure(&settings, &mut certificates)?;
    let mut endings = Endings::listen(exit_with_stdin)?;
    let listener = process::listen("listen", settings.listen).await?;
    let admin_listener = process::listen("admin_listen", settings.admin_listen).await?;
    let (admin, starting) = Admin::start(admin_listener, process::exposition());
    let metrics = GatewayMetrics::new(&admin.exposition);
    let records = RecordWriter::start(std::io::stdout(), RECORD_QUEUE_MAX, &admin.exposition)
        .map_err(|error| Failure::failed("decision records cannot be written").because(&error))?;
    let client = client(&settings, &counters)?;
    let registry = RegistryCopy::start(&settings, &counters, &metrics, &admin.readiness)?;
    let telemetry = Telemetry {
        metrics,
        records: records.records(),
    };
    let gateway = Gateway::new(
        config(&settings),
        registry.snapshots(),
        ClientCounters::new(client.clone()),
        tls(&settings)?,
        telemetry,
    )
    .map_err(|error| Failure::failed("the gateway cannot start").because(&error))?;
    let connecting = tokio::spawn(release_when_connected(
        client.clone(),
        registry.is_cached(),
        admin.readiness.latch("counters"),
    ));
    let stop = CancellationToken::new();
    let watch = certificates.watch(admin.exposition.clone(), stop.clone());
    let watch = tokio::spawn(watch);
    let bounds = Bounds::new(settings.connections_max, settings.connections_per_ip_max);
    let agents = ListenerMetrics::new(&admin.exposition, Listener::Agents);
    let acceptor = Acceptor::new(security, bounds, agents);
    let serving = tokio::spawn(gateway.serve(listener, acceptor, stop.clone()));
    tracing::info!(name = settings.name, "serving");
    starting.release();

    let ending = endings.next().await;
    tracing::info!(?ending, "leaving");
    let leaving = admin.readiness.latch("leaving");
    if ending == Ending::Terminated {
        // Load balancers learn that this gateway leaves while it still accepts.
        linger(settings.leave_delay, &mut endings).await;
    }
    stop.cancel();
    let served = serving.await;
    connecting.abort();
    if let Err(error) = watch.await {
        tracing::error!(%error, "the watch over certificates failed");
    }
    client.shutdown().await;
    registry.shutdown().await;
    drop(leaving);
    close(records).await;
    admin.shutdown().await;
    match served {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::failed("the gateway has failed").because(&error)),
        Err(error) => Err(Failure::failed("the gateway has failed").because(&error)),
    }
}

/// Waits for `delay`, or until the process is told to end once more.
async fn linger(delay: Duration, endings: &mut Endings) {
    tokio::select! {
        biased;
        again = endings.next() => tracing::info!(?again, "leaving at once"),
        () = tokio::time::sleep(delay) => {}
    }
}

async fn close(records: RecordWriter) {
    let closed = tokio::task::spawn_blocking(move || records.close(RECORDS_CLOSE_MAX)).await;
    if let Ok(Err(error)) = closed {
        tracing::error!(%error, "decision records were lost");
    }
}

/// Holds readiness back until a counter node answers. A gateway that has a copy of the registry
/// from before does not wait for ever: tools without limits need no counter.
async fn release_when_connected(client: Client, is_cached: bool, latch: quotum_telemetry::Latch) {
    let connected = async {
        while !client.is_connected() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match is_cached {
        false => connected.await,
        true => {
            if tokio::time::timeout(COUNTERS_WAIT_MAX, connected)
                .await
                .is_err()
            {
                tracing::warn!("no counter node answers: only tools without limits can be served");
            }
        }
    }
    latch.release();
}

/// How agents reach this gateway, and the credentials with which it reaches counter nodes.
fn secure(
    settings: &GatewaySettings,
    certificates: &mut Certificates,
) -> Result<(Security, Option<Credentials>), Failure> {
    let security = match &settings.tls {
        None => Security::Plaintext,
        Some(files) => {
            Security::Tls(certificates.load(Certificate::Listen, Ends::Public, files)?)
        }
    };
    let counters = match &settings.counters_tls {
        None => None,
        Some(files) => Some(certificates.load(Certificate::Counters, Ends::Client, files)?),
    };
    Ok((security, counters))
}

fn client(settings: &GatewaySettings, counters: &Option<Credentials>) -> Result<Client, Failure> {
    let mut config = ClientConfig::new(settings.counters.clone(), secrets::draw_seed());
    config.deadline = settings.decision_deadline;
    // An attempt is a part of the deadline.
    config.attempt_timeout = config.attempt_timeout.min(config.deadline);
    config.connect_timeout = config.connect_timeout.min(config.deadline);
    let dialer = reach::dialer(counters.as_ref(), config.connect_timeout);
    Client::start(config, dialer, quotum_client::Clock::boottime())
        .map_err(|error| Failure::usage("counters").because(&error))
}

fn config(settings: &GatewaySettings) -> Config {
    Config {
        hosts: settings.hosts.clone(),
        origins: settings.origins.clone(),
        master_key: settings.master_key.clone(),
        session_keys: settings.session_keys.clone(),
        registry_staleness_max: settings.registry_staleness_max,
        drain_timeout: settings.drain_timeout,
        upstream_head_timeout: settings.upstream_head_timeout,
        open_requests_per_grant_max: settings.open_requests_per_grant_max,
        room: Room::new(settings.buffered_bytes_max),
        clock: Clock(Arc::new(|| RealClock.wall_ms())),
    }
}

/// Upstreams over https must show a certificate of a public authority, or of one that the operator
/// has named.
fn tls(settings: &GatewaySettings) -> Result<TlsConfig, Failure> {
    let failed = |error: rustls::Error| Failure::failed("TLS").because(&error);
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for authority in &settings.upstream_authorities {
        roots.add(authority.clone()).map_err(failed)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}
