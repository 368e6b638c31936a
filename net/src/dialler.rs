//! Dials the targets of this node: a table of targets, with a task for each.

mod task;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use icn_gossip::Did;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::task::maintain;
use crate::context::Context;
use crate::limits::TARGETS_MAX;
use crate::link::Link;
use crate::target::Target;

/// The source of a target. A target is dialled as long as one source remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetSource {
    /// The caller requested it.
    Requested,
    /// A link was up there.
    Learnt,
    /// A node on the local network advertises it.
    Hinted,
}

/// The status of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// The target.
    pub target: Target,
    /// The identity of the target: the given DID, or that of the first key that answered.
    pub did: Option<Did>,
    /// True iff a link to this identity is up.
    pub connected: bool,
    /// Failures in a row since the last stable link.
    pub failures: u32,
    /// The text of the last failure since the last link, if any.
    pub failure: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Dialler {
    context: Arc<Context>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    targets: HashMap<Target, TargetState>,
    /// The first identity that answered at a target without a DID; no other is accepted there until
    /// the process ends.
    pins: HashMap<Target, Did>,
    own: HashSet<Target>,
}

#[derive(Debug)]
struct TargetState {
    requested: bool,
    learnt: bool,
    hinted: bool,
    failures: u32,
    failure: Option<String>,
    stop: CancellationToken,
    /// Notified to end a backoff, and when an advertisement of the peer changes.
    wake: Arc<Notify>,
}

impl Dialler {
    pub(crate) fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self { context, inner: Mutex::default() })
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Starts to dial a target. Returns false if it is this node itself, or there are already
    /// [`TARGETS_MAX`].
    pub(crate) fn add(self: &Arc<Self>, target: Target, source: TargetSource) -> bool {
        let inner = &mut *self.inner.lock();
        if target.did() == Some(self.context.did) || inner.own.contains(&target) {
            return false;
        }
        if let Some(state) = inner.targets.get_mut(&target) {
            let known = std::mem::replace(state.flag(source), true);
            if source == TargetSource::Hinted && !known {
                // The peer is back.
                state.end_backoff();
            }
            return true;
        }
        if inner.targets.len() >= TARGETS_MAX {
            return false;
        }
        let stop = self.context.stopping.child_token();
        let wake = Arc::new(Notify::new());
        let mut state = TargetState {
            requested: false,
            learnt: false,
            hinted: false,
            failures: 0,
            failure: None,
            stop: stop.clone(),
            wake: Arc::clone(&wake),
        };
        *state.flag(source) = true;
        inner.targets.insert(target.clone(), state);
        let dialler = Arc::clone(self);
        self.context.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = maintain(&dialler, &target, &wake) => {}
            }
        });
        true
    }

    /// Adds the address at which a peer was linked, in place of its earlier one. Returns what
    /// [`add`](Self::add) returns.
    pub(crate) fn learn(self: &Arc<Self>, target: Target) -> bool {
        let older: Vec<_> = {
            let inner = self.inner.lock();
            let same_peer = inner.targets.iter().filter(|(other, state)| {
                state.learnt && other.did() == target.did() && **other != target
            });
            same_peer.map(|(other, _)| other.clone()).collect()
        };
        older.iter().for_each(|older| self.remove(older, TargetSource::Learnt));
        self.add(target, TargetSource::Learnt)
    }

    /// Removes a source of a target, and stops dialling it after the last one. An existing link
    /// stays.
    pub(crate) fn remove(&self, target: &Target, source: TargetSource) {
        let inner = &mut *self.inner.lock();
        if let Some(state) = inner.targets.get_mut(target) {
            *state.flag(source) = false;
            if !state.requested && !state.learnt && !state.hinted {
                state.stop.cancel();
                inner.targets.remove(target);
            }
        }
        if source == TargetSource::Hinted {
            // The link may go to an address that the peer has left.
            let elsewhere = inner
                .targets
                .iter()
                .filter(|(other, state)| state.hinted && other.did() == target.did());
            elsewhere.for_each(|(_, state)| state.wake.notify_one());
        }
    }

    /// Dials every target without a link at once.
    pub(crate) fn end_backoffs(&self) {
        self.inner.lock().targets.values_mut().for_each(TargetState::end_backoff);
    }

    /// True iff the local network advertises the peer of this link at the target, and not at the
    /// address of the link.
    fn has_moved(&self, target: &Target, link: &Link) -> bool {
        let inner = self.inner.lock();
        let hinted = |target: &Target| inner.targets.get(target).is_some_and(|state| state.hinted);
        target.did() == Some(link.peer())
            && hinted(target)
            && !hinted(&Target::new(target.did(), link.address()))
    }

    fn is_hinted(&self, target: &Target) -> bool {
        self.inner.lock().targets.get(target).is_some_and(|state| state.hinted)
    }

    pub(crate) fn status(&self) -> Vec<TargetStatus> {
        let inner = self.inner.lock();
        let status = |(target, state): (&Target, &TargetState)| {
            let did = target.did().or_else(|| inner.pins.get(target).copied());
            TargetStatus {
                target: target.clone(),
                did,
                connected: did.is_some_and(|did| self.context.table.link_of(&did).is_some()),
                failures: state.failures,
                failure: state.failure.clone(),
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

    fn mark_own(&self, target: &Target) {
        let inner = &mut *self.inner.lock();
        inner.targets.remove(target);
        inner.own.insert(target.clone());
    }

    /// Records a failure, and returns the number of failures in a row.
    fn record_failure(&self, target: &Target, text: Option<String>) -> u32 {
        match self.inner.lock().targets.get_mut(target) {
            Some(state) => {
                state.failures = state.failures.saturating_add(1);
                if text.is_some() {
                    state.failure = text;
                }
                state.failures
            }
            None => 1,
        }
    }

    fn clear_failure(&self, target: &Target) {
        if let Some(state) = self.inner.lock().targets.get_mut(target) {
            state.failure = None;
        }
    }

    fn reset_failures(&self, target: &Target) {
        if let Some(state) = self.inner.lock().targets.get_mut(target) {
            state.failures = 0;
        }
    }
}

impl TargetState {
    /// The backoff of failed dials is over, and the next one is short again.
    fn end_backoff(&mut self) {
        self.failures = 0;
        self.wake.notify_one();
    }

    fn flag(&mut self, source: TargetSource) -> &mut bool {
        match source {
            TargetSource::Requested => &mut self.requested,
            TargetSource::Learnt => &mut self.learnt,
            TargetSource::Hinted => &mut self.hinted,
        }
    }
}
