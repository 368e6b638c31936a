//! Messages as bytes. The layouts are in `docs/PROTOCOL.md`.

use bytes::Bytes;

use super::LinkError;
use super::digest::Digests;
use super::message::{Ask, Head, Interest, Message, StopReason, Want, WireEntry};
use super::primitives::{
    bytes, did, flag, flags, list, place, put_bytes, put_list, put_varint, varint,
};
use super::tag::{Root, Tag};
use crate::bytes::Cursor;
use crate::entry::Entry;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::topic::Genesis;

/// What the message kinds below this one are to a node that does not know them: nothing. From here
/// on they must be understood.
const MUST_KNOW: u8 = 0x80;

const MORE: u8 = 1;
const GENESIS_MISSING: u8 = 1;
const OF_A_NAME: u8 = 2;
const LAST: u8 = 1;
const NEWS: u8 = 2;

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
    /// Kind and body of the frame that carries it.
    #[must_use]
    pub fn encode(&self) -> (u8, Bytes) {
        let mut out = Vec::new();
        let kind = match self {
            Self::Interests { more, list } => {
                out.push(flag(*more, MORE));
                put_list(&mut out, list, |out, interest| {
                    out.extend_from_slice(&interest.tag.0);
                    out.push(
                        flag(interest.missing, GENESIS_MISSING) | flag(interest.named, OF_A_NAME),
                    );
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
            Self::Heads { tag, last, news, list } => {
                out.extend_from_slice(&tag.0);
                out.push(flag(*last, LAST) | flag(*news, NEWS));
                put_list(&mut out, list, |out, head| {
                    out.extend_from_slice(head.author.key());
                    out.extend_from_slice(&head.epoch.to_le_bytes());
                    put_varint(out, head.seq);
                    out.extend_from_slice(&head.hash);
                });
                5
            }
            Self::Want(list) => {
                put_list(&mut out, list, |out, want| {
                    put_varint(out, want.handle);
                    out.extend_from_slice(&want.tag.0);
                    out.extend_from_slice(want.author.key());
                    out.extend_from_slice(&want.epoch.to_le_bytes());
                    put_varint(out, want.after);
                    out.extend_from_slice(&want.hash);
                });
                6
            }
            Self::Entries { handle, first, list } => {
                out.reserve(list.iter().map(WireEntry::bytes).sum());
                put_varint(&mut out, *handle);
                put_varint(&mut out, *first);
                for entry in list {
                    out.push(entry.kind);
                    put_varint(&mut out, u64::from(entry.access_version));
                    put_varint(&mut out, entry.time_ms);
                    put_varint(&mut out, entry.payload.len() as u64);
                    out.extend_from_slice(&entry.signature);
                    out.extend_from_slice(&entry.payload);
                }
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
        };
        (kind, out.into())
    }

    /// The message in a frame; `None` for one that a node need not know.
    ///
    /// # Errors
    /// [`LinkError::Malformed`], [`LinkError::UnknownKind`].
    pub fn decode(kind: u8, body: &[u8]) -> Result<Option<Self>, LinkError> {
        let mut cursor = Cursor(body);
        let read = Self::read(kind, &mut cursor);
        match read {
            Some(Some(message)) if cursor.0.is_empty() => Ok(Some(message)),
            None if kind >= MUST_KNOW => Err(LinkError::UnknownKind),
            None => Ok(None),
            Some(_) => Err(LinkError::Malformed),
        }
    }

    /// `None` for an unknown kind, `Some(None)` for a malformed body.
    fn read(kind: u8, cursor: &mut Cursor<'_>) -> Option<Option<Self>> {
        Some(match kind {
            1 => Self::read_interests(cursor),
            2 => list(cursor, |cursor| Genesis::decode(bytes(cursor)?)).map(Self::Topics),
            3 => list(cursor, |cursor| Some((Tag(cursor.array()?), Root(cursor.array()?))))
                .map(Self::Roots),
            4 => list(cursor, read_ask).map(Self::Ask),
            5 => Self::read_heads(cursor),
            6 => list(cursor, read_want).map(Self::Want),
            7 => Self::read_entries(cursor),
            8 => varint(cursor).map(Self::Cease),
            9 => Self::read_stop(cursor),
            10 => Entry::decode(std::mem::take(&mut cursor.0))
                .ok()
                .map(|entry| Self::Dispute(Box::new(entry))),
            11 => Self::read_proof(cursor),
            12 => Self::read_base(cursor),
            _ => return None,
        })
    }

    fn read_interests(cursor: &mut Cursor<'_>) -> Option<Self> {
        let [more, false] = flags(cursor)? else { return None };
        let list = list(cursor, |cursor| {
            let tag = Tag(cursor.array()?);
            let [missing, named] = flags(cursor)?;
            Some(Interest { tag, missing, named })
        })?;
        Some(Self::Interests { more, list })
    }

    fn read_heads(cursor: &mut Cursor<'_>) -> Option<Self> {
        let tag = Tag(cursor.array()?);
        let [last, news] = flags(cursor)?;
        let list = list(cursor, |cursor| {
            Some(Head {
                author: did(cursor)?,
                epoch: cursor.u64()?,
                seq: varint(cursor)?,
                hash: cursor.array()?,
            })
        })?;
        Some(Self::Heads { tag, last, news, list })
    }

    fn read_entries(cursor: &mut Cursor<'_>) -> Option<Self> {
        let (handle, first) = (varint(cursor)?, place(cursor)?);
        let mut list = Vec::with_capacity(cursor.0.len() / (WireEntry::BYTES_MIN + 256) + 1);
        while !cursor.0.is_empty() {
            let kind = cursor.u8()?;
            let access_version = u32::try_from(varint(cursor)?).ok()?;
            let time_ms = varint(cursor)?;
            let bytes = usize::try_from(varint(cursor)?).ok()?;
            if bytes > PAYLOAD_BYTES_MAX {
                return None;
            }
            let signature = cursor.array()?;
            // Copied: a retained payload must not keep the whole frame in memory.
            let payload = Bytes::copy_from_slice(cursor.slice(bytes)?);
            list.push(WireEntry { kind, access_version, time_ms, signature, payload });
        }
        (!list.is_empty()).then_some(Self::Entries { handle, first, list })
    }

    fn read_stop(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self::Stop { handle: varint(cursor)?, reason: StopReason::from_code(cursor.u8()?) })
    }

    fn read_proof(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut entry = || Entry::decode(bytes(cursor)?).ok();
        Some(Self::Proof(Box::new((entry()?, entry()?))))
    }

    fn read_base(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self::Base { handle: varint(cursor)?, seq: place(cursor)?, hash: cursor.array()? })
    }
}

fn read_ask(cursor: &mut Cursor<'_>) -> Option<Ask> {
    Some(Ask { tag: Tag(cursor.array()?), digests: Digests::read(cursor)? })
}

fn read_want(cursor: &mut Cursor<'_>) -> Option<Want> {
    Some(Want {
        handle: varint(cursor)?,
        tag: Tag(cursor.array()?),
        author: did(cursor)?,
        epoch: cursor.u64()?,
        after: place(cursor)?,
        hash: cursor.array()?,
    })
}
