//! The worker thread: writes snapshots and does work that takes longer than a turn may.

use std::sync::mpsc;

use icn_snapshot::Compactor;
use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};
use parking_lot::Mutex;

use super::inbox::ReplySender;
use crate::clock;
use crate::exit;
use crate::http::gauges::Gauges;
use crate::node::work::{Prepared, Work};
use crate::node::{Draft, Node, describe};

/// A job of the worker, and the caller that gets its reply.
pub(crate) enum Job {
    /// A snapshot to write.
    Save(Box<Draft>, Option<ReplySender>),
    /// Other work.
    Work(Work, Option<ReplySender>),
}

/// Does one job after another until every sender is gone.
pub(super) fn run<D: Disk>(
    node: &Mutex<Node<D>>,
    wal: &Wal<D>,
    compactor: &Compactor<D>,
    gauges: &Gauges,
    jobs: &mpsc::Receiver<Job>,
) {
    for job in jobs {
        match job {
            Job::Save(draft, reply_to) => {
                let Draft { image, counts } = *draft;
                let saved = gauges.meter.save(&counts, || compactor.save(image));
                let outcome = saved.as_ref().map(drop).map_err(|failure| failure.message.clone());
                node.lock().saved(clock::now(), outcome);
                // A failed save is a check of the node, which the log reports once.
                if let Ok((snapshot, took)) = &saved {
                    tracing::info!(
                        "State snapshot {} saved in {:.3}s ({} bytes)",
                        snapshot.id,
                        took.as_secs_f64(),
                        snapshot.bytes
                    );
                }
                if let Some(reply_to) = reply_to {
                    let reply = saved.map(|(snapshot, _)| describe::snapshot(&snapshot).into());
                    let _ = reply_to.send(reply);
                }
            }
            Job::Work(work, reply_to) => {
                let settle = |prepared: Prepared| {
                    tracing::warn!("{prepared}");
                    let (after, reply) = node.lock().settle(clock::now(), prepared);
                    if let Some(lsn) = Lsn::new(after) {
                        wal.wait(lsn)?;
                    }
                    reply
                };
                let verified = if let Work::Verify(id) = work { Some(id) } else { None };
                let reply = work.perform(compactor, settle);
                if let (Some(id), Err(failure)) = (verified, &reply)
                    && failure.exit == exit::DAMAGE
                {
                    gauges.meter.verify_failed();
                    node.lock().found_damage(clock::now());
                    tracing::error!("Snapshot {id} fails its check: {}", failure.message);
                }
                if let Some(reply_to) = reply_to {
                    let _ = reply_to.send(reply);
                }
            }
        }
    }
}
