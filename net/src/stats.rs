//! What happened, counted. No label is ever taken from a peer.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::hello::Refusal;

macro_rules! counts {
    ($($name:ident $family:literal $reason:literal $doc:literal;)+) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stat {
            $(#[doc = $doc] $name,)+
        }

        impl Stat {
            /// Everything that is counted.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The family it belongs to: the name of a metric.
            #[must_use]
            pub fn family(self) -> &'static str {
                match self { $(Self::$name => $family,)+ }
            }

            /// Which of its family it is: the value of the label `reason`; empty in a family of one.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ }
            }
        }
    };
}

counts! {
    FramesIn "frames_in" "" "Frames of peers that were given to the caller.";
    FramesOut "frames_out" "" "Frames that were given to QUIC.";
    BytesIn "bytes_in" "" "Their bytes.";
    BytesOut "bytes_out" "" "Their bytes.";
    LinksUp "links_up" "" "Links that came about.";

    RefusedMalformed "hello_refused" "malformed" "This node refused what was no Hello.";
    RefusedTooOld "hello_refused" "too_old" "This node refused a peer that speaks older versions only.";
    RefusedTooNew "hello_refused" "too_new" "This node refused a peer that speaks newer versions only.";
    RefusedDemands "hello_refused" "demands" "This node refused a peer that demands what it does not know.";
    RefusedOtherNetwork "hello_refused" "other_network" "This node refused a peer of another network.";
    RefusedOurselves "hello_refused" "ourselves" "This node refused itself.";
    RefusedNotTheKey "hello_refused" "not_the_key" "This node refused a Hello by another than who holds the key of the session.";
    RefusedUnbound "hello_refused" "unbound" "This node refused a Hello of another session.";
    RefusedLate "hello_refused" "late" "This node waited for a Hello in vain.";

    RejectedByPeerMalformed "hello_rejected_by_peer" "malformed" "A peer refused this node's Hello as none.";
    RejectedByPeerTooOld "hello_rejected_by_peer" "too_old" "A peer refused this node: it speaks older versions only.";
    RejectedByPeerTooNew "hello_rejected_by_peer" "too_new" "A peer refused this node: it speaks newer versions only.";
    RejectedByPeerDemands "hello_rejected_by_peer" "demands" "A peer refused this node: it demands too much.";
    RejectedByPeerOtherNetwork "hello_rejected_by_peer" "other_network" "A peer refused this node as one of another network.";
    RejectedByPeerOurselves "hello_rejected_by_peer" "ourselves" "The other end of a connection to this node itself refused it.";
    RejectedByPeerNotTheKey "hello_rejected_by_peer" "not_the_key" "A peer refused this node's Hello as that of another.";
    RejectedByPeerUnbound "hello_rejected_by_peer" "unbound" "A peer refused this node's Hello as one of another session.";

    VersionMismatch "version_mismatch" "" "Connections that failed because no version is spoken at both ends, whoever said so.";

    ProofDemanded "not_admitted" "proof_demanded" "Connections that had to prove their address first.";
    HalfOpenRefused "not_admitted" "half_open" "Connections refused because too many were being made.";
    LinksFull "not_admitted" "links_full" "Peers refused because there are as many links as there may be.";
    HandshakeFailed "not_admitted" "handshake" "Connections taken that did not get as far as a Hello.";

    DialResolve "dial_failed" "resolve" "Dials whose host name was not resolved.";
    DialUnreachable "dial_failed" "unreachable" "Dials nobody answered.";
    DialWrongKey "dial_failed" "wrong_key" "Dials answered by another identity than the expected one.";
    DialRefused "dial_failed" "refused" "Dials that ended with a refused Hello, at this end or the other.";
    DialDeclined "dial_failed" "declined" "Dials that gave way to another connection of the same two nodes.";
    DialTransport "dial_failed" "transport" "Dials that broke, or reached something that is no node.";

    ClosedReplaced "link_closed" "replaced" "Links replaced by a newer one of the same peer.";
    ClosedStopping "link_closed" "stopping" "Links that ended because a node ended.";
    ClosedMalformed "link_closed" "malformed" "Links that this node closed because what came made no sense.";
    ClosedTooMany "link_closed" "too_many" "Links that this node closed because a limit was passed.";
    ClosedOurs "link_closed" "ours" "Links that this node closed for another reason.";
    ClosedTheirs "link_closed" "theirs" "Links that the peer closed for another reason.";
    ClosedSilent "link_closed" "silent" "Links whose peer was not heard of any more.";
    ClosedReset "link_closed" "reset" "Links whose peer knew nothing of them any more.";
    ClosedBroken "link_closed" "broken" "Links that broke the rules of QUIC.";
}

/// The counters of a transport. They only grow, and start at 0 with it.
#[derive(Debug)]
pub struct TransportStats([AtomicU64; Stat::ALL.len()]);

impl TransportStats {
    pub(crate) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Stat::ALL.len()])
    }

    /// How often it happened.
    #[must_use]
    pub fn get(&self, count: Stat) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    /// All counters.
    pub fn iter(&self) -> impl Iterator<Item = (Stat, u64)> + '_ {
        Stat::ALL.iter().map(|&count| (count, self.get(count)))
    }

    pub(crate) fn add(&self, count: Stat, by: usize) {
        self.0[count as usize].fetch_add(by as u64, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.add(
            match refusal {
                Refusal::Malformed => Stat::RefusedMalformed,
                Refusal::TooOld { .. } => Stat::RefusedTooOld,
                Refusal::TooNew { .. } => Stat::RefusedTooNew,
                Refusal::Demands { .. } => Stat::RefusedDemands,
                Refusal::OtherNetwork => Stat::RefusedOtherNetwork,
                Refusal::Ourselves => Stat::RefusedOurselves,
                Refusal::NotTheKey => Stat::RefusedNotTheKey,
                Refusal::Unbound => Stat::RefusedUnbound,
            },
            1,
        );
        if matches!(refusal, Refusal::TooOld { .. } | Refusal::TooNew { .. }) {
            self.add(Stat::VersionMismatch, 1);
        }
    }

    /// The other end has closed with the code of a [`Refusal`].
    pub(crate) fn rejected_by_peer(&self, code: u32) {
        let count = match code {
            0x10 => Stat::RejectedByPeerMalformed,
            0x11 => Stat::RejectedByPeerTooOld,
            0x12 => Stat::RejectedByPeerTooNew,
            0x13 => Stat::RejectedByPeerDemands,
            0x14 => Stat::RejectedByPeerOtherNetwork,
            0x15 => Stat::RejectedByPeerOurselves,
            0x16 => Stat::RejectedByPeerNotTheKey,
            0x17 => Stat::RejectedByPeerUnbound,
            _ => return,
        };
        self.add(count, 1);
        if matches!(count, Stat::RejectedByPeerTooOld | Stat::RejectedByPeerTooNew) {
            self.add(Stat::VersionMismatch, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::Versions;

    #[test]
    fn what_one_end_refuses_the_other_counts_under_the_same_reason() {
        let [ours, theirs] = [Versions { oldest: 0, newest: 0 }; 2];
        for refusal in [
            Refusal::Malformed,
            Refusal::TooOld { ours, theirs },
            Refusal::TooNew { ours, theirs },
            Refusal::Demands { bits: 1 },
            Refusal::OtherNetwork,
            Refusal::Ourselves,
            Refusal::NotTheKey,
            Refusal::Unbound,
        ] {
            let stats = TransportStats::new();
            stats.refused(refusal);
            stats.rejected_by_peer(refusal.code());
            let counted: Vec<_> = stats
                .iter()
                .filter(|&(count, many)| many > 0 && count != Stat::VersionMismatch)
                .map(|(count, _)| (count.family(), count.reason()))
                .collect();
            let name = refusal.name();
            assert_eq!(counted, [("hello_refused", name), ("hello_rejected_by_peer", name)]);
        }
    }
}
