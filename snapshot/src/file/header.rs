//! The header of a snapshot file.

use icn_wal::StoreId;

use super::FORMAT;
use super::bytes::{u32_at, u64_at};
use super::checksum::{checksum_matches, write_checksum};
use crate::id::SnapshotId;
use crate::origin::Origin;

const HEADER_MAGIC: [u8; 8] = *b"ICNSNAP\0";
pub(super) const HEADER_BYTES: usize = 96;

/// The identity and the times of a snapshot, without its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: StoreId,
    pub(crate) id: SnapshotId,
    pub(crate) timeline: u64,
    pub(crate) created_ms: u64,
    /// No less than the time of the last record covered.
    pub(crate) time_ms: u64,
    pub(crate) origin: Origin,
}

pub(super) fn encode_header(header: &Header, schema: u32) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..8].copy_from_slice(&HEADER_MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    out[12..16].copy_from_slice(&schema.to_le_bytes());
    out[16..32].copy_from_slice(&header.store);
    out[32..40].copy_from_slice(&header.id.lsn.to_le_bytes());
    out[40..48].copy_from_slice(&header.timeline.to_le_bytes());
    out[48..56].copy_from_slice(&header.id.generation.to_le_bytes());
    out[56..64].copy_from_slice(&header.created_ms.to_le_bytes());
    out[64..72].copy_from_slice(&header.time_ms.to_le_bytes());
    out[72] = match header.origin {
        Origin::Taken => 0,
        Origin::Target => 1,
        Origin::Imported => 2,
    };
    write_checksum(&mut out);
    out
}

/// The header, the format and the schema; `None` when the checksum or a field is wrong.
pub(super) fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Option<(Header, u32, u32)> {
    if bytes[0..8] != HEADER_MAGIC || !checksum_matches(bytes) {
        return None;
    }
    let mut store = StoreId::default();
    store.copy_from_slice(&bytes[16..32]);
    let id = SnapshotId { lsn: u64_at(bytes, 32), generation: u64_at(bytes, 48) };
    let origin = match bytes[72] {
        0 => Origin::Taken,
        1 => Origin::Target,
        2 => Origin::Imported,
        _ => return None,
    };
    let header = Header {
        store,
        id,
        timeline: u64_at(bytes, 40),
        created_ms: u64_at(bytes, 56),
        time_ms: u64_at(bytes, 64),
        origin,
    };
    Some((header, u32_at(bytes, 8), u32_at(bytes, 12)))
}
