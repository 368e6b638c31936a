//! Signs that two processes use one identity, such as of a data directory that was copied.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use icn_gossip::Did;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::hello::Role;

/// A sign that two processes use one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubled {
    /// Another process runs with the identity of this node; where and how it was seen.
    Ours(String),
    /// Links of one peer replace each other in turn from these two addresses.
    Peer {
        /// The identity.
        did: Did,
        /// The addresses of its processes.
        addresses: [SocketAddr; 2],
    },
}

/// How long the other end of a session with ourselves may take to see it.
const MEET_TIME_MAX: Duration = Duration::from_secs(2);

/// How many links peers replace within [`LOST_WINDOW`] before the operator is warned. Those that this process
/// replaces itself do not count. One alone may be a race of two dials.
const LOST_MAX: usize = 3;
const LOST_WINDOW: Duration = Duration::from_secs(300);

/// The most sessions with ourselves that are remembered; a dial that is given up leaves one.
const SESSIONS_MAX: usize = 64;

/// Sessions with this node's own identity: both ends are this process, or another process has the identity.
#[derive(Debug, Default)]
pub(crate) struct OwnSessions {
    sessions: Mutex<HashMap<[u8; 32], Ends>>,
    seen: Notify,
}

/// The ends of one session that this process has seen.
#[derive(Debug, Default)]
struct Ends {
    dialler: bool,
    acceptor: bool,
}

impl OwnSessions {
    /// Whether this process is at both ends of the session with this `binding`, which no other process knows.
    pub(crate) async fn are_ours(&self, binding: [u8; 32], role: Role) -> bool {
        let met = async {
            loop {
                let seen = self.seen.notified();
                tokio::pin!(seen);
                // From here on no notification is missed.
                seen.as_mut().enable();
                if self.mark(binding, role) {
                    return;
                }
                seen.await;
            }
        };
        timeout(MEET_TIME_MAX, met).await.is_ok()
    }

    /// Notes that this process is at this end. Returns whether it is at the other, too.
    fn mark(&self, binding: [u8; 32], role: Role) -> bool {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&binding) {
            sessions.clear();
        }
        let ends = sessions.entry(binding).or_default();
        let (here, there) = match role {
            Role::Dialler => (&mut ends.dialler, ends.acceptor),
            Role::Acceptor => (&mut ends.acceptor, ends.dialler),
        };
        if !std::mem::replace(here, true) {
            self.seen.notify_waiters();
        }
        there
    }
}

/// The links of this node that peers replaced by links that this process does not have.
#[derive(Debug, Default)]
pub(crate) struct LostLinks(VecDeque<Instant>);

impl LostLinks {
    /// Counts a link. Returns whether there were so many that another process must have them.
    pub(crate) fn lost(&mut self, now: Instant) -> bool {
        self.0.retain(|lost| now.duration_since(*lost) < LOST_WINDOW);
        self.0.truncate(LOST_MAX - 1);
        self.0.push_front(now);
        self.0.len() >= LOST_MAX
    }
}
