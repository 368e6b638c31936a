//! Keeps dialling what this node was told to reach.
//!
//! Every target has one task. It does nothing while there is a link to the identity behind the
//! target, unless the local network says that this is elsewhere by now: a node that has moved does not
//! answer where it was, and the link would be dead until the silence is too long. Otherwise it dials: at
//! once at first, within [`PROMPT`] after a link that ended by
//! nobody's fault, and after a failure with growing pauses, of which a random part is left out so
//! that nodes that lost each other together do not meet at the same moment for ever.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Did;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::handshake::{self, Dialled, Failure};
use crate::limits::{ADDRESSES_MAX, TARGETS_MAX};
use crate::link::Link;
use crate::stats::Count;
use crate::target::Target;
use crate::transport::Shared;
use crate::why::{CLOSE_REPLACED, Why};

/// The longest pause after a link that ended by nobody's fault.
const PROMPT: Duration = Duration::from_millis(250);
/// The first pause after a failure, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A link that lived this long is a success; one shorter than that is no reason to hurry.
const SUCCESS: Duration = Duration::from_secs(30);
const HURRY: Duration = Duration::from_secs(1);

/// What a target is known from. It is dialled as long as one of them is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The caller.
    Asked,
    /// A link that came about there.
    Learnt,
    /// Somebody on the local network says so.
    Hint,
}

/// How a target fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// The target.
    pub target: Target,
    /// Whom it is known to be: the DID that was given, or that of the first key that answered.
    pub did: Option<Did>,
    /// There is a link to it.
    pub connected: bool,
    /// Failures since the last link that held.
    pub failures: u32,
    /// What the last failure was, if there was one since the last link.
    pub failure: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Dialler(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    targets: HashMap<Target, Entry>,
    /// Whose key answered first where none was given: nobody else until the process ends.
    pins: HashMap<Target, Did>,
    ourselves: HashSet<Target>,
}

#[derive(Debug)]
struct Entry {
    asked: bool,
    learnt: bool,
    hinted: bool,
    failures: u32,
    failure: Option<String>,
    stop: CancellationToken,
    /// Ends a pause.
    wake: Arc<Notify>,
}

impl Dialler {
    /// Starts to dial. Says whether the target is one: not if it is this node itself, or there are
    /// too many.
    pub(crate) fn add(&self, shared: &Arc<Shared>, target: Target, source: Source) -> bool {
        let inner = &mut *self.0.lock();
        if target.did() == Some(shared.did) || inner.ourselves.contains(&target) {
            return false;
        }
        if let Some(entry) = inner.targets.get_mut(&target) {
            let known = std::mem::replace(entry.flag(source), true);
            if source == Source::Hint && !known {
                // It is there again: the pause after all the dials that nobody answered is over.
                entry.failures = 0;
                entry.wake.notify_one();
            }
            return true;
        }
        if inner.targets.len() >= TARGETS_MAX {
            return false;
        }
        let stop = shared.stopping.child_token();
        let wake = Arc::new(Notify::new());
        let mut entry = Entry {
            asked: false,
            learnt: false,
            hinted: false,
            failures: 0,
            failure: None,
            stop: stop.clone(),
            wake: Arc::clone(&wake),
        };
        *entry.flag(source) = true;
        inner.targets.insert(target.clone(), entry);
        let shared_too = Arc::clone(shared);
        shared.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep(&shared_too, &target, &wake) => {}
            }
        });
        true
    }

    /// [`add`](Self::add) for where a peer was met. Where it was met before is known no more.
    pub(crate) fn learn(&self, shared: &Arc<Shared>, target: Target) -> bool {
        let older: Vec<_> = {
            let inner = self.0.lock();
            let same_peer = inner.targets.iter().filter(|(other, entry)| {
                entry.learnt && other.did() == target.did() && **other != target
            });
            same_peer.map(|(other, _)| other.clone()).collect()
        };
        older.iter().for_each(|older| self.remove(older, Source::Learnt));
        self.add(shared, target, Source::Learnt)
    }

    /// Stops dialling, if there is no other source. A link that is there stays.
    pub(crate) fn remove(&self, target: &Target, source: Source) {
        let inner = &mut *self.0.lock();
        if let Some(entry) = inner.targets.get_mut(target) {
            *entry.flag(source) = false;
            if !entry.asked && !entry.learnt && !entry.hinted {
                entry.stop.cancel();
                inner.targets.remove(target);
            }
        }
        if source == Source::Hint {
            // The link may be to where the peer is no more.
            let same_peer = inner.targets.iter().filter(|(other, _)| other.did() == target.did());
            same_peer.for_each(|(_, entry)| entry.wake.notify_one());
        }
    }

    /// Whether the local network knows the peer of this link at the target, and not where the link is.
    fn has_moved(&self, target: &Target, link: &Link) -> bool {
        let inner = self.0.lock();
        let hinted = |target: &Target| inner.targets.get(target).is_some_and(|entry| entry.hinted);
        target.did() == Some(link.peer())
            && hinted(target)
            && !hinted(&Target::new(target.did(), link.address()))
    }

    pub(crate) fn status(&self, shared: &Shared) -> Vec<TargetStatus> {
        let inner = self.0.lock();
        let status = |(target, entry): (&Target, &Entry)| {
            let did = target.did().or_else(|| inner.pins.get(target).copied());
            TargetStatus {
                target: target.clone(),
                did,
                connected: did.is_some_and(|did| shared.table.of(&did).is_some()),
                failures: entry.failures,
                failure: entry.failure.clone(),
            }
        };
        inner.targets.iter().map(status).collect()
    }

    fn expected(&self, target: &Target) -> Option<Did> {
        target.did().or_else(|| self.0.lock().pins.get(target).copied())
    }

    fn pin(&self, target: &Target, did: Did) {
        if target.did().is_none() {
            self.0.lock().pins.entry(target.clone()).or_insert(did);
        }
    }

    fn never_again(&self, target: &Target) {
        let inner = &mut *self.0.lock();
        inner.targets.remove(target);
        inner.ourselves.insert(target.clone());
    }

    /// Notes a failure; the number of them.
    fn failed(&self, target: &Target, text: Option<String>) -> u32 {
        match self.0.lock().targets.get_mut(target) {
            Some(entry) => {
                entry.failures = entry.failures.saturating_add(1);
                if text.is_some() {
                    entry.failure = text;
                }
                entry.failures
            }
            None => 1,
        }
    }

    fn connected(&self, target: &Target) {
        if let Some(entry) = self.0.lock().targets.get_mut(target) {
            entry.failure = None;
        }
    }

    fn held(&self, target: &Target) {
        if let Some(entry) = self.0.lock().targets.get_mut(target) {
            entry.failures = 0;
        }
    }
}

impl Entry {
    fn flag(&mut self, source: Source) -> &mut bool {
        match source {
            Source::Asked => &mut self.asked,
            Source::Learnt => &mut self.learnt,
            Source::Hint => &mut self.hinted,
        }
    }
}

async fn keep(shared: &Arc<Shared>, target: &Target, wake: &Notify) {
    let dialler = &shared.dialler;
    let mut declined = 0;
    // The link beside which this was dialled: once is enough, until there is news.
    let mut beside = None;
    loop {
        let expected = dialler.expected(target);
        if let Some(link) = expected.and_then(|did| shared.table.of(&did)) {
            declined = 0;
            dialler.connected(target);
            if beside == Some(link.id()) || !dialler.has_moved(target, &link) {
                tokio::select! {
                    () = link.gone() => rest(after(dialler, target, &link), wake).await,
                    () = wake.notified() => beside = None,
                }
                continue;
            }
            beside = Some(link.id());
        }
        match dial(shared, target, expected).await {
            Dialled::Up(link) => dialler.pin(target, link.peer()),
            Dialled::Busy(peer) => {
                dialler.pin(target, peer);
                declined += 1;
                shared.stats.add(Count::DialDeclined, 1);
                rest(pause(declined), wake).await;
            }
            Dialled::Ourselves => {
                tracing::info!(%target, "this is the node itself: not dialled again");
                return dialler.never_again(target);
            }
            Dialled::Failed(Failure { count, text }) => {
                tracing::info!(%target, why = text, "not connected");
                let failures = dialler.failed(target, Some(text));
                shared.stats.add(count, 1);
                rest(pause(failures), wake).await;
            }
        }
    }
}

async fn rest(pause: Duration, wake: &Notify) {
    tokio::select! {
        () = sleep(pause) => {}
        () = wake.notified() => {}
    }
}

/// Dials the addresses of a target, one after the other, until somebody is there.
async fn dial(shared: &Arc<Shared>, target: &Target, expected: Option<Did>) -> Dialled {
    let addresses = target.resolve().await.unwrap_or_default();
    let mut dialled = Dialled::Failed(Failure {
        count: Count::DialResolve,
        text: "the name of the host is not known".into(),
    });
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        dialled = handshake::dial(shared, address, expected).await;
        match &dialled {
            Dialled::Failed(failure)
                if matches!(failure.count, Count::DialUnreachable | Count::DialTransport) => {}
            _ => break,
        }
    }
    dialled
}

/// How long to wait after the end of a link.
fn after(dialler: &Dialler, target: &Target, link: &Link) -> Duration {
    let lived = link.age();
    if lived >= SUCCESS {
        dialler.held(target);
    }
    let hurry = match link.ended() {
        // Without a newer link here it was somebody else with the same key.
        Some(Why::Theirs { code: CLOSE_REPLACED, .. }) | None => false,
        Some(why) => why.ordinary(),
    };
    if hurry && lived >= HURRY {
        return some_of(PROMPT);
    }
    pause(dialler.failed(target, None))
}

/// The pause after so many failures in a row: twice the one before, of which up to half is left out.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
    pause / 2 + some_of(pause / 2)
}

/// A random part of it.
fn some_of(duration: Duration) -> Duration {
    // Without randomness the pause is only less well spread.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    duration.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use icn_gossip::{KeyCard, Keypair};
    use tokio::time::timeout;

    use super::*;
    use crate::transport::{Config, Event, Transport};

    #[tokio::test]
    async fn whoever_is_heard_of_again_is_dialled_without_a_pause() {
        let keypair = Arc::new(Keypair::from_seed([1; 32]));
        let card = KeyCard::sign(&keypair, [1; 32], 1);
        let config = Config::new(([127, 0, 0, 1], 0).into(), keypair, card, [0; 32]);
        let transport = Transport::bind(config, tokio::sync::mpsc::channel(1).0).unwrap();
        let (shared, dialler) = (&transport.shared, &transport.shared.dialler);
        let failures = async |is: u32| {
            // Shorter than any pause after fifty failures.
            let counted = async {
                while transport.targets()[0].failures != is {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            assert!(timeout(PAUSE_MAX / 3, counted).await.is_ok(), "{is} failures");
        };
        let nowhere: Target = "no-such-host.invalid:1".parse().unwrap();
        assert!(dialler.add(shared, nowhere.clone(), Source::Asked));
        failures(1).await;
        dialler.0.lock().targets.get_mut(&nowhere).unwrap().failures = 50;
        failures(51).await;
        assert!(dialler.add(shared, nowhere, Source::Hint));
        failures(1).await;
    }

    #[tokio::test]
    async fn who_is_heard_of_elsewhere_than_the_link_goes_is_dialled_there() {
        let (events, mut told) = tokio::sync::mpsc::channel(64);
        let bind = |seed: u8, events| {
            let keypair = Arc::new(Keypair::from_seed([seed; 32]));
            let card = KeyCard::sign(&keypair, [seed; 32], 1);
            let config = Config::new(([127, 0, 0, 1], 0).into(), keypair, card, [0; 32]);
            Transport::bind(config, events).unwrap()
        };
        let node = bind(1, events);
        let (shared, dialler) = (&node.shared, &node.shared.dialler);
        // One peer, where it was and where it is: nothing there says that the first is no more.
        let [was, is] = [2, 2].map(|seed| bind(seed, tokio::sync::mpsc::channel(64).0));
        let [was, is] = [&was, &is].map(|at| Target::new(Some(at.did()), at.local_addr().unwrap()));
        let mut linked_to = async |target: &Target| {
            let up = async {
                while let Some(event) = told.recv().await {
                    if let Event::Up { peer, address, .. } = event {
                        return Target::new(Some(peer), address) == *target;
                    }
                }
                false
            };
            assert!(timeout(PAUSE_MAX / 2, up).await == Ok(true), "no link to {target}");
        };
        assert!(dialler.add(shared, was.clone(), Source::Hint));
        linked_to(&was).await;
        let link = shared.table.of(&was.did().unwrap()).unwrap();
        assert!(dialler.add(shared, is.clone(), Source::Hint));
        assert!(!dialler.has_moved(&is, &link), "it is still where it was");
        while link.age() < HURRY + PROMPT {
            sleep(Duration::from_millis(20)).await;
        }
        dialler.remove(&was, Source::Hint);
        linked_to(&is).await;
    }

    #[test]
    fn pauses_grow_up_to_a_minute() {
        for (failures, longest) in [(1, 250), (2, 500), (3, 1000), (9, 60_000), (9999, 60_000)] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<_> = (0..200).map(|_| pause(failures)).collect();
            assert!(pauses.iter().all(|&pause| pause >= longest / 2 && pause <= longest));
            assert!(pauses.iter().any(|&pause| pause < longest * 5 / 8), "no chance in it");
            assert!(pauses.iter().any(|&pause| pause > longest * 7 / 8), "no chance in it");
        }
    }
}
