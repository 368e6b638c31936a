//! Encodes and decodes messages. The layouts are in `docs/PROTOCOL.md`.

use bytes::Bytes;

use super::LinkError;
use super::digest::Digests;
use super::message::{Ask, Head, Interest, Message, StopReason, Want, WireEntry};
use super::primitives::{
    bytes, did, flag, flags, list, put_bytes, put_list, put_varint, seq, varint,
};
use super::tag::{Root, Tag};
use crate::bytes::ByteReader;
use crate::entry::Entry;
use crate::limits::{FOUND_MAX, PAYLOAD_BYTES_MAX};
use crate::topic::Genesis;

/// Unknown message kinds below this one are skipped; from this one on they close the link.
const MUST_KNOW: u8 = 0x80;

const MORE: u8 = 1;
const GENESIS_MISSING: u8 = 1;
const LAST: u8 = 1;
const UNSOLICITED: u8 = 2;

impl StopReason {
    fn code(self) -> u8 {
        match self {
            Self::Ceased => 1,
            Self::NotServed => 2,
            Self::Frozen => 3,
            Self::Forked => 4,
            Self::NoSource => 5,
            Self::Other(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Ceased,
            2 => Self::NotServed,
            3 => Self::Frozen,
            4 => Self::Forked,
            5 => Self::NoSource,
            code => Self::Other(code),
        }
    }
}

impl Message {
    /// The kind and body of the message's frame.
    #[must_use]
    pub fn encode(&self) -> (u8, Bytes) {
        let mut out = Vec::new();
        let kind = match self {
            Self::Interests { more, list } => {
                out.push(flag(*more, MORE));
                put_list(&mut out, list, |out, interest| {
                    out.extend_from_slice(&interest.tag.0);
                    out.push(flag(interest.missing, GENESIS_MISSING));
                });
                1
            }
            Self::Topics(list) => {
                put_list(&mut out, list, |out, genesis| put_bytes(out, &genesis.encode()));
                2
            }
            Self::Roots(list) => {
                put_list(&mut out, list, |out, (tag, root)| {
                    out.extend_from_slice(&tag.0);
                    out.extend_from_slice(&root.0);
                });
                3
            }
            Self::Ask(list) => {
                put_list(&mut out, list, |out, ask| {
                    out.extend_from_slice(&ask.tag.0);
                    ask.digests.put(out);
                });
                4
            }
            Self::Heads { tag, last, unsolicited, list } => {
                out.extend_from_slice(&tag.0);
                out.push(flag(*last, LAST) | flag(*unsolicited, UNSOLICITED));
                put_list(&mut out, list, |out, head| {
                    out.extend_from_slice(head.author.key());
                    out.extend_from_slice(&head.epoch.to_le_bytes());
                    put_varint(out, head.seq);
                    out.extend_from_slice(&head.hash);
                });
                5
            }
            Self::Want(list) => {
                put_list(&mut out, list, put_want);
                6
            }
            Self::Entries { handle, first, list } => {
                out.reserve(list.iter().map(WireEntry::bytes).sum());
                put_varint(&mut out, *handle);
                put_varint(&mut out, *first);
                list.iter().for_each(|entry| put_wire_entry(&mut out, entry));
                7
            }
            Self::Cease(handle) => {
                put_varint(&mut out, *handle);
                8
            }
            Self::Stop { handle, reason } => {
                put_varint(&mut out, *handle);
                out.push(reason.code());
                9
            }
            Self::Dispute(entry) => {
                out.extend_from_slice(&entry.encode());
                10
            }
            Self::Proof(entries) => {
                put_bytes(&mut out, &entries.0.encode());
                put_bytes(&mut out, &entries.1.encode());
                11
            }
            Self::Base { handle, seq, hash } => {
                put_varint(&mut out, *handle);
                put_varint(&mut out, *seq);
                out.extend_from_slice(hash);
                12
            }
            Self::Held { tag, epoch, ahead_ms } => {
                out.extend_from_slice(&tag.0);
                out.extend_from_slice(&epoch.to_le_bytes());
                put_varint(&mut out, *ahead_ms);
                15
            }
            Self::Find(tag) => {
                out.extend_from_slice(&tag.0);
                13
            }
            Self::Found { tag, list } => {
                out.extend_from_slice(&tag.0);
                put_list(&mut out, list, |out, genesis| put_bytes(out, &genesis.encode()));
                14
            }
            Self::Clock(wall_ms) => {
                put_varint(&mut out, *wall_ms);
                16
            }
            Self::Fetch(want) => {
                put_want(&mut out, want);
                17
            }
            Self::Fetched { handle, previous, list } => {
                out.reserve(list.iter().map(WireEntry::bytes).sum());
                put_varint(&mut out, *handle);
                if !list.is_empty() {
                    out.extend_from_slice(previous);
                }
                list.iter().for_each(|entry| put_wire_entry(&mut out, entry));
                18
            }
        };
        (kind, out.into())
    }

    /// Decodes the message of a frame; `None` for an unknown kind that may be skipped.
    ///
    /// # Errors
    /// [`LinkError::Malformed`] for a malformed body, [`LinkError::UnknownKind`] for an unknown kind that
    /// must be understood.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Option<Self>, LinkError> {
        let mut reader = ByteReader(body);
        let read = Self::read(kind, &mut reader);
        match read {
            Some(Some(message)) if reader.0.is_empty() => Ok(Some(message)),
            None if kind >= MUST_KNOW => Err(LinkError::UnknownKind),
            None => Ok(None),
            Some(_) => Err(LinkError::Malformed),
        }
    }

    /// `None` for an unknown kind, `Some(None)` for a malformed body.
    fn read(kind: u8, reader: &mut ByteReader<'_>) -> Option<Option<Self>> {
        Some(match kind {
            1 => Self::read_interests(reader),
            2 => list(reader, read_genesis).map(Self::Topics),
            3 => list(reader, |reader| Some((Tag(reader.array()?), Root(reader.array()?))))
                .map(Self::Roots),
            4 => list(reader, read_ask).map(Self::Ask),
            5 => Self::read_heads(reader),
            6 => list(reader, read_want).map(Self::Want),
            7 => Self::read_entries(reader),
            8 => varint(reader).map(Self::Cease),
            9 => Self::read_stop(reader),
            10 => Entry::decode(std::mem::take(&mut reader.0))
                .ok()
                .map(|entry| Self::Dispute(Box::new(entry))),
            11 => Self::read_proof(reader),
            12 => Self::read_base(reader),
            13 => reader.array().map(Tag).map(Self::Find),
            14 => Self::read_found(reader),
            15 => Self::read_held(reader),
            16 => varint(reader).map(Self::Clock),
            17 => read_want(reader).map(Self::Fetch),
            18 => Self::read_fetched(reader),
            _ => return None,
        })
    }

    fn read_interests(reader: &mut ByteReader<'_>) -> Option<Self> {
        let [more, false] = flags(reader)? else { return None };
        let list = list(reader, |reader| {
            let tag = Tag(reader.array()?);
            let [missing, false] = flags(reader)? else { return None };
            Some(Interest { tag, missing })
        })?;
        Some(Self::Interests { more, list })
    }

    fn read_heads(reader: &mut ByteReader<'_>) -> Option<Self> {
        let tag = Tag(reader.array()?);
        let [last, unsolicited] = flags(reader)?;
        let list = list(reader, |reader| {
            Some(Head {
                author: did(reader)?,
                epoch: reader.u64()?,
                seq: varint(reader)?,
                hash: reader.array()?,
            })
        })?;
        Some(Self::Heads { tag, last, unsolicited, list })
    }

    fn read_entries(reader: &mut ByteReader<'_>) -> Option<Self> {
        let handle = varint(reader)?;
        let first = seq(reader)?;
        let list = read_wire_entries(reader)?;
        (!list.is_empty()).then_some(Self::Entries { handle, first, list })
    }

    fn read_fetched(reader: &mut ByteReader<'_>) -> Option<Self> {
        let handle = varint(reader)?;
        if reader.0.is_empty() {
            return Some(Self::Fetched { handle, previous: [0; 32], list: Vec::new() });
        }
        let previous = reader.array()?;
        let list = read_wire_entries(reader)?;
        (!list.is_empty()).then_some(Self::Fetched { handle, previous, list })
    }

    fn read_stop(reader: &mut ByteReader<'_>) -> Option<Self> {
        Some(Self::Stop { handle: varint(reader)?, reason: StopReason::from_code(reader.u8()?) })
    }

    fn read_proof(reader: &mut ByteReader<'_>) -> Option<Self> {
        let mut entry = || Entry::decode(bytes(reader)?).ok();
        Some(Self::Proof(Box::new((entry()?, entry()?))))
    }

    fn read_base(reader: &mut ByteReader<'_>) -> Option<Self> {
        Some(Self::Base { handle: varint(reader)?, seq: seq(reader)?, hash: reader.array()? })
    }

    fn read_held(reader: &mut ByteReader<'_>) -> Option<Self> {
        let tag = Tag(reader.array()?);
        Some(Self::Held { tag, epoch: reader.u64()?, ahead_ms: varint(reader)? })
    }

    fn read_found(reader: &mut ByteReader<'_>) -> Option<Self> {
        let tag = Tag(reader.array()?);
        let list = list(reader, read_genesis)?;
        (list.len() <= FOUND_MAX).then_some(Self::Found { tag, list })
    }
}

fn put_want(out: &mut Vec<u8>, want: &Want) {
    put_varint(out, want.handle);
    out.extend_from_slice(&want.tag.0);
    out.extend_from_slice(want.author.key());
    out.extend_from_slice(&want.epoch.to_le_bytes());
    put_varint(out, want.after);
    out.extend_from_slice(&want.hash);
}

fn put_wire_entry(out: &mut Vec<u8>, entry: &WireEntry) {
    out.push(entry.kind);
    put_varint(out, u64::from(entry.access_version));
    put_varint(out, entry.time_ms);
    put_varint(out, entry.payload.len() as u64);
    out.extend_from_slice(&entry.signature);
    out.extend_from_slice(&entry.payload);
}

/// Reads wire entries up to the end of the body.
fn read_wire_entries(reader: &mut ByteReader<'_>) -> Option<Vec<WireEntry>> {
    let mut list = Vec::with_capacity(reader.0.len() / (WireEntry::BYTES_MIN + 256) + 1);
    while !reader.0.is_empty() {
        let kind = reader.u8()?;
        let access_version = u32::try_from(varint(reader)?).ok()?;
        let time_ms = varint(reader)?;
        let bytes = usize::try_from(varint(reader)?).ok()?;
        if bytes > PAYLOAD_BYTES_MAX {
            return None;
        }
        let signature = reader.array()?;
        // Copied: a retained payload must not keep the whole frame in memory.
        let payload = Bytes::copy_from_slice(reader.slice(bytes)?);
        list.push(WireEntry { kind, access_version, time_ms, signature, payload });
    }
    Some(list)
}

fn read_genesis(reader: &mut ByteReader<'_>) -> Option<Genesis> {
    Genesis::decode(bytes(reader)?)
}

fn read_ask(reader: &mut ByteReader<'_>) -> Option<Ask> {
    Some(Ask { tag: Tag(reader.array()?), digests: Digests::read(reader)? })
}

fn read_want(reader: &mut ByteReader<'_>) -> Option<Want> {
    Some(Want {
        handle: varint(reader)?,
        tag: Tag(reader.array()?),
        author: did(reader)?,
        epoch: reader.u64()?,
        after: seq(reader)?,
        hash: reader.array()?,
    })
}
