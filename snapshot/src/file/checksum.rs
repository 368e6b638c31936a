//! The CRC-32 in the last four bytes of a header or trailer.

use super::bytes::u32_at;

/// Writes the CRC-32 of all bytes before the last four into those four.
pub(super) fn write_checksum(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

/// Whether the last four bytes are the CRC-32 of all bytes before them.
pub(super) fn checksum_matches(bytes: &[u8]) -> bool {
    let end = bytes.len() - 4;
    crc32fast::hash(&bytes[..end]) == u32_at(bytes, end)
}
