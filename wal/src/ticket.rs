//! Waiting for durability without a thread.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::disk::Disk;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::wal::Wal;

/// A future that is ready once every record up to an LSN is durable; see [`Wal::ticket`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Ticket<'a, D: Disk> {
    wal: &'a Wal<D>,
    lsn: Lsn,
}

impl<D: Disk> Wal<D> {
    /// A future of [`wait`](Self::wait): thousands of commits can be in flight without a thread for
    /// each. A [`Committer`](crate::Committer) or a waiting thread leads their groups. With
    /// neither, the poll itself leads and blocks for that long.
    pub fn ticket(&self, lsn: Lsn) -> Ticket<'_, D> {
        Ticket { wal: self, lsn }
    }
}

impl<D: Disk> Future for Ticket<'_, D> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.wal.poll_durable(self.lsn, context.waker())
    }
}
