//! Who may still shake hands: the handshakes under way are counted, by address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

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
    /// Shake hands; the permit is held until this is dropped.
    Admit(HalfOpenPermit),
    /// It has to show first that it receives what is sent to its address.
    Prove,
    /// There are too many.
    Refuse,
}

/// A handshake under way.
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
    fn an_address_has_to_prove_itself_after_its_share() {
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
