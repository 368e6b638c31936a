//! Every limit of the log, and how the limits depend on each other.

/// The largest record: 1 MiB. Larger data belongs in a file of its own.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The most a group of appends may gather before it is written: 1 MiB. Up to this size a sync costs
/// about the same whatever it carries; beyond it, latency grows with the bytes.
pub const GROUP_BYTES_MAX: usize = 1 << 20;

/// The largest single append, which is never split: 4 MiB, record headers included.
pub const APPEND_BYTES_MAX: usize = 4 << 20;

/// The most that may be written and not yet synced: 4 MiB. It bounds what a torn tail can be.
pub const UNSYNCED_BYTES_MAX: u64 = 4 << 20;

/// The bytes that a power loss may garble while the disk writes some of them: 4 KiB. That is the block
/// of file systems and the page of flash. No write touches a block that holds a durable record.
pub const BLOCK_BYTES: u64 = 4096;

/// The size of a store's first segment: 1 MiB. Each next one doubles.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// The size at which segments stop doubling: 64 MiB.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// The most records in one frame, so that a damaged count cannot cause a huge allocation. No append
/// has more, because each record takes at least four bytes.
pub const FRAME_RECORDS_MAX: u32 = 1 << 20;

/// How long a disk that had no space is not tried again: 2 s.
pub const RETRY_MS: u64 = 2000;

pub(crate) const RECORD_HEADER_BYTES: usize = 4;
pub(crate) const FRAME_HEADER_BYTES: usize = 64;
/// One sector, so that a segment header is never torn.
pub(crate) const SECTOR_BYTES: usize = 512;
/// A block of its own: the first frame is written when the header is durable.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = BLOCK_BYTES;

/// The largest body that a frame header may announce. An append that would overfill the gathering
/// group waits for it, so no frame comes near this.
pub(crate) const FRAME_BODY_BYTES_MAX: usize = APPEND_BYTES_MAX + GROUP_BYTES_MAX;

const _: () = assert!(RECORD_BYTES_MAX + RECORD_HEADER_BYTES <= APPEND_BYTES_MAX);
const _: () = assert!(GROUP_BYTES_MAX <= APPEND_BYTES_MAX);
const _: () = assert!(APPEND_BYTES_MAX / RECORD_HEADER_BYTES <= FRAME_RECORDS_MAX as usize);
const _: () = assert!(APPEND_BYTES_MAX as u64 <= UNSYNCED_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MIN <= SEGMENT_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MIN.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(SECTOR_BYTES as u64 <= SEGMENT_HEADER_BYTES);
const _: () = assert!(
    FRAME_BODY_BYTES_MAX as u64 + FRAME_HEADER_BYTES as u64 + 4 * BLOCK_BYTES <= SEGMENT_BYTES_MAX
);
const _: () = assert!(FRAME_BODY_BYTES_MAX < u32::MAX as usize);
