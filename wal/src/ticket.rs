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
    pub(crate) wal: &'a Wal<D>,
    pub(crate) lsn: Lsn,
}

impl<D: Disk> Future for Ticket<'_, D> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.wal.poll_durable(self.lsn, context.waker())
    }
}
