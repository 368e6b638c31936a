//! Bounds on the memory and the time that peers can cost this node.

use std::time::Duration;

/// The most links at the same time. A peer that has a link may always replace it.
pub const LINKS_MAX: usize = 256;

/// The most bytes of frames of one peer that the caller has received and not settled, see
/// [`Credit`](crate::Credit). Above it the link stops reading until the caller settles frames.
pub const UNSETTLED_BYTES_MAX: usize = 1 << 20;

/// What a frame counts in addition to its bytes, so that empty frames are not free.
pub const UNSETTLED_FRAME_BYTES: usize = 128;

/// The bytes queued for a peer above which its link stops reading. A peer that sends requests and
/// never reads the replies must not fill the memory.
pub const QUEUED_BYTES_MAX: usize = 2 << 20;

/// The most targets at the same time; the dialler refuses further ones.
pub const TARGETS_MAX: usize = 512;

/// The most nodes accepted from the local network, where any host can advertise as many nodes as it
/// likes.
pub(crate) const HINTS_MAX: usize = 64;

/// The most addresses of one host name that a dial tries.
pub(crate) const ADDRESSES_MAX: usize = 4;

/// The most bytes QUIC buffers per link and direction: received and unread, sent and
/// unacknowledged.
pub(crate) const WINDOW_BYTES: u32 = 1 << 20;

/// The receive buffer of the UDP socket: the windows of two links that send at full speed.
pub(crate) const SOCKET_BYTES: usize = 2 * WINDOW_BYTES as usize;

/// The most bytes QUIC buffers of a connection that is not yet accepted, and of all of these.
pub(crate) const INCOMING_BYTES_MAX: u64 = 16 << 10;
pub(crate) const INCOMING_BYTES_TOTAL_MAX: u64 = 4 << 20;

/// The most time a TLS handshake may take.
pub(crate) const TLS_TIME_MAX: Duration = Duration::from_secs(5);

/// The most time a peer has to answer a probe after this machine was suspended.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// The most time queued frames have to reach the peers when the node stops.
pub(crate) const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);
