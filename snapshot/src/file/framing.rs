//! What packing and unpacking share: the framing of chunks and of the trailer.

use std::io;

use super::bytes::u32_at;

pub(super) const TRAILER_MAGIC: [u8; 8] = *b"ICNSEND\0";
pub(super) const CHUNK_HEADER_BYTES: usize = 12;
pub(super) const TRAILER_BYTES: usize = 64;
pub(super) const HASH_AT: usize = 24;
pub(super) const CHUNK_BYTES_MAX: usize = 1 << 20;
/// What a chunk says about its raw and its packed bytes.
pub(super) fn sizes(header: &[u8; CHUNK_HEADER_BYTES]) -> (usize, usize) {
    (u32_at(header, 0) as usize, u32_at(header, 4) as usize)
}

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
