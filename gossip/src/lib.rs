//! The gossip protocol as a pure value: identities, signed entries, topics, access.
//!
//! An [`Entry`] is signed by its author. It has a position (topic, author, epoch, seq) and names the
//! hash of the previous entry. It is accepted **iff** its position follows the head of its author log
//! and it names the head's hash. At or before the head it is a duplicate, however old. A different
//! entry at the same position proves that the author signed two histories, and freezes the author log.
//! The heads of a topic's author logs are its vector clock.
//!
//! A [`Topic`] is its signed [`Genesis`], whose hash is its id, so its access rule can never be
//! redeclared. An access rule that this build cannot decode seals the topic.
//!
//! [`State`] is the fold of [`Mutation`]s, the same on the live path and in recovery.
//!
//! Invariant: no clock, disk, socket, thread or randomness here; all of them are arguments.
//! Invariant: a [`Keypair`] cannot be serialised.

mod access;
mod boot;
mod bytes;
mod card;
mod clock_stamp;
mod did;
mod display;
mod entry;
mod keypair;
pub mod legacy;
pub mod limits;
mod log;
pub mod mesh;
mod mutation;
mod now;
mod reject;
mod state;
mod topic;
mod topic_ref;

pub use access::{Access, AccessBytes, AccessSummary, Policy, View};
pub use boot::{BadBootId, Boot, BootId};
pub use card::{BadCard, CARD_BYTES, KeyCard};
pub use clock_stamp::ClockStamp;
pub use did::{BadSignature, Did, DidError};
pub use entry::{ENTRY_HEADER_BYTES, Entry, EntryHeader, KIND_PLAIN, NotAnEntry, Position};
pub use keypair::Keypair;
pub use log::{Log, LogKey, Relation};
pub use mutation::{DecodeError, Mutation, Provenance, RULES};
pub use now::Now;
pub use reject::{BoundedList, Reject};
pub use state::{
    Counts, EXPORT_VERSION, ImportError, Loss, NodeId, Outcome, Peer, Room, SCHEMA, State, Stored,
    Subscription, Topic, UnsignedKey, Usage,
};
pub use topic::{BadTopicId, Genesis, Scope, TopicId, TopicSpec, name_is_valid};
pub use topic_ref::TopicRef;
