//! Limits how many handshakes are in progress, in total and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Handshakes in progress, per address and in total, above which a new address must prove itself.
const UNPROVEN_PER_ADDRESS: usize = 64;
const UNPROVEN: usize = 128;
/// The most handshakes in progress, per proven address and in total.
const HALF_OPEN_PER_ADDRESS_MAX: usize = 256;
pub(crate) const HALF_OPEN_MAX: usize = 512;

/// Counts the handshakes in progress per address. An IPv6 /64 counts as one address, since one host
/// commonly has a whole /64.
#[derive(Debug, Default)]
pub(crate) struct HalfOpen(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The decision on an incoming connection.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Start the handshake; it counts until the permit is dropped.
    Admit(HalfOpenPermit),
    /// Demand a QUIC Retry first: the peer must prove that it receives packets at its address.
    Prove,
    /// Refuse: too many handshakes are in progress.
    Refuse,
}

/// The right to one handshake in progress, until it is dropped.
#[derive(Debug)]
pub(crate) struct HalfOpenPermit {
    counted: Arc<HalfOpen>,
    address: IpAddr,
}

impl HalfOpen {
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, proven: bool) -> Admission {
        let address = address_block(address);
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
        Admission::Admit(HalfOpenPermit { counted: Arc::clone(self), address })
    }
}

impl Drop for HalfOpenPermit {
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

fn address_block(address: IpAddr) -> IpAddr {
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

    fn take(half_open: &Arc<HalfOpen>, address: &str, proven: bool) -> Option<HalfOpenPermit> {
        match half_open.admit(address.parse().unwrap(), proven) {
            Admission::Admit(permit) => Some(permit),
            Admission::Prove | Admission::Refuse => None,
        }
    }

    #[test]
    fn an_address_with_many_handshakes_must_prove_itself() {
        let half_open = Arc::default();
        let held: Vec<_> = (0..64).map(|_| take(&half_open, "192.0.2.1", false).unwrap()).collect();
        let admit = |address: &str, proven| half_open.admit(address.parse().unwrap(), proven);
        assert!(matches!(admit("192.0.2.1", false), Admission::Prove));
        assert!(matches!(admit("::ffff:192.0.2.1", false), Admission::Prove));
        assert!(matches!(admit("192.0.2.1", true), Admission::Admit(_)));
        assert!(matches!(admit("192.0.2.2", false), Admission::Admit(_)));
        drop(held);
        assert!(matches!(admit("192.0.2.1", false), Admission::Admit(_)));
        assert_eq!(half_open.0.lock().total, 0);
        assert!(half_open.0.lock().by_address.is_empty());
    }

    #[test]
    fn an_ipv6_64_counts_as_one_address() {
        let half_open = Arc::default();
        let _held: Vec<_> = (0..64)
            .map(|host| take(&half_open, &format!("2001:db8::{host:x}"), false).unwrap())
            .collect();
        assert!(take(&half_open, "2001:db8::ffff:1", false).is_none());
        assert!(take(&half_open, "2001:db8:0:1::1", false).is_some());
    }

    #[test]
    fn many_addresses_must_all_prove_themselves_until_the_limit_refuses_them() {
        let half_open = Arc::default();
        let mut held: Vec<_> = (0..128)
            .map(|host| take(&half_open, &format!("192.0.2.{host}"), false).unwrap())
            .collect();
        let admit = |address: &str, proven| half_open.admit(address.parse().unwrap(), proven);
        assert!(matches!(admit("198.51.100.1", false), Admission::Prove));
        held.extend((0..256).map(|_| take(&half_open, "198.51.100.1", true).unwrap()));
        assert!(
            matches!(admit("198.51.100.1", true), Admission::Refuse),
            "one address is at its limit"
        );
        held.extend((0..128).map(|_| take(&half_open, "198.51.100.2", true).unwrap()));
        assert!(matches!(admit("198.51.100.3", true), Admission::Refuse));
    }
}
