//! One snapshot file: writing, loading and verifying it.
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
//! The raw bytes of all chunks together are the length of the summary (u32), the summary and the msgpack of
//! the state. The summary ends a chunk. Each chunk is verified alone: it is unpacked after its checksum
//! has matched, and never to more bytes than its header says.

mod bytes;
mod checksum;
mod chunk_decoder;
mod framing;
mod header;
mod packer;
mod parts;
mod readahead;
mod unpacker;

use std::any::type_name;
use std::io::{self, Read, Write};

use icn_wal::disk::{Disk, DiskFile};
use rmp_serde::decode::ReadReader;
use rmp_serde::encode;

pub(crate) use self::header::Header;
use self::header::{HEADER_BYTES, decode_header, encode_header};
use self::packer::Packer;
use self::parts::FileParts;
pub(crate) use self::parts::Pause;
use self::unpacker::Unpacker;
use crate::error::{Error, OnFile};
use crate::machine::{StateMachine, Weakness};

/// The version of the snapshot format. 0 means: may still change.
pub const FORMAT: u32 = 0;

const SUMMARY_BYTES_MAX: u32 = 16 << 20;

/// Writes `state` under `name`, which must not exist, and syncs the file. Calls `pause` between bursts.
/// Returns the size of the file.
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
    // The summary has chunks of its own, so it can be read when the state after it is damaged.
    packer.end_chunk().on("write", describe())?;
    encode::write(&mut packer, state).map_err(|error| match error {
        // Serialising writes full chunks, so this is an error of the disk and not of the state.
        encode::Error::InvalidValueWrite(error) => {
            Error::Io { action: "write", file: describe(), source: error.into() }
        }
        other => Error::Unusable { file: describe(), why: other.to_string() },
    })?;
    let bytes = packer.finish().on("write", describe())?;
    file.sync().on("sync", describe())?;
    Ok(bytes)
}

/// Reads and verifies the header of the snapshot `name`, and nothing after it.
pub(crate) fn read_header<D: Disk>(disk: &D, name: &str) -> Result<Header, Error> {
    let file = disk.open(name).on("open", disk.describe(name))?;
    Ok(open(&file, &|| disk.describe(name))?.0.header)
}

/// A snapshot that was read and verified to its end.
pub(crate) struct Loaded<S> {
    pub(crate) header: Header,
    pub(crate) state: S,
    /// In what the state is weaker than the summary written with it.
    pub(crate) weaker: Vec<Weakness>,
    /// Whether the state was of an older schema.
    pub(crate) migrated: bool,
}

/// [`Error::Unusable`] if a state is weaker than the summary written with it.
pub(crate) fn refuse_weaker(weaker: &[Weakness], file: &dyn Fn() -> String) -> Result<(), Error> {
    match weaker.first() {
        None => Ok(()),
        Some(weakness) => {
            let why = format!("its state reads as less than was written: {}", weakness.text);
            Err(Error::Unusable { file: file(), why })
        }
    }
}

/// Reads the header and the summary. The snapshot may be damaged after them.
pub(crate) fn read_summary<D: Disk>(disk: &D, name: &str) -> Result<(Header, Vec<u8>), Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    let (Opened { header, header_bytes, parts }, _) = open(&file, &describe)?;
    let mut unpacker = Unpacker::new(parts, &header_bytes).on("unpack", describe())?;
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

/// Reads the snapshot `name` to its end, verifies all of it and builds the state. A large one takes two
/// threads, because a start waits for it. Calls `pause` after each chunk; its error ends the reading.
pub(crate) fn read<S: StateMachine, D: Disk>(
    disk: &D,
    name: &str,
    pause: Pause<'_>,
) -> Result<Loaded<S>, Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    let (Opened { header, header_bytes, parts }, schema) = open_state::<S, _>(&file, &describe)?;
    let (state, weaker) = std::thread::scope(|scope| {
        let unpacker = Unpacker::with_readahead(scope, parts.with_pause(pause), &header_bytes);
        let unpacker = unpacker.on("unpack", describe())?;
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
) -> Result<S, Refusal> {
    if schema < S::SCHEMA {
        return migrate(schema, source);
    }
    S::deserialize(&mut Decoder::new(source)).map_err(|error| Refusal::Content(error.to_string()))
}

/// Migrates a state. An error counts as one of the migration only if the file is whole.
fn migrate<S: StateMachine, F: DiskFile>(
    found: u32,
    source: &mut Unpacker<'_, F>,
) -> Result<S, Refusal> {
    S::migrate(found, source).map_err(|why| match io::copy(source, &mut io::sink()) {
        Ok(_) => Refusal::Migration { found, wanted: S::SCHEMA, machine: type_name::<S>(), why },
        Err(error) => Refusal::Content(error.to_string()),
    })
}

/// Why no state was read.
enum Refusal {
    /// The bytes are damaged or not those of a state.
    Content(String),
    /// As in [`Error::Migration`].
    Migration { found: u32, wanted: u32, machine: &'static str, why: String },
}

/// Verifies the snapshot `name` as [`read`] does, without keeping the state. Refuses a state weaker than its
/// summary.
///
/// Reads from the disk, not from the page cache. Calls `pause` between chunks and stays on the calling
/// thread, to leave the other processors to those who commit.
pub(crate) fn verify<S: StateMachine, D: Disk>(
    disk: &D,
    name: &str,
    pause: &mut dyn FnMut(),
) -> Result<Header, Error> {
    let describe = || disk.describe(name);
    let file = disk.open(name).on("open", describe())?;
    file.drop_cache(0).on("drop the cache of", describe())?;
    file.disable_readahead().on("read", describe())?;
    let (Opened { header, header_bytes, parts }, schema) = open_state::<S, _>(&file, &describe)?;
    let mut pause = || {
        pause();
        Ok(())
    };
    let unpacker = Unpacker::new(parts.with_pause(&mut pause), &header_bytes);
    let unpacker = unpacker.on("unpack", describe())?;
    let weaker = decode(unpacker, &describe, |summary, source| {
        if schema < S::SCHEMA {
            return Ok(migrate::<S, _>(schema, source)?.weaker_than(summary));
        }
        S::verify(summary, &mut Decoder::new(source))
            .map_err(|error| Refusal::Content(error.to_string()))
    })?;
    refuse_weaker(&weaker, &describe)?;
    Ok(header)
}

type Decoder<'a, 'b, F> = rmp_serde::Deserializer<ReadReader<&'a mut Unpacker<'b, F>>>;

fn decode<F: DiskFile, T>(
    mut unpacker: Unpacker<'_, F>,
    describe: &dyn Fn() -> String,
    decode: impl FnOnce(&[u8], &mut Unpacker<'_, F>) -> Result<T, Refusal>,
) -> Result<T, Error> {
    let text = |error: io::Error| Refusal::Content(error.to_string());
    let decoded = summary(&mut unpacker).map_err(text).and_then(|summary| {
        let decoded = decode(&summary, &mut unpacker)?;
        unpacker.end().map_err(text)?;
        Ok(decoded)
    });
    decoded.map_err(|refusal| match (unpacker.take_io_error(), refusal) {
        (Some(source), _) => Error::Io { action: "read", file: describe(), source },
        (None, Refusal::Content(why)) => Error::Unusable { file: describe(), why },
        (None, Refusal::Migration { found, wanted, machine, why }) => {
            Error::Migration { file: describe(), found, wanted, machine, why }
        }
    })
}

/// A file whose header is verified.
struct Opened<'a, F> {
    header: Header,
    /// The header as it is in the file; the hash in the trailer covers it.
    header_bytes: [u8; HEADER_BYTES],
    /// Positioned at the first chunk.
    parts: FileParts<'a, F>,
}

/// Verifies the header. Returns the schema of the state too, which may be older; a newer one is refused.
fn open_state<'a, S: StateMachine, F: DiskFile>(
    file: &'a F,
    describe: &dyn Fn() -> String,
) -> Result<(Opened<'a, F>, u32), Error> {
    let (opened, schema) = open(file, describe)?;
    if schema > S::SCHEMA {
        let why = format!("its schema is {schema}, this build reads {}", S::SCHEMA);
        return Err(Error::Newer { what: describe(), why });
    }
    Ok((opened, schema))
}

/// Verifies the header. Returns the schema of the state too.
fn open<'a, F: DiskFile>(
    file: &'a F,
    describe: &dyn Fn() -> String,
) -> Result<(Opened<'a, F>, u32), Error> {
    let unusable = || Error::Unusable { file: describe(), why: "the header is damaged".into() };
    let mut header_bytes = [0; HEADER_BYTES];
    let parts = FileParts::new(file, &mut header_bytes).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => unusable(),
        _ => Error::Io { action: "read", file: describe(), source: error },
    })?;
    let (header, format, schema) = decode_header(&header_bytes).ok_or_else(unusable)?;
    if format != FORMAT {
        let why = format!("its format is {format}, this build reads {FORMAT}");
        return Err(Error::Newer { what: describe(), why });
    }
    Ok((Opened { header, header_bytes, parts }, schema))
}
