//! The most that peers can make this node hold.

use std::time::Duration;

/// The most links at the same time. A peer that has one already may always replace it.
pub const LINKS_MAX: usize = 256;

/// The most bytes of frames of one peer that the caller has taken and not settled, see
/// [`Credit`](crate::Credit). Nothing more is read from it until then.
pub const UNSETTLED_BYTES_MAX: usize = 1 << 20;

/// What a frame counts beside its bytes, so that empty frames are not free.
pub const UNSETTLED_FRAME_BYTES: usize = 128;

/// Above this many bytes that wait to be sent to a peer, nothing more is read from it: who asks and
/// never reads must not fill the memory.
pub const QUEUED_BYTES_MAX: usize = 2 << 20;

/// The most targets at the same time; more are not dialled.
pub const TARGETS_MAX: usize = 512;

/// The most nodes that the local network may tell of. Whoever is on it can invent as many as it
/// likes.
pub(crate) const HINTS_MAX: usize = 64;

/// How many addresses of one name are tried.
pub(crate) const ADDRESSES_MAX: usize = 4;

/// What QUIC holds of one link: bytes received and not read, and bytes sent and not confirmed.
pub(crate) const WINDOW_BYTES: u32 = 1 << 20;

/// What the system keeps of packets until they are looked at: the windows of two links that send as fast
/// as they can.
pub(crate) const SOCKET_BYTES: usize = 2 * WINDOW_BYTES as usize;

/// What QUIC keeps of packets of one connection that came before it was looked at, and of all.
pub(crate) const INCOMING_BYTES_MAX: u64 = 16 << 10;
pub(crate) const INCOMING_BYTES_TOTAL_MAX: u64 = 4 << 20;

/// How long a TLS session may take to come about.
pub(crate) const TLS_TIME_MAX: Duration = Duration::from_secs(5);

/// How long what is queued may take to reach the peers when the node ends.
pub(crate) const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);
