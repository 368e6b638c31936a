//! What an operator must know about identities: damage of this node's key file, and identities that two
//! processes use at the same time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use icn_gossip::Did;
use icn_net::Doubled;
use icn_wal::disk::Disk;

use super::Node;
use super::checks::{Outcome, warn};

/// How long a warning about two processes stays after the last sign of them.
const SEEN_MS: u64 = 10 * 60_000;

/// The most peers that are named; a peer may have as many identities as it likes.
const PEERS_MAX: usize = 8;

/// The state of identities, for the check `identity`.
#[derive(Debug, Default)]
pub(super) struct Identities {
    key_findings: Vec<String>,
    ours: Option<(String, u64)>,
    peers: BTreeMap<Did, ([SocketAddr; 2], u64)>,
}

impl Identities {
    /// Keeps a sign that was seen at `now_ms`.
    pub(super) fn see(&mut self, doubled: Doubled, now_ms: u64) {
        match doubled {
            Doubled::Ours(place) => self.ours = Some((place, now_ms)),
            Doubled::Peer { did, addresses } => {
                if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&did) {
                    let oldest = self.peers.iter().min_by_key(|(_, (_, seen_ms))| *seen_ms);
                    let oldest = oldest.map(|(did, _)| *did);
                    oldest.and_then(|did| self.peers.remove(&did));
                }
                self.peers.insert(did, (addresses, now_ms));
            }
        }
    }

    /// Forgets old signs.
    pub(super) fn forget(&mut self, now_ms: u64) {
        let is_recent = |seen_ms: u64| now_ms.saturating_sub(seen_ms) < SEEN_MS;
        self.ours.take_if(|(_, seen_ms)| !is_recent(*seen_ms));
        self.peers.retain(|_, (_, seen_ms)| is_recent(*seen_ms));
    }

    /// The check `identity`.
    pub(super) fn check(&self) -> Outcome {
        let mut found = self.key_findings.clone();
        if let Some((place, _)) = &self.ours {
            found.push(format!(
                "another process runs with this identity: {place}. Peers link to one of the two at a time. Stop \
                 one; a node of its own needs a data directory of its own: icnd init --data-dir DIR"
            ));
        }
        for (did, ([one, other], _)) in &self.peers {
            found.push(format!(
                "two processes run with the identity {did}, at {one} and {other}: only one of them is linked at a \
                 time. Ask their operator to stop one"
            ));
        }
        match found.is_empty() {
            true => {
                Ok("the key is whole, and no other process is known to use an identity twice"
                    .into())
            }
            false => warn(found.join(". ")),
        }
    }
}

impl<D: Disk> Node<D> {
    /// What the start found about the key file, in sentences without a full stop. The check `identity` shows it.
    pub fn report_key(&mut self, findings: Vec<String>) {
        self.identities.key_findings = findings;
    }

    /// What [`report_key`](Self::report_key) was given.
    pub fn key_findings(&self) -> &[String] {
        &self.identities.key_findings
    }
}

#[cfg(test)]
mod tests {
    use icn_gossip::Keypair;

    use super::*;

    #[test]
    fn signs_are_bounded_and_forgotten_when_they_are_old() {
        let mut identities = Identities::default();
        assert!(identities.check().is_ok());
        let addresses = ["192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap()];
        for seed in 0..=255 {
            let did = Keypair::from_seed([seed; 32]).did();
            identities.see(Doubled::Peer { did, addresses }, 1000 + u64::from(seed));
        }
        identities.see(Doubled::Ours("somewhere".into()), 2000);
        assert_eq!(identities.peers.len(), PEERS_MAX);
        let (_, text) = identities.check().unwrap_err();
        let last = Keypair::from_seed([255; 32]).did().to_string();
        for part in ["another process runs with this identity: somewhere", &last, "192.0.2.2:2"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        identities.forget(1999 + SEEN_MS);
        assert!(identities.peers.is_empty() && identities.ours.is_some());
        identities.forget(2000 + SEEN_MS);
        assert!(identities.check().is_ok());
        identities.key_findings = vec!["identity.key was damaged".into()];
        assert!(identities.check().unwrap_err().1.contains("identity.key was damaged"));
    }
}
