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

mod bytes;
mod checksum;
mod chunk_decoder;
mod framing;
mod header;
mod packer;
mod parts;
mod readahead;
mod unpacker;

use std::io::{self, Read, Write};

use icn_wal::disk::{Disk, DiskFile};
use rmp_serde::decode::ReadReader;
use rmp_serde::encode;

pub(crate) use self::header::Header;
use self::header::{HEADER_BYTES, decode_header, encode_header};
use self::packer::Packer;
use self::parts::FileParts;
use self::unpacker::Unpacker;
use crate::error::{Error, OnFile};
use crate::machine::{StateMachine, Weakness};

/// The version of the snapshot format. 0 means: may still change.
pub const FORMAT: u32 = 0;

const SUMMARY_BYTES_MAX: u32 = 16 << 20;

/// Writes `state` under `name`, which must not exist, and syncs it, with a `pause` between chunks. Returns
/// the bytes written.
pub(crate) fn write<S: StateMachine, D: Disk>(
    disk: &D,
    name: &str,
    header: &Header,
    state: &S,
    pause: &mut dyn FnMut(),
) -> Result<u64, Error> {
    let describe = || disk.describe(name);
    let file = disk.create(name).on("create", describe())?;
    let mut packer = Packer::new(&file, pause).on("pack", describe())?;
    packer.put(&encode_header(header, S::SCHEMA)).on("write", describe())?;
    let summary = state.summary();
    let long = || io::Error::other("the summary of the state is longer than 16 MiB");
    let length = u32::try_from(summary.len()).ok().filter(|length| *length <= SUMMARY_BYTES_MAX);
    let length = length.ok_or_else(long).on("write", describe())?;
    packer.write_all(&length.to_le_bytes()).on("write", describe())?;
    packer.write_all(&summary).on("write", describe())?;
    // In chunks of its own: it can be read when what follows is damaged.
    packer.end_chunk().on("write", describe())?;
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
    let file = disk.open(name).on("open", disk.describe(name))?;
    Ok(begin(&file, &|| disk.describe(name))?.0.header)
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

/// Refuses what is read as less than was written.
pub(crate) fn refuse_weaker(weaker: &[Weakness], file: &dyn Fn() -> String) -> Result<(), Error> {
    match weaker.first() {
        None => Ok(()),
        Some(weakness) => {
            let why = format!("it is read as less than was written: {}", weakness.text);
            Err(Error::Unusable { file: file(), why })
        }
    }
}

/// What a snapshot says about itself, and the summary of its state; it may be damaged behind that.
pub(crate) fn read_summary<D: Disk>(disk: &D, name: &str) -> Result<(Header, Vec<u8>), Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    let (FileStart { header, head, parts }, _) = begin(&file, &describe)?;
    let mut unpacker = Unpacker::new(parts, &head).on("unpack", describe())?;
    let summary = summary(&mut unpacker)
        .map_err(|error| Error::Unusable { file: describe(), why: error.to_string() })?;
    Ok((header, summary))
}

fn summary(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let damaged = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
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

/// Reads the snapshot `name` to its end, checks everything, and builds the state, with two threads if it
/// is large: whoever starts waits for it.
pub(crate) fn read<S: StateMachine, D: Disk>(disk: &D, name: &str) -> Result<Loaded<S>, Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    let (FileStart { header, head, parts }, schema) = begin_state::<S, _>(&file, &describe)?;
    let (state, weaker) = std::thread::scope(|scope| {
        let unpacker = Unpacker::ahead(scope, parts, &head).on("unpack", describe())?;
        decode(unpacker, &describe, |summary, source| {
            let state = build::<S, _>(schema, source)?;
            let weaker = state.weaker_than(summary);
            Ok((state, weaker))
        })
    })?;
    Ok(Loaded { header, state, weaker, migrated: schema < S::SCHEMA })
}

fn build<S: StateMachine, F: DiskFile>(
    schema: u32,
    source: &mut Unpacker<'_, F>,
) -> Result<S, String> {
    if schema < S::SCHEMA {
        return S::migrate(schema, source);
    }
    S::deserialize(&mut Decoder::new(source)).map_err(|error| error.to_string())
}

/// [`read`] without keeping the state, from the disk and not from memory, with a `pause` between chunks and
/// on this thread alone: whoever commits needs the others. What is read as less than was written is refused.
pub(crate) fn verify<S: StateMachine, D: Disk>(
    disk: &D,
    name: &str,
    pause: &mut dyn FnMut(),
) -> Result<Header, Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    file.drop_cache(0).on("drop the cache of", describe())?;
    file.no_read_ahead().on("read", describe())?;
    let (FileStart { header, head, parts }, schema) = begin_state::<S, _>(&file, &describe)?;
    let unpacker = Unpacker::new(parts.with(pause), &head).on("unpack", describe())?;
    let weaker = decode(unpacker, &describe, |summary, source| {
        if schema < S::SCHEMA {
            return Ok(S::migrate(schema, source)?.weaker_than(summary));
        }
        S::verify(summary, &mut Decoder::new(source)).map_err(|error| error.to_string())
    })?;
    refuse_weaker(&weaker, &describe)?;
    Ok(header)
}

type Decoder<'a, 'b, F> = rmp_serde::Deserializer<ReadReader<&'a mut Unpacker<'b, F>>>;

fn decode<F: DiskFile, T>(
    mut unpacker: Unpacker<'_, F>,
    describe: &dyn Fn() -> String,
    decode: impl FnOnce(&[u8], &mut Unpacker<'_, F>) -> Result<T, String>,
) -> Result<T, Error> {
    let told = |error: io::Error| error.to_string();
    let decoded = summary(&mut unpacker).map_err(told).and_then(|summary| {
        let decoded = decode(&summary, &mut unpacker)?;
        unpacker.end().map_err(told)?;
        Ok(decoded)
    });
    decoded.map_err(|why| match unpacker.io_error() {
        Some(source) => Error::Io { action: "read", file: describe(), source },
        None => Error::Unusable { file: describe(), why },
    })
}

/// What comes first in a file, and the way to the rest.
struct FileStart<'a, F> {
    header: Header,
    /// The bytes that say this.
    head: [u8; HEADER_BYTES],
    parts: FileParts<'a, F>,
}

/// The beginning, and the schema of the state, which may be an older one; a newer one is refused.
fn begin_state<'a, S: StateMachine, F: DiskFile>(
    file: &'a F,
    describe: &dyn Fn() -> String,
) -> Result<(FileStart<'a, F>, u32), Error> {
    let (beginning, schema) = begin(file, describe)?;
    if schema > S::SCHEMA {
        let why = format!("its schema is {schema}, this build reads {}", S::SCHEMA);
        return Err(Error::Newer { what: describe(), why });
    }
    Ok((beginning, schema))
}

/// The header that comes first, and the schema of the state behind it.
fn begin<'a, F: DiskFile>(
    file: &'a F,
    describe: &dyn Fn() -> String,
) -> Result<(FileStart<'a, F>, u32), Error> {
    let unusable = || Error::Unusable { file: describe(), why: "the header is damaged".into() };
    let mut head = [0; HEADER_BYTES];
    let parts = FileParts::new(file, &mut head).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => unusable(),
        _ => Error::Io { action: "read", file: describe(), source: error },
    })?;
    let (header, format, schema) = decode_header(&head).ok_or_else(unusable)?;
    if format != FORMAT {
        let why = format!("its format is {format}, this build reads {FORMAT}");
        return Err(Error::Newer { what: describe(), why });
    }
    Ok((FileStart { header, head, parts }, schema))
}
