//! Rights: whether an identity may read or write a topic.

use super::State;
use crate::access::{Access, Policy, View};
use crate::did::Did;
use crate::limits::TRUST_MAX;
use crate::reject::Reject;
use crate::topic::TopicId;

impl State {
    /// Whether `did` may read the topic.
    ///
    /// # Errors
    /// [`Reject::UnknownTopic`], [`Reject::Sealed`] or [`Reject::NoAccess`] if not.
    pub fn may_read(&self, id: &TopicId, did: &Did) -> Result<(), Reject> {
        self.check(id, did, "read", |access| &access.read)
    }

    /// Whether `did` may write to the topic.
    ///
    /// # Errors
    /// [`Reject::UnknownTopic`], [`Reject::Sealed`] or [`Reject::NoAccess`] if not.
    pub fn may_write(&self, id: &TopicId, did: &Did) -> Result<(), Reject> {
        self.check(id, did, "write", |access| &access.write)
    }

    fn check(
        &self,
        id: &TopicId,
        did: &Did,
        what: &'static str,
        side: impl Fn(&Access) -> &Policy,
    ) -> Result<(), Reject> {
        let unknown = || Reject::UnknownTopic { name: id.to_string() };
        let topic = self.topics.get(id).ok_or_else(unknown)?;
        // Checked before the creator's privilege: a sealed topic is closed to all identities.
        let View::Open(access) = topic.genesis.spec.access.view() else {
            return Err(Reject::Sealed);
        };
        let own = self.node.is_some_and(|node| node.did == *did);
        let known = self.peers.get(did).map_or(0, |peer| peer.trust);
        let trust = if own { TRUST_MAX } else { known };
        if topic.genesis.creator == *did || side(access).admits(did, trust) {
            Ok(())
        } else {
            Err(Reject::NoAccess { who: did.to_string(), what })
        }
    }
}
