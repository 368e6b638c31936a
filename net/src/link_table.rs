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

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Did;
use parking_lot::Mutex;
use quinn::Connection;

use crate::close_reason::{CLOSE_REPLACED, CLOSE_TOO_MANY};
use crate::limits::LINKS_MAX;
use crate::link::{Link, LinkId};

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
    /// [`LINKS_MAX`] links are up or in their handshake.
    Full,
}

impl Declined {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::OtherLink => CLOSE_REPLACED,
            Self::Full => CLOSE_TOO_MANY,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::OtherLink => "another link of the same two nodes stays",
            Self::Full => "the limit of links is reached",
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
        let fresh = slot.up.as_ref().is_some_and(|link| link.age() < FRESH_AGE);
        if fresh || slot.dialling.is_some() || slot.accepting.is_some() {
            return Err(Declined::OtherLink);
        }
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
        let ours_stays = self.own < peer;
        if ours_stays {
            let just_up =
                slot.up.as_ref().is_some_and(|link| link.dialled() && link.age() < FRESH_AGE);
            if slot.dialling.is_some() || just_up {
                return Err(Declined::OtherLink);
            }
        }
        for other in [slot.dialling.take(), slot.accepting.take()].into_iter().flatten() {
            other.connection.close(CLOSE_REPLACED.into(), Declined::OtherLink.reason().as_bytes());
        }
        let id = inner.next_id();
        let attempt = Attempt { id, connection: connection.clone() };
        inner.slots.entry(peer).or_default().accepting = Some(attempt);
        Ok(Claim { table: Arc::clone(self), peer, id })
    }

    /// Removes a link that has ended.
    pub(crate) fn remove(&self, link: &Link) {
        let inner = &mut *self.inner.lock();
        inner.links.remove(&link.id());
        if let Some(slot) = inner.slots.get_mut(&link.peer()) {
            slot.up.take_if(|up| up.id() == link.id());
        }
        inner.remove_if_empty(&link.peer());
    }
}

impl Claim {
    /// The id that the link will have.
    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// Makes `link` the link of its peer: both ends have accepted each other's Hello. Closes and
    /// returns the link it replaces; that link must be Down before the new one is Up.
    ///
    /// # Errors
    /// [`Declined::OtherLink`] if another connection has taken over the claim.
    pub(crate) fn commit(self, link: &Arc<Link>) -> Result<Option<Arc<Link>>, Declined> {
        let inner = &mut *self.table.inner.lock();
        let slot = inner.slots.get_mut(&self.peer).ok_or(Declined::OtherLink)?;
        slot.take_attempt(self.id).ok_or(Declined::OtherLink)?;
        let old = slot.up.replace(Arc::clone(link));
        inner.links.insert(self.id, Arc::clone(link));
        if let Some(old) = &old {
            old.close(CLOSE_REPLACED, "a newer link of the same peer replaces it");
        }
        Ok(old)
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
