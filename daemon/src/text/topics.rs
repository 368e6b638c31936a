//! Topics in a few words: who may read them, and who created them.

use super::{counted, short_did};
use crate::control::reply::brief::{AccessBrief, TopicBrief};
use crate::control::reply::join::Candidate;

/// The rule in a few words.
pub(crate) fn access(access: AccessBrief) -> String {
    match access {
        AccessBrief::Public => "public".into(),
        AccessBrief::Participants { members } => counted(members, "member"),
        AccessBrief::MinTrust { min_trust } => format!("trust of {min_trust} or more"),
        AccessBrief::Sealed => "SEALED: its rule is of a newer version".into(),
    }
}

/// A creator in a column: enough to compare.
pub(crate) fn creator(created_here: bool, did: &str) -> String {
    if created_here { "this node".into() } else { short_did(did) }
}

/// A topic with its rule and its creator.
pub(crate) fn brief(topic: &TopicBrief) -> String {
    let access = access(topic.access);
    let creator = if topic.created_here { "this node" } else { &topic.creator };
    format!("{} ({access}, created by {creator})", topic.name)
}

/// A candidate with its rule, its creator and the number of peers that offer it.
pub(crate) fn candidate(candidate: &Candidate) -> String {
    let access = access(candidate.access);
    let peers = counted(candidate.offered_by.len() as u64, "peer");
    let refused = if candidate.admits_this_node { "" } else { ", does not admit this node" };
    format!("{access}, created by {}, offered by {peers}{refused}", candidate.creator)
}
