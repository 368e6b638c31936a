//! Opening a node: its key, its store, and what the recovery reports in the log.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{Provenance, TopicRef};
use icn_wal::FsDisk;
use tokio_util::sync::CancellationToken;

use super::rng::SystemRng;
use super::{ended_early, no_resources};
use crate::clock::{self, now_ms};
use crate::config::Config;
use crate::data::datadir::DataDir;
use crate::data::keyfile;
use crate::failure::Failure;
use crate::http::gauges::Gauges;
use crate::http::health::Health;
use crate::http::meter::{Meter, Stopwatch};
use crate::node::machine::Machine;
use crate::node::{Draft, Identity, Node};
use crate::text::command::located;
use crate::text::log_end::{left_out, unproven};
use crate::text::{bytes, counted};

/// A recovered node.
pub(crate) struct Recovered {
    pub(crate) node: Node<FsDisk>,
    /// Whether it was made just now.
    pub(crate) created: bool,
    /// The time that the recovery took.
    pub(crate) took: Duration,
}

/// Recovers the node in `directory`, a new one if it is empty. `None` if `stop` was cancelled before the end
/// of the log was reached: then nothing on the disk has changed.
///
/// # Errors
/// Those of the key file and of [`Node::open`].
pub(crate) fn recover(
    config: &Config,
    directory: &DataDir,
    gauges: &Gauges,
    stop: &CancellationToken,
) -> Result<Option<Recovered>, Failure> {
    if stop.is_cancelled() {
        return Ok(None);
    }
    let keyfile::KeyFile { keypair, card, created } =
        keyfile::read_or_create(&config.data_dir, now_ms())?;
    let identity = Identity { keypair, card, network: config.network };
    let watch = Stopwatch::start();
    let mut reported = Duration::ZERO;
    let mut stopped = false;
    let watcher = |records: u64| {
        gauges.health.replayed(records);
        if stop.is_cancelled() {
            stopped = true;
            return ControlFlow::Break(());
        }
        // A long recovery reports its progress.
        if watch.elapsed() >= reported + Duration::from_secs(1) {
            reported = watch.elapsed();
            tracing::info!("Recovering: {} replayed", counted(records, "record"));
        }
        ControlFlow::Continue(())
    };
    let disk = directory.disk();
    let policy = config.policy;
    let rng = Box::new(SystemRng);
    let opened =
        Node::open_watched(disk, policy, identity, rng, clock::now(), clock::boot(), watcher);
    if stopped {
        return Ok(None);
    }
    let mut node = opened?;
    let took = watch.elapsed();
    // The data have accepted the key.
    node.report_key(keyfile::mend(&config.data_dir));
    let recovery = node.recovery();
    let counts = node.state().counts();
    let kept = node.store().compactor().list();
    let loaded = kept.iter().find(|snapshot| Some(snapshot.id) == recovery.snapshot);
    gauges.meter.recovered(recovery, loaded, &counts, took);
    for (id, why) in &recovery.passed_over {
        tracing::warn!("Snapshot {id} cannot be used: {why}. An older one and the log replace it");
    }
    for weakness in &recovery.weaker {
        tracing::error!("State guard: {}; topics that this exposes are closed", weakness.text);
    }
    if let Some(id) = recovery.snapshot {
        let version = <Machine as icn_snapshot::StateMachine>::SCHEMA;
        tracing::info!("Found state snapshot (version {version}) {id}");
    }
    let local = node.state().subscriptions().filter(|(_, by, _)| *by == Provenance::Local);
    let pending = local.filter(|(_, _, wish)| wish.topic.is_none()).map(|(text, ..)| text);
    let is_name = |text: &&str| matches!(TopicRef::parse(text), Some(TopicRef::Name(_)));
    let (names, joins): (Vec<&str>, Vec<&str>) = pending.partition(is_name);
    if let Some(first) = names.first() {
        let subscriptions = counted(names.len() as u64, "subscription");
        tracing::warn!(
            "{subscriptions} by a name alone pending, such as {first}: no such topic was created or \
             joined here. {}",
            located("Join it: icnctl topic join ID")
        );
    }
    if !joins.is_empty() {
        tracing::info!("No peer has offered {} yet", counted(joins.len() as u64, "joined topic"));
    }
    if recovery.log.torn_bytes > 0 {
        tracing::warn!("The log ended with a crash or kill: {}", left_out(recovery.log.torn_bytes));
    } else if !recovery.log.end_proven {
        tracing::warn!("The log ended with a crash or kill: {}", unproven());
    }
    if recovery.log.missing_through > 0 {
        tracing::warn!(
            "A part of the log up to #{} is missing, as in a copy of a running node. The snapshot covers it; \
             states before the snapshot cannot be restored",
            recovery.log.missing_through
        );
    }
    if let Some(first) = recovery.log.ignored.first() {
        let names = counted(recovery.log.ignored.len() as u64, "name");
        tracing::warn!(
            "The directory of the log has {names} that are not the log's, such as {first:?}; they stay"
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
    if !stop.is_cancelled() {
        save_after_crash(&mut node, gauges);
    }
    Ok(Some(Recovered { node, created, took }))
}

/// Recovers the node in `directory` for a short task that no signal breaks off.
///
/// # Errors
/// Those of [`recover`].
pub(crate) fn recover_to_the_end(
    config: &Config,
    directory: &DataDir,
) -> Result<Recovered, Failure> {
    recover(config, directory, &gauges()?, &CancellationToken::new())?.ok_or_else(ended_early)
}

/// Saves a snapshot if the last run has crashed and left a long log. A failure is no reason not to start.
fn save_after_crash(node: &mut Node<FsDisk>, gauges: &Gauges) {
    let Some(draft) = node.draft_after_crash(clock::now()) else { return };
    let log = node.store().wal().stats();
    tracing::info!(
        "The last run ended without a stop, and the log has {} in {}: saving a snapshot before the node is ready",
        bytes(log.size_bytes),
        counted(log.segments, "segment"),
    );
    let Draft { image, counts } = *draft;
    let compactor = node.store().compactor().clone();
    let saved = gauges.meter.save(&counts, || compactor.save(image));
    match &saved {
        Ok((snapshot, took)) => {
            let took = took.as_secs_f64();
            tracing::info!("State snapshot {} saved in {took:.3}s", snapshot.id);
        }
        Err(failure) => {
            let why = &failure.message;
            tracing::error!("Cannot save a snapshot; the log keeps every record: {why}");
        }
    }
    node.saved(clock::now(), saved.map(drop).map_err(|failure| failure.message));
}

/// New metrics and health of a node that is starting.
///
/// # Errors
/// `ICN-E0107`.
pub(crate) fn gauges() -> Result<Gauges, Failure> {
    let meter = Meter::new().map_err(|error| no_resources(&io::Error::other(error)))?;
    let health = Health::new(clock::elapsed_ms());
    Ok(Gauges { meter: Arc::new(meter), health: Arc::new(health) })
}
