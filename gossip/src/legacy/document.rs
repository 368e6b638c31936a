//! The layout of a `state.snapshot` of version 1, including fields that later builds added.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_ignored::Path;

use super::{LEGACY_VERSION, LegacyError};
use crate::display::quoted;
use crate::limits::LEGACY_FIELDS_MAX;

#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) created_at: u64,
    pub(super) gossip_state: Option<Gossip>,
    pub(super) network_state: Option<Network>,
    /// Skipped, since it may hold secret keys.
    pub(super) identity_state: Option<IgnoredAny>,
    #[serde(rename = "version")]
    _version: u64,
}

#[derive(Deserialize)]
pub(super) struct Gossip {
    pub(super) vector_clock: Pairs<u64>,
    pub(super) subscriptions: Pairs<Vec<String>>,
    pub(super) local_subscriptions: Option<Vec<String>>,
    pub(super) topics: Pairs<LegacyTopic>,
}

#[derive(Deserialize)]
pub(super) struct LegacyTopic {
    pub(super) name: String,
    pub(super) access_control: String,
    pub(super) max_entries: u64,
    pub(super) scope: String,
}

#[derive(Deserialize)]
pub(super) struct Network {
    #[serde(default)]
    pub(super) peer_connections: Pairs<LegacyPeer>,
    #[serde(default)]
    pub(super) peer_x25519_keys: Pairs<Vec<u8>>,
    #[serde(default)]
    pub(super) peer_addresses: Pairs<String>,
}

#[derive(Deserialize)]
pub(super) struct LegacyPeer {
    pub(super) did: String,
    pub(super) x25519_key: Vec<u8>,
    pub(super) ml_dsa_public: Option<IgnoredAny>,
    pub(super) ml_kem_public: Option<IgnoredAny>,
}

/// Known fields of a peer that are not imported.
const PEER_FIELDS: [&str; 5] =
    ["negotiated_version", "peer_capabilities", "peer_software", "ml_dsa_public", "ml_kem_public"];

#[derive(Deserialize)]
struct Preamble {
    version: u64,
}

impl Document {
    /// Decodes a document; also returns the names of its unknown fields.
    pub(super) fn read(document: &[u8]) -> Result<(Self, Vec<String>), LegacyError> {
        let head: Preamble = serde_json::from_slice(document)
            .map_err(|error| LegacyError::Other { why: quoted(&error.to_string()) })?;
        if head.version != LEGACY_VERSION {
            return Err(LegacyError::Version { found: head.version });
        }
        let mut unknown = Vec::new();
        let mut more = 0_u64;
        let mut skipped = |path: Path<'_>| {
            let names = names(&path);
            if is_known(&names) {
                return;
            }
            if unknown.len() < LEGACY_FIELDS_MAX {
                let names: Vec<String> = names.into_iter().map(quoted).collect();
                unknown.push(names.join("."));
            } else {
                more += 1;
            }
        };
        let mut json = serde_json::Deserializer::from_slice(document);
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        let read = serde_ignored::deserialize(tracked, &mut skipped);
        let document: Self = read.map_err(|error| LegacyError::Invalid {
            path: quoted(&track.path().to_string()),
            why: quoted(&error.to_string()),
        })?;
        if more > 0 {
            unknown.push(format!("{more} more fields"));
        }
        Ok((document, unknown))
    }
}

fn names<'a>(path: &'a Path<'a>) -> Vec<&'a str> {
    match path {
        Path::Root => Vec::new(),
        Path::Map { parent, key } => {
            let mut names = names(parent);
            names.push(key);
            names
        }
        Path::Seq { parent, .. }
        | Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => names(parent),
    }
}

fn is_known(names: &[&str]) -> bool {
    match names {
        ["identity_state"] => true,
        ["network_state", "peer_connections", _, field] => PEER_FIELDS.contains(field),
        _ => false,
    }
}

/// A JSON object with arbitrary, unique names.
pub(super) struct Pairs<V>(pub(super) Vec<(String, V)>);

impl<V> Default for Pairs<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = deserializer.deserialize_map(PairsVisitor(PhantomData))?;
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(de::Error::custom(format_args!("{:?} is listed twice", quoted(pair[0]))))
            }
            None => Ok(Self(pairs)),
        }
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Vec<(String, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}
