//! The records that wait for the disk, and which thread writes them.

use std::io;
use std::sync::Arc;
use std::task::Waker;

use crate::disk::DiskFile;
use crate::error::Error;
use crate::frame::{FrameBuffer, FrameKind, frame_end};
use crate::group::Group;
use crate::limits::{FRAME_HEADER_BYTES, RETRY_MS, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES};
use crate::plant::planted;
use crate::spare::Spare;

/// Bytes that no append may take: an orderly stop must always be able to write its seal.
const SEAL_BYTES: u64 = FRAME_HEADER_BYTES as u64;

pub(crate) struct Queue<F> {
    pub(crate) next_lsn: u64,
    /// The records to be written next, and the buffer it alternates with.
    pub(crate) pending: FrameBuffer,
    pub(crate) spare_buffer: Option<FrameBuffer>,
    pub(crate) first_lsn: u64,
    pub(crate) time_ms: u64,
    /// Where the threads that wait for `pending` wait, whether one of them is elected to lead, and
    /// how many follow.
    pub(crate) group: Arc<Group>,
    pub(crate) elected: bool,
    pub(crate) followers: u32,
    /// The wakers of the tickets that wait for `pending`.
    pub(crate) wakers: Vec<Waker>,
    /// Whether a thread is writing a group, and what that group will make durable.
    pub(crate) busy: bool,
    pub(crate) in_flight: InFlight,
    /// Recovery has found an end that no frame proves durable.
    pub(crate) unproven: bool,
    /// Where everything queued so far ends in the active segment.
    end: u64,
    segment_bytes: u64,
    /// The next segment.
    pub(crate) spare: Option<Spare<F>>,
    /// Why there is no spare, if the disk had no space for one.
    pub(crate) shortage: Option<Shortage>,
    /// How many housekeepers run.
    pub(crate) housekeepers: u32,
    pub(crate) state: State,
}

/// A disk that had no space for the next segment.
#[derive(Clone, Copy)]
pub(crate) struct Shortage {
    pub(crate) kind: io::ErrorKind,
    pub(crate) segment_bytes: u64,
    /// The time of the append that was refused for it; all later appends are refused too.
    pub(crate) refused_ms: Option<u64>,
}

/// The group that is being written.
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
            end: 0,
            segment_bytes: 0,
            spare: None,
            shortage: None,
            housekeepers: 0,
            state: State::Open,
        }
    }

    /// Whether the log accepts appends.
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

    /// Whether a frame with the pending records and `bytes` more fits into a segment.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let spare = self.spare.as_ref().map_or(0, Spare::bytes);
        self.needed(self.end, bytes) <= self.segment_bytes
            || self.needed(SEGMENT_HEADER_BYTES, bytes) <= spare
    }

    /// Whether the pending records fit only into the spare, which must not be replaced until they
    /// are written.
    pub(crate) fn pending_needs_spare(&self) -> bool {
        !self.pending.is_empty() && self.needed(self.end, 0) > self.segment_bytes
    }

    /// Whether an append was refused for lack of space and no segment was prepared since.
    pub(crate) fn is_short(&self) -> bool {
        self.shortage.is_some_and(|shortage| shortage.refused_ms.is_some())
    }

    /// Refuses an append of `time_ms` while a full disk must not be tried again.
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

    /// Whether a note fits in addition to the seal of a stop. A note may `begin` a segment.
    pub(crate) fn admits_note(&self, begin: bool) -> bool {
        self.end + 2 * SEAL_BYTES <= self.segment_bytes || begin && self.spare.is_some()
    }

    /// Reserves the bytes of a frame. Returns the spare that the frame begins if it does not fit
    /// into the active segment.
    pub(crate) fn reserve(&mut self, kind: FrameKind, body_bytes: usize) -> Option<Spare<F>> {
        let end = frame_end(self.end, kind, body_bytes);
        if end <= self.segment_bytes {
            self.end = end;
            return None;
        }
        let spare = self.spare.take();
        self.segment_bytes = spare.as_ref().map_or(0, Spare::bytes);
        self.end = frame_end(SEGMENT_HEADER_BYTES, kind, body_bytes);
        spare
    }

    /// The least and the best size of the next segment. The least holds what is pending, `bytes`
    /// more, and an append that was refused for lack of space; the best doubles up to `most`.
    pub(crate) fn next_segment_bytes(&self, bytes: usize, most: u64) -> (u64, u64) {
        let refused = self.shortage.filter(|shortage| shortage.refused_ms.is_some());
        let least = self
            .needed(SEGMENT_HEADER_BYTES, bytes)
            .next_multiple_of(SEGMENT_BYTES_MIN)
            .max(refused.map_or(0, |refused| refused.segment_bytes));
        match self.shortage {
            Some(_) => (least, least),
            None => (least, self.segment_bytes.saturating_mul(2).min(most).max(least)),
        }
    }

    /// The bytes a segment must have for the pending records at `offset`, `bytes` more and the seal.
    fn needed(&self, offset: u64, bytes: usize) -> u64 {
        frame_end(offset, FrameKind::Data, self.pending.body_bytes() + bytes) + SEAL_BYTES
    }
}
