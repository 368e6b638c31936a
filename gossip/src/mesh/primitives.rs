//! The primitives of message layouts. Every decodable value has one encoding.

use crate::bytes::ByteReader;
use crate::did::Did;
use crate::limits::SEQ_MAX;

/// The most items of one message; each has at least 16 bytes.
const ITEMS_MAX: u64 = 4096;

pub(super) fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

/// Reads the two lowest bits of a byte; the others must not be set.
pub(super) fn flags(reader: &mut ByteReader<'_>) -> Option<[bool; 2]> {
    let byte = reader.u8()?;
    (byte < 4).then_some([byte & 1 > 0, byte & 2 > 0])
}

pub(super) fn did(reader: &mut ByteReader<'_>) -> Option<Did> {
    // A check that the key is a point of the curve would cost the core thread 30 ms for one frame of
    // heads. The signature check makes it.
    Some(Did::from_trusted(reader.array()?))
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7F) as u8);
}

/// Reads a varint in its shortest form only, so that every value has one encoding.
pub(super) fn varint(reader: &mut ByteReader<'_>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8()?;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads a sequence number that can have a successor.
pub(super) fn seq(reader: &mut ByteReader<'_>) -> Option<u64> {
    varint(reader).filter(|seq| *seq <= SEQ_MAX)
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn bytes<'a>(reader: &mut ByteReader<'a>) -> Option<&'a [u8]> {
    let count = usize::try_from(varint(reader)?).ok()?;
    reader.slice(count)
}

pub(super) fn put_list<T>(out: &mut Vec<u8>, list: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    put_varint(out, list.len() as u64);
    list.iter().for_each(|item| put(out, item));
}

pub(super) fn list<'a, T>(
    reader: &mut ByteReader<'a>,
    mut read: impl FnMut(&mut ByteReader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = varint(reader)?;
    if count > ITEMS_MAX {
        return None;
    }
    (0..count).map(|_| read(reader)).collect()
}
