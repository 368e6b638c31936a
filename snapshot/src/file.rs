//! One snapshot file: writing it, and reading it without believing it.
//!
//! ```text
//! header   96 bytes   magic "ICNSNAP\0", format u32, schema u32, store (16), LSN u64, timeline u64,
//!                     generation u64, created u64 and time u64 (ms since 1970), origin u8, zeros,
//!                     CRC-32 of bytes 0..92
//! chunk               raw bytes u32 (1..=1 MiB), packed bytes u32, CRC-32 of the packed bytes
//!                     continued over the chunk's number (u64), then one zstd frame
//! trailer  64 bytes   magic "ICNSEND\0", chunks u64, raw bytes u64, BLAKE3 (32) of all before the
//!                     hash, zeros, CRC-32 of bytes 0..60
//! ```
//!
//! The raw bytes of all chunks together are the length of the summary (u32), the summary, which ends a
//! chunk, and the msgpack of the state. Every chunk stands for
//! itself: none is unpacked before its checksum matches, and none unpacks to more than it says.

use std::io::{self, Read, Write};

use icn_wal::{Disk, DiskFile, StoreId};
use rmp_serde::encode;

use crate::catalogue::Origin;
use crate::error::{Error, OnFile};
use crate::id::SnapshotId;
use crate::machine::{StateMachine, Weakness};

/// The version of the snapshot format. 0 means: may still change.
pub const FORMAT: u32 = 0;

const HEADER_MAGIC: [u8; 8] = *b"ICNSNAP\0";
const TRAILER_MAGIC: [u8; 8] = *b"ICNSEND\0";
const HEADER_BYTES: usize = 96;
const CHUNK_HEADER_BYTES: usize = 12;
const TRAILER_BYTES: usize = 64;
const HASH_AT: usize = 24;
const CHUNK_BYTES_MAX: usize = 1 << 20;
const SUMMARY_BYTES_MAX: u32 = 16 << 20;
const ZSTD_LEVEL: i32 = 1;

/// What a snapshot says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: StoreId,
    pub(crate) id: SnapshotId,
    pub(crate) timeline: u64,
    pub(crate) created_ms: u64,
    /// The time of the last record.
    pub(crate) time_ms: u64,
    pub(crate) origin: Origin,
}

/// Writes `state` under `name`, which must not exist, and syncs it. Returns the bytes written.
pub(crate) fn write<S: StateMachine, D: Disk>(
    disk: &D,
    name: &str,
    header: &Header,
    state: &S,
) -> Result<u64, Error> {
    let describe = || disk.describe(name);
    let file = disk.create(name).on("create", describe())?;
    let mut packer = Packer::new(&file);
    packer.put(&encode_header(header, S::SCHEMA)).on("write", describe())?;
    let summary = state.summary();
    let long = || io::Error::other("the summary of the state is longer than 16 MiB");
    let length = u32::try_from(summary.len()).ok().filter(|length| *length <= SUMMARY_BYTES_MAX);
    let length = length.ok_or_else(long).on("write", describe())?;
    packer.write_all(&length.to_le_bytes()).on("write", describe())?;
    packer.write_all(&summary).on("write", describe())?;
    // In chunks of its own: it can be read when what follows is damaged.
    packer.pack().on("write", describe())?;
    encode::write(&mut packer, state).map_err(|error| match error {
        // Full chunks are written under way: this is the disk's word, not one about the state.
        encode::Error::InvalidValueWrite(error) => {
            Error::Io { action: "write", file: describe(), source: error.into() }
        }
        other => Error::Unusable { file: describe(), why: other.to_string() },
    })?;
    let bytes = packer.finish().on("write", describe())?;
    file.sync().on("sync", describe())?;
    Ok(bytes)
}

/// What the snapshot `name` says about itself; nothing behind its header is looked at.
pub(crate) fn read_header<D: Disk>(disk: &D, name: &str) -> Result<Header, Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    Ok(header(&mut Unpacker::new(&file), &describe)?.0)
}

/// A snapshot that was read.
pub(crate) struct Loaded<S> {
    pub(crate) header: Header,
    pub(crate) state: S,
    /// In what the state is weaker than it was when it was written.
    pub(crate) weaker: Vec<Weakness>,
    /// It was of an older schema.
    pub(crate) migrated: bool,
}

impl<S> Loaded<S> {
    /// It, unless it is weaker than it was.
    pub(crate) fn undiminished(self, file: &dyn Fn() -> String) -> Result<Self, Error> {
        match self.weaker.first() {
            None => Ok(self),
            Some(weakness) => {
                let why = format!("it is read as less than was written: {}", weakness.text);
                Err(Error::Unusable { file: file(), why })
            }
        }
    }
}

/// What a snapshot says about itself, and the summary of its state; it may be damaged behind that.
pub(crate) fn read_summary<D: Disk>(disk: &D, name: &str) -> Result<(Header, Vec<u8>), Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    let mut unpacker = Unpacker::new(&file);
    let (header, _) = header(&mut unpacker, &describe)?;
    let summary = summary(&mut unpacker)
        .map_err(|error| Error::Unusable { file: describe(), why: error.to_string() })?;
    Ok((header, summary))
}

fn summary(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > SUMMARY_BYTES_MAX {
        return Err(damaged("its summary has an impossible size"));
    }
    let mut summary = Vec::new();
    from.take(length.into()).read_to_end(&mut summary)?;
    if summary.len() != length as usize {
        return Err(damaged("its summary is cut short"));
    }
    Ok(summary)
}

/// Reads the snapshot `name` to its end, checks everything, and builds the state.
pub(crate) fn read<S: StateMachine, D: Disk>(disk: &D, name: &str) -> Result<Loaded<S>, Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    let unusable = |why: String| Error::Unusable { file: describe(), why };
    let mut unpacker = Unpacker::new(&file);
    let (header, schema) = header(&mut unpacker, &describe)?;
    if schema > S::SCHEMA {
        let why = format!("its schema is {schema}, this build reads {}", S::SCHEMA);
        return Err(Error::Newer { what: describe(), why });
    }
    let summary = summary(&mut unpacker).map_err(|error| unusable(error.to_string()))?;
    let migrated = schema < S::SCHEMA;
    let state: S = if migrated {
        S::migrate(schema, &mut unpacker).map_err(unusable)?
    } else {
        let mut decoder = rmp_serde::Deserializer::new(&mut unpacker);
        serde::Deserialize::deserialize(&mut decoder)
            .map_err(|error: rmp_serde::decode::Error| unusable(error.to_string()))?
    };
    unpacker.end().map_err(|error| unusable(error.to_string()))?;
    let weaker = state.weaker_than(&summary);
    Ok(Loaded { header, state, weaker, migrated })
}

/// The header that comes first, and the schema of the state behind it.
fn header<F: DiskFile>(
    unpacker: &mut Unpacker<'_, F>,
    describe: &dyn Fn() -> String,
) -> Result<(Header, u32), Error> {
    let unusable = || Error::Unusable { file: describe(), why: "the header is damaged".into() };
    let mut head = [0; HEADER_BYTES];
    unpacker.consume(&mut head).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => unusable(),
        _ => Error::Io { action: "read", file: describe(), source: error },
    })?;
    let (header, format, schema) = decode_header(&head).ok_or_else(unusable)?;
    if format != FORMAT {
        let why = format!("its format is {format}, this build reads {FORMAT}");
        return Err(Error::Newer { what: describe(), why });
    }
    Ok((header, schema))
}

fn encode_header(header: &Header, schema: u32) -> [u8; HEADER_BYTES] {
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
    seal(&mut out);
    out
}

fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Option<(Header, u32, u32)> {
    if bytes[0..8] != HEADER_MAGIC || !sealed(bytes) {
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
    let (timeline, created_ms) = (u64_at(bytes, 40), u64_at(bytes, 56));
    let header = Header { store, id, timeline, created_ms, time_ms: u64_at(bytes, 64), origin };
    Some((header, u32_at(bytes, 8), u32_at(bytes, 12)))
}

fn seal(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

fn sealed(bytes: &[u8]) -> bool {
    let end = bytes.len() - 4;
    crc32fast::hash(&bytes[..end]) == u32_at(bytes, end)
}

/// Cuts what is written to it into chunks and packs them.
struct Packer<'a, F> {
    file: &'a F,
    offset: u64,
    hasher: blake3::Hasher,
    raw: Vec<u8>,
    chunks: u64,
    raw_bytes: u64,
}

impl<'a, F: DiskFile> Packer<'a, F> {
    fn new(file: &'a F) -> Self {
        let raw = Vec::with_capacity(CHUNK_BYTES_MAX);
        Self { file, offset: 0, hasher: blake3::Hasher::new(), raw, chunks: 0, raw_bytes: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.offset, bytes)?;
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn pack(&mut self) -> io::Result<()> {
        let packed = zstd::bulk::compress(&self.raw, ZSTD_LEVEL)?;
        let mut chunk = Vec::with_capacity(CHUNK_HEADER_BYTES + packed.len());
        chunk.extend_from_slice(&length(self.raw.len())?.to_le_bytes());
        chunk.extend_from_slice(&length(packed.len())?.to_le_bytes());
        chunk.extend_from_slice(&chunk_crc(&packed, self.chunks).to_le_bytes());
        chunk.extend_from_slice(&packed);
        self.put(&chunk)?;
        self.chunks += 1;
        self.raw_bytes += self.raw.len() as u64;
        self.raw.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        if !self.raw.is_empty() {
            self.pack()?;
        }
        let mut trailer = [0; TRAILER_BYTES];
        trailer[0..8].copy_from_slice(&TRAILER_MAGIC);
        trailer[8..16].copy_from_slice(&self.chunks.to_le_bytes());
        trailer[16..24].copy_from_slice(&self.raw_bytes.to_le_bytes());
        self.hasher.update(&trailer[..HASH_AT]);
        trailer[HASH_AT..HASH_AT + 32].copy_from_slice(self.hasher.finalize().as_bytes());
        seal(&mut trailer);
        self.file.write_at(self.offset, &trailer)?;
        Ok(self.offset + TRAILER_BYTES as u64)
    }
}

impl<F: DiskFile> Write for Packer<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK_BYTES_MAX - self.raw.len());
        self.raw.extend_from_slice(&bytes[..count]);
        if self.raw.len() == CHUNK_BYTES_MAX {
            self.pack()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reverse of [`Packer`], which trusts nothing.
struct Unpacker<'a, F> {
    file: &'a F,
    offset: u64,
    hasher: blake3::Hasher,
    raw: Vec<u8>,
    /// How much of `raw` has been handed out.
    taken: usize,
    chunks: u64,
    raw_bytes: u64,
    ended: bool,
}

impl<'a, F: DiskFile> Unpacker<'a, F> {
    fn new(file: &'a F) -> Self {
        let hasher = blake3::Hasher::new();
        Self {
            file,
            offset: 0,
            hasher,
            raw: Vec::new(),
            taken: 0,
            chunks: 0,
            raw_bytes: 0,
            ended: false,
        }
    }

    fn peek(&self, out: &mut [u8]) -> io::Result<()> {
        if self.file.read_at(self.offset, out)? < out.len() {
            return Err(damaged("it ends too early"));
        }
        Ok(())
    }

    fn consume(&mut self, out: &mut [u8]) -> io::Result<()> {
        self.peek(out)?;
        self.hasher.update(out);
        self.offset += out.len() as u64;
        Ok(())
    }

    /// Unpacks the next chunk into `raw`, or checks the trailer and the end of the file.
    fn unpack(&mut self) -> io::Result<()> {
        let mut magic = [0; 8];
        self.peek(&mut magic)?;
        if magic == TRAILER_MAGIC {
            return self.check_trailer();
        }
        let mut header = [0; CHUNK_HEADER_BYTES];
        self.consume(&mut header)?;
        let raw_bytes = u32_at(&header, 0) as usize;
        let packed_bytes = u32_at(&header, 4) as usize;
        let bound = zstd::zstd_safe::compress_bound(CHUNK_BYTES_MAX);
        if raw_bytes == 0 || raw_bytes > CHUNK_BYTES_MAX || packed_bytes > bound {
            return Err(damaged("a chunk has an impossible size"));
        }
        let mut packed = vec![0; packed_bytes];
        self.consume(&mut packed)?;
        if chunk_crc(&packed, self.chunks) != u32_at(&header, 8) {
            return Err(damaged("a chunk fails its checksum"));
        }
        self.raw = zstd::bulk::decompress(&packed, raw_bytes)?;
        if self.raw.len() != raw_bytes {
            return Err(damaged("a chunk unpacks to another size than it says"));
        }
        self.taken = 0;
        self.chunks += 1;
        self.raw_bytes += raw_bytes as u64;
        Ok(())
    }

    fn check_trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; TRAILER_BYTES];
        self.peek(&mut trailer)?;
        self.hasher.update(&trailer[..HASH_AT]);
        let right = sealed(&trailer)
            && trailer[HASH_AT..HASH_AT + 32] == self.hasher.finalize().as_bytes()[..]
            && u64_at(&trailer, 8) == self.chunks
            && u64_at(&trailer, 16) == self.raw_bytes
            && self.file.size()? == self.offset + TRAILER_BYTES as u64;
        self.ended = true;
        if right { Ok(()) } else { Err(damaged("it does not match its trailer")) }
    }

    /// Checks that the state was all there is.
    fn end(&mut self) -> io::Result<()> {
        if self.taken < self.raw.len() {
            return Err(damaged("it holds more than a state"));
        }
        if !self.ended {
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
        if self.ended {
            return Ok(0);
        }
        let count = out.len().min(self.raw.len() - self.taken);
        out[..count].copy_from_slice(&self.raw[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

fn chunk_crc(packed: &[u8], number: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(packed);
    hasher.update(&number.to_le_bytes());
    hasher.finalize()
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(out)
}
