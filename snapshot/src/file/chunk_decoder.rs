//! Verifying and unpacking the parts of a snapshot file.

use std::io;

use zstd::bulk::Decompressor;

use super::bytes::{u32_at, u64_at};
use super::checksum::checksum_matches;
use super::framing::{CHUNK_HEADER_BYTES, HASH_AT, TRAILER_BYTES, chunk_crc, damaged, sizes};
use super::parts::FilePart;

/// Verifies the parts of a file in order and unpacks its chunks.
pub(crate) struct ChunkDecoder {
    hasher: blake3::Hasher,
    decompressor: Decompressor<'static>,
    chunks: u64,
    raw_bytes: u64,
}

impl ChunkDecoder {
    pub(super) fn new(header: &[u8]) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(header);
        Ok(Self { hasher, decompressor: Decompressor::new()?, chunks: 0, raw_bytes: 0 })
    }

    /// Unpacks a chunk into `raw`; leaves `raw` empty for a valid trailer.
    pub(crate) fn decode(&mut self, part: &FilePart, raw: &mut Vec<u8>) -> io::Result<()> {
        raw.clear();
        match part {
            FilePart::Chunk { header, packed } => self.unpack(header, packed, raw),
            FilePart::Trailer { bytes, last } if self.ends_with(bytes) && *last => Ok(()),
            FilePart::Trailer { .. } => Err(damaged("the file does not match its trailer")),
        }
    }

    fn unpack(
        &mut self,
        header: &[u8; CHUNK_HEADER_BYTES],
        packed: &[u8],
        raw: &mut Vec<u8>,
    ) -> io::Result<()> {
        // The decompressor sees only bytes whose checksum matches.
        if chunk_crc(packed, self.chunks) != u32_at(header, 8) {
            return Err(damaged("a chunk fails its checksum"));
        }
        self.hasher.update(header).update(packed);
        let (raw_bytes, _) = sizes(header);
        raw.reserve_exact(raw_bytes);
        self.decompressor.decompress_to_buffer(packed, raw)?;
        if raw.len() != raw_bytes {
            return Err(damaged("a chunk does not unpack to the size in its header"));
        }
        self.chunks += 1;
        self.raw_bytes += raw_bytes as u64;
        Ok(())
    }

    fn ends_with(&mut self, trailer: &[u8; TRAILER_BYTES]) -> bool {
        self.hasher.update(&trailer[..HASH_AT]);
        checksum_matches(trailer)
            && trailer[HASH_AT..HASH_AT + 32] == self.hasher.finalize().as_bytes()[..]
            && u64_at(trailer, 8) == self.chunks
            && u64_at(trailer, 16) == self.raw_bytes
    }
}
