//! All bounds of the protocol, and the compile-time relations between them.

/// The largest payload of an entry: 60 KiB.
pub const PAYLOAD_BYTES_MAX: usize = 60 << 10;

/// The largest encoded entry: 64 KiB.
pub const ENTRY_BYTES_MAX: usize = 64 << 10;

/// The longest topic name in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 128;

/// The most members a list of participants may name.
pub const PARTICIPANTS_MAX: usize = 1024;

/// The most subscriptions of one topic, or to one text that means no topic yet.
pub const SUBSCRIBERS_MAX: usize = 10_000;

/// The most pending subscriptions of the operator, and of all peers together: about 8 MiB each.
pub const PENDING_MAX: usize = 32_768;

/// The most cursors of a node, over all topics.
pub const CURSORS_MAX: usize = 1024;

/// The most payload and header bytes a topic retains: 256 MiB. The oldest entries are pruned first.
pub const TOPIC_BYTES_MAX: u64 = 256 << 20;

/// The most bytes of entries a node retains: 1 GiB. Above it, entries are refused.
pub const NODE_BYTES_MAX: u64 = 1 << 30;

/// The bytes of entries that each topic may retain, whatever the other topics retain: 1 MiB.
pub const SHARE_BYTES: u64 = 1 << 20;

/// The most bytes that are set aside for these shares: half of the node's. With more topics, each share
/// is smaller, first those of public topics.
pub const SHARED_BYTES_MAX: u64 = NODE_BYTES_MAX / 2;

/// For how many topics shares are set aside at least.
pub const SHARED_TOPICS_MIN: u64 = 64;

/// How much of the common room a refetch may use, in percent: new messages of large topics need the rest.
pub const REFETCH_ROOM_PERCENT: u64 = 80;

/// How many entries a topic retains by default.
pub const TOPIC_ENTRIES_DEFAULT: u32 = 1_000_000;

/// How long a topic retains entries by default: 30 days.
pub const RETENTION_MS_DEFAULT: u64 = 30 * 24 * 60 * 60 * 1000;

/// The highest trust score of a peer.
pub const TRUST_MAX: u16 = 1000;

/// The largest legacy document that is read: 64 MiB. Real ones are below 10 MiB.
pub const LEGACY_BYTES_MAX: usize = 64 << 20;

/// The most topics imported from a legacy document.
pub const LEGACY_TOPICS_MAX: usize = 10_000;

/// The most items imported from any other list of a legacy document. Each subscription is checked
/// against all others.
pub const LEGACY_ITEMS_MAX: usize = 50_000;

/// The most unknown fields of a legacy document that the report names.
pub const LEGACY_FIELDS_MAX: usize = 1000;

/// The longest access rule kept from a legacy document: 64 KiB.
pub const LEGACY_RULE_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(PAYLOAD_BYTES_MAX + 512 <= ENTRY_BYTES_MAX);
const _: () = assert!(TOPIC_BYTES_MAX <= NODE_BYTES_MAX);
const _: () = assert!(SHARED_TOPICS_MIN * SHARE_BYTES <= SHARED_BYTES_MAX);
const _: () = assert!(SHARE_BYTES > ENTRY_BYTES_MAX as u64);
const _: () = assert!(PARTICIPANTS_MAX * 32 * 2 < 1 << 20);

/// The most topics that a peer may announce interest in on one link: 20 000 with reserve. Each costs at
/// most 300 bytes in all sets and lists of the link, so all of them cost 10 MiB.
pub const INTERESTS_MAX: usize = 32_768;

/// The most interests in one message: 64 KiB.
pub const INTERESTS_PER_MESSAGE: usize = 3840;

/// The most topics of which a link keeps that its peer has proven to read them: about 2 MiB.
pub const PROVEN_MAX: usize = 32_768;

/// The most topics in the answer to one FIND.
pub const FOUND_MAX: usize = 4;

/// The most candidates kept for a name.
pub const CANDIDATES_MAX: usize = 64;

/// The most names whose candidates are kept.
pub const SEARCHES_MAX: usize = 16;

/// The most author logs that a peer may want on one link. Each costs about 300 bytes, all of them 12 MiB.
pub const SERVED_MAX: usize = 40_960;

/// The most author logs that this node wants on one link: a log of every topic of interest, and fewer than
/// a peer allows.
pub const WANTS_MAX: usize = 32_768;

/// The most author logs of one author in one topic. Each run of a node that publishes begins one.
pub const LOGS_PER_AUTHOR_MAX: usize = 4096;

/// The most author logs of a topic.
pub const LOGS_PER_TOPIC_MAX: usize = 65_536;

/// The highest sequence number accepted from a peer: far more than an author can write.
pub const SEQ_MAX: u64 = 1 << 62;

/// Bytes in flight to a peer above which no more entries are sent to it: 1 MiB.
pub const IN_FLIGHT_BYTES_MAX: usize = 1 << 20;

/// Bytes of entries in one message, unless a single entry is larger: 64 KiB.
pub const BATCH_BYTES_MAX: usize = 64 << 10;

/// How far an entry's time may be ahead of the receiver's clock: 10 min.
pub const FUTURE_MS_MAX: u64 = 10 * 60 * 1000;

/// The most topics whose refetch runs or was over less than 10 min ago. Each keeps the authors of what came
/// back, 32 bytes each, of at most [`LOGS_PER_TOPIC_MAX`] logs.
pub const REFETCHES_MAX: usize = 16;

/// The most author logs that a refetch asks for at a time, each with a page of about 64 KiB.
pub const REFETCH_LOGS_MAX: usize = 4;

/// The most FETCH on one link that wait for their answer.
pub const FETCHES_MAX: usize = 64;

const _: () = assert!(REFETCHES_MAX * REFETCH_LOGS_MAX <= FETCHES_MAX);
const _: () = assert!(INTERESTS_MAX <= WANTS_MAX && WANTS_MAX <= SERVED_MAX);
const _: () = assert!(INTERESTS_PER_MESSAGE * 17 <= BATCH_BYTES_MAX);
const _: () = assert!(INTERESTS_MAX * 17 < IN_FLIGHT_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX >= ENTRY_BYTES_MAX);
const _: () = assert!(IN_FLIGHT_BYTES_MAX >= 4 * BATCH_BYTES_MAX);
