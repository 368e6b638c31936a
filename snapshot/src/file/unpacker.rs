//! Unpacking a snapshot file, of which nothing is trusted before it is verified.

use std::io::{self, Read};
use std::thread::Scope;

use icn_wal::disk::DiskFile;

use super::chunk_decoder::ChunkDecoder;
use super::framing::{CHUNK_BYTES_MAX, damaged};
use super::parts::FileParts;
use super::readahead::Readahead;

/// A reader of the raw bytes of all chunks. The calling thread reads the file, also where another one
/// unpacks, so the sequence of reads never depends on the speed of a thread.
pub(crate) struct Unpacker<'a, F> {
    parts: FileParts<'a, F>,
    decoding: Decoding,
    raw: Vec<u8>,
    /// How many bytes of `raw` the caller has read.
    taken: usize,
    ended: bool,
}

enum Decoding {
    Inline(Box<ChunkDecoder>),
    Background(Readahead),
}

impl<'a, F: DiskFile> Unpacker<'a, F> {
    /// Unpacks `parts` on the calling thread. The `header` is part of the hash.
    pub(crate) fn new(parts: FileParts<'a, F>, header: &[u8]) -> io::Result<Self> {
        Ok(Self::decoding(parts, Decoding::Inline(Box::new(ChunkDecoder::new(header)?))))
    }

    /// Unpacks `parts` on a thread of its own, unless the file has only one chunk.
    pub(crate) fn with_readahead<'scope>(
        scope: &'scope Scope<'scope, '_>,
        parts: FileParts<'a, F>,
        header: &[u8],
    ) -> io::Result<Self> {
        if parts.file.size()? <= CHUNK_BYTES_MAX as u64 {
            return Self::new(parts, header);
        }
        let readahead = Readahead::start(scope, ChunkDecoder::new(header)?)?;
        Ok(Self::decoding(parts, Decoding::Background(readahead)))
    }

    fn decoding(parts: FileParts<'a, F>, decoding: Decoding) -> Self {
        Self { parts, decoding, raw: Vec::new(), taken: 0, ended: false }
    }

    /// Unpacks the next chunk into `raw`, or verifies the trailer and the end of the file.
    fn unpack(&mut self) -> io::Result<()> {
        self.taken = 0;
        match &mut self.decoding {
            Decoding::Inline(decoder) => decoder.decode(&self.parts.next()?, &mut self.raw)?,
            Decoding::Background(ahead) => {
                let used = std::mem::take(&mut self.raw);
                self.raw = ahead.next(used, || self.parts.next())?;
            }
        }
        self.ended = self.raw.is_empty();
        Ok(())
    }

    /// The error of the disk that ended reading, if there was one.
    pub(crate) fn take_io_error(&mut self) -> Option<io::Error> {
        self.parts.io_error.take()
    }

    /// Verifies that no bytes follow those read so far.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if self.taken == self.raw.len() && !self.ended {
            self.unpack()?;
        }
        if self.ended { Ok(()) } else { Err(damaged("bytes follow the state")) }
    }
}

impl<F: DiskFile> Read for Unpacker<'_, F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.raw.len() && !self.ended {
            self.unpack()?;
        }
        let count = out.len().min(self.raw.len() - self.taken);
        out[..count].copy_from_slice(&self.raw[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use icn_wal::disk::{Disk, SimDisk};

    use super::super::packer::Packer;
    use super::*;
    use crate::throttle::BURST_BYTES;

    #[test]
    fn a_pause_follows_each_burst_written_and_each_chunk_read() {
        const BYTES: usize = 2 * CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 2;
        let file = SimDisk::new(1).create("file").expect("create");
        let mut noise = vec![0; BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let mut pauses = 0;
        let mut pause = || pauses += 1;
        let mut packer = Packer::new(&file, &mut pause).expect("a packer");
        packer.write_all(&noise).expect("write");
        packer.finish().expect("finish");
        assert_eq!(pauses, BYTES / BURST_BYTES, "noise does not compress");

        let mut pauses = 0;
        let mut pause = || {
            pauses += 1;
            Ok(())
        };
        let parts = FileParts::new(&file, &mut []).expect("parts").with_pause(&mut pause);
        let mut read = Vec::new();
        let mut unpacker = Unpacker::new(parts, &[]).expect("an unpacker");
        unpacker.read_to_end(&mut read).expect("read");
        assert!(read == noise);
        assert_eq!(pauses, 3);
    }

    #[test]
    fn bytes_after_the_state_in_its_last_chunk_are_refused() {
        let file = SimDisk::new(1).create("file").expect("create");
        let mut pause = || ();
        let mut packer = Packer::new(&file, &mut pause).expect("a packer");
        packer.write_all(&[7; 100]).expect("write");
        packer.finish().expect("finish");
        for left in [1, 0] {
            let parts = FileParts::new(&file, &mut []).expect("parts");
            let mut unpacker = Unpacker::new(parts, &[]).expect("an unpacker");
            unpacker.read_exact(&mut vec![0; 100 - left]).expect("read");
            assert_eq!(unpacker.end().is_ok(), left == 0, "{left} bytes are left");
        }
    }
}
