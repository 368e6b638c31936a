//! The links of a node: at most one per identity, whichever end dials and whenever.
//!
//! A connection in its handshake holds a [`Claim`]. When the handshake completes, the connection
//! becomes the link, and an older link of the same identity ends.
//!
//! Two nodes that dial each other at once must keep the same one of the two connections, without
//! asking. They keep the one that the smaller identity dialled. So a node that receives a Hello during its
//! own dial declines the Hello if its identity is the smaller one. Otherwise it gives up its own
//! dial. This rule needs no clock.
//!
//! One case needs a clock. A Hello sent before its sender knew of the other connection looks like
//! one of a sender that has lost that connection. Until a link is [`FRESH_AGE`] old, the acceptor
//! assumes the former; a sender that has lost the link dials again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Did;
use parking_lot::Mutex;
use quinn::Connection;
use tokio::time::Instant;

use crate::close_reason::{CLOSE_CONTESTED, CLOSE_REPLACED, CLOSE_TOO_MANY};
use crate::contest::Contests;
use crate::doubled::LostLinks;
use crate::limits::LINKS_MAX;
use crate::link::{Link, LinkId, canonical};

/// The age up to which the other end may not know yet that the link is up.
const FRESH_AGE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct LinkTable {
    own: Did,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: HashMap<Did, Slot>,
    links: HashMap<LinkId, Arc<Link>>,
    contests: Contests,
    lost: LostLinks,
    last_id: u64,
}

#[derive(Debug, Default)]
struct Slot {
    dialling: Option<Attempt>,
    accepting: Option<Attempt>,
    up: Option<Arc<Link>>,
}

#[derive(Debug)]
struct Attempt {
    id: LinkId,
    connection: Connection,
}

/// The right of one connection to become the link of an identity, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    table: Arc<LinkTable>,
    peer: Did,
    id: LinkId,
}

/// Why a connection does not become a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// Another connection to the same identity is the link, or is about to be.
    OtherLink,
    /// Two processes use the identity, and the one at this address has the link.
    Contested(SocketAddr),
    /// [`LINKS_MAX`] links are up or in their handshake.
    Full,
}

impl Declined {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::OtherLink => CLOSE_REPLACED,
            Self::Contested(_) => CLOSE_CONTESTED,
            Self::Full => CLOSE_TOO_MANY,
        }
    }

    pub(crate) fn reason(self) -> Cow<'static, str> {
        match self {
            Self::OtherLink => "another link of the same two nodes stays".into(),
            Self::Contested(up) => {
                format!("another process with this identity is linked here from {up}").into()
            }
            Self::Full => "the limit of links is reached".into(),
        }
    }
}

impl LinkTable {
    pub(crate) fn new(own: Did) -> Arc<Self> {
        Arc::new(Self { own, inner: Mutex::default() })
    }

    /// The link to an identity, if one is up.
    pub(crate) fn link_of(&self, peer: &Did) -> Option<Arc<Link>> {
        self.inner.lock().slots.get(peer)?.up.clone()
    }

    pub(crate) fn link(&self, id: LinkId) -> Option<Arc<Link>> {
        self.inner.lock().links.get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.inner.lock().links.values().cloned().collect()
    }

    /// Claims a connection that this node dialled, before it sends its Hello.
    pub(crate) fn claim_dial(
        self: &Arc<Self>,
        peer: Did,
        connection: &Connection,
    ) -> Result<Claim, Declined> {
        let inner = &mut *self.inner.lock();
        let slot = inner.slot(peer)?;
        let up = slot.up.as_ref().map(|link| link.address());
        let fresh = slot.up.as_ref().is_some_and(|link| link.age() < FRESH_AGE);
        if fresh || slot.dialling.is_some() || slot.accepting.is_some() {
            return Err(Declined::OtherLink);
        }
        inner.check_contest(&peer, up, connection)?;
        let id = inner.next_id();
        let attempt = Attempt { id, connection: connection.clone() };
        inner.slots.entry(peer).or_default().dialling = Some(attempt);
        Ok(Claim { table: Arc::clone(self), peer, id })
    }

    /// Claims a connection that a peer dialled, after its Hello is accepted and before this node's.
    pub(crate) fn claim_accept(
        self: &Arc<Self>,
        peer: Did,
        connection: &Connection,
    ) -> Result<Claim, Declined> {
        let inner = &mut *self.inner.lock();
        let slot = inner.slot(peer)?;
        let up = slot.up.as_ref().map(|link| link.address());
        let ours_stays = self.own < peer;
        if ours_stays {
            let just_up =
                slot.up.as_ref().is_some_and(|link| link.dialled() && link.age() < FRESH_AGE);
            if slot.dialling.is_some() || just_up {
                return Err(Declined::OtherLink);
            }
        }
        inner.check_contest(&peer, up, connection)?;
        let slot = inner.slot(peer)?;
        for other in [slot.dialling.take(), slot.accepting.take()].into_iter().flatten() {
            other.connection.close(CLOSE_REPLACED.into(), Declined::OtherLink.reason().as_bytes());
        }
        let id = inner.next_id();
        let attempt = Attempt { id, connection: connection.clone() };
        inner.slots.entry(peer).or_default().accepting = Some(attempt);
        Ok(Claim { table: Arc::clone(self), peer, id })
    }

    /// Removes a link that has ended. Returns whether another process must have this node's identity: peers have
    /// `replaced` links by links that are not here.
    pub(crate) fn remove(&self, link: &Link, replaced: bool) -> bool {
        let inner = &mut *self.inner.lock();
        inner.links.remove(&link.id());
        let here = inner.slots.get(&link.peer()).is_some_and(|slot| {
            let other = slot.up.as_ref().is_some_and(|up| up.id() != link.id());
            other || slot.dialling.is_some() || slot.accepting.is_some()
        });
        let elsewhere = replaced && !here && inner.lost.lost(Instant::now());
        if let Some(slot) = inner.slots.get_mut(&link.peer()) {
            slot.up.take_if(|up| up.id() == link.id());
        }
        inner.remove_if_empty(&link.peer());
        elsewhere
    }
}

/// A link that has taken its place in the table.
pub(crate) struct Committed {
    /// The link it replaces; that link must be Down before the new one is Up.
    pub(crate) old: Option<Arc<Link>>,
    /// The addresses of two processes that use the identity of the peer, if their links take turns.
    pub(crate) contested: Option<[SocketAddr; 2]>,
}

impl Claim {
    /// The id that the link will have.
    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// Makes `link` the link of its peer: both ends have accepted each other's Hello. Closes the link it
    /// replaces.
    ///
    /// # Errors
    /// [`Declined::OtherLink`] if another connection has taken over the claim.
    pub(crate) fn commit(self, link: &Arc<Link>) -> Result<Committed, Declined> {
        let inner = &mut *self.table.inner.lock();
        let slot = inner.slots.get_mut(&self.peer).ok_or(Declined::OtherLink)?;
        slot.take_attempt(self.id).ok_or(Declined::OtherLink)?;
        let old = slot.up.replace(Arc::clone(link));
        inner.links.insert(self.id, Arc::clone(link));
        let mut contested = None;
        if let Some(old) = &old {
            old.close(CLOSE_REPLACED, "a newer link of the same peer replaces it");
            let addresses = [old.address(), link.address()];
            let [from, to] = addresses;
            if inner.contests.replaced(self.peer, from, to, Instant::now()) {
                contested = Some(addresses);
            }
        }
        Ok(Committed { old, contested })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let inner = &mut *self.table.inner.lock();
        if let Some(slot) = inner.slots.get_mut(&self.peer) {
            slot.take_attempt(self.id);
        }
        inner.remove_if_empty(&self.peer);
    }
}

impl Inner {
    fn slot(&mut self, peer: Did) -> Result<&mut Slot, Declined> {
        let full = self.slots.len() >= LINKS_MAX && !self.slots.contains_key(&peer);
        if full { Err(Declined::Full) } else { Ok(self.slots.entry(peer).or_default()) }
    }

    /// Declines a connection of an identity that two processes use, if the other one has the link.
    fn check_contest(
        &mut self,
        peer: &Did,
        up: Option<SocketAddr>,
        connection: &Connection,
    ) -> Result<(), Declined> {
        let Some(up) = up else { return Ok(()) };
        match self.contests.declines(
            peer,
            up,
            canonical(connection.remote_address()),
            Instant::now(),
        ) {
            true => Err(Declined::Contested(up)),
            false => Ok(()),
        }
    }

    fn next_id(&mut self) -> LinkId {
        self.last_id += 1;
        LinkId(self.last_id)
    }

    fn remove_if_empty(&mut self, peer: &Did) {
        let empty = self.slots.get(peer).is_some_and(|slot| {
            slot.up.is_none() && slot.dialling.is_none() && slot.accepting.is_none()
        });
        if empty {
            self.slots.remove(peer);
        }
    }
}

impl Slot {
    fn take_attempt(&mut self, id: LinkId) -> Option<Attempt> {
        let dialling = self.dialling.take_if(|attempt| attempt.id == id);
        dialling.or_else(|| self.accepting.take_if(|attempt| attempt.id == id))
    }
}
