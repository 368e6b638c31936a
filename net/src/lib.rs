//! Frames over QUIC links, and the proven identity of the peer at the other end.
//!
//! ```
//! use bytes::BytesMut;
//! use icn_net::{Decoder, Frame};
//!
//! let mut wire = BytesMut::new();
//! Frame::new(7, &b"a body"[..])?.encode(&mut wire);
//!
//! let mut decoder = Decoder::default();
//! decoder.push(&wire[..3]); // however many bytes have arrived
//! assert_eq!(decoder.next_frame()?, None);
//! decoder.push(&wire[3..]);
//! assert_eq!(decoder.next_frame()?, Some(Frame::new(7, &b"a body"[..])?));
//! # Ok::<(), icn_net::TooLarge>(())
//! ```
//!
//! The stream of a connection is a sequence of [`Frame`]s. The first frame in each direction is a
//! [`Hello`]: the sender's protocol versions, network and X25519 key. Its signature covers a secret
//! of the TLS session, so a Hello is valid on no other connection. Until a node has accepted the
//! peer's Hello, it parses no other frame.
//!
//! A [`Transport`] accepts connections and keeps dialling its [`Target`]s. One QUIC connection is
//! one link; the transport reports each change of a link as a [`LinkEvent`].
//!
//! Invariant: this crate decides *who* a peer is, never *what* it may do.

mod close_reason;
mod config;
mod contest;
mod context;
mod dialler;
mod discovery;
mod doubled;
mod error;
mod event;
mod frame;
mod frame_reader;
mod half_open;
mod handshake;
mod hello;
pub mod limits;
mod link;
mod link_table;
mod link_task;
mod probe;
mod quic;
mod stats;
mod target;
mod tls;
mod transport;

pub use close_reason::{
    CLOSE_CONTESTED, CLOSE_MALFORMED, CLOSE_REPLACED, CLOSE_STOPPING, CLOSE_TOO_MANY,
    CLOSE_UNANSWERED, CloseReason,
};
pub use config::{Config, Timing};
pub use dialler::TargetStatus;
pub use doubled::Doubled;
pub use error::BindError;
pub use event::{Credit, LinkEvent};
pub use frame::{Decoder, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, TooLarge, Truncated};
pub use hello::{
    AcceptedHello, CAPABILITIES_KNOWN, CAPABILITIES_REQUIRED, HELLO_BYTES_MAX, Hello, LocalNode,
    Refusal, Role, TlsSession, VERSIONS_SPOKEN, Versions,
};
pub use link::LinkId;
pub use stats::{Stat, TransportStats};
pub use target::{BadTarget, Target};
pub use transport::Transport;

/// Returns the id of the network with this name. Nodes of different networks refuse each other.
#[must_use]
pub fn network_id(name: &str) -> [u8; 32] {
    *blake3::hash(name.as_bytes()).as_bytes()
}
