//! Saving, loading and verifying snapshots, and what the newest one holds.

use icn_gossip::Counts;
use icn_snapshot::Snapshot;
use metrics::{Counter, Gauge, Histogram};

use super::{counter, gauge, histogram, real};

pub(super) struct SnapshotMeter {
    pub(super) save_duration: Histogram,
    pub(super) load_duration: Histogram,
    pub(super) saves: Counter,
    pub(super) loads: Counter,
    pub(super) save_errors: Counter,
    pub(super) load_errors: Counter,
    pub(super) size: Gauge,
    pub(super) vector_clock_entries: Gauge,
    pub(super) subscriptions: Gauge,
    pub(super) topics: Gauge,
    pub(super) x25519_keys: Gauge,
    pub(super) last_success: Gauge,
    pub(super) last_lsn: Gauge,
    pub(super) generations: Gauge,
    pub(super) fallbacks: Counter,
    pub(super) quarantined: Gauge,
    pub(super) verify_failures: Counter,
}

impl SnapshotMeter {
    pub(super) fn new() -> Self {
        Self {
            save_duration: histogram(
                "icn_snapshot_save_duration_seconds",
                "Time to write and verify a snapshot and to list it in the manifest.",
            ),
            load_duration: histogram(
                "icn_snapshot_load_duration_seconds",
                "Time to recover from a snapshot and the log after it.",
            ),
            saves: counter("icn_snapshot_save_total", "Snapshots written and verified."),
            loads: counter("icn_snapshot_load_total", "Starts that loaded a snapshot."),
            save_errors: counter(
                "icn_snapshot_save_errors_total",
                "Snapshots that could not be saved.",
            ),
            load_errors: counter(
                "icn_snapshot_load_errors_total",
                "Snapshots that a start could not use.",
            ),
            size: gauge("icn_snapshot_size_bytes", "Size of the newest snapshot."),
            vector_clock_entries: gauge(
                "icn_snapshot_gossip_vector_clock_entries",
                "Heads of authors' logs in the newest snapshot.",
            ),
            subscriptions: gauge(
                "icn_snapshot_gossip_subscriptions",
                "Subscriptions in the newest snapshot.",
            ),
            topics: gauge("icn_snapshot_gossip_topics", "Topics in the newest snapshot."),
            x25519_keys: gauge(
                "icn_snapshot_network_x25519_keys",
                "Peers' X25519 keys in the newest snapshot.",
            ),
            last_success: gauge(
                "icn_snapshot_last_success_timestamp_seconds",
                "Time of the newest snapshot, in seconds since 1970.",
            ),
            last_lsn: gauge(
                "icn_snapshot_last_lsn",
                "The last LSN that the newest snapshot covers.",
            ),
            generations: gauge("icn_snapshot_generations", "Kept snapshots that are whole."),
            fallbacks: counter(
                "icn_snapshot_fallback_total",
                "Starts that could not use the newest snapshot.",
            ),
            quarantined: gauge(
                "icn_snapshot_quarantined",
                "Damaged snapshots that are kept for inspection.",
            ),
            verify_failures: counter(
                "icn_snapshot_verify_failures_total",
                "Checks that found a kept snapshot damaged.",
            ),
        }
    }

    /// Records what the newest snapshot holds.
    pub(super) fn holds(&self, snapshot: &Snapshot, counts: &Counts) {
        self.size.set(real(snapshot.bytes));
        self.vector_clock_entries.set(real(counts.logs as u64));
        self.subscriptions.set(real(counts.subscriptions as u64));
        self.topics.set(real(counts.topics as u64));
        self.x25519_keys.set(real((counts.peers + counts.unsigned_keys) as u64));
        self.last_success.set(real(snapshot.created_ms) / 1000.0);
        self.last_lsn.set(real(snapshot.id.lsn));
    }
}
