//! What has been appended and waits for the disk, and who is to take it there.

use std::io;
use std::sync::Arc;
use std::task::Waker;

use crate::disk::DiskFile;
use crate::error::Error;
use crate::frame::{FrameBuffer, padded};
use crate::group::Group;
use crate::limits::{FRAME_HEADER_BYTES, RETRY_MS, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES};
use crate::plant::planted;
use crate::spare::Spare;

/// Room that no append may take: an orderly stop must always be able to write its seal.
const SEAL_BYTES: u64 = FRAME_HEADER_BYTES as u64;

pub(crate) struct Queue<F> {
    pub(crate) next_lsn: u64,
    /// The records that wait to be written, and the buffer that takes turns with it.
    pub(crate) pending: FrameBuffer,
    pub(crate) spare_buffer: Option<FrameBuffer>,
    pub(crate) first_lsn: u64,
    pub(crate) time_ms: u64,
    /// Where those who wait for `pending` wait, whether one of them is to lead, and how many follow.
    pub(crate) group: Arc<Group>,
    pub(crate) elected: bool,
    pub(crate) followers: u32,
    /// The tickets of those who wait for `pending` without a thread.
    pub(crate) wakers: Vec<Waker>,
    /// Somebody is writing; what it will have made durable when it is done, and where that is told.
    pub(crate) busy: bool,
    pub(crate) in_flight: InFlight,
    /// A recovery has left an end that nothing proves.
    pub(crate) unproven: bool,
    /// Bytes that fit into the active segment behind everything taken so far.
    free_bytes: u64,
    segment_bytes: u64,
    /// The next segment.
    pub(crate) spare: Option<Spare<F>>,
    /// Why there is no spare, if there was no room for one.
    pub(crate) shortage: Option<Shortage>,
    /// How many housekeepers see to spares.
    pub(crate) housekeepers: u32,
    pub(crate) state: State,
}

/// A disk that had no room for the next segment.
#[derive(Clone, Copy)]
pub(crate) struct Shortage {
    pub(crate) kind: io::ErrorKind,
    pub(crate) segment_bytes: u64,
    /// The time of the append that was refused for it; since then none is taken.
    pub(crate) refused_ms: Option<u64>,
}

#[derive(Default)]
pub(crate) struct InFlight {
    pub(crate) durable_through: u64,
    pub(crate) group: Arc<Group>,
    pub(crate) wakers: Vec<Waker>,
}

pub(crate) enum State {
    Open,
    Closed,
    Poisoned(String),
}

impl<F: DiskFile> Queue<F> {
    pub(crate) fn new(next_lsn: u64, time_ms: u64, unproven: bool) -> Self {
        Self {
            next_lsn,
            pending: FrameBuffer::new(),
            spare_buffer: Some(FrameBuffer::new()),
            first_lsn: next_lsn,
            time_ms,
            group: Arc::default(),
            elected: false,
            followers: 0,
            wakers: Vec::new(),
            busy: false,
            in_flight: InFlight::default(),
            unproven,
            free_bytes: 0,
            segment_bytes: 0,
            spare: None,
            shortage: None,
            housekeepers: 0,
            state: State::Open,
        }
    }

    /// Whether appends are taken.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.state {
            State::Closed => Err(Error::NotAppended { lsn: 0 }),
            State::Open | State::Poisoned(_) => self.check_poison(),
        }
    }

    pub(crate) fn check_poison(&self) -> Result<(), Error> {
        match &self.state {
            State::Poisoned(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            State::Open | State::Closed => Ok(()),
        }
    }

    /// Whether a frame with the pending records and `bytes` more has a place.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let spare = self.spare.as_ref().map_or(0, Spare::bytes);
        let needed = self.needed(bytes);
        needed <= self.free_bytes || needed <= spare.saturating_sub(SEGMENT_HEADER_BYTES)
    }

    /// Whether the pending records have a place only in the next segment, which therefore must stay
    /// where it is until they are written.
    pub(crate) fn pending_needs_spare(&self) -> bool {
        !self.pending.is_empty() && self.needed(0) > self.free_bytes
    }

    /// Whether an append was refused for room and none has been made since.
    pub(crate) fn is_short(&self) -> bool {
        self.shortage.is_some_and(|shortage| shortage.refused_ms.is_some())
    }

    /// Refuses an append of `time_ms` while the disk is to be left alone.
    pub(crate) fn check_space(&self, time_ms: u64) -> Result<(), Error> {
        match self.shortage {
            Some(Shortage { kind, refused_ms: Some(refused), .. })
                if (self.housekeepers > 0 || time_ms.abs_diff(refused) < RETRY_MS)
                    && !planted("full-disk-filled-again-and-again") =>
            {
                Err(Error::NoSpace { source: kind.into() })
            }
            _ => Ok(()),
        }
    }

    /// Whether there is room for a note besides what a stop needs. One may `begin` a segment.
    pub(crate) fn admits_note(&self, begin: bool) -> bool {
        self.free_bytes >= 2 * SEAL_BYTES || begin && self.spare.is_some()
    }

    /// Takes the place of a frame of so many bytes; returns the segment that it is to begin if it
    /// does not fit into the active one.
    pub(crate) fn reserve(&mut self, frame: u64) -> Option<Spare<F>> {
        if frame <= self.free_bytes {
            self.free_bytes -= frame;
            return None;
        }
        let spare = self.spare.take();
        self.segment_bytes = spare.as_ref().map_or(0, Spare::bytes);
        self.free_bytes = self.segment_bytes.saturating_sub(SEGMENT_HEADER_BYTES + frame);
        spare
    }

    /// The least size of the next segment, which must hold what is pending and `bytes` more, and
    /// whatever was refused for room; and the best one, which doubles up to `most`.
    pub(crate) fn next_segment_bytes(&self, bytes: usize, most: u64) -> (u64, u64) {
        let refused = self.shortage.filter(|shortage| shortage.refused_ms.is_some());
        let least = (SEGMENT_HEADER_BYTES + self.needed(bytes))
            .next_multiple_of(SEGMENT_BYTES_MIN)
            .max(refused.map_or(0, |refused| refused.segment_bytes));
        match self.shortage {
            Some(_) => (least, least),
            None => (least, self.segment_bytes.saturating_mul(2).min(most).max(least)),
        }
    }

    /// The room that a frame with the pending records and `bytes` more must find.
    fn needed(&self, bytes: usize) -> u64 {
        (FRAME_HEADER_BYTES + padded(self.pending.body_bytes() + bytes)) as u64 + SEAL_BYTES
    }
}
