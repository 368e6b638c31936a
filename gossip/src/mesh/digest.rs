//! Digests over parts of a topic's logs, by which two nodes find the logs that differ.

use std::fmt;

use crate::bytes::ByteReader;
use crate::log::LogKey;
use crate::state::State;
use crate::topic::TopicId;

/// The digests of the 2^n parts into which the logs of a topic fall. The peer that receives them
/// announces only logs of parts that differ. They are keyed with the link's binding, so that no author
/// can craft two logs with equal digests on every link.
///
/// With few logs there is one part and no digest, and all logs are announced.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Digests(Vec<[u8; 8]>);

/// The parts whose logs are to be announced.
pub(super) struct Parts(Vec<bool>);

/// About how many logs are in a part. A digest has a seventh of the bytes of a head.
const LOGS_PER_PART: usize = 16;
const EXPONENT_MAX: u8 = 10;

impl Digests {
    /// The digests of a topic's logs; of forked ones up to the fork.
    #[must_use]
    pub fn of(state: &State, topic: TopicId, binding: &[u8; 32]) -> Self {
        let count = state.shared_heads(topic).count();
        let exponent = (count / LOGS_PER_PART).max(1).ilog2().min(u32::from(EXPONENT_MAX));
        Self::with_parts(state, topic, binding, 1 << exponent)
    }

    fn with_parts(state: &State, topic: TopicId, binding: &[u8; 32], parts: usize) -> Self {
        if parts < 2 {
            return Self::default();
        }
        let mut logs: Vec<_> = state
            .shared_heads(topic)
            .map(|(key, head, hash)| (part(key, parts), *key, head, hash))
            .collect();
        // The sort is stable: within a part the logs keep the order of the state.
        logs.sort_by_key(|(part, ..)| *part);
        let mut digests = vec![[0; 8]; parts];
        for logs in logs.chunk_by(|(one, ..), (other, ..)| one == other) {
            let mut hasher = blake3::Hasher::new_keyed(binding);
            for (_, key, head, hash) in logs {
                hasher.update(key.author.key()).update(&key.epoch.to_le_bytes());
                hasher.update(&head.to_le_bytes()).update(hash);
            }
            if let (Some((part, ..)), Some((digest, _))) =
                (logs.first(), hasher.finalize().as_bytes().split_first_chunk())
            {
                digests[*part] = *digest;
            }
        }
        Self(digests)
    }

    /// The parts whose digests differ from those of this node's logs.
    pub(super) fn differing(&self, state: &State, topic: TopicId, binding: &[u8; 32]) -> Parts {
        let own = Self::with_parts(state, topic, binding, self.0.len());
        Parts(own.0.iter().zip(&self.0).map(|(own, other)| own != other).collect())
    }

    pub(super) fn bytes(&self) -> usize {
        1 + 8 * self.0.len()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.0.len().max(1).ilog2()).unwrap_or(0));
        self.0.iter().for_each(|digest| out.extend_from_slice(digest));
    }

    pub(super) fn read(reader: &mut ByteReader<'_>) -> Option<Self> {
        match reader.u8()? {
            0 => Some(Self::default()),
            exponent @ 1..=EXPONENT_MAX => {
                (0..1 << exponent).map(|_| reader.array()).collect::<Option<_>>().map(Self)
            }
            _ => None,
        }
    }
}

impl Parts {
    pub(super) fn contains(&self, key: &LogKey) -> bool {
        self.0.is_empty() || self.0[part(key, self.0.len())]
    }
}

/// Spreads authors by their keys, and the logs of one author by their epochs, which are random.
fn part(key: &LogKey, parts: usize) -> usize {
    let author = key.author.key().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    usize::try_from((author ^ key.epoch) % parts as u64).unwrap_or(0)
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} digests", self.0.len())
    }
}
