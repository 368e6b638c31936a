//! The frames of one segment, one after the other, in bounded memory.

use crate::disk::DiskFile;
use crate::error::{Error, OnFile};
use crate::frame::{FrameFault, FrameHeader, Records, Salt};
use crate::limits::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};

const CHUNK_BYTES: usize = 1 << 18;
/// What is read where only headers are looked at: a page or two of small frames, little of a large one.
const HEADER_READ_BYTES: usize = 16 << 10;

/// Reads forward through a file of frames.
pub(crate) struct FrameReader<F> {
    file: F,
    name: String,
    salt: Salt,
    /// Where the next frame is expected.
    pub(crate) offset: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How much of `buffer` has been read.
    filled: usize,
    /// The file offset of `buffer[0]`.
    base: u64,
}

impl<F: DiskFile> FrameReader<F> {
    /// A reader from the first frame on, which treats `end` as the end of the file. `name` is what
    /// a person is told.
    pub(crate) fn new(file: F, name: String, salt: Salt, end: u64) -> Self {
        let offset = SEGMENT_HEADER_BYTES;
        Self { file, name, salt, offset, end, buffer: Vec::new(), filled: 0, base: offset }
    }

    /// The frame at the current offset, and steps behind it; `Ok(Err)` when there is none.
    pub(crate) fn next_frame(
        &mut self,
    ) -> Result<Result<(FrameHeader, Records<'_>), FrameFault>, Error> {
        let offset = self.offset;
        self.fill(FRAME_HEADER_BYTES, CHUNK_BYTES)?;
        let header = match FrameHeader::decode(self.buffered(), &self.salt, offset) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        // The header's checksum has matched: only now may its length cause a read.
        self.fill(header.frame_bytes(), CHUNK_BYTES)?;
        if self.buffered().len() < header.frame_bytes() {
            return Ok(Err(FrameFault::Short));
        }
        self.offset += header.frame_bytes() as u64;
        let start = position(offset, self.base);
        let frame = &self.buffer[start..start + header.frame_bytes()];
        Ok(header.check_body(frame, &self.salt, offset).map(|records| (header, records)))
    }

    /// Has what no frame proves durable come from the disk, whatever memory remembers of it. Goes on where
    /// it was.
    pub(crate) fn drop_unproven(&mut self) -> Result<(), Error> {
        let start = self.offset;
        let mark = self.durable_mark()?;
        self.rewind(start);
        self.file.drop_cache(mark).on("drop the cache of", || self.name.clone())
    }

    /// How far the segment was durable when the last of the frames from here on was written: a mark tells
    /// of a sync before its frame, and is true whatever became of that. Of large frames little is read.
    fn durable_mark(&mut self) -> Result<u64, Error> {
        let mut mark = self.offset;
        loop {
            self.fill(FRAME_HEADER_BYTES, HEADER_READ_BYTES)?;
            let Ok(header) = FrameHeader::decode(self.buffered(), &self.salt, self.offset) else {
                return Ok(mark);
            };
            mark = header.durable;
            self.offset += header.frame_bytes() as u64;
        }
    }

    /// What lies behind `offset`, where a frame was expected and none is: headers of frames, and
    /// bytes other than zero (in a reused segment those prove nothing). A frame with a number below
    /// `number` is one of an earlier segment whose checksum is right by chance.
    pub(crate) fn inspect_tail(&mut self, offset: u64, number: u64) -> Result<Tail, Error> {
        let mut tail = Tail::default();
        self.offset = offset;
        while self.skip_zeros()? {
            let (here, ahead) = (self.offset, self.buffered());
            let word = ahead.len().min(8);
            if let Some(last) = ahead[..word].iter().rposition(|&byte| byte != 0) {
                tail.bytes = here + last as u64 + 1 - offset;
            }
            if let Ok(header) = FrameHeader::decode(ahead, &self.salt, here)
                && header.number >= number
            {
                let end = here.saturating_add(header.frame_bytes() as u64).min(self.end);
                tail.framed = tail.framed.max(end - offset);
                tail.durable = tail.durable.max(header.durable);
                let next = header.first_lsn.saturating_add(u64::from(header.records));
                tail.next_lsn = tail.next_lsn.max(next);
                tail.frames += 1;
            }
            self.offset += 8;
        }
        Ok(tail)
    }

    /// Goes on to the next place where a frame header is valid; `None` when there is none.
    pub(crate) fn seek(&mut self) -> Result<Option<FrameHeader>, Error> {
        while self.skip_zeros()? {
            if let Ok(header) = FrameHeader::decode(self.buffered(), &self.salt, self.offset) {
                return Ok(Some(header));
            }
            self.offset += 8;
        }
        Ok(None)
    }

    /// Goes on at `offset`, with what the file holds by now.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.filled = 0;
        (self.offset, self.base) = (offset, offset);
    }

    /// Passes over zeros, eight at a time; whether anything else lies ahead.
    fn skip_zeros(&mut self) -> Result<bool, Error> {
        while self.offset < self.end {
            self.fill(FRAME_HEADER_BYTES, CHUNK_BYTES)?;
            let zeros = match self.buffered() {
                [] => break,
                ahead => leading_zeros(ahead),
            };
            if zeros < 8 {
                return Ok(true);
            }
            self.offset += (zeros - zeros % 8) as u64;
        }
        Ok(false)
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[position(self.offset, self.base)..self.filled]
    }

    /// Reads on until `count` bytes lie ahead or the end is reached, `chunk` bytes at least at a time.
    fn fill(&mut self, count: usize, chunk: usize) -> Result<(), Error> {
        let behind = position(self.offset, self.base).min(self.filled);
        if self.filled - behind >= count {
            return Ok(());
        }
        self.buffer.copy_within(behind..self.filled, 0);
        self.filled -= behind;
        self.base = self.offset;
        let from = self.base + self.filled as u64;
        let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let until = self.filled + left.min(count.max(chunk));
        if self.buffer.len() < until {
            self.buffer.resize(until, 0);
        }
        let room = &mut self.buffer[self.filled..until];
        self.filled += self.file.read_at(from, room).on("read", || self.name.clone())?;
        Ok(())
    }
}

/// What lies behind the place where the valid frames end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Bytes up to the last one that is not zero.
    pub(crate) bytes: u64,
    /// Bytes up to the end of the last frame that has a valid header.
    pub(crate) framed: u64,
    /// Frame headers that are valid where they stand.
    pub(crate) frames: u64,
    /// The furthest offset one of them says was durable.
    pub(crate) durable: u64,
    /// The first LSN that none of them uses.
    pub(crate) next_lsn: u64,
}

/// How many zeros come first. They are the common case by far: a segment is prepared with them.
fn leading_zeros(bytes: &[u8]) -> usize {
    static ZEROS: [u8; 4096] = [0; 4096];
    let chunks = bytes.chunks_exact(ZEROS.len()).take_while(|chunk| **chunk == ZEROS).count();
    let passed = chunks * ZEROS.len();
    passed + bytes[passed..].iter().take_while(|&&byte| byte == 0).count()
}

fn position(offset: u64, base: u64) -> usize {
    usize::try_from(offset - base).unwrap_or(usize::MAX)
}
