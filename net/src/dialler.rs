//! Keeps dialling what this node was told to reach: a table of targets, with a task for each.

mod task;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use icn_gossip::Did;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::task::keep;
use crate::context::Context;
use crate::limits::TARGETS_MAX;
use crate::link::Link;
use crate::target::Target;

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

#[derive(Debug)]
pub(crate) struct Dialler {
    context: Arc<Context>,
    inner: Mutex<Inner>,
}

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
    pub(crate) fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self { context, inner: Mutex::default() })
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Starts to dial. Says whether the target is one: not if it is this node itself, or there are
    /// too many.
    pub(crate) fn add(self: &Arc<Self>, target: Target, source: Source) -> bool {
        let inner = &mut *self.inner.lock();
        if target.did() == Some(self.context.did) || inner.ourselves.contains(&target) {
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
        let stop = self.context.stopping.child_token();
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
        let dialler = Arc::clone(self);
        self.context.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep(&dialler, &target, &wake) => {}
            }
        });
        true
    }

    /// [`add`](Self::add) for where a peer was met. Where it was met before is known no more.
    pub(crate) fn learn(self: &Arc<Self>, target: Target) -> bool {
        let older: Vec<_> = {
            let inner = self.inner.lock();
            let same_peer = inner.targets.iter().filter(|(other, entry)| {
                entry.learnt && other.did() == target.did() && **other != target
            });
            same_peer.map(|(other, _)| other.clone()).collect()
        };
        older.iter().for_each(|older| self.remove(older, Source::Learnt));
        self.add(target, Source::Learnt)
    }

    /// Stops dialling, if there is no other source. A link that is there stays.
    pub(crate) fn remove(&self, target: &Target, source: Source) {
        let inner = &mut *self.inner.lock();
        if let Some(entry) = inner.targets.get_mut(target) {
            *entry.flag(source) = false;
            if !entry.asked && !entry.learnt && !entry.hinted {
                entry.stop.cancel();
                inner.targets.remove(target);
            }
        }
        if source == Source::Hint {
            // The link may be to where the peer is no more.
            let elsewhere = inner
                .targets
                .iter()
                .filter(|(other, entry)| entry.hinted && other.did() == target.did());
            elsewhere.for_each(|(_, entry)| entry.wake.notify_one());
        }
    }

    /// Whether the local network knows the peer of this link at the target, and not where the link is.
    fn has_moved(&self, target: &Target, link: &Link) -> bool {
        let inner = self.inner.lock();
        let hinted = |target: &Target| inner.targets.get(target).is_some_and(|entry| entry.hinted);
        target.did() == Some(link.peer())
            && hinted(target)
            && !hinted(&Target::new(target.did(), link.address()))
    }

    fn is_hinted(&self, target: &Target) -> bool {
        self.inner.lock().targets.get(target).is_some_and(|entry| entry.hinted)
    }

    pub(crate) fn status(&self) -> Vec<TargetStatus> {
        let inner = self.inner.lock();
        let status = |(target, entry): (&Target, &Entry)| {
            let did = target.did().or_else(|| inner.pins.get(target).copied());
            TargetStatus {
                target: target.clone(),
                did,
                connected: did.is_some_and(|did| self.context.table.of(&did).is_some()),
                failures: entry.failures,
                failure: entry.failure.clone(),
            }
        };
        inner.targets.iter().map(status).collect()
    }

    fn expected(&self, target: &Target) -> Option<Did> {
        target.did().or_else(|| self.inner.lock().pins.get(target).copied())
    }

    fn pin(&self, target: &Target, did: Did) {
        if target.did().is_none() {
            self.inner.lock().pins.entry(target.clone()).or_insert(did);
        }
    }

    fn never_again(&self, target: &Target) {
        let inner = &mut *self.inner.lock();
        inner.targets.remove(target);
        inner.ourselves.insert(target.clone());
    }

    /// Notes a failure; the number of them.
    fn failed(&self, target: &Target, text: Option<String>) -> u32 {
        match self.inner.lock().targets.get_mut(target) {
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
        if let Some(entry) = self.inner.lock().targets.get_mut(target) {
            entry.failure = None;
        }
    }

    fn held(&self, target: &Target) {
        if let Some(entry) = self.inner.lock().targets.get_mut(target) {
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
