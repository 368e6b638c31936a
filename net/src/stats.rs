//! The counters of a transport. Labels are constants: none comes from a peer.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::hello::Refusal;

macro_rules! stats {
    ($($name:ident $family:literal $reason:literal $doc:literal;)+) => {
        /// One counter of [`TransportStats`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stat {
            $(#[doc = $doc] $name,)+
        }

        impl Stat {
            /// All counters.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The metric family of this counter.
            #[must_use]
            pub fn family(self) -> &'static str {
                match self { $(Self::$name => $family,)+ }
            }

            /// The value of the label `reason`; empty if the family has one counter only.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ }
            }
        }
    };
}

stats! {
    FramesIn "frames_in" "" "Frames of peers that were reported to the caller.";
    FramesOut "frames_out" "" "Frames that were given to QUIC.";
    BytesIn "bytes_in" "" "Bytes of the frames that were reported to the caller, headers included.";
    BytesOut "bytes_out" "" "Bytes of the frames that were given to QUIC, headers included.";
    LinksUp "links_up" "" "Links that were up.";
    Resumes "resumes" "" "Times that the caller reported a resume of this machine.";

    RefusedMalformed "hello_refused" "malformed" "This node refused a first frame that is not a Hello.";
    RefusedTooOld "hello_refused" "too_old" "This node refused a peer that speaks older versions only.";
    RefusedTooNew "hello_refused" "too_new" "This node refused a peer that speaks newer versions only.";
    RefusedDemands "hello_refused" "demands" "This node refused a peer that demands an unknown capability.";
    RefusedOtherNetwork "hello_refused" "other_network" "This node refused a peer of another network.";
    RefusedOurselves "hello_refused" "ourselves" "This node refused itself.";
    RefusedNotTheKey "hello_refused" "not_the_key" "This node refused a Hello of another identity than the key of the session.";
    RefusedUnbound "hello_refused" "unbound" "This node refused a Hello of another session.";
    RefusedLate "hello_refused" "late" "This node waited for a Hello until the timeout.";

    RejectedByPeerMalformed "hello_rejected_by_peer" "malformed" "A peer refused this node's first frame as not a Hello.";
    RejectedByPeerTooOld "hello_rejected_by_peer" "too_old" "A peer refused this node, which speaks older versions only.";
    RejectedByPeerTooNew "hello_rejected_by_peer" "too_new" "A peer refused this node, which speaks newer versions only.";
    RejectedByPeerDemands "hello_rejected_by_peer" "demands" "A peer refused this node, which demands an unknown capability.";
    RejectedByPeerOtherNetwork "hello_rejected_by_peer" "other_network" "A peer refused this node as one of another network.";
    RejectedByPeerOurselves "hello_rejected_by_peer" "ourselves" "The other end of a connection to this node itself refused it.";
    RejectedByPeerNotTheKey "hello_rejected_by_peer" "not_the_key" "A peer refused this node's Hello as that of another identity.";
    RejectedByPeerUnbound "hello_rejected_by_peer" "unbound" "A peer refused this node's Hello as one of another session.";

    DoubledOurs "identity_doubled" "ours" "Signs that another process runs with the identity of this node.";
    DoubledPeer "identity_doubled" "peer" "Signs that two processes use the identity of a peer.";

    VersionMismatch "version_mismatch" "" "Connections that failed for want of a common version, refused by either end.";

    ProofDemanded "not_admitted" "proof_demanded" "Connections that had to prove their address before the handshake.";
    HalfOpenRefused "not_admitted" "half_open" "Connections refused because too many handshakes were in progress.";
    LinksFull "not_admitted" "links_full" "Peers refused because the limit of links was reached.";
    HandshakeFailed "not_admitted" "handshake" "Accepted connections that ended before a Hello.";

    DialResolve "dial_failed" "resolve" "Dials whose host name was not resolved.";
    DialUnreachable "dial_failed" "unreachable" "Dials without an answer.";
    DialWrongKey "dial_failed" "wrong_key" "Dials answered by another identity than the expected one.";
    DialRefused "dial_failed" "refused" "Dials that ended with a refused Hello, at this end or the other.";
    DialDeclined "dial_failed" "declined" "Dials that gave way to another connection of the same two nodes.";
    DialTransport "dial_failed" "transport" "Dials that failed in QUIC or TLS, or reached a program that is not a node.";

    ClosedReplaced "link_closed" "replaced" "Links replaced by a newer one of the same peer.";
    ClosedStopping "link_closed" "stopping" "Links that ended because one of the nodes stopped.";
    ClosedMalformed "link_closed" "malformed" "Links that this node closed because of a malformed frame or stream.";
    ClosedTooMany "link_closed" "too_many" "Links that this node closed because the peer exceeded a limit.";
    ClosedOurs "link_closed" "ours" "Links that this node closed for another reason.";
    ClosedTheirs "link_closed" "theirs" "Links that the peer closed for another reason.";
    ClosedUnanswered "link_closed" "unanswered" "Links whose peer did not answer after this machine was suspended.";
    ClosedSilent "link_closed" "silent" "Links whose peer was silent for the idle timeout.";
    ClosedReset "link_closed" "reset" "Links whose peer had restarted.";
    ClosedBroken "link_closed" "broken" "Links that failed with another error of QUIC.";
}

/// The counters of a transport. Each starts at 0 with the transport and only grows.
#[derive(Debug)]
pub struct TransportStats([AtomicU64; Stat::ALL.len()]);

impl TransportStats {
    pub(crate) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Stat::ALL.len()])
    }

    /// The value of one counter.
    #[must_use]
    pub fn get(&self, stat: Stat) -> u64 {
        self.0[stat as usize].load(Ordering::Relaxed)
    }

    /// All counters with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Stat, u64)> + '_ {
        Stat::ALL.iter().map(|&stat| (stat, self.get(stat)))
    }

    pub(crate) fn add(&self, stat: Stat, by: usize) {
        self.0[stat as usize].fetch_add(by as u64, Ordering::Relaxed);
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

    /// Counts a connection that the peer closed, if `code` is that of a [`Refusal`].
    pub(crate) fn rejected_by_peer(&self, code: u32) {
        let stat = match code {
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
        self.add(stat, 1);
        if matches!(stat, Stat::RejectedByPeerTooOld | Stat::RejectedByPeerTooNew) {
            self.add(Stat::VersionMismatch, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::Versions;

    #[test]
    fn both_ends_count_a_refusal_under_the_same_reason() {
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
                .filter(|&(stat, count)| count > 0 && stat != Stat::VersionMismatch)
                .map(|(stat, _)| (stat.family(), stat.reason()))
                .collect();
            let name = refusal.name();
            assert_eq!(counted, [("hello_refused", name), ("hello_rejected_by_peer", name)]);
        }
    }
}
