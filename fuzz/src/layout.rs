//! The bytes of a segment, read and written from `docs/FORMAT.md`, independently of the log.

use crc32fast::Hasher;

/// The offset of the first frame.
pub const SEGMENT_HEADER_BYTES: usize = 4096;
/// The bytes of a segment header, checksum included.
pub const HEADER_BYTES: usize = 512;
/// The offset of the body in a frame.
pub const FRAME_HEADER_BYTES: usize = 64;

/// A frame header with a valid checksum.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The offset of the frame.
    pub offset: usize,
    /// The end of the frame.
    pub end: usize,
    /// The offset up to which the segment was durable.
    pub durable: u64,
    /// The kind of the frame.
    pub kind: u8,
    /// True iff the checksum of the body is valid, too.
    pub whole: bool,
}

/// True iff a segment's header has a valid checksum.
pub fn is_sound(segment: &[u8]) -> bool {
    let header = segment.first_chunk::<HEADER_BYTES>();
    header.is_some_and(|header| crc32fast::hash(&header[..508]).to_le_bytes() == header[508..])
}

/// Every frame header with a valid checksum, at any offset.
pub fn headers(segment: &[u8]) -> Vec<Header> {
    let places = (SEGMENT_HEADER_BYTES..used(segment)).step_by(8);
    places.filter_map(|at| header(segment, at)).collect()
}

/// The bytes up to the last one that is not zero.
pub fn used(bytes: &[u8]) -> usize {
    // A segment is mostly zeros: whole blocks of zeros are skipped at once.
    static ZEROS: [u8; 4096] = [0; 4096];
    let blank = bytes.rchunks_exact(ZEROS.len()).take_while(|block| **block == ZEROS).count();
    let rest = &bytes[..bytes.len() - blank * ZEROS.len()];
    rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

fn header(segment: &[u8], offset: usize) -> Option<Header> {
    let header = segment.get(offset..offset + FRAME_HEADER_BYTES)?;
    if header[..4] != *b"ICNf" || header[4..8] != crc(segment, offset, &header[8..]) {
        return None;
    }
    let body = u32::from_le_bytes(header[8..12].try_into().ok()?) as usize;
    let durable = u64::from_le_bytes(header[32..40].try_into().ok()?);
    let end = frame_end(offset, header[52], body);
    let whole = segment
        .get(offset + FRAME_HEADER_BYTES..end)
        .is_some_and(|body| header[48..52] == crc(segment, offset, body));
    let possible = (1..=3).contains(&header[52]) && durable <= offset as u64;
    possible.then_some(Header { offset, end, durable, kind: header[52], whole })
}

/// The end of a frame of `kind` that begins at `offset`: one with records fills its last block.
pub fn frame_end(offset: usize, kind: u8, body: usize) -> usize {
    let alignment = if kind == 1 { 4096 } else { 8 };
    (offset + FRAME_HEADER_BYTES + body).next_multiple_of(alignment)
}

/// Writes valid checksums into the frame from `offset` to `end`.
pub fn seal(segment: &mut [u8], offset: usize, end: usize) {
    let body = crc(segment, offset, &segment[offset + FRAME_HEADER_BYTES..end]);
    segment[offset + 48..offset + 52].copy_from_slice(&body);
    let header = crc(segment, offset, &segment[offset + 8..offset + FRAME_HEADER_BYTES]);
    segment[offset + 4..offset + 8].copy_from_slice(&header);
}

fn crc(segment: &[u8], offset: usize, bytes: &[u8]) -> [u8; 4] {
    let mut hasher = Hasher::new();
    hasher.update(&segment[88..104]);
    hasher.update(&(offset as u64).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().to_le_bytes()
}
