//! Unpacking the chunks of a snapshot file without believing them.

use std::io::{self, Read};
use std::thread::Scope;

use icn_wal::disk::DiskFile;

use super::chunk_decoder::ChunkDecoder;
use super::framing::{CHUNK_BYTES_MAX, damaged};
use super::parts::FileParts;
use super::readahead::Readahead;

/// The reverse of [`Packer`], which trusts nothing. The file is read on the thread that asks, whoever
/// unpacks: what the disk is asked for depends on nobody's speed.
pub(crate) struct Unpacker<'a, F> {
    parts: FileParts<'a, F>,
    decoding: Decoding,
    raw: Vec<u8>,
    /// How much of `raw` has been handed out.
    taken: usize,
    ended: bool,
}

enum Decoding {
    Inline(Box<ChunkDecoder>),
    Background(Readahead),
}

impl<'a, F: DiskFile> Unpacker<'a, F> {
    /// Goes on with `parts`, behind the `header`.
    pub(crate) fn new(parts: FileParts<'a, F>, header: &[u8]) -> io::Result<Self> {
        Ok(Self::with(parts, Decoding::Inline(Box::new(ChunkDecoder::new(header)?))))
    }

    /// One that unpacks the next chunks on a thread of its own, unless there is only one.
    pub(crate) fn ahead<'scope>(
        scope: &'scope Scope<'scope, '_>,
        parts: FileParts<'a, F>,
        header: &[u8],
    ) -> io::Result<Self> {
        if parts.file.size()? <= CHUNK_BYTES_MAX as u64 {
            return Self::new(parts, header);
        }
        Ok(Self::with(
            parts,
            Decoding::Background(Readahead::start(scope, ChunkDecoder::new(header)?)?),
        ))
    }

    fn with(parts: FileParts<'a, F>, decoding: Decoding) -> Self {
        Self { parts, decoding, raw: Vec::new(), taken: 0, ended: false }
    }

    /// Unpacks the next chunk into `raw`, or checks the trailer and the end of the file.
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

    /// Why the disk did not let the file be read to its end, if that is so.
    pub(crate) fn io_error(&mut self) -> Option<io::Error> {
        self.parts.io_error.take()
    }

    /// Checks that the state was all there is.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if self.taken == self.raw.len() && !self.ended {
            self.unpack()?;
        }
        if self.ended { Ok(()) } else { Err(damaged("it holds more than a state")) }
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
    fn there_is_a_pause_after_each_piece_written_and_each_chunk_read() {
        const BYTES: usize = 2 * CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 2;
        let file = SimDisk::new(1).create("file").expect("create");
        let mut noise = vec![0; BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let mut pauses = 0;
        let mut pause = || pauses += 1;
        let mut packer = Packer::new(&file, &mut pause).expect("a packer");
        packer.write_all(&noise).expect("write");
        packer.finish().expect("finish");
        assert_eq!(pauses, BYTES / BURST_BYTES, "noise cannot be packed");

        let mut pauses = 0;
        let mut pause = || pauses += 1;
        let parts = FileParts::new(&file, &mut []).expect("parts").with(&mut pause);
        let mut read = Vec::new();
        let mut unpacker = Unpacker::new(parts, &[]).expect("an unpacker");
        unpacker.read_to_end(&mut read).expect("read");
        assert!(read == noise);
        assert_eq!(pauses, 3);
    }

    #[test]
    fn what_follows_a_state_in_its_last_chunk_is_noticed() {
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
