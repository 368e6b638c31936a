//! The framing of chunks and of the trailer, shared by packing and unpacking.

use std::io;

use super::bytes::u32_at;

pub(super) const TRAILER_MAGIC: [u8; 8] = *b"ICNSEND\0";
pub(super) const CHUNK_HEADER_BYTES: usize = 12;
pub(super) const TRAILER_BYTES: usize = 64;
/// The offset of the BLAKE3 hash in the trailer.
pub(super) const HASH_AT: usize = 24;
/// The largest chunk, unpacked.
pub(super) const CHUNK_BYTES_MAX: usize = 1 << 20;

/// The raw and the packed size that a chunk header claims, in bytes.
pub(super) fn sizes(header: &[u8; CHUNK_HEADER_BYTES]) -> (usize, usize) {
    (u32_at(header, 0) as usize, u32_at(header, 4) as usize)
}

/// The number is part of it, so that chunks cannot change places.
pub(super) fn chunk_crc(packed: &[u8], number: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(packed);
    hasher.update(&number.to_le_bytes());
    hasher.finalize()
}

pub(super) fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}

pub(super) fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
