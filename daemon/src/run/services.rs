//! The services around the node: runtime, HTTP, links and control socket, from start to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use icn_wal::{FsDisk, Housekeeper};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::reload::reload;
use super::start_report::Start;
use super::{Life, ended_early, no_resources, recovery, suspend};
use crate::clock;
use crate::config::Config;
use crate::connections::Connections;
use crate::control::server;
use crate::control::socket::SocketPath;
use crate::control::subscribers::Subscribers;
use crate::control::waiting::{self, PATIENCE};
use crate::failure::Failure;
use crate::files::Budget;
use crate::http::gauges::Gauges;
use crate::http::health::Phase;
use crate::http::server as http;
use crate::http::site::Site;
use crate::node::{Draft, Node};
use crate::shell::Shell;
use crate::shell::peers::Peers;

/// The runtime and the HTTP server, which run before the node does.
pub(super) struct Services {
    pub(super) runtime: Runtime,
    pub(super) gauges: Gauges,
    site: Site,
    pub(super) http: SocketAddr,
    /// Ends the servers.
    stop: CancellationToken,
}

/// The control socket of a node that is not ready yet.
pub(super) struct Waiting {
    end: CancellationToken,
    listener: JoinHandle<UnixListener>,
}

impl Services {
    /// Starts HTTP before the recovery, so that operators can watch a long one.
    ///
    /// # Errors
    /// `ICN-E0107`, `ICN-E0130`.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        // One thread for all sockets: an event on one socket wakes one thread.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| no_resources(&error))?;
        let gauges = recovery::gauges()?;
        let site = Site::new(gauges.clone());
        let stop = CancellationToken::new();
        let page = runtime.block_on(http::bind(config))?;
        let http = page.local_addr().unwrap_or(config.http);
        runtime.spawn(http::serve(page, site.clone(), stop.clone()));
        Ok(Self { runtime, gauges, site, http, stop })
    }

    /// Binds the control socket, and answers there that the node is starting. The caller holds the lock of the
    /// directory.
    ///
    /// # Errors
    /// `ICN-E0120`.
    pub(super) fn answer_starting(&self, config: &Config) -> Result<Waiting, Failure> {
        let _runtime = self.runtime.enter();
        let listener = server::bind(&config.data_dir)?;
        let end = CancellationToken::new();
        let served = waiting::serve(listener, self.not_ready(), PATIENCE, end.clone());
        Ok(Waiting { end, listener: self.runtime.spawn(served) })
    }

    fn not_ready(&self) -> waiting::Answer {
        let health = Arc::clone(&self.gauges.health);
        Arc::new(move || health.not_ready())
    }

    /// Runs the node until a signal or a failure of its log. It stops in order: sockets, links, threads, the
    /// last snapshot, the seal of the log.
    ///
    /// # Errors
    /// `ICN-E0107`; with exit code 74 that the log has failed.
    pub(super) fn serve(
        &self,
        life: &Life<'_>,
        waiting: Waiting,
        node: Node<FsDisk>,
        peers: Peers,
        started: &Start<'_>,
    ) -> Result<(), Failure> {
        let Life { flags, signals, .. } = life;
        let mut config = life.config.clone();
        let Self { runtime, gauges, site, stop, .. } = self;
        let transport = peers.transport();
        gauges.meter.transport(transport.stats());
        {
            let _runtime = runtime.enter();
            peers.seek(&config.peers, node.state());
        }
        let housekeeper = Housekeeper::start(Arc::clone(node.store().wal()));
        let housekeeper = housekeeper.map_err(|error| no_resources(&error))?;
        let (failed, mut failure) = oneshot::channel();
        let failed = parking_lot::Mutex::new(Some(failed));
        let poisoned = move |failure: &Failure| {
            if let Some(failed) = failed.lock().take() {
                let _ = failed.send(failure.clone());
            }
        };
        // Health has its checks before the node is ready.
        let checks = node.checks(&node.state().counts());
        gauges.health.turned(clock::elapsed_ms(), checks);
        let shell = Shell::start(node, gauges, Arc::new(transport.clone()), poisoned);
        let shell = shell.map_err(|error| no_resources(&error))?;
        waiting.end.cancel();
        let listener = runtime.block_on(waiting.listener).map_err(|_| ended_early())?;
        let links = runtime.spawn(peers.serve(shell.inbox()));
        let suspends = runtime.spawn(suspend::watch(transport.clone()));
        let subscribers = Subscribers::new(shell.arrivals());
        let connections = Connections::new(
            Budget::of_process().control,
            gauges.meter.control_connections(),
            stop.clone(),
        );
        let server = server::serve(listener, shell.inbox(), subscribers, connections, stop.clone());
        let server = runtime.spawn(server);
        site.connect(Some(shell.inbox()));
        gauges.health.enter(Phase::Ready);
        started.print();
        tracing::info!("ICNd ready");

        let ended = runtime.block_on(async {
            loop {
                tokio::select! {
                    () = signals.stop().cancelled() => return Ok(()),
                    failure = &mut failure => return Err(failure.unwrap_or_else(|_| ended_early())),
                    () = signals.reload() => reload(flags, &mut config, &shell, &transport),
                }
            }
        });
        if let Err(failure) = ended {
            // Memory is ahead of the disk, so no snapshot may hold it and no reply may show it.
            gauges.health.enter(Phase::Failed);
            tracing::error!("The log has failed: {}", failure.message);
            return Err(failure);
        }
        gauges.health.enter(Phase::Stopping);
        site.connect(None);
        stop.cancel();
        if let Ok(listener) = runtime.block_on(server) {
            let never = CancellationToken::new();
            runtime.spawn(waiting::serve(listener, self.not_ready(), Duration::ZERO, never));
        }
        runtime.block_on(transport.shutdown());
        // All links are down.
        suspends.abort();
        links.abort();
        let _ = runtime.block_on(links);
        let node = shell.stop().ok_or_else(ended_early)?;
        drop(housekeeper);
        save_last(node, gauges, &config.data_dir)?;
        tracing::info!("ICNd stopped");
        Ok(())
    }
}

/// Removes the control socket. The next start would replace one that stays.
pub(super) fn remove_socket(config: &Config) {
    if let Ok(socket) = SocketPath::of(&config.data_dir) {
        let _ = std::fs::remove_file(socket.as_path());
    }
}

fn save_last(mut node: Node<FsDisk>, gauges: &Gauges, directory: &Path) -> Result<(), Failure> {
    tracing::info!("Saving state snapshot before shutdown");
    match node.last_draft(clock::now()) {
        None => tracing::info!("State snapshot is up to date"),
        Some(draft) => {
            let Draft { image, counts } = *draft;
            let compactor = node.store().compactor().clone();
            match gauges.meter.save(&counts, || compactor.save(image)) {
                Ok((snapshot, took)) => tracing::info!(
                    "State snapshot saved to {} in {:.3}s",
                    directory.join("snapshots").join(snapshot.id.file_name()).display(),
                    took.as_secs_f64()
                ),
                Err(failure) => {
                    let why = failure.message;
                    tracing::error!("Cannot save a snapshot; the log keeps every record: {why}");
                }
            }
        }
    }
    node.close()
}
