//! The most that peers can make this node hold, and who may still shake hands.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

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

/// Half-open handshakes of one address, and of all, before an address has to prove itself.
const UNPROVEN_PER_ADDRESS: usize = 64;
const UNPROVEN: usize = 128;
/// Half-open handshakes of one address that has proven itself, and of all.
const HALF_OPEN_PER_ADDRESS_MAX: usize = 256;
pub(crate) const HALF_OPEN_MAX: usize = 512;

/// Counts the handshakes under way, by address: of IPv6 by its /64, which is what one host has.
#[derive(Debug, Default)]
pub(crate) struct HalfOpen(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What is to be done with somebody who wants to connect.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Shake hands; the place is held until this is dropped.
    Take(Place),
    /// It has to show first that it receives what is sent to its address.
    Prove,
    /// There are too many.
    Refuse,
}

/// A handshake under way.
#[derive(Debug)]
pub(crate) struct Place {
    counted: Arc<HalfOpen>,
    address: IpAddr,
}

impl HalfOpen {
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, proven: bool) -> Admission {
        let address = block(address);
        let mut counted = self.0.lock();
        let here = counted.by_address.get(&address).copied().unwrap_or(0);
        if counted.total >= HALF_OPEN_MAX || here >= HALF_OPEN_PER_ADDRESS_MAX {
            return Admission::Refuse;
        }
        if !proven && (counted.total >= UNPROVEN || here >= UNPROVEN_PER_ADDRESS) {
            return Admission::Prove;
        }
        counted.total += 1;
        counted.by_address.insert(address, here + 1);
        Admission::Take(Place { counted: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counted = self.counted.0.lock();
        counted.total -= 1;
        if let Some(here) = counted.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counted.by_address.remove(&self.address);
            }
        }
    }
}

fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(half_open: &Arc<HalfOpen>, address: &str, proven: bool) -> Option<Place> {
        match half_open.admit(address.parse().unwrap(), proven) {
            Admission::Take(place) => Some(place),
            Admission::Prove | Admission::Refuse => None,
        }
    }

    #[test]
    fn an_address_has_to_prove_itself_after_its_share() {
        let half_open = Arc::default();
        let held: Vec<_> = (0..64).map(|_| take(&half_open, "192.0.2.1", false).unwrap()).collect();
        let admit = |address: &str, proven| half_open.admit(address.parse().unwrap(), proven);
        assert!(matches!(admit("192.0.2.1", false), Admission::Prove));
        assert!(matches!(admit("::ffff:192.0.2.1", false), Admission::Prove));
        assert!(matches!(admit("192.0.2.1", true), Admission::Take(_)));
        assert!(matches!(admit("192.0.2.2", false), Admission::Take(_)));
        drop(held);
        assert!(matches!(admit("192.0.2.1", false), Admission::Take(_)));
        assert_eq!(half_open.0.lock().total, 0);
        assert!(half_open.0.lock().by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let half_open = Arc::default();
        let _held: Vec<_> = (0..64)
            .map(|host| take(&half_open, &format!("2001:db8::{host:x}"), false).unwrap())
            .collect();
        assert!(take(&half_open, "2001:db8::ffff:1", false).is_none());
        assert!(take(&half_open, "2001:db8:0:1::1", false).is_some());
    }

    #[test]
    fn all_of_them_have_to_prove_themselves_and_in_the_end_nobody_gets_in() {
        let half_open = Arc::default();
        let mut held: Vec<_> = (0..128)
            .map(|host| take(&half_open, &format!("192.0.2.{host}"), false).unwrap())
            .collect();
        let admit = |address: &str, proven| half_open.admit(address.parse().unwrap(), proven);
        assert!(matches!(admit("198.51.100.1", false), Admission::Prove));
        held.extend((0..256).map(|_| take(&half_open, "198.51.100.1", true).unwrap()));
        assert!(matches!(admit("198.51.100.1", true), Admission::Refuse), "one has it all");
        held.extend((0..128).map(|_| take(&half_open, "198.51.100.2", true).unwrap()));
        assert!(matches!(admit("198.51.100.3", true), Admission::Refuse));
    }
}
