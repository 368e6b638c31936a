//! Joining topics, and candidates for a name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::brief::{AccessBrief, TopicBrief};

/// A topic was joined: it is entered, or it will be as soon as a peer offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicJoined {
    /// The LSN of the change.
    pub lsn: u64,
    /// Whether no peer has offered the topic yet.
    pub pending: bool,
    /// Whether the topic was joined before.
    pub already: bool,
    /// What was joined: an id, a name, or a name and its creator as `NAME@DID`.
    pub reference: String,
    /// How many peers are connected.
    pub connected: u64,
    /// The topic; null while it is pending.
    pub topic: Option<TopicBrief>,
    /// What the creator has offered, if the topic is pending and was joined by its name and creator.
    pub candidates: Vec<Candidate>,
}

/// The candidates for a name that are known now. They are kept in memory for 10 minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicCandidates {
    /// The name.
    pub name: String,
    /// How many connected peers are asked: those that the operator named, and members of private topics
    /// here.
    pub asked: u64,
    /// How many of them have answered.
    pub answered: u64,
    /// The candidates, in the order of their ids.
    pub candidates: Vec<Candidate>,
}

/// A topic of the name, as a peer has offered it. It is not entered: any peer can give its topic any name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The id of the topic, in hexadecimal.
    pub id: String,
    /// The DID of the creator, who has signed the topic.
    pub creator: String,
    /// Who may read and write.
    pub access: AccessBrief,
    /// Whether this node may read the topic.
    pub admits_this_node: bool,
    /// The DIDs of the peers that offered the topic.
    pub offered_by: Vec<String>,
}
