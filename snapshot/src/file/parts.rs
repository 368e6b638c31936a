//! Splitting a snapshot file into header, chunks and trailer.

use std::io;

use icn_wal::disk::DiskFile;
use zstd::zstd_safe::compress_bound;

use super::framing::{
    CHUNK_BYTES_MAX, CHUNK_HEADER_BYTES, TRAILER_BYTES, TRAILER_MAGIC, damaged, sizes,
};

/// A part of the file as read from the disk, not yet verified.
pub(crate) enum FilePart {
    Chunk {
        header: [u8; CHUNK_HEADER_BYTES],
        packed: Vec<u8>,
    },
    /// `last` says that the file ends with it.
    Trailer {
        bytes: [u8; TRAILER_BYTES],
        last: bool,
    },
}

/// What is done after each chunk.
pub(crate) type Pause<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Reads a file part by part. A length from the file is compared with its limit before it is used.
pub(crate) struct FileParts<'a, F> {
    pub(super) file: &'a F,
    offset: u64,
    /// The error of a failed read. Kept here, because a deserialiser would report it as damage.
    pub(super) io_error: Option<io::Error>,
    /// Called after each chunk.
    pause: Option<Pause<'a>>,
}

impl<'a, F: DiskFile> FileParts<'a, F> {
    /// Starts at the first chunk, after reading the `header`.
    pub(crate) fn new(file: &'a F, header: &mut [u8]) -> io::Result<Self> {
        let mut parts = Self { file, offset: 0, io_error: None, pause: None };
        parts.consume(header)?;
        Ok(parts)
    }

    /// Calls `pause` after each chunk. Its error ends the reading like one of the disk.
    pub(crate) fn with_pause(self, pause: Pause<'a>) -> Self {
        Self { pause: Some(pause), ..self }
    }

    pub(crate) fn next(&mut self) -> io::Result<FilePart> {
        let mut header = [0; CHUNK_HEADER_BYTES];
        self.peek(&mut header)?;
        if header.starts_with(&TRAILER_MAGIC) {
            let mut bytes = [0; TRAILER_BYTES];
            self.consume(&mut bytes)?;
            let size = self.file.size();
            return Ok(FilePart::Trailer { bytes, last: self.note_error(size)? == self.offset });
        }
        self.offset += CHUNK_HEADER_BYTES as u64;
        let (raw_bytes, packed_bytes) = sizes(&header);
        if raw_bytes == 0
            || raw_bytes > CHUNK_BYTES_MAX
            || packed_bytes > compress_bound(CHUNK_BYTES_MAX)
        {
            return Err(damaged("a chunk has an impossible size"));
        }
        let mut packed = vec![0; packed_bytes];
        self.consume(&mut packed)?;
        if let Some(pause) = &mut self.pause {
            let paused = pause();
            self.note_error(paused)?;
        }
        Ok(FilePart::Chunk { header, packed })
    }

    fn consume(&mut self, out: &mut [u8]) -> io::Result<()> {
        self.peek(out)?;
        self.offset += out.len() as u64;
        Ok(())
    }

    fn peek(&mut self, out: &mut [u8]) -> io::Result<()> {
        let read = self.file.read_at(self.offset, out);
        if self.note_error(read)? < out.len() {
            return Err(damaged("the file ends too early"));
        }
        Ok(())
    }

    fn note_error<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.io_error = Some(error);
            kind.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use icn_wal::disk::{Disk, SimDisk};

    use super::super::framing::length;
    use super::*;

    #[test]
    fn a_chunk_size_beyond_its_limit_is_refused() {
        let packed_max = compress_bound(CHUNK_BYTES_MAX);
        for (raw, packed) in [(0, 9), (CHUNK_BYTES_MAX + 1, 9), (1, packed_max + 1)] {
            let file = SimDisk::new(1).create("file").expect("create");
            let mut chunk = vec![0; CHUNK_HEADER_BYTES + 9];
            chunk[0..4].copy_from_slice(&length(raw).expect("a length").to_le_bytes());
            chunk[4..8].copy_from_slice(&length(packed).expect("a length").to_le_bytes());
            file.write_at(0, &chunk).expect("write");
            let error = FileParts::new(&file, &mut []).expect("parts").next().err();
            let text = error.expect("an error").to_string();
            assert_eq!(text, "a chunk has an impossible size", "{raw} {packed}");
        }
    }
}
