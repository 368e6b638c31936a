//! Identities that two processes use at the same time: their links replace each other in turn.
//!
//! A peer that moves has a new address, then another, and comes back to none of them within the window. Two
//! processes take turns. Once they have, the one with the link keeps it, and the other is declined. Without
//! that, neither has a link for longer than a second.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use icn_gossip::Did;
use tokio::time::Instant;

/// The time within which links must replace each other.
const WINDOW: Duration = Duration::from_secs(60);

/// The turns that show it: both addresses have then taken the link over twice.
const TURNS: usize = 4;

/// How long an identity stays contested after the last sign of two processes.
const HOLD: Duration = Duration::from_secs(300);

/// The most identities that are watched; of more, the one whose last sign is oldest is forgotten.
const IDENTITIES_MAX: usize = 64;

/// The contested identities, and those whose links were replaced from another address.
#[derive(Debug, Default)]
pub(crate) struct Contests(HashMap<Did, Contest>);

#[derive(Debug)]
struct Contest {
    /// When a link was replaced, and the address of the one that replaced it; at most [`TURNS`].
    turns: VecDeque<(Instant, SocketAddr)>,
    /// The last sign of two processes, once there was one.
    contested: Option<Instant>,
    seen: Instant,
}

impl Contests {
    /// A link of `peer` from `new` replaces one from `old`. Returns whether two processes take turns.
    pub(crate) fn replaced(
        &mut self,
        peer: Did,
        old: SocketAddr,
        new: SocketAddr,
        now: Instant,
    ) -> bool {
        if old == new {
            return false;
        }
        self.forget(now);
        if self.0.len() >= IDENTITIES_MAX && !self.0.contains_key(&peer) {
            let oldest = self.0.iter().min_by_key(|(_, contest)| contest.seen).map(|(did, _)| *did);
            oldest.and_then(|did| self.0.remove(&did));
        }
        let contest = self.0.entry(peer).or_insert_with(|| Contest {
            turns: VecDeque::with_capacity(TURNS),
            contested: None,
            seen: now,
        });
        contest.seen = now;
        contest.turns.truncate(TURNS - 1);
        contest.turns.push_front((now, new));
        let taken_by = |address| contest.turns.iter().filter(|(_, by)| *by == address).count();
        if taken_by(old) >= TURNS / 2 && taken_by(new) >= TURNS / 2 {
            contest.contested = Some(now);
        }
        contest.contested.is_some()
    }

    /// Whether a connection of `peer` from `new` must not replace its link from `up`.
    pub(crate) fn declines(
        &mut self,
        peer: &Did,
        up: SocketAddr,
        new: SocketAddr,
        now: Instant,
    ) -> bool {
        self.forget(now);
        let contest =
            self.0.get_mut(peer).filter(|contest| contest.contested.is_some() && up != new);
        if let Some(contest) = contest {
            contest.contested = Some(now);
            contest.seen = now;
            return true;
        }
        false
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, contest| {
            contest.turns.retain(|(turn, _)| now.duration_since(*turn) < WINDOW);
            contest.contested.take_if(|last| now.duration_since(*last) >= HOLD);
            contest.contested.is_some() || !contest.turns.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use icn_gossip::Keypair;

    use super::*;

    fn did(seed: u8) -> Did {
        Keypair::from_seed([seed; 32]).did()
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn after(seconds: u64) -> Instant {
        // All of a test's times follow one start.
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    #[test]
    fn two_processes_take_turns_and_a_peer_that_moves_does_not() {
        let mut contests = Contests::default();
        let moves = |contests: &mut Contests, from, to, at| {
            contests.replaced(did(1), address(from), address(to), after(at))
        };
        for turn in 0..20 {
            let from = u16::try_from(turn).unwrap();
            assert!(!moves(&mut contests, from, from + 1, turn), "a new address each time");
            assert!(!moves(&mut contests, 7, 7, turn), "the same address");
        }
        let mut contests = Contests::default();
        let mut found = Vec::new();
        for turn in 0..6 {
            let (from, to) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
            found.push(moves(&mut contests, from, to, turn));
        }
        assert_eq!(found, [false, false, false, true, true, true]);
        // In an hour between them it is one node that has two places.
        let mut contests = Contests::default();
        for turn in 0..20 {
            let (from, to) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
            assert!(!moves(&mut contests, from, to, turn * 3600));
        }
    }

    #[test]
    fn a_contested_identity_keeps_its_link_until_the_other_process_is_quiet() {
        let mut contests = Contests::default();
        for turn in 0..4 {
            let (from, to) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
            contests.replaced(did(1), address(from), address(to), after(turn));
        }
        let mut declines =
            |peer, up, new, at| contests.declines(&did(peer), address(up), address(new), after(at));
        assert!(declines(1, 1, 2, 10));
        assert!(!declines(1, 1, 1, 10), "the process that has the link may renew it");
        assert!(!declines(2, 1, 2, 10), "another identity");
        // Each attempt of the other process shows that it still runs.
        assert!(declines(1, 1, 2, 10 + 299));
        assert!(declines(1, 1, 2, 10 + 2 * 299));
        assert!(!declines(1, 1, 2, 10 + 2 * 299 + 300));
    }

    #[test]
    fn identities_of_unknown_peers_take_bounded_memory() {
        let mut contests = Contests::default();
        for seed in 0..=255 {
            for turn in 0..10 {
                let (from, to) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
                contests.replaced(did(seed), address(from), address(to), after(turn));
            }
        }
        assert_eq!(contests.0.len(), IDENTITIES_MAX);
        assert!(contests.0.values().all(|contest| contest.turns.len() <= TURNS));
    }
}
