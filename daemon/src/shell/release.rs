//! The one door: nothing leaves before its LSN is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};
use tokio::sync::{oneshot, watch};

use crate::control::request::Reply;
use crate::control::subscribers::Arrivals;
use crate::failure::Failure;
use crate::http::meter::Meter;
use crate::node::{Effect, News, Output};
use crate::shell::{Job, Wire};

/// What a turn brings about, and what it brings to whoever waits.
pub(crate) type Turn = (Vec<Output<oneshot::Sender<Reply>>>, Option<News>);

/// Where effects go, and what they wait for.
pub(crate) struct Door<D: Disk> {
    wal: Arc<Wal<D>>,
    meter: Arc<Meter>,
    ways: Ways,
    poisoned: Arc<dyn Fn(&Failure) + Send + Sync>,
    /// Turns that queue before it.
    queued: AtomicUsize,
}

/// Where effects go.
pub(crate) struct Ways {
    /// What takes long.
    pub(crate) jobs: mpsc::Sender<Job>,
    /// Frames.
    pub(crate) wire: Arc<dyn Wire>,
    /// What arrives.
    pub(crate) arrived: watch::Sender<Arrivals>,
}

impl<D: Disk> Door<D> {
    /// `poisoned` is called when the log has failed: nothing passes any more.
    pub(crate) fn new(
        wal: Arc<Wal<D>>,
        meter: Arc<Meter>,
        ways: Ways,
        poisoned: Arc<dyn Fn(&Failure) + Send + Sync>,
    ) -> Self {
        Self { wal, meter, ways, poisoned, queued: AtomicUsize::new(0) }
    }

    /// Lets out one turn after the other, until there are no more or nothing passes any more.
    pub(crate) fn serve(&self, due: &mpsc::Receiver<Turn>) {
        for turn in due {
            if !self.pass(turn) {
                return;
            }
            self.queued.fetch_sub(1, Ordering::Release);
        }
    }

    /// A turn has come, for this thread to let out at once if it `may` and none queues, and else for
    /// that of [`serve`](Self::serve): turns pass in their order. Says whether anything passes any more.
    pub(crate) fn come(&self, turn: Turn, may: bool, queue: &mpsc::SyncSender<Turn>) -> bool {
        if may && self.queued.load(Ordering::Acquire) == 0 {
            return self.pass(turn);
        }
        self.queued.fetch_add(1, Ordering::Relaxed);
        queue.send(turn).is_ok()
    }

    /// Waits for the disk and lets a turn out.
    fn pass(&self, (outputs, news): Turn) -> bool {
        for Output { after, effect } in outputs {
            if let Some(lsn) = Lsn::new(after) {
                let waited = self.meter.commit_timer();
                if !self.is_durable(lsn) {
                    return false;
                }
                drop(waited);
            }
            let job = match effect {
                Effect::Reply(answer, reply) => {
                    // Whoever asked may be gone; what was done is done.
                    let _ = answer.send(reply);
                    continue;
                }
                Effect::Save(draft, answer) => Job::Save(draft, answer),
                Effect::Work(work, answer) => Job::Work(work, answer),
                Effect::Send { link, kind, body } => {
                    self.ways.wire.send(link, kind, body);
                    continue;
                }
                Effect::Close { link, code, name } => {
                    self.ways.wire.close(link, code, name);
                    continue;
                }
                // Taken out before the door.
                Effect::Verify(_) => continue,
            };
            if self.ways.jobs.send(job).is_err() {
                return false;
            }
        }
        let Some(news) = news else { return true };
        if Lsn::new(news.after).is_some_and(|lsn| !self.is_durable(lsn)) {
            return false;
        }
        self.ways.arrived.send_modify(|arrivals| arrivals.add(news));
        true
    }

    fn is_durable(&self, lsn: Lsn) -> bool {
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

    use bytes::Bytes;
    use icn_gossip::mesh::LinkId;
    use icn_wal::disk::{Faults, SimDisk};

    use super::*;
    use crate::node::{Arrived, simulated};

    /// Tells that something was sent.
    struct Told(mpsc::Sender<u8>);

    impl Wire for Told {
        fn send(&self, _: LinkId, kind: u8, _: Bytes) {
            self.0.send(kind).unwrap();
        }

        fn close(&self, _: LinkId, _: u32, _: &'static str) {}
    }

    #[test]
    fn nothing_passes_that_the_disk_does_not_have() {
        let disk = SimDisk::new(1);
        let node = simulated::node(&disk);
        let topic = icn_gossip::TopicId::from_bytes([1; 32]);
        let (told, sent) = mpsc::channel();
        let (arrived, arrivals) = watch::channel(Arrivals::default());
        let ways = Ways { jobs: mpsc::channel().0, wire: Arc::new(Told(told)), arrived };
        let meter = Arc::new(Meter::new().unwrap());
        let wal = Arc::clone(node.store().wal());
        let door = Door::new(Arc::clone(&wal), meter, ways, Arc::new(|_: &Failure| {}));
        let turn = |after| {
            let (answer, reply) = oneshot::channel();
            let frame = Effect::Send { link: LinkId(1), kind: 9, body: Bytes::new() };
            let outputs = vec![
                Output { after, effect: Effect::Reply(answer, Ok(serde_json::Value::Null)) },
                Output { after, effect: frame },
            ];
            let arrivals = BTreeMap::from([(topic, Arrived { last: after, fresh: Vec::new() })]);
            ((outputs, Some(News { after, arrivals, topics: false })), reply)
        };
        let queue = mpsc::sync_channel(1).0;
        let last = wal.append(1, &["one"]).unwrap().end().get();
        let (one, mut reply) = turn(last);
        assert!(door.come(one, true, &queue));
        assert!(wal.stats().durable_lsn >= last);
        assert!(reply.try_recv().is_ok() && sent.try_recv() == Ok(9));
        assert!(arrivals.borrow().beyond(&topic, last - 1));

        disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 1), ..Faults::default() });
        let last = wal.append(1, &["two"]).unwrap().end().get();
        let (two, mut reply) = turn(last);
        assert!(!door.come(two, true, &queue));
        assert!(reply.try_recv().is_err() && sent.try_recv().is_err());
        let (outputs, news) = turn(last).0;
        drop(outputs);
        assert!(!door.come((Vec::new(), news), true, &queue), "news wait by themselves");
        assert!(!arrivals.borrow().beyond(&topic, last - 1));
    }
}
