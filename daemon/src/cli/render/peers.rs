//! Peers and their keys.

use std::io::{self, Write};

use super::{Show, hint};
use crate::cli::documents::ShownPeers;
use crate::cli::table::Table;
use crate::control::reply::peers::PeerState;
use crate::control::reply::{PeerAdded, PeerRemoved};
use crate::text::clock::ahead;

impl Show for ShownPeers {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let titles = ["DID", "STATE", "ADDRESS", "TOPICS", "LOGS IN", "LOGS OUT", "CLOCK"];
        let mut table = Table::new(&titles);
        for peer in &self.peers {
            let state = match peer.state {
                PeerState::Known => "known",
                PeerState::Connected => "connected",
                PeerState::Unsigned => "unsigned: no identity has signed it",
            };
            let address = peer.address.clone().flatten().unwrap_or_else(|| "-".into());
            let count = |count: Option<u64>| count.map_or("-".into(), |count| count.to_string());
            let [topics, from, to] = [peer.topics, peer.logs_from, peer.logs_to].map(count);
            let clock = peer.clock_ahead_ms.flatten().map_or("-".into(), ahead);
            table.row([peer.did.clone(), state.into(), address, topics, from, to, clock]);
        }
        if !table.is_empty() {
            return table.write(out);
        }
        match self.known {
            0 => writeln!(
                out,
                "No peers yet. Nodes of one network find each other on a LAN; elsewhere start \
                 icnd with --peer HOST:PORT."
            ),
            known => hint(out, &format!("None connected; {known} known: icnctl peer list --all")),
        }
    }
}

impl Show for PeerAdded {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        if self.already {
            writeln!(out, "That key is known already.")
        } else {
            writeln!(out, "Added {}", self.did)
        }
    }
}

impl Show for PeerRemoved {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let again = "Removed. It is connected, and will be known again with its next connection.";
        let text = match (self.was_known, self.connected) {
            (true, true) => again,
            (true, false) => "Removed.",
            (false, _) => "There was no such peer.",
        };
        writeln!(out, "{text}")
    }
}
