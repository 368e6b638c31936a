//! The metrics, as Prometheus text. Every series exists from the first scrape.

mod connections;
mod network;
mod snapshot;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use icn_gossip::Counts;
use icn_gossip::mesh::Mesh;
use icn_snapshot::{Integrity, Snapshot};
use icn_wal::Stats;
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::control::reply::check::Check;
use crate::failure::Failure;
use crate::http::health::LOOPS;
use crate::node::checks::CHECKS;
use crate::output;
pub(crate) use connections::ConnectionMeter;
use connections::FileMeter;
use network::NetworkMeter;
use snapshot::SnapshotMeter;

const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];

/// All metrics of a node.
pub(crate) struct Meter {
    exposition: PrometheusHandle,
    snapshot: SnapshotMeter,
    wal: WalMeter,
    gossip: GossipMeter,
    network: NetworkMeter,
    files: FileMeter,
    transport: OnceLock<Arc<icn_net::TransportStats>>,
    requests: Counter,
    weaknesses: Gauge,
    lines_dropped: Counter,
    checks: Vec<(&'static str, Gauge)>,
}

struct WalMeter {
    appends: Counter,
    bytes: Counter,
    syncs: Counter,
    last_lsn: Gauge,
    durable_lsn: Gauge,
    segments: Gauge,
    size: Gauge,
    commit_duration: Histogram,
    recovery_duration: Gauge,
    recovery_records: Gauge,
    recovery_torn: Gauge,
}

struct GossipMeter {
    topics: Gauge,
    entries: Gauge,
    bytes: Gauge,
    subscriptions: Gauge,
    peers: Gauge,
}

fn counter(name: &'static str, help: &'static str) -> Counter {
    metrics::describe_counter!(name, help);
    metrics::counter!(name)
}

fn gauge(name: &'static str, help: &'static str) -> Gauge {
    metrics::describe_gauge!(name, help);
    metrics::gauge!(name)
}

fn histogram(name: &'static str, help: &'static str) -> Histogram {
    metrics::describe_histogram!(name, help);
    metrics::histogram!(name)
}

impl Meter {
    /// All metrics at zero.
    ///
    /// # Errors
    /// When the exporter refuses the buckets.
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(SECONDS)?.build_recorder();
        let exposition = recorder.handle();
        let (snapshot, wal, gossip, network) = metrics::with_local_recorder(&recorder, || {
            (SnapshotMeter::new(), WalMeter::new(), GossipMeter::new(), NetworkMeter::new())
        });
        let files = metrics::with_local_recorder(&recorder, FileMeter::new);
        let (requests, weaknesses, lines_dropped) = metrics::with_local_recorder(&recorder, || {
            (
                counter("icn_control_requests_total", "Requests that the node has processed."),
                gauge(
                    "icn_state_guard_findings",
                    "Findings of the last start: state that is weaker than the state that was kept.",
                ),
                counter(
                    "icn_log_lines_dropped_total",
                    "Log lines that found no room, because standard error took no more, or that \
                     could not be written.",
                ),
            )
        });
        let checks = metrics::with_local_recorder(&recorder, || {
            const LEVEL: &str = "icn_health_check";
            metrics::describe_gauge!(
                LEVEL,
                "The checks of the node: 0 well, 1 a warning, 2 failed."
            );
            let names = CHECKS.into_iter().chain([LOOPS]);
            names.map(|name| (name, metrics::gauge!(LEVEL, "check" => name))).collect()
        });
        let transport = OnceLock::new();
        Ok(Self {
            exposition,
            snapshot,
            wal,
            gossip,
            network,
            files,
            transport,
            requests,
            weaknesses,
            lines_dropped,
            checks,
        })
    }

    /// The text of a scrape.
    #[must_use]
    pub(crate) fn render(&self) -> String {
        if let Some(stats) = self.transport.get() {
            self.network.transport(stats);
        }
        self.lines_dropped.absolute(output::log_lines().dropped);
        self.files.measure();
        self.exposition.run_upkeep();
        self.exposition.render()
    }

    /// The connections for HTTP.
    pub(crate) fn http_connections(&self) -> ConnectionMeter {
        self.files.http.clone()
    }

    /// The connections to the control socket.
    pub(crate) fn control_connections(&self) -> ConnectionMeter {
        self.files.control.clone()
    }

    /// Counts the inputs of a turn.
    pub(crate) fn turned(&self, requests: usize) {
        self.requests.increment(requests as u64);
    }

    /// Records the state of the log.
    pub(crate) fn log(&self, stats: &Stats) {
        let wal = &self.wal;
        wal.appends.absolute(stats.appends);
        wal.bytes.absolute(stats.bytes);
        wal.syncs.absolute(stats.syncs);
        wal.last_lsn.set(real(stats.last_lsn));
        wal.durable_lsn.set(real(stats.durable_lsn));
        wal.segments.set(real(stats.segments));
        wal.size.set(real(stats.size_bytes));
    }

    /// Records the contents of the gossip state.
    pub(crate) fn gossip(&self, counts: &Counts) {
        let gossip = &self.gossip;
        gossip.topics.set(real(counts.topics as u64));
        gossip.entries.set(real(counts.entries as u64));
        gossip.bytes.set(real(counts.bytes));
        gossip.subscriptions.set(real(counts.subscriptions as u64));
        gossip.peers.set(real(counts.peers as u64));
    }

    /// Records the links and the events of the protocol.
    pub(crate) fn network(&self, mesh: &Mesh) {
        self.network.mesh(mesh);
    }

    /// Adds the statistics of the transport to each scrape.
    pub(crate) fn transport(&self, stats: &Arc<icn_net::TransportStats>) {
        let _ = self.transport.set(Arc::clone(stats));
    }

    /// Runs a save and records its outcome.
    ///
    /// # Errors
    /// Those of the save.
    pub(crate) fn save(
        &self,
        counts: &Counts,
        save: impl FnOnce() -> Result<Snapshot, icn_snapshot::Error>,
    ) -> Result<(Snapshot, Duration), Failure> {
        let watch = Stopwatch::start();
        let saved = save();
        let took = watch.elapsed();
        let meter = &self.snapshot;
        match saved {
            Ok(snapshot) => {
                meter.saves.increment(1);
                meter.save_duration.record(took);
                meter.holds(&snapshot, counts);
                Ok((snapshot, took))
            }
            Err(error) => {
                meter.save_errors.increment(1);
                Err(error.into())
            }
        }
    }

    /// Records the kept snapshots.
    pub(crate) fn snapshots(&self, kept: &[Snapshot]) {
        let count =
            |integrity| real(kept.iter().filter(|kept| kept.integrity == integrity).count() as u64);
        self.snapshot.generations.set(count(Integrity::Whole));
        self.snapshot.quarantined.set(count(Integrity::Damaged));
    }

    /// Records the levels of the checks.
    pub(crate) fn checks(&self, checks: &[Check]) {
        for (name, level) in &self.checks {
            let found = checks.iter().find(|check| check.name == *name);
            level.set(found.map_or(0.0, |check| f64::from(check.level as u8)));
        }
    }

    /// Records the findings of the state guard.
    pub(crate) fn guard(&self, findings: usize) {
        self.weaknesses.set(real(findings as u64));
    }

    /// Counts a kept snapshot that failed its verification.
    pub(crate) fn verify_failed(&self) {
        self.snapshot.verify_failures.increment(1);
    }

    /// Records a recovery: the loaded snapshot, the unusable ones, and the time it took.
    pub(crate) fn recovered(
        &self,
        recovery: &icn_snapshot::Recovery,
        loaded: Option<&Snapshot>,
        counts: &Counts,
        took: Duration,
    ) {
        let meter = &self.snapshot;
        meter.load_errors.increment(recovery.passed_over.len() as u64);
        meter.fallbacks.increment(u64::from(!recovery.passed_over.is_empty()));
        if let Some(snapshot) = loaded {
            meter.loads.increment(1);
            meter.load_duration.record(took);
            meter.holds(snapshot, counts);
        }
        self.wal.recovery_duration.set(took.as_secs_f64());
        self.wal.recovery_records.set(real(recovery.log.replayed));
        self.wal.recovery_torn.set(real(recovery.log.torn_bytes));
    }

    /// A timer that records one wait for the disk when it is dropped.
    pub(crate) fn commit_timer(&self) -> Timer<'_> {
        Timer { histogram: &self.wal.commit_duration, watch: Stopwatch::start() }
    }
}

impl WalMeter {
    fn new() -> Self {
        Self {
            appends: counter("icn_wal_appends_total", "Records appended since the start."),
            bytes: counter("icn_wal_append_bytes_total", "Bytes written into segments."),
            syncs: counter("icn_wal_fsync_total", "Syncs of segments since the start."),
            last_lsn: gauge("icn_wal_last_lsn", "The LSN of the last appended record."),
            durable_lsn: gauge("icn_wal_durable_lsn", "The LSN of the last durable record."),
            segments: gauge("icn_wal_segments", "Segments that the log keeps."),
            size: gauge("icn_wal_size_bytes", "Size of the segments on disk."),
            commit_duration: histogram(
                "icn_wal_commit_duration_seconds",
                "Time that the release of a turn waited for the disk.",
            ),
            recovery_duration: gauge(
                "icn_wal_recovery_duration_seconds",
                "Time that recovery took at the last start.",
            ),
            recovery_records: gauge(
                "icn_wal_recovery_records",
                "Records that the last start replayed after its snapshot.",
            ),
            recovery_torn: gauge(
                "icn_wal_recovery_torn_bytes",
                "Bytes of a torn tail that the last start left out of the log.",
            ),
        }
    }
}

impl GossipMeter {
    fn new() -> Self {
        Self {
            topics: gauge("icn_gossip_topics", "Topics that the node knows."),
            entries: gauge("icn_gossip_entries", "Entries that the node retains."),
            bytes: gauge("icn_gossip_entry_bytes", "Bytes of the entries that the node retains."),
            subscriptions: gauge(
                "icn_gossip_subscriptions",
                "Subscriptions of this node and of peers.",
            ),
            peers: gauge("icn_gossip_peer_keys", "Peers whose key the node knows."),
        }
    }
}

/// A running time measurement.
pub(crate) struct Timer<'a> {
    histogram: &'a Histogram,
    watch: Stopwatch,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.histogram.record(self.watch.elapsed());
    }
}

/// Measures a duration for display and metrics only.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts the measurement.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "durations are shown, nothing depends on them")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A number as a metric, exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "2⁵³ records are not reached")]
fn real(number: u64) -> f64 {
    number as f64
}
