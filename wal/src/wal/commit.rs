//! Group commit: the first thread to wait writes and syncs everything appended, for all that wait.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use super::{QueueGuard, Wal};
use crate::commit_signal::CommitSignal;
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{FrameBuffer, FrameKind};
use crate::group::Group;
use crate::lsn::Lsn;
use crate::plant::planted;
use crate::queue::{InFlight, State};
use crate::writer::Batch;

/// Why a group is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Sync,
    Note,
    Seal,
}

impl<D: Disk> Wal<D> {
    /// Appends `records` and waits until they are durable.
    ///
    /// # Errors
    /// Those of [`append`](Self::append) and [`wait`](Self::wait).
    pub fn commit<R: AsRef<[u8]>>(
        &self,
        time_ms: u64,
        records: &[R],
    ) -> Result<RangeInclusive<Lsn>, Error> {
        let (queue, lsns, ()) = self.enqueue(time_ms, records, |_| ())?;
        self.await_durable(queue, lsns.end().get())?;
        Ok(lsns)
    }

    /// Returns once every record up to `lsn` is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the write or sync failed: recovery then decides whether the record
    /// exists. [`Error::NotAppended`] when there is no such record.
    pub fn wait(&self, lsn: Lsn) -> Result<(), Error> {
        if self.is_durable(lsn.get()) {
            return Ok(());
        }
        self.await_durable(self.queue.lock(), lsn.get())
    }

    /// Writes a frame without records that proves everything before it durable.
    ///
    /// Does nothing while records are pending or being written: they will carry the proof. Before
    /// the first record of this open it writes only if a crash has left an end that no frame proves
    /// durable. The segment for it must be [prepared](Self::prepare) by then.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn note(&self) -> Result<(), Error> {
        self.try_note().map(drop)
    }

    /// Writes a [`note`](Self::note) if one is due; returns whether it did.
    pub(crate) fn try_note(&self) -> Result<bool, Error> {
        let queue = self.queue.lock();
        let unused = self.counters.frames.load(Ordering::Relaxed) == 0;
        let needed = !unused || queue.unproven;
        if !needed || queue.busy || !queue.pending.is_empty() || !queue.admits_note(unused) {
            return Ok(false);
        }
        queue.check()?;
        self.lead(queue, Purpose::Note).map(|()| true)
    }

    fn is_durable(&self, lsn: u64) -> bool {
        lsn < self.first_new_lsn || self.durable.load(Ordering::Acquire) >= lsn
    }

    fn await_durable(&self, queue: QueueGuard<'_, D>, lsn: u64) -> Result<(), Error> {
        if self.is_durable(lsn) {
            return Ok(());
        }
        queue.check_poison()?;
        if lsn >= queue.next_lsn {
            return Err(Error::NotAppended { lsn });
        }
        if queue.busy && lsn <= queue.in_flight.durable_through {
            let group = Arc::clone(&queue.in_flight.group);
            drop(queue);
            return self.await_group(&group);
        }
        self.join_group(queue, Purpose::Sync)
    }

    pub(crate) fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<Result<(), Error>> {
        let lsn = lsn.get();
        if self.is_durable(lsn) {
            return Poll::Ready(Ok(()));
        }
        let mut queue = self.queue.lock();
        if self.is_durable(lsn) {
            return Poll::Ready(Ok(()));
        }
        queue.check_poison()?;
        if lsn >= queue.next_lsn {
            return Poll::Ready(Err(Error::NotAppended { lsn }));
        }
        if queue.busy && lsn <= queue.in_flight.durable_through {
            queue.in_flight.wakers.push(waker.clone());
        } else if !queue.wakers.is_empty() || self.commit_signal.notify() {
            queue.wakers.push(waker.clone());
        } else {
            return Poll::Ready(self.join_group(queue, Purpose::Sync));
        }
        Poll::Pending
    }

    pub(crate) fn commit_signal(&self) -> &Arc<CommitSignal> {
        &self.commit_signal
    }

    /// Writes and syncs groups for as long as tickets wait for one.
    pub(crate) fn commit_for_tickets(&self) {
        loop {
            let queue = self.queue.lock();
            // A failure is reported to the tickets themselves.
            if queue.wakers.is_empty() || self.join_group(queue, Purpose::Sync).is_err() {
                return;
            }
        }
    }

    /// Wakes all tickets that wait for the pending group, so that they poll again.
    pub(crate) fn wake_tickets(&self) {
        let wakers = std::mem::take(&mut self.queue.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Joins the group that is gathering: as its leader if it has none, else as a follower. On
    /// return the records that were pending are written, and durable unless the purpose is only to
    /// write.
    pub(super) fn join_group(
        &self,
        mut queue: QueueGuard<'_, D>,
        purpose: Purpose,
    ) -> Result<(), Error> {
        if !queue.busy {
            return self.lead(queue, purpose);
        }
        let group = Arc::clone(&queue.group);
        if queue.elected {
            queue.followers += 1;
            drop(queue);
            return self.await_group(&group);
        }
        queue.elected = true;
        drop(queue);
        group.await_lead();
        let queue = self.queue.lock();
        queue.check_poison()?;
        self.lead(queue, purpose)
    }

    /// Waits for the end of a group that another thread leads.
    fn await_group(&self, group: &Group) -> Result<(), Error> {
        if group.await_end() {
            return Ok(());
        }
        self.queue.lock().check_poison()
    }

    /// Writes the pending group. The caller has found `busy` unset, or was handed the lead with
    /// `busy` set.
    pub(super) fn lead(&self, mut queue: QueueGuard<'_, D>, purpose: Purpose) -> Result<(), Error> {
        queue.busy = true;
        queue.elected = false;
        let followers = std::mem::take(&mut queue.followers);
        let wakers = std::mem::take(&mut queue.wakers);
        let sync = purpose != Purpose::Write || followers > 0 || !wakers.is_empty();
        let mut frame = queue.spare_buffer.take().unwrap_or_else(FrameBuffer::new);
        std::mem::swap(&mut frame, &mut queue.pending);
        let kind = match purpose {
            Purpose::Note => FrameKind::Note,
            Purpose::Seal => FrameKind::Seal,
            Purpose::Write | Purpose::Sync => FrameKind::Data,
        };
        let through = queue.next_lsn - 1;
        let first_lsn = if frame.is_empty() { queue.next_lsn } else { queue.first_lsn };
        let batch = Batch { kind, first_lsn, time_ms: queue.time_ms, sync };
        let next = match kind {
            FrameKind::Data if frame.is_empty() => None,
            _ => queue.reserve(kind, frame.body_bytes()),
        };
        let group = std::mem::take(&mut queue.group);
        let durable_through = if sync { through } else { 0 };
        queue.in_flight = InFlight { durable_through, group: Arc::clone(&group), wakers };
        drop(queue);

        let written = {
            let mut writer = self.writer.lock();
            match writer.write(&mut frame, batch, next) {
                Err(_) if planted("failed-sync-tried-again") => {
                    frame.clear();
                    writer.write(&mut frame, batch, None)
                }
                Err(_) if planted("failed-write-ignored") => Ok(through),
                written => written,
            }
        };

        let mut queue = self.queue.lock();
        frame.clear();
        queue.spare_buffer = Some(frame);
        let result = match written {
            Ok(durable) => {
                self.durable.fetch_max(durable, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => {
                let cause = error.to_string();
                if !planted("failure-forgotten") {
                    queue.state = State::Poisoned(cause.clone());
                }
                Err(Error::Poisoned { cause })
            }
        };
        let next = queue.elected.then(|| Arc::clone(&queue.group));
        queue.busy = next.is_some() && result.is_ok();
        let mut wakers = std::mem::take(&mut queue.in_flight.wakers);
        if result.is_err() {
            wakers.append(&mut queue.wakers);
        }
        drop(queue);
        // The next leader is woken first: all other threads will wait for its sync.
        if let Some(next) = next {
            next.hand_over_lead();
            if result.is_err() && !planted("followers-not-notified-of-a-failure") {
                // No thread will lead it any more.
                next.end(false);
            }
        }
        group.end(result.is_ok());
        wakers.into_iter().for_each(Waker::wake);
        self.idle_signal.notify();
        result
    }
}
