//! The release gate: no reply, frame, job or notification leaves before its LSN is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use icn_gossip::mesh::LinkId;
use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};
use tokio::sync::watch;

use super::inbox::ReplySender;
use super::worker::Job;
use crate::control::subscribers::Arrivals;
use crate::failure::Failure;
use crate::http::meter::Meter;
use crate::node::{Effect, Output, Turn};

/// A turn whose callers wait on channels.
pub(crate) type GatedTurn = Turn<ReplySender>;

/// The gate, and the sinks of what it releases.
pub(crate) struct ReleaseGate<D: Disk> {
    wal: Arc<Wal<D>>,
    meter: Arc<Meter>,
    sinks: Sinks,
    poisoned: Arc<dyn Fn(&Failure) + Send + Sync>,
    /// Turns in the queue of the release thread.
    queued: AtomicUsize,
}

/// Where released effects go.
pub(crate) struct Sinks {
    /// The queue of the worker.
    pub(crate) jobs: mpsc::Sender<Job>,
    /// The links to peers.
    pub(crate) frames: Arc<dyn FrameSender>,
    /// The arrivals that subscribers watch.
    pub(crate) arrived: watch::Sender<Arrivals>,
}

/// The sending side of the links.
pub(crate) trait FrameSender: Send + Sync {
    /// Queues a frame; [`PeerEvent::Sent`](crate::node::PeerEvent::Sent) reports that it was written.
    fn send(&self, link: LinkId, kind: u8, body: Bytes);

    /// Closes a link.
    fn close(&self, link: LinkId, code: u32, name: &'static str);
}

impl<D: Disk> ReleaseGate<D> {
    /// A gate in front of `sinks`. It calls `poisoned` when the log has failed; after that nothing passes.
    pub(crate) fn new(
        wal: Arc<Wal<D>>,
        meter: Arc<Meter>,
        sinks: Sinks,
        poisoned: Arc<dyn Fn(&Failure) + Send + Sync>,
    ) -> Self {
        Self { wal, meter, sinks, poisoned, queued: AtomicUsize::new(0) }
    }

    /// Releases queued turns in order, until every sender is gone or the log has failed.
    pub(crate) fn run(&self, due: &mpsc::Receiver<GatedTurn>) {
        for turn in due {
            if !self.release(turn) {
                return;
            }
            self.queued.fetch_sub(1, Ordering::Release);
        }
    }

    /// Hands a turn to the gate; turns pass in the order of submission. With `on_this_thread` and an empty
    /// queue the calling thread waits for the log itself. Returns false once the log has failed.
    pub(crate) fn submit(
        &self,
        turn: GatedTurn,
        on_this_thread: bool,
        queue: &mpsc::SyncSender<GatedTurn>,
    ) -> bool {
        if on_this_thread && self.queued.load(Ordering::Acquire) == 0 {
            return self.release(turn);
        }
        self.queued.fetch_add(1, Ordering::Relaxed);
        queue.send(turn).is_ok()
    }

    /// Waits for the log and passes the outputs of a turn to their sinks. Returns false once the log has
    /// failed.
    fn release(&self, turn: GatedTurn) -> bool {
        for Output { after, effect } in turn.outputs {
            if let Some(lsn) = Lsn::new(after) {
                let timer = self.meter.commit_timer();
                if !self.wait_durable(lsn) {
                    return false;
                }
                drop(timer);
            }
            let job = match effect {
                Effect::Reply(caller, reply) => {
                    let _ = caller.send(reply);
                    continue;
                }
                Effect::Send { link, kind, body } => {
                    self.sinks.frames.send(link, kind, body);
                    continue;
                }
                Effect::Close { link, code, name } => {
                    self.sinks.frames.close(link, code, name);
                    continue;
                }
                Effect::Save(draft, caller) => Job::Save(draft, caller),
                Effect::Work(work, caller) => Job::Work(work, caller),
            };
            if self.sinks.jobs.send(job).is_err() {
                return false;
            }
        }
        let Some(notifications) = turn.notifications else { return true };
        if Lsn::new(notifications.after).is_some_and(|lsn| !self.wait_durable(lsn)) {
            return false;
        }
        self.sinks.arrived.send_modify(|arrivals| arrivals.add(notifications));
        true
    }

    fn wait_durable(&self, lsn: Lsn) -> bool {
        match self.wal.wait(lsn) {
            Ok(()) => true,
            Err(error) => {
                (self.poisoned)(&error.into());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use icn_wal::disk::{Faults, SimDisk};
    use tokio::sync::oneshot;

    use super::*;
    use crate::control::reply::Deleted;
    use crate::node::{Notifications, TopicDelivery, simulated};

    /// Reports the kind of each frame sent.
    struct Recorder(mpsc::Sender<u8>);

    impl FrameSender for Recorder {
        fn send(&self, _: LinkId, kind: u8, _: Bytes) {
            self.0.send(kind).unwrap();
        }

        fn close(&self, _: LinkId, _: u32, _: &'static str) {}
    }

    #[test]
    fn outputs_and_notifications_pass_only_once_their_lsn_is_durable() {
        let disk = SimDisk::new(1);
        let node = simulated::node(&disk);
        let topic = icn_gossip::TopicId::from_bytes([1; 32]);
        let (recorder, sent) = mpsc::channel();
        let (arrived, arrivals) = watch::channel(Arrivals::default());
        let frames = Arc::new(Recorder(recorder));
        let sinks = Sinks { jobs: mpsc::channel().0, frames, arrived };
        let meter = Arc::new(Meter::new().unwrap());
        let wal = Arc::clone(node.store().wal());
        let gate = ReleaseGate::new(Arc::clone(&wal), meter, sinks, Arc::new(|_: &Failure| {}));
        let turn = |after| {
            let (caller, reply) = oneshot::channel();
            let data = Deleted { deleted: String::new() };
            let frame = Effect::Send { link: LinkId(1), kind: 9, body: Bytes::new() };
            let outputs = vec![
                Output { after, effect: Effect::Reply(caller, Ok(data.into())) },
                Output { after, effect: frame },
            ];
            let delivery = TopicDelivery { last: after, fresh: Vec::new() };
            let deliveries = BTreeMap::from([(topic, delivery)]);
            let notifications = Notifications { after, deliveries, topics_changed: false };
            let turn = Turn { outputs, to_verify: Vec::new(), notifications: Some(notifications) };
            (turn, reply)
        };
        let queue = mpsc::sync_channel(1).0;
        let last = wal.append(1, &["one"]).unwrap().end().get();
        let (one, mut reply) = turn(last);
        assert!(gate.submit(one, true, &queue));
        assert!(wal.stats().durable_lsn >= last);
        assert!(reply.try_recv().is_ok() && sent.try_recv() == Ok(9));
        assert!(arrivals.borrow().beyond(&topic, last - 1));

        disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 1), ..Faults::default() });
        let last = wal.append(1, &["two"]).unwrap().end().get();
        let (two, mut reply) = turn(last);
        assert!(!gate.submit(two, true, &queue));
        assert!(reply.try_recv().is_err() && sent.try_recv().is_err());
        let (mut turn, _) = turn(last);
        turn.outputs.clear();
        assert!(!gate.submit(turn, true, &queue), "notifications wait by themselves");
        assert!(!arrivals.borrow().beyond(&topic, last - 1));
    }
}
