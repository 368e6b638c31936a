//! Reads the frames of one segment, one after the other, in bounded memory.

use crate::disk::DiskFile;
use crate::error::{Error, OnFile};
use crate::frame::{FrameFault, FrameHeader, Records, Salt};
use crate::limits::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};

const CHUNK_BYTES: usize = 1 << 18;
/// The read size where only headers are decoded: a page or two of small frames, little of a large
/// one.
const HEADER_READ_BYTES: usize = 16 << 10;

/// Reads forward through the frames of a segment.
pub(crate) struct FrameReader<F> {
    file: F,
    name: String,
    salt: Salt,
    /// Where the next frame is expected.
    pub(crate) offset: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How many bytes of `buffer` are valid.
    filled: usize,
    /// The file offset of `buffer[0]`.
    base: u64,
}

impl<F: DiskFile> FrameReader<F> {
    /// A reader that starts at the first frame and treats `end` as the end of the file. `name`
    /// appears in errors.
    pub(crate) fn new(file: F, name: String, salt: Salt, end: u64) -> Self {
        let offset = SEGMENT_HEADER_BYTES;
        Self { file, name, salt, offset, end, buffer: Vec::new(), filled: 0, base: offset }
    }

    /// Reads the frame at the current offset and moves past it; `Ok(Err)` when there is none.
    pub(crate) fn next_frame(
        &mut self,
    ) -> Result<Result<(FrameHeader, Records<'_>), FrameFault>, Error> {
        let offset = self.offset;
        self.fill(FRAME_HEADER_BYTES, CHUNK_BYTES)?;
        let header = match FrameHeader::decode(self.buffered(), &self.salt, offset) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        // Only a length under a valid header checksum may cause a read.
        let bytes = position(header.end, offset);
        self.fill(bytes, CHUNK_BYTES)?;
        if self.buffered().len() < bytes {
            return Ok(Err(FrameFault::Short));
        }
        self.offset = header.end;
        let start = position(offset, self.base);
        let frame = &self.buffer[start..start + bytes];
        Ok(header.check_body(frame, &self.salt, offset).map(|records| (header, records)))
    }

    /// Drops everything that no durable mark proves from the page cache, so that it is read from
    /// the disk. The offset stays.
    pub(crate) fn drop_unproven(&mut self) -> Result<(), Error> {
        let start = self.offset;
        let mark = self.durable_mark()?;
        self.rewind(start);
        self.file.drop_cache(mark).on("drop the cache of", || self.name.clone())
    }

    /// The durable mark of the last valid header from the current offset on. A mark records a sync
    /// before its frame and is true whatever became of that frame. Reads little of large frames.
    fn durable_mark(&mut self) -> Result<u64, Error> {
        let mut mark = self.offset;
        loop {
            self.fill(FRAME_HEADER_BYTES, HEADER_READ_BYTES)?;
            let Ok(header) = FrameHeader::decode(self.buffered(), &self.salt, self.offset) else {
                return Ok(mark);
            };
            mark = header.durable;
            self.offset = header.end;
        }
    }

    /// Inspects the bytes from `offset` on, where a frame was expected and none is: frame headers,
    /// and bytes other than zero. In a reused segment such bytes prove nothing. A frame numbered
    /// below `number` belongs to an earlier segment and has a valid checksum by chance.
    pub(crate) fn inspect_tail(&mut self, offset: u64, number: u64) -> Result<Tail, Error> {
        let mut tail = Tail::default();
        self.offset = offset;
        while self.skip_zeros()? {
            let here = self.offset;
            let ahead = self.buffered();
            let word = ahead.len().min(8);
            if let Some(last) = ahead[..word].iter().rposition(|&byte| byte != 0) {
                tail.bytes = here + last as u64 + 1 - offset;
            }
            if let Ok(header) = FrameHeader::decode(ahead, &self.salt, here)
                && header.number >= number
            {
                tail.framed = tail.framed.max(header.end.min(self.end) - offset);
                tail.durable = tail.durable.max(header.durable);
                let next = header.first_lsn.saturating_add(u64::from(header.records));
                tail.next_lsn = tail.next_lsn.max(next);
                tail.frames += 1;
            }
            self.offset += 8;
        }
        Ok(tail)
    }

    /// Moves to the next valid frame header; `None` when there is none.
    pub(crate) fn seek(&mut self) -> Result<Option<FrameHeader>, Error> {
        while self.skip_zeros()? {
            if let Ok(header) = FrameHeader::decode(self.buffered(), &self.salt, self.offset) {
                return Ok(Some(header));
            }
            self.offset += 8;
        }
        Ok(None)
    }

    /// Continues at `offset`, reading the file again.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.filled = 0;
        self.offset = offset;
        self.base = offset;
    }

    /// Skips zeros, eight at a time; returns whether other bytes follow.
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

    /// The bytes read from the current offset on.
    fn buffered(&self) -> &[u8] {
        &self.buffer[position(self.offset, self.base)..self.filled]
    }

    /// Reads until `count` bytes are buffered or the end is reached, at least `chunk` bytes at a
    /// time.
    fn fill(&mut self, count: usize, chunk: usize) -> Result<(), Error> {
        let consumed = position(self.offset, self.base).min(self.filled);
        if self.filled - consumed >= count {
            return Ok(());
        }
        self.buffer.copy_within(consumed..self.filled, 0);
        self.filled -= consumed;
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

/// What follows the last valid frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Bytes up to the last one that is not zero.
    pub(crate) bytes: u64,
    /// Bytes up to the end of the last frame with a valid header.
    pub(crate) framed: u64,
    /// The number of valid frame headers.
    pub(crate) frames: u64,
    /// The furthest durable mark of these headers.
    pub(crate) durable: u64,
    /// The first LSN that no frame here uses.
    pub(crate) next_lsn: u64,
}

impl Tail {
    /// How far a torn tail reaches. In a reused segment, bytes without a valid header are old ones.
    pub(crate) fn torn_bytes(&self, reused: bool) -> u64 {
        if reused { self.framed } else { self.bytes }
    }
}

/// The number of leading zeros. Zeros are by far the common case: segments are prepared with them.
fn leading_zeros(bytes: &[u8]) -> usize {
    static ZEROS: [u8; 4096] = [0; 4096];
    let chunks = bytes.chunks_exact(ZEROS.len()).take_while(|chunk| **chunk == ZEROS).count();
    let passed = chunks * ZEROS.len();
    passed + bytes[passed..].iter().take_while(|&&byte| byte == 0).count()
}

fn position(offset: u64, base: u64) -> usize {
    usize::try_from(offset - base).unwrap_or(usize::MAX)
}
