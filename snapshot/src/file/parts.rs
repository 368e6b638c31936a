//! Reading a snapshot file part by part.

use std::io;

use icn_wal::disk::DiskFile;
use zstd::zstd_safe::compress_bound;

use super::framing::{
    CHUNK_BYTES_MAX, CHUNK_HEADER_BYTES, TRAILER_BYTES, TRAILER_MAGIC, damaged, sizes,
};

/// A part of the file, as it is there.
pub(crate) enum FilePart {
    Chunk { header: [u8; CHUNK_HEADER_BYTES], packed: Vec<u8> },
    Trailer { bytes: [u8; TRAILER_BYTES], last: bool },
}

/// Takes the file apart. It believes no length before it has compared it with the limit.
pub(crate) struct FileParts<'a, F> {
    pub(super) file: &'a F,
    offset: u64,
    /// What the disk refused. A deserialiser in between would make it look like damage.
    pub(super) io_error: Option<io::Error>,
    /// What is done after each chunk.
    pause: Option<&'a mut dyn FnMut()>,
}

impl<'a, F: DiskFile> FileParts<'a, F> {
    /// Reads what comes before the chunks.
    pub(crate) fn new(file: &'a F, header: &mut [u8]) -> io::Result<Self> {
        let mut parts = Self { file, offset: 0, io_error: None, pause: None };
        parts.consume(header)?;
        Ok(parts)
    }

    /// Has a `pause` made after each chunk.
    pub(crate) fn with(self, pause: &'a mut dyn FnMut()) -> Self {
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
            pause();
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
            return Err(damaged("it ends too early"));
        }
        Ok(())
    }

    fn note_error<T>(&mut self, answer: io::Result<T>) -> io::Result<T> {
        answer.map_err(|io_error| {
            let kind = io_error.kind();
            self.io_error = Some(io_error);
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
    fn what_a_chunk_says_of_its_size_is_not_believed_beyond_the_largest_there_is() {
        let packed_max = compress_bound(CHUNK_BYTES_MAX);
        for (raw, packed) in [(0, 9), (CHUNK_BYTES_MAX + 1, 9), (1, packed_max + 1)] {
            let file = SimDisk::new(1).create("file").expect("create");
            let mut chunk = vec![0; CHUNK_HEADER_BYTES + 9];
            chunk[0..4].copy_from_slice(&length(raw).expect("a length").to_le_bytes());
            chunk[4..8].copy_from_slice(&length(packed).expect("a length").to_le_bytes());
            file.write_at(0, &chunk).expect("write");
            let error = FileParts::new(&file, &mut []).expect("parts").next().err();
            let told = error.expect("an error").to_string();
            assert_eq!(told, "a chunk has an impossible size", "{raw} {packed}");
        }
    }
}
