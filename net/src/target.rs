//! The address of a peer to dial.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use icn_gossip::Did;

const HOST_BYTES_MAX: usize = 253;

/// An address to dial: `[DID@]HOST:PORT`. With a DID, only that identity is accepted there. Without
/// one, the first identity that answers is pinned until the process ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    did: Option<Did>,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// Why a text is not a [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// The part before the `@` is not a DID.
    #[error(
        "the part before the @ is not a DID; `icnctl identity show` on the other node prints its DID"
    )]
    Did,
    /// The host is missing or malformed.
    #[error("a peer is written [DID@]HOST:PORT, and an IPv6 address in brackets")]
    Host,
    /// The port is missing or not a number from 1 to 65535.
    #[error("a peer is written [DID@]HOST:PORT, with a port from 1 to 65535")]
    Port,
}

impl Target {
    /// A target at an IP address, optionally with the identity expected there.
    #[must_use]
    pub fn new(did: Option<Did>, address: SocketAddr) -> Self {
        Self { did, host: Host::Address(address.ip().to_canonical()), port: address.port() }
    }

    /// The identity expected there, if one was given.
    #[must_use]
    pub fn did(&self) -> Option<Did> {
        self.did
    }

    /// Resolves the host to its current addresses.
    pub(crate) async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match &self.host {
            Host::Address(address) => Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => {
                Ok(tokio::net::lookup_host((name.as_str(), self.port)).await?.collect())
            }
        }
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let (did, place) = match text.rsplit_once('@') {
            Some((did, place)) => (Some(did.parse().map_err(|_| BadTarget::Did)?), place),
            None => (None, text),
        };
        let (host, port) = place.rsplit_once(':').ok_or(BadTarget::Port)?;
        let port = match port.parse() {
            Ok(port) if port > 0 && !place.ends_with(']') => port,
            _ => return Err(BadTarget::Port),
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let address = rest.strip_suffix(']').ok_or(BadTarget::Host)?;
                Host::Address(IpAddr::V6(address.parse().map_err(|_| BadTarget::Host)?))
            }
            None => match host.parse() {
                Ok(address) => Host::Address(IpAddr::V4(address)),
                Err(_) if is_name(host) => Host::Name(host.to_ascii_lowercase()),
                Err(_) => return Err(BadTarget::Host),
            },
        };
        Ok(Self { did, host, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(did) = &self.did {
            write!(f, "{did}@")?;
        }
        match &self.host {
            Host::Address(address) => write!(f, "{}", SocketAddr::new(*address, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= HOST_BYTES_MAX
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use icn_gossip::Keypair;

    use super::*;

    #[test]
    fn a_target_prints_as_it_parses() {
        let did = Keypair::from_seed([1; 32]).did();
        for text in ["192.0.2.1:7000", "[2001:db8::1]:7000", "node-1.example.org:1"] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
            assert_eq!(target.did(), None);
            let text = format!("{did}@{text}");
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
            assert_eq!(target.did(), Some(did));
        }
        let address = "[::ffff:192.0.2.1]:7".parse().unwrap();
        assert_eq!(Target::new(None, address).to_string(), "192.0.2.1:7");
    }

    #[test]
    fn an_invalid_target_names_the_wrong_part() {
        for (text, wrong) in [
            ("", BadTarget::Port),
            ("host", BadTarget::Port),
            ("host:0", BadTarget::Port),
            ("host:65536", BadTarget::Port),
            ("[::1]", BadTarget::Port),
            (":7000", BadTarget::Host),
            ("::1:7000", BadTarget::Host),
            ("[192.0.2.1]:7000", BadTarget::Host),
            ("[::1:7000", BadTarget::Host),
            ("a b:7000", BadTarget::Host),
            ("no-did@host:7000", BadTarget::Did),
            ("@host:7000", BadTarget::Did),
        ] {
            assert_eq!(text.parse::<Target>(), Err(wrong), "{text}");
        }
    }
}
