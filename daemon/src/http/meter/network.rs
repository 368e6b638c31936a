//! The links to peers, and what happened on them.

use icn_gossip::mesh::{Counter as Event, Mesh};
use icn_net::{Stat, TransportStats};
use metrics::{Counter, Gauge};

use super::{gauge, real};

/// The families of [`Stat`], and what each is.
const FAMILIES: [(&str, &str); 13] = [
    ("frames_in", "Frames received from peers."),
    ("frames_out", "Frames passed to QUIC."),
    ("bytes_in", "Bytes of the frames received from peers, without the overhead of QUIC."),
    ("bytes_out", "Bytes of the frames passed to QUIC."),
    ("links_up", "Links that were established."),
    ("resumes", "Resumes of the machine after a suspension, each with a probe of every link."),
    ("hello_refused", "Peers that this node refused, by reason."),
    ("hello_rejected_by_peer", "Peers that refused this node, by reason."),
    (
        "identity_doubled",
        "Signs that two processes use one identity: this node's, or that of a peer.",
    ),
    ("version_mismatch", "Connections that failed because the ends share no protocol version."),
    ("not_admitted", "Connections that ended before a Hello, by reason."),
    ("dial_failed", "Dials that ended without a link, by reason."),
    ("link_closed", "Links that ended, by reason."),
];

pub(super) struct NetworkMeter {
    active: Gauge,
    cursors: Gauge,
    wants: Gauge,
    paused_logs: Gauge,
    events: Vec<Counter>,
    transport: Vec<Counter>,
}

impl NetworkMeter {
    pub(super) fn new() -> Self {
        const EVENTS: &str = "icn_network_events_total";
        metrics::describe_counter!(
            EVENTS,
            "Entries and requests on links that were refused, disputed or left, by event."
        );
        let event = |event: &Event| metrics::counter!(EVENTS, "event" => event.name());
        for (family, help) in FAMILIES {
            metrics::describe_counter!(name(family), help);
        }
        let counter = |count: &Stat| match count.reason() {
            "" => metrics::counter!(name(count.family())),
            reason => metrics::counter!(name(count.family()), "reason" => reason),
        };
        Self {
            active: gauge("icn_network_connections_active", "Links to peers."),
            cursors: gauge(
                "icn_network_logs_served",
                "Authors' logs that this node serves to peers.",
            ),
            wants: gauge(
                "icn_network_logs_followed",
                "Authors' logs that this node follows at peers.",
            ),
            paused_logs: gauge(
                "icn_network_logs_paused",
                "Authors' logs paused for a while: no room, an access rule, or a time in the future.",
            ),
            events: Event::ALL.iter().map(event).collect(),
            transport: Stat::ALL.iter().map(counter).collect(),
        }
    }

    pub(super) fn mesh(&self, mesh: &Mesh) {
        let mut links = 0;
        let mut cursors = 0;
        let mut wants = 0;
        for (_, link) in mesh.links() {
            links += 1;
            cursors += link.cursors;
            wants += link.wants;
        }
        self.active.set(real(links));
        self.cursors.set(real(cursors as u64));
        self.wants.set(real(wants as u64));
        self.paused_logs.set(real(mesh.paused_logs() as u64));
        for (counter, (_, count)) in self.events.iter().zip(mesh.counts()) {
            counter.absolute(count);
        }
    }

    pub(super) fn transport(&self, stats: &TransportStats) {
        for (counter, (_, count)) in self.transport.iter().zip(stats.iter()) {
            counter.absolute(count);
        }
    }
}

fn name(family: &str) -> String {
    format!("icn_network_{family}_total")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_of_statistics_has_a_description() {
        for count in Stat::ALL {
            let described = FAMILIES.iter().any(|(family, _)| *family == count.family());
            assert!(described, "{}", count.family());
        }
    }
}
