//! Tags, which name topics on one link, and roots, the hashes of a topic's heads.

use std::fmt;

use crate::state::State;
use crate::topic::TopicId;

const TOPIC: &[u8] = b"icn/topic";
const NAME: &[u8] = b"icn/name";

/// Names a topic on one link. Only a node that knows the topic can compute or recognise its tag, and
/// the tag of another link differs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 16]);

/// The hash over the heads of a topic's logs. Equal roots mean equal logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Root(pub [u8; 16]);

impl Tag {
    /// The tag of a topic on the link whose TLS session has this binding.
    #[must_use]
    pub fn of_topic(binding: &[u8; 32], topic: &TopicId) -> Self {
        Self::keyed(binding, TOPIC, topic.as_bytes())
    }

    /// The tag of a topic's name on the link whose TLS session has this binding.
    #[must_use]
    pub fn of_name(binding: &[u8; 32], name: &str) -> Self {
        Self::keyed(binding, NAME, name.as_bytes())
    }

    fn keyed(binding: &[u8; 32], domain: &[u8], subject: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(binding);
        hasher.update(domain).update(subject);
        Self(first_half(&hasher.finalize()))
    }
}

impl Root {
    /// The root of a topic. A forked log counts up to its fork: from there on, nodes differ for ever.
    #[must_use]
    pub fn of(state: &State, topic: TopicId) -> Self {
        let mut hasher = blake3::Hasher::new();
        for (key, head, hash) in state.shared_heads(topic) {
            hasher.update(key.author.key()).update(&key.epoch.to_le_bytes());
            hasher.update(&head.to_le_bytes()).update(&hash);
        }
        Self(first_half(&hasher.finalize()))
    }
}

fn first_half(hash: &blake3::Hash) -> [u8; 16] {
    let (half, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
    *half
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
