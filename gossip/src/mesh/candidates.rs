//! Candidates: topics that peers have offered under a searched name. In memory only, and bounded.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::AccessSummary;
use crate::did::Did;
use crate::limits::{CANDIDATES_MAX, SEARCHES_MAX};
use crate::topic::{Genesis, TopicId};

/// How long the candidates for a name are kept after its last search.
const KEPT_MS: u64 = 10 * 60 * 1000;

/// A topic of a searched name. It is not entered: any peer can give its topic any name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The id of the topic.
    pub id: TopicId,
    /// Who created the topic, and signed its genesis.
    pub creator: Did,
    /// Whom the access rule admits.
    pub access: AccessSummary,
    /// Whether the access rule admits this node as a reader.
    pub admits_us: bool,
    /// The peers that offered the topic.
    pub offered_by: BTreeSet<Did>,
}

/// The candidates for every searched name.
#[derive(Default)]
pub(super) struct Candidates {
    searches: BTreeMap<String, Search>,
}

#[derive(Default)]
struct Search {
    since_ms: u64,
    found: BTreeMap<TopicId, Candidate>,
}

impl Candidates {
    /// Begins or renews the search for a name. The oldest one is forgotten beyond [`SEARCHES_MAX`].
    pub(super) fn search(&mut self, name: &str, now_ms: u64) {
        self.searches.entry(name.to_owned()).or_default().since_ms = now_ms;
        if self.searches.len() > SEARCHES_MAX {
            let others = self.searches.iter().filter(|(other, _)| other.as_str() != name);
            let oldest = others.min_by_key(|(_, search)| search.since_ms);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.searches.remove(&oldest);
            }
        }
    }

    /// Takes back all that a peer has offered under a name.
    pub(super) fn withdraw(&mut self, name: &str, peer: &Did) {
        let Some(Search { found, .. }) = self.searches.get_mut(name) else { return };
        for candidate in found.values_mut() {
            candidate.offered_by.remove(peer);
        }
        found.retain(|_, candidate| !candidate.offered_by.is_empty());
    }

    /// Adds a topic that a peer offered under a searched name; false if a limit leaves it out.
    pub(super) fn add(
        &mut self,
        name: &str,
        genesis: &Genesis,
        admits_us: bool,
        peer: Did,
    ) -> bool {
        let Some(Search { found, .. }) = self.searches.get_mut(name) else { return true };
        let id = genesis.id();
        let is_full = found.len() >= CANDIDATES_MAX && !found.contains_key(&id);
        if is_full {
            return false;
        }
        let candidate = found.entry(id).or_insert_with(|| Candidate {
            id,
            creator: genesis.creator,
            access: genesis.spec.access.view().summary(),
            admits_us,
            offered_by: BTreeSet::new(),
        });
        candidate.offered_by.insert(peer);
        true
    }

    /// The candidates for a name, by id.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = &Candidate> {
        self.searches.get(name).into_iter().flat_map(|search| search.found.values())
    }

    /// Forgets old searches.
    pub(super) fn forget(&mut self, now_ms: u64) {
        self.searches.retain(|_, search| now_ms < search.since_ms.saturating_add(KEPT_MS));
    }

    /// Whether the search for a name is kept.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.searches.contains_key(name)
    }
}
