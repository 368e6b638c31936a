//! The gossip protocol as a pure value: identities, signed entries, topics, access.
//!
//! An [`Entry`] is signed by its author and has a place: (topic, author, epoch, seq), and the hash
//! of the entry before. It is accepted **iff** its place is the one after the head of its log and
//! it names the head's hash. At or before the head it is a duplicate, however old, for ever; another
//! entry for a place that is taken is proof that the author signed two histories, and freezes the
//! log. The heads of a topic's logs are its vector clock.
//!
//! A [`Topic`] is its signed [`Genesis`], whose hash is its id: it cannot be declared again
//! with another access rule. An access rule that this build does not understand closes the topic.
//!
//! [`State`] is the fold of [`Mutation`]s, the same on the live path and in recovery.
//!
//! Invariant: no clock, disk, socket, thread or randomness here; all of them are arguments.
//! Invariant: a [`Keypair`] cannot be serialised.

mod access;
mod bytes;
mod card;
mod did;
mod display;
mod entry;
mod keypair;
pub mod legacy;
pub mod limits;
mod log;
pub mod mesh;
mod mutation;
mod reject;
mod state;
mod topic;

pub use access::{Access, AccessBytes, Policy, View};
pub use card::{BadCard, CARD_BYTES, KeyCard};
pub use did::{BadSignature, Did, DidError};
pub use entry::{ENTRY_HEADER_BYTES, Entry, EntryHeader, KIND_PLAIN, NotAnEntry, Position};
pub use keypair::Keypair;
pub use log::{Log, LogKey, Relation};
pub use mutation::{DecodeError, Mutation, Provenance, RULES};
pub use reject::Reject;
pub use state::{
    Counts, EXPORT_VERSION, ImportError, Loss, NodeId, Outcome, Peer, SCHEMA, State, Stored,
    Subscription, Topic, UnsignedKey,
};
pub use topic::{BadTopicId, Genesis, Scope, TopicId, TopicSpec, name_is_valid};
