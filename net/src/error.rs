//! Why there is no transport.

use std::io;
use std::net::SocketAddr;

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened at.
    #[error("cannot listen at udp {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The key card is that of another identity.
    #[error("the key card belongs to another identity than the key pair")]
    Card,
    /// The timing is impossible.
    #[error("an idle timeout has to be at least three times the keep-alive, and below 2^62 ms")]
    Timing,
    /// Called without a tokio runtime.
    #[error("there is no tokio runtime here")]
    NoRuntime,
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}
