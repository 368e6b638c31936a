//! The core thread: takes the inbox in turns and has the node answer each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use icn_gossip::Now;
use icn_gossip::mesh::LinkId;
use icn_wal::disk::Disk;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::inbox::{Call, Credit, Input};
use super::release::{GatedTurn, ReleaseGate};
use super::verify::Unverified;
use crate::clock;
use crate::failure::Failure;
use crate::http::gauges::Gauges;
use crate::node::{Inputs, Node, PeerEvent};
use crate::output;

/// Inputs that one turn takes at most.
const TURN_INPUTS_MAX: usize = 256;

/// With at most this many inputs and an empty inbox, the core wakes no other thread: it verifies few
/// signatures and releases the turn itself.
const QUIET_INPUTS_MAX: usize = 4;

/// How often the node does what is due by time.
const TICK: Duration = Duration::from_millis(500);

/// The core, on its thread.
pub(super) struct Core<D: Disk> {
    /// The node. Other threads lock it for moments only.
    pub(super) node: Arc<Mutex<Node<D>>>,
    /// The gate that turns pass.
    pub(super) gate: Arc<ReleaseGate<D>>,
    /// The queue of the release thread.
    pub(super) releases: std_mpsc::SyncSender<GatedTurn>,
    /// The queue of the verify thread.
    pub(super) to_verify: std_mpsc::Sender<Unverified>,
    /// Metrics and health.
    pub(super) gauges: Gauges,
    /// Called when the log has failed.
    pub(super) poisoned: Arc<dyn Fn(&Failure) + Send + Sync>,
}

impl<D: Disk> Core<D> {
    /// Takes turns until every sender of the inbox is gone or the log has failed.
    pub(super) fn run(self, mut inbox: mpsc::Receiver<Input>) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut taken = Vec::with_capacity(TURN_INPUTS_MAX);
        let mut next_tick_ms = clock::elapsed_ms();
        // Batches in flight to the verify thread.
        let mut verifying = 0;
        while receive(&mut inbox, &mut taken, &mut Context::from_waker(&waker)) {
            let now = clock::now();
            self.gauges.meter.turned(taken.len());
            let is_quiet = taken.len() <= QUIET_INPUTS_MAX && inbox.is_empty();
            let mut inputs = Inputs { tick: now.elapsed_ms >= next_tick_ms, ..Inputs::default() };
            let mut credits: HashMap<LinkId, Vec<Credit>> = HashMap::new();
            for input in taken.drain(..) {
                match input {
                    Input::Call(Call { request, reply }) => inputs.requests.push((reply, request)),
                    Input::Peer(event, credit) => {
                        verifying -= usize::from(matches!(event, PeerEvent::Verified { .. }));
                        if let (PeerEvent::Frame { link, .. }, Some(credit)) = (&event, credit) {
                            credits.entry(*link).or_default().push(credit);
                        }
                        inputs.events.push(event);
                    }
                }
            }
            inputs.verify_inline = is_quiet && verifying == 0;
            let mut turn = {
                let mut node = self.node.lock();
                // The release gate meets a failed log only when an output waits for it; a failed NOTE
                // frame is found here.
                if let Err(error) = node.store().wal().check() {
                    (self.poisoned)(&error.into());
                    return;
                }
                let is_tick = inputs.tick;
                if is_tick {
                    node.set_log_lines(output::log_lines());
                }
                let turn = node.step(now, inputs);
                if is_tick {
                    next_tick_ms = now.elapsed_ms + u64::try_from(TICK.as_millis()).unwrap_or(500);
                    observe(&node, now, &self.gauges);
                }
                turn
            };
            for batch in turn.to_verify.drain(..) {
                let credits = credits.remove(&batch.link()).unwrap_or_default();
                verifying += 1;
                let _ = self.to_verify.send((batch, credits));
            }
            // The node has settled the other frames: their links may read on while this thread waits.
            drop(credits);
            if !turn.releases_nothing() && !self.gate.submit(turn, is_quiet, &self.releases) {
                return;
            }
        }
    }
}

/// Wakes the core. Unparking a thread costs less than waking a task of a runtime.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for inputs, at most for one tick; `false` once every sender is gone.
fn receive(
    inbox: &mut mpsc::Receiver<Input>,
    taken: &mut Vec<Input>,
    context: &mut Context<'_>,
) -> bool {
    for waits in [true, false] {
        match inbox.poll_recv_many(context, taken, TURN_INPUTS_MAX) {
            Poll::Ready(count) => return count > 0,
            Poll::Pending if waits => thread::park_timeout(TICK),
            Poll::Pending => {}
        }
    }
    true
}

fn observe<D: Disk>(node: &Node<D>, now: Now, gauges: &Gauges) {
    let counts = node.state().counts();
    gauges.meter.gossip(&counts);
    gauges.meter.network(node.mesh());
    let log = node.store().wal().stats();
    gauges.meter.log(&log);
    let kept = node.store().compactor().list();
    gauges.meter.snapshots(&kept);
    gauges.meter.guard(node.guard().findings().len());
    let checks = node.checks(&counts);
    gauges.health.turned(now.elapsed_ms, checks);
}
