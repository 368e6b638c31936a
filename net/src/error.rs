//! Why a transport cannot start.

use std::io;
use std::net::SocketAddr;

/// Why a transport cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The UDP address cannot be bound.
    #[error("cannot listen on udp {address}: {source}")]
    Listen {
        /// The UDP address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The key card belongs to another identity than the key pair.
    #[error("the key card belongs to another identity than the key pair")]
    Card,
    /// The idle timeout is shorter than three keep-alives, or longer than QUIC can express.
    #[error("the idle timeout must be at least three times the keep-alive, and below 2^62 ms")]
    Timing,
    /// The caller is not on a tokio runtime.
    #[error("the caller is not on a tokio runtime")]
    NoRuntime,
    /// The TLS configuration is invalid.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}
