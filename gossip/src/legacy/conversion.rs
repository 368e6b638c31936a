//! Converts a legacy document to mutations, field by field.

use std::collections::BTreeSet;

use super::document::{Document, Gossip, LegacyTopic, Network};
use super::report::{Fate, Report};
use super::{Importer, rule};
use crate::did::Did;
use crate::display::{duration, moment, quoted};
use crate::limits::{LEGACY_ITEMS_MAX, LEGACY_RULE_BYTES_MAX, LEGACY_TOPICS_MAX};
use crate::mutation::{Mutation, Provenance};
use crate::state::{NodeId, Outcome, State};
use crate::topic::{Genesis, Scope, TopicSpec, name_is_valid};

/// The mutations, state and report produced so far.
pub(super) struct Conversion<'a> {
    pub(super) node: NodeId,
    pub(super) importer: Importer<'a>,
    pub(super) mutations: Vec<Mutation>,
    pub(super) state: State,
    pub(super) report: Report,
}

impl Conversion<'_> {
    pub(super) fn document(&mut self, document: Document) {
        self.report.add(Fate::Taken, "version", "1");
        let written = moment(document.created_at.saturating_mul(1000));
        let why = format!("written at {written}; imported items have the time of the import");
        self.report.add(Fate::NotNeeded, "created_at", why);
        match document.gossip_state {
            Some(gossip) => self.gossip(gossip),
            None => self.report.add(Fate::NotNeeded, "gossip_state", "the document has none"),
        }
        match document.network_state {
            Some(network) => self.network(network),
            None => self.report.add(Fate::NotNeeded, "network_state", "the document has none"),
        }
        match document.identity_state {
            Some(_) => self.report.add(
                Fate::Refused,
                "identity_state",
                "it may hold secret keys in clear: not read, not shown, not imported; destroy the \
                 file and its copies when they are no longer needed",
            ),
            None => self.report.add(Fate::NotNeeded, "identity_state", "the document has none"),
        }
    }

    fn gossip(&mut self, gossip: Gossip) {
        let authors = gossip.vector_clock.0.len();
        let why = format!(
            "{authors} authors; it counted messages per author, which were not kept. The topics are \
             new and the node's logs have a random epoch: no position in them was used before"
        );
        self.report.add(Fate::NotNeeded, "gossip_state.vector_clock", why);
        let topics = gossip.topics.0;
        self.too_many("gossip_state.topics", topics.len(), LEGACY_TOPICS_MAX);
        for (name, topic) in topics.into_iter().take(LEGACY_TOPICS_MAX) {
            self.topic(&name, topic);
        }
        let local = gossip.local_subscriptions;
        let mut own = BTreeSet::new();
        let field = "gossip_state.local_subscriptions";
        match &local {
            None => {
                self.report.add(Fate::NotNeeded, field, "the document is older than this field");
            }
            Some(names) => self.too_many(field, names.len(), LEGACY_ITEMS_MAX),
        }
        for (index, name) in local.iter().flatten().take(LEGACY_ITEMS_MAX).enumerate() {
            self.subscribe(format!("{field}[{index}]"), name, Provenance::Local);
            own.insert(name.as_str());
        }
        let field = "gossip_state.subscriptions";
        let pairs = gossip.subscriptions.0.iter();
        let subscriptions = pairs.flat_map(|(name, dids)| {
            dids.iter().enumerate().map(move |(index, did)| (name, index, did))
        });
        self.too_many(field, subscriptions.clone().count(), LEGACY_ITEMS_MAX);
        for (name, index, text) in subscriptions.take(LEGACY_ITEMS_MAX) {
            let field = format!("{field}.{:?}[{index}]", quoted(name));
            match rule::did(text) {
                None => self.report.add(Fate::Refused, field, no_did(text)),
                Some(did) if !self.is_own(&did) => {
                    self.subscribe(field, name, Provenance::Peer(did));
                }
                Some(_) if own.contains(name.as_str()) => {
                    self.report.add(Fate::NotNeeded, field, "it is among local_subscriptions");
                }
                Some(_) if local.is_none() => {
                    self.subscribe(field, name, Provenance::Local);
                }
                Some(_) => self.report.add(
                    Fate::Refused,
                    field,
                    "the node itself, and not among local_subscriptions: a peer could have written \
                     it; subscribe again if you want it",
                ),
            }
        }
    }

    fn topic(&mut self, name: &str, topic: LegacyTopic) {
        let path = format!("gossip_state.topics.{:?}", quoted(name));
        let field = |field: &str| format!("{path}.{field}");
        if topic.name != name {
            let why = format!("its name field says {:?}: not imported", quoted(&topic.name));
            return self.report.add(Fate::Refused, path, why);
        }
        if !name_is_valid(name) {
            let why = "a topic name has 1 to 128 of a-z 0-9 : . _ - here: not imported";
            return self.report.add(Fate::Refused, path, why);
        }
        if self.state.topics().any(|(_, known)| known.genesis.spec.name == name) {
            let why = "the node already has a topic of this name, which stays unchanged";
            return self.report.add(Fate::NotNeeded, path, why);
        }
        if topic.access_control.len() > LEGACY_RULE_BYTES_MAX {
            let why = "its access rule is too long to be kept: not imported";
            return self.report.add(Fate::Refused, path, why);
        }
        let (access, rule) = rule::access(&topic.access_control);
        let mut spec = TopicSpec::new(name.into(), access, self.importer.now_ms);
        let entries = u32::try_from(topic.max_entries).ok().filter(|entries| *entries > 0);
        spec.max_entries = entries.unwrap_or(spec.max_entries);
        let scope = match topic.scope.as_str() {
            "Global" => Some(Scope::Global),
            "Regional" => Some(Scope::Regional),
            "LocalCluster" => Some(Scope::Local),
            _ => None,
        };
        spec.scope = scope.unwrap_or(Scope::Local);
        let kept = spec.max_entries;
        let retention = spec.retention_ms;
        let nonce = (self.importer.nonce)();
        let genesis = Genesis::sign(self.importer.keypair, self.node.network, spec, nonce);
        let id = genesis.id();
        if let Outcome::Rejected(reject) = self.commit(Mutation::CreateTopic(genesis)) {
            return self.report.add(Fate::Refused, path, reject.to_string());
        }
        let why = format!(
            "topic {id}, declared by this node, which is a member of it; other nodes join this id \
             and do not import it themselves"
        );
        self.report.add(Fate::Taken, field("name"), why);
        match rule {
            Ok(words) => self.report.add(Fate::Taken, field("access_control"), words),
            Err(why) => {
                let text = quoted(&topic.access_control);
                let why = format!("{text:?} {why}: kept as text, and the topic is sealed");
                self.report.add(Fate::Refused, field("access_control"), why);
            }
        }
        match entries {
            Some(_) => self.report.add(Fate::Taken, field("max_entries"), kept.to_string()),
            None => {
                let why = format!("{} is out of range here: {kept}", topic.max_entries);
                self.report.add(Fate::Default, field("max_entries"), why);
            }
        }
        match scope {
            Some(_) => self.report.add(Fate::Taken, field("scope"), topic.scope),
            None => {
                let why = format!("{:?} is unknown: the local network", quoted(&topic.scope));
                self.report.add(Fate::Default, field("scope"), why);
            }
        }
        let why = format!("the document has none: {}", duration(retention));
        self.report.add(Fate::Default, field("retention"), why);
        let why = "the document has none: the access rule alone decides";
        self.report.add(Fate::Default, field("min_trust_threshold"), why);
    }

    fn subscribe(&mut self, field: String, topic: &str, by: Provenance) {
        let time_ms = self.importer.now_ms;
        let subscription = Mutation::Subscribe { topic: topic.into(), by, time_ms };
        let whose = match by {
            Provenance::Local => "the node's own".to_owned(),
            Provenance::Peer(did) => format!("of the peer {did}"),
        };
        if !name_is_valid(topic) {
            let why = "no topic can have this name here: not imported";
            return self.report.add(Fate::Refused, field, why);
        }
        match self.commit(subscription) {
            Outcome::Rejected(reject) => self.report.add(Fate::Refused, field, reject.to_string()),
            Outcome::Duplicate => {
                self.report.add(Fate::NotNeeded, field, "the node already has it");
            }
            Outcome::Subscribed { pending: true } => {
                let why = format!("{whose}; it waits for a topic of this name");
                self.report.add(Fate::Taken, field, why);
            }
            _ => self.report.add(Fate::Taken, field, whose),
        }
    }

    fn network(&mut self, network: Network) {
        let path = "network_state.peer_connections";
        let connections = network.peer_connections.0;
        self.too_many(path, connections.len(), LEGACY_ITEMS_MAX);
        let post_quantum = connections
            .iter()
            .filter(|(_, peer)| peer.ml_dsa_public.is_some() || peer.ml_kem_public.is_some())
            .count();
        if !connections.is_empty() {
            for field in ["negotiated_version", "peer_capabilities", "peer_software"] {
                let why = "it is negotiated again at the next connection";
                self.report.add(Fate::NotNeeded, format!("{path}.*.{field}"), why);
            }
        }
        if post_quantum > 0 {
            for field in ["ml_dsa_public", "ml_kem_public"] {
                let why =
                    format!("of up to {post_quantum} peers; this implementation cannot use it");
                self.report.add(Fate::Refused, format!("{path}.*.{field}"), why);
            }
        }
        for (text, peer) in connections.into_iter().take(LEGACY_ITEMS_MAX) {
            let field = format!("{path}.{:?}.x25519_key", quoted(&text));
            if peer.did == text {
                self.key(field, &text, &peer.x25519_key);
            } else {
                let why = format!("its did field says {:?}: not imported", quoted(&peer.did));
                self.report.add(Fate::Refused, field, why);
            }
        }
        let path = "network_state.peer_x25519_keys";
        let keys = network.peer_x25519_keys.0;
        self.too_many(path, keys.len(), LEGACY_ITEMS_MAX);
        for (text, key) in keys.into_iter().take(LEGACY_ITEMS_MAX) {
            self.key(format!("{path}.{:?}", quoted(&text)), &text, &key);
        }
        let path = "network_state.peer_addresses";
        let addresses = network.peer_addresses.0;
        self.too_many(path, addresses.len(), LEGACY_ITEMS_MAX);
        for (text, address) in addresses.into_iter().take(LEGACY_ITEMS_MAX) {
            let why = format!("{}: addresses are not part of the state", quoted(&address));
            self.report.add(Fate::NotNeeded, format!("{path}.{:?}", quoted(&text)), why);
        }
    }

    fn key(&mut self, field: String, text: &str, key: &[u8]) {
        let Some(did) = rule::did(text) else {
            return self.report.add(Fate::Refused, field, no_did(text));
        };
        if self.is_own(&did) {
            return self.report.add(Fate::NotNeeded, field, "this is the node's own identity");
        }
        let key: Option<[u8; 32]> = key.try_into().ok().filter(|key| *key != [0; 32]);
        let Some(x25519) = key else {
            return self.report.add(Fate::Refused, field, "this is not an X25519 key");
        };
        let time_ms = self.importer.now_ms;
        match self.commit(Mutation::AddUnsignedKey { did, x25519, time_ms }) {
            Outcome::Duplicate => {
                let mut cards = self.state.peers();
                let mut keys = self.state.unsigned_keys();
                if cards.any(|(known, _)| *known == did) {
                    let why = "the node already has the peer's signed card";
                    self.report.add(Fate::NotNeeded, field, why);
                } else if keys.any(|(known, kept)| *known == did && kept.x25519 == x25519) {
                    self.report.add(Fate::NotNeeded, field, "the node already has this key");
                } else {
                    self.report.add(Fate::Refused, field, "the node has another key of this peer");
                }
            }
            _ => self.report.add(
                Fate::Taken,
                field,
                "as an unsigned key: nothing is encrypted to it until the peer's card is received",
            ),
        }
    }

    /// Applies a mutation, and keeps it if it has changed the state.
    fn commit(&mut self, mutation: Mutation) -> Outcome {
        let outcome = self.state.apply(0, mutation.clone());
        if !matches!(outcome, Outcome::Rejected(_) | Outcome::Duplicate) {
            self.mutations.push(mutation);
        }
        outcome
    }

    fn is_own(&self, did: &Did) -> bool {
        *did == self.node.did || Some(*did) == self.importer.formerly
    }

    fn too_many(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            let why = format!("{count} items; all after the first {most}: not imported");
            self.report.add(Fate::Refused, field, why);
        }
    }
}

fn no_did(text: &str) -> String {
    format!("{:?} is not a DID in a known spelling: not imported", quoted(text))
}
