//! Metrics, health and the page of a real node.

mod harness;

use harness::{House, until};
use serde_json::Value;

const SNAPSHOT_SERIES: [&str; 17] = [
    "icn_snapshot_save_duration_seconds_count",
    "icn_snapshot_load_duration_seconds_count",
    "icn_snapshot_save_total",
    "icn_snapshot_load_total",
    "icn_snapshot_save_errors_total",
    "icn_snapshot_load_errors_total",
    "icn_snapshot_size_bytes",
    "icn_snapshot_gossip_vector_clock_entries",
    "icn_snapshot_gossip_subscriptions",
    "icn_snapshot_gossip_topics",
    "icn_snapshot_network_x25519_keys",
    "icn_snapshot_last_success_timestamp_seconds",
    "icn_snapshot_last_lsn",
    "icn_snapshot_generations",
    "icn_snapshot_fallback_total",
    "icn_snapshot_quarantined",
    "icn_snapshot_verify_failures_total",
];

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.split(' ').next() == Some(series));
    let line = line.unwrap_or_else(|| panic!("{series} in {text}"));
    line.split(' ').nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn every_series_exists_from_the_first_scrape_and_moves() {
    let house = House::new();
    let mut daemon = house.start();
    let (status, text) = daemon.http("/metrics", "localhost");
    assert_eq!(status, 200);
    for series in SNAPSHOT_SERIES {
        assert_eq!(value(&text, series), 0.0, "{series}");
        let family = series.trim_end_matches("_count");
        assert!(text.contains(&format!("# HELP {family} ")), "{family}");
    }
    for series in ["icn_wal_appends_total", "icn_wal_fsync_total", "icn_wal_durable_lsn"] {
        value(&text, series);
    }
    for series in [
        "icn_network_links_up_total",
        "icn_network_bytes_in_total",
        "icn_network_hello_refused_total{reason=\"other_network\"}",
        "icn_network_link_closed_total{reason=\"silent\"}",
        "icn_network_events_total{event=\"bad_signature\"}",
    ] {
        assert_eq!(value(&text, series), 0.0, "{series}");
    }
    house.get(&["topic", "create", "a"]);
    house.get(&["gossip", "subscribe", "a"]);
    house.get(&["gossip", "publish", "a", "one"]);
    house.get(&["snapshot", "create"]);
    let text = until("the metrics of the snapshot", || {
        let (_, text) = daemon.http("/metrics", "127.0.0.1:80");
        (value(&text, "icn_wal_durable_lsn") >= 4.0).then_some(text)
    });
    for series in [
        "icn_snapshot_save_duration_seconds_count",
        "icn_snapshot_save_total",
        "icn_snapshot_gossip_vector_clock_entries",
        "icn_snapshot_gossip_subscriptions",
        "icn_snapshot_gossip_topics",
    ] {
        assert_eq!(value(&text, series), 1.0, "{series}");
    }
    assert!(value(&text, "icn_snapshot_size_bytes") > 100.0);
    let peer = House::new();
    let _peer = peer.start_with(&["--peer", &daemon.peers()]);
    until("the metrics of the link", || {
        let (_, text) = daemon.http("/metrics", "localhost");
        let linked = value(&text, "icn_network_links_up_total") == 1.0;
        let (_, page) = daemon.http("/", "localhost");
        let shown = page.contains("Linked peers") && page.matches("<td>did:icn:").count() == 2;
        (linked && shown && value(&text, "icn_network_bytes_in_total") > 0.0).then_some(())
    });
    assert!(value(&text, "icn_wal_fsync_total") > 0.0);
    assert_eq!(daemon.stop("TERM"), Some(0));
    let daemon = house.start();
    let (_, text) = daemon.http("/metrics", "localhost");
    assert_eq!(value(&text, "icn_snapshot_load_total"), 1.0);
    assert_eq!(value(&text, "icn_snapshot_gossip_subscriptions"), 1.0);
}

#[test]
fn health_reports_the_state_to_this_machine_only() {
    let house = House::new();
    let daemon = house.start();
    assert_eq!(daemon.http("/livez", "localhost").0, 200);
    assert_eq!(daemon.http("/readyz", "localhost").0, 200);
    let (status, text) = daemon.http("/healthz", "localhost");
    assert_eq!(status, 200);
    let body = text.split("\r\n\r\n").nth(1).expect("a body");
    let body = body.lines().find(|line| line.starts_with('{')).expect("JSON");
    let health: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(health["status"], "ok");
    assert_eq!(health["phase"], "ready");
    let (status, page) = daemon.http("/", "localhost:8080");
    assert_eq!(status, 200);
    assert!(page.contains(&house.did()), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    assert_eq!(daemon.http("/", "example.org").0, 421);
    assert_eq!(daemon.http("/nothing", "localhost").0, 404);
}
