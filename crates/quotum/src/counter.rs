//! `quotum counter`: one node of the counter service.

use std::sync::Arc;

use quotum_counter::envoy::Envoy;
use quotum_counter::{Listeners, Ports, Server, ServerConfig};
use quotum_replica::clock::RealClock;
use quotum_replica::disk::real::RealDisk;
use quotum_replica::{Dialer, Seams};
use quotum_telemetry::EnvoyMetrics;
use quotum_telemetry::label::Certificate;
use quotum_transport::{Ends, Security};
use tokio_util::sync::CancellationToken;

use crate::arguments;
use crate::descriptors::Descriptors;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::files;
use crate::limits::TAKE_OVER_MAX;
use crate::process::{self, Admin, Endings};
use crate::secrets;
use crate::settings::counter::CounterSettings;
use crate::tls::Certificates;

pub(crate) fn run(options: &arguments::Counter, environment: &Environment) -> Result<(), Failure> {
    let settings = CounterSettings::load(
        options.config.as_deref(),
        &options.settings.said(),
        environment,
    )
    .map_err(|error| Failure::usage("the configuration is refused").because(&error))?;
    settings.logging.start()?;
    settings.settings.log();
    let threads = settings.threads.unwrap_or_else(threads_by_default);
    process::runtime_of(threads)?.block_on(serve(settings, options.exit_with_stdin))
}

/// Half of the cores: a shard's consensus is one task after the other, and what goes from thread to
/// thread between them wakes cores for nothing. The log and the kernel want cores, too.
fn threads_by_default() -> usize {
    (process::cores() / 2).max(1)
}

async fn serve(settings: CounterSettings, exit_with_stdin: bool) -> Result<(), Failure> {
    let mut certificates = Certificates::default();
    let (ports, dialer) = secure(&settings, &mut certificates)?;
    let exposition = process::exposition();
    let descriptors = match &settings.ratelimit_dir {
        None => None,
        Some(folder) => {
            let metrics = EnvoyMetrics::new(&exposition);
            Some((Descriptors::open(folder, metrics.clone())?, metrics))
        }
    };
    let mut endings = Endings::listen(exit_with_stdin)?;
    let folder = &settings.data_dir;
    let unusable = |error: std::io::Error| {
        Failure::failed(format!("data_dir: {}", folder.display())).because(&error)
    };
    files::make_folder(folder).map_err(unusable)?;
    // Two processes on one log would break every promise.
    let claim = process::claim(folder, TAKE_OVER_MAX)?;
    let disk = RealDisk::open(folder).map_err(unusable)?;
    let listeners = Listeners {
        client: process::listen("listen", settings.listen).await?,
        peer: process::listen("peer_listen", settings.peer_listen).await?,
        ports,
    };
    let listener = process::listen("admin_listen", settings.admin_listen).await?;
    let (admin, starting) = Admin::start(listener, exposition);
    let seams = Seams {
        disk: Arc::new(disk),
        clock: Arc::new(RealClock),
        dialer,
        // The server puts its own in place.
        observer: Arc::new(quotum_replica::observe::Unobserved),
        seed: secrets::draw_seed(),
    };
    let envoy = descriptors.as_ref().map(|(descriptors, metrics)| Envoy {
        config: descriptors.config(),
        headers: settings.ratelimit_headers,
        metrics: metrics.clone(),
    });
    let config = ServerConfig {
        node: settings.node,
        bootstrap: settings.bootstrap,
        master_key: settings.master_key,
        admin_token: settings.admin_token,
        envoy,
        random: Arc::new(secrets::fill),
    };
    let watching = CancellationToken::new();
    let watch = certificates.watch(admin.exposition.clone(), watching.clone());
    let watch = tokio::spawn(watch);
    let server = Server::start(
        config,
        seams,
        listeners,
        &admin.exposition,
        &admin.readiness,
    );
    let server = server
        .await
        .map_err(|error| Failure::failed("the node cannot start").because(&error))?;
    tracing::info!(node = server.node().id(), "serving");
    starting.release();
    let following = async {
        match descriptors {
            Some((descriptors, _)) => descriptors.follow().await.to_string(),
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        why = server.failed() => Err(why),
        why = following => Err(why),
        ending = endings.next() => Ok(ending),
    };
    let leaving = admin.readiness.latch("leaving");
    if let Ok(ending) = &ended {
        tracing::info!(?ending, "leaving");
        server.shutdown().await;
    }
    drop(leaving);
    watching.cancel();
    if let Err(error) = watch.await {
        tracing::error!(%error, "the watch over certificates failed");
    }
    admin.shutdown().await;
    drop(claim);
    match ended {
        Ok(_) => Ok(()),
        Err(why) => {
            tracing::error!(why, "the node has failed");
            Err(Failure::failed(format!("the node has failed: {why}")))
        }
    }
}

/// How this node is reached, and how it reaches the others.
fn secure(
    settings: &CounterSettings,
    certificates: &mut Certificates,
) -> Result<(Ports, Dialer), Failure> {
    let client = match &settings.tls {
        None => Security::Plaintext,
        Some(files) => {
            if files.authorities.is_none() {
                tracing::warn!(
                    "no certificates are asked of clients: whoever reaches `listen` may take units"
                );
            }
            Security::Tls(certificates.load(Certificate::Listen, Ends::Server, files)?)
        }
    };
    let (peer, dialer) = match &settings.peer_tls {
        None => (Security::Plaintext, quotum_counter::dialer()),
        Some(files) => {
            let credentials = certificates.load(Certificate::Peers, Ends::Both, files)?;
            let dialer = quotum_counter::tls_dialer(credentials.clone());
            (Security::Tls(credentials), dialer)
        }
    };
    let mut ports = Ports::new(client, peer);
    ports.client.bounds.connections_max = settings.connections_max;
    ports.client.bounds.connections_per_ip_max = settings.connections_per_ip_max;
    Ok((ports, dialer))
}
