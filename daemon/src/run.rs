//! A node's life: recover, serve, stop in order.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Provenance;
use icn_wal::{FsDisk, Housekeeper};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::config::Config;
use crate::control::server;
use crate::control::socket::SocketPath;
use crate::control::subscribers::Followers;
use crate::data::datadir::DataDir;
use crate::data::keyfile;
use crate::failure::{Failure, exit};
use crate::http::gauges::Gauges;
use crate::http::health::{Health, Phase};
use crate::http::meter::{Meter, Stopwatch};
use crate::http::{self, Site};
use crate::node::machine::Machine;
use crate::node::{Draft, Identity, Node, Rng};
use crate::report::{Start, counted};
use crate::shell::Shell;
use crate::shell::peers::Peers;

/// How long an idle connection may hold up the end.
const LINGER: Duration = Duration::from_millis(200);

/// Runs the node until it is told to stop.
///
/// # Errors
/// Why it could not start, or, with exit code 74, that its log failed.
pub fn run(config: &Config) -> Result<(), Failure> {
    let directory = DataDir::own(&config.data_dir, config.unsafe_fs)?;
    let outside = Outside::open(config)?;
    let (node, created, took) = recover(config, &directory, &outside.gauges)?;
    let recovery = node.recovery().clone();
    let peers = {
        let _runtime = outside.runtime.enter();
        Peers::bind(config, keyfile::read(&config.data_dir)?)?
    };
    let started = Start {
        did: node.did(),
        created,
        directory: &config.data_dir,
        usual_directory: config.usual_directory,
        http: outside.http,
        listen: peers.address().unwrap_or(config.listen),
        recovery: &recovery,
        took,
        has_topics: node.state().counts().topics > 0,
    };
    let outcome = outside.serve(config, node, peers, &started);
    outside.runtime.shutdown_timeout(LINGER);
    outcome
}

/// Makes the node's directory and key, if there are none, and tells who it is.
///
/// # Errors
/// Those of a start.
pub fn init(config: &Config) -> Result<(icn_gossip::Did, bool), Failure> {
    if keyfile::exists(&config.data_dir) {
        return Ok((keyfile::read(&config.data_dir)?.card.did, false));
    }
    let directory = DataDir::own(&config.data_dir, config.unsafe_fs)?;
    let (node, ..) = recover(config, &directory, &gauges(config)?)?;
    let did = node.did();
    node.close()?;
    Ok((did, true))
}

pub(crate) fn recover(
    config: &Config,
    directory: &DataDir,
    gauges: &Gauges,
) -> Result<(Node<FsDisk>, bool, Duration), Failure> {
    let keyfile::KeyFile { keypair, card, created } =
        keyfile::read_or_create(&config.data_dir, now_ms())?;
    let identity = Identity { keypair, card, network: config.network };
    let watch = Stopwatch::start();
    let mut told = Duration::ZERO;
    let watcher = |records: u64| {
        // A start that takes its time says so, and that it gets on.
        if watch.elapsed() >= told + Duration::from_secs(1) {
            told = watch.elapsed();
            tracing::info!("Recovering: {} replayed", counted(records, "record"));
        }
    };
    let (disk, policy) = (directory.disk(), config.policy);
    let rng = Box::new(SystemRng);
    let node = Node::open_watched(disk, policy, identity, rng, now_ms(), watcher)?;
    let took = watch.elapsed();
    let recovery = node.recovery();
    let counts = node.state().counts();
    let kept = node.store().compactor().list();
    let loaded = kept.iter().find(|snapshot| Some(snapshot.id) == recovery.snapshot);
    gauges.meter.recovered(recovery, loaded, &counts, took);
    for (id, why) in &recovery.passed_over {
        tracing::warn!("Snapshot {id} cannot be used: {why}. An older one and the log replace it");
    }
    for weakness in &recovery.weaker {
        tracing::error!("State guard: {}; what that exposes is closed", weakness.text);
    }
    if let Some(id) = recovery.snapshot {
        let version = <Machine as icn_snapshot::StateMachine>::SCHEMA;
        tracing::info!("Found state snapshot (version {version}) {id}");
    }
    let local = node.state().subscriptions().filter(|(_, by, _)| *by == Provenance::Local);
    for (name, _, _) in local.filter(|(_, _, wish)| wish.topic.is_none()) {
        tracing::warn!("The subscription to {name} waits: no such topic is known here yet");
    }
    if recovery.log.torn_bytes > 0 {
        tracing::warn!("Cut {} bytes of unacknowledged tail off the log", recovery.log.torn_bytes);
    }
    if let Some(first) = recovery.log.ignored.first() {
        let names = counted(recovery.log.ignored.len() as u64, "name");
        tracing::warn!(
            "{names} in the log's directory, such as {first:?}: not the log's, left alone"
        );
    }
    if recovery.log.last_lsn > 0 {
        tracing::info!(
            "Gossip state restored: {}, {}, {}, {}",
            counted(counts.topics as u64, "topic"),
            counted(counts.subscriptions as u64, "subscription"),
            counted(counts.entries as u64, "message"),
            counted(counts.logs as u64, "vector clock head"),
        );
        let from = if recovery.snapshot.is_some() { "snapshot" } else { "log" };
        let keys = counts.peers + counts.unsigned_keys;
        tracing::info!("Restored {keys} peer X25519 keys from {from}");
    }
    Ok((node, created, took))
}

/// What the node is seen through.
struct Outside {
    runtime: Runtime,
    gauges: Gauges,
    site: Site,
    http: SocketAddr,
    stop: CancellationToken,
}

impl Outside {
    /// Opens the page, before the recovery: that may take long, and whoever waits can see it.
    fn open(config: &Config) -> Result<Self, Failure> {
        // One thread for all sockets: what comes in on one wakes no second one.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| no_resources(&error))?;
        let gauges = gauges(config)?;
        let site = Site::new(gauges.clone());
        let stop = CancellationToken::new();
        let page = runtime.block_on(http::bind(config))?;
        let http = page.local_addr().unwrap_or(config.http);
        runtime.spawn(http::serve(page, site.clone(), stop.clone()));
        Ok(Self { runtime, gauges, site, http, stop })
    }

    fn serve(
        &self,
        config: &Config,
        node: Node<FsDisk>,
        peers: Peers,
        started: &Start<'_>,
    ) -> Result<(), Failure> {
        let Self { runtime, gauges, site, stop, .. } = self;
        let transport = peers.transport();
        gauges.meter.transport(transport.stats());
        {
            let _runtime = runtime.enter();
            peers.seek(&config.peers, node.state());
        }
        let housekeeper = Housekeeper::start(Arc::clone(node.store().wal()));
        let housekeeper = housekeeper.map_err(|error| no_resources(&error))?;
        let (failed, failure) = oneshot::channel();
        let failed = parking_lot::Mutex::new(Some(failed));
        let poisoned = move |failure: &Failure| {
            if let Some(failed) = failed.lock().take() {
                let _ = failed.send(failure.clone());
            }
        };
        let shell = Shell::start(node, gauges, Arc::new(transport.clone()), poisoned);
        let shell = shell.map_err(|error| no_resources(&error))?;
        let (listener, mut signals) = runtime.block_on(async {
            let signals = Signals::new().map_err(|error| no_resources(&error))?;
            Ok::<_, Failure>((server::bind(&config.data_dir)?, signals))
        })?;
        let met = runtime.spawn(peers.serve(shell.inbox()));
        let followers = Followers::new(shell.arrivals());
        let controlled = server::serve(listener, shell.inbox(), followers, stop.clone());
        let controlled = runtime.spawn(controlled);
        site.connect(Some(shell.inbox()));
        gauges.health.enter(Phase::Ready);
        // Whoever does not read what the node says does not keep it from running.
        let _ = started.write(&mut io::stdout().lock());
        tracing::info!("ICNd ready");

        let ended = runtime.block_on(async {
            tokio::select! {
                name = signals.next() => Ok(name),
                failure = failure => Err(failure.unwrap_or_else(|_| ended_early())),
            }
        });
        let signal = match ended {
            Ok(signal) => signal,
            Err(failure) => {
                // Memory is ahead of the disk: nothing of it may be saved or told.
                gauges.health.enter(Phase::Failed);
                tracing::error!("The log has failed: {}", failure.message);
                return Err(failure);
            }
        };
        gauges.health.enter(Phase::Stopping);
        tracing::info!("Received {signal}, shutting down gracefully");
        runtime.spawn(async move {
            let again = signals.next().await;
            tracing::warn!(
                "Received {again} again, stopping at once; the next start replays the log"
            );
            std::process::exit(i32::from(exit::INTERRUPTED));
        });
        site.connect(None);
        stop.cancel();
        let _ = runtime.block_on(controlled);
        runtime.block_on(transport.shutdown());
        // All links are down, and nobody but the shell has the transport any more.
        met.abort();
        let _ = runtime.block_on(met);
        let node = shell.stop().ok_or_else(ended_early)?;
        drop(housekeeper);
        save_last(node, gauges, &config.data_dir)?;
        if let Ok(socket) = SocketPath::of(&config.data_dir) {
            // It would be replaced by the next start anyway.
            let _ = std::fs::remove_file(socket.as_path());
        }
        tracing::info!("ICNd stopped");
        Ok(())
    }
}

fn save_last(mut node: Node<FsDisk>, gauges: &Gauges, directory: &Path) -> Result<(), Failure> {
    tracing::info!("Saving state snapshot before shutdown");
    match node.last_draft(now_ms()) {
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
                    tracing::error!("cannot save a snapshot: {failure}; the log keeps everything");
                }
            }
        }
    }
    node.close()
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The system's randomness.
struct SystemRng;

impl Rng for SystemRng {
    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        if let Err(error) = getrandom::fill(&mut bytes) {
            // Without it a new epoch could repeat an old one, and that is a fork of our own log.
            tracing::error!("the system gives no randomness: {error}");
            std::process::exit(i32::from(exit::FAILED));
        }
        u64::from_le_bytes(bytes)
    }
}

pub(crate) fn gauges(config: &Config) -> Result<Gauges, Failure> {
    let meter = Meter::new().map_err(|error| no_resources(&io::Error::other(error)))?;
    let health = Health::new(now_ms(), config.policy.due.age_ms);
    Ok(Gauges { meter: Arc::new(meter), health: Arc::new(health) })
}

fn ended_early() -> Failure {
    Failure::new(
        "ICN-E0108",
        exit::FAILED,
        "A part of the node ended before its time.",
        "Nothing acknowledged is lost. Start it again, and report what the log says.",
    )
}

fn no_resources(error: &io::Error) -> Failure {
    let message = format!("The system refuses what a node needs: {error}.");
    Failure::new("ICN-E0107", exit::FAILED, message, "")
}
