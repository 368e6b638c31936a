//! One frame of a stream: kind, length and body.
//!
//! ```text
//! offset bytes field
//!      0     1 kind
//!      1     3 length of the body (little-endian)
//!      4     n body
//! ```
//!
//! A frame has no checksum: QUIC delivers exactly the bytes that were sent, or fails.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The largest frame, header included: 256 KiB. Of each stream, this node buffers at most one
/// incomplete frame.
pub const FRAME_BYTES_MAX: usize = 256 << 10;

/// The size of a frame header in bytes.
pub const FRAME_HEADER_BYTES: usize = 4;

const _: () = assert!(FRAME_BYTES_MAX < 1 << 24);
const _: () = assert!(icn_gossip::limits::ENTRY_BYTES_MAX * 2 < FRAME_BYTES_MAX);

/// One frame of a stream: a kind and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    kind: u8,
    body: Bytes,
}

/// The frame is larger than the limit at this point of the stream. The stream cannot be read any
/// further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes, where at most {limit} are allowed")]
pub struct TooLarge {
    /// The size of the frame in bytes, header included.
    pub bytes: usize,
    /// The largest size allowed, in bytes.
    pub limit: usize,
}

/// The stream ended within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream ended {bytes} bytes into a frame")]
pub struct Truncated {
    /// How many bytes of the frame had arrived.
    pub bytes: usize,
}

impl Frame {
    /// A frame of this kind with this body.
    ///
    /// # Errors
    /// [`TooLarge`] above [`FRAME_BYTES_MAX`].
    pub fn new(kind: u8, body: impl Into<Bytes>) -> Result<Self, TooLarge> {
        let body = body.into();
        let bytes = FRAME_HEADER_BYTES + body.len();
        if bytes > FRAME_BYTES_MAX {
            return Err(TooLarge { bytes, limit: FRAME_BYTES_MAX });
        }
        Ok(Self { kind, body })
    }

    /// The kind, which says how to decode the body.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Appends the encoded frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(FRAME_HEADER_BYTES + self.body.len());
        out.put_u8(self.kind);
        out.put_uint_le(self.body.len() as u64, 3);
        out.put_slice(&self.body);
    }
}

/// Splits the bytes of a stream into frames, whatever pieces they arrive in. It buffers at most one
/// incomplete frame and the bytes of the last push.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_limit(FRAME_BYTES_MAX)
    }
}

impl Decoder {
    /// A decoder that refuses frames of more than `limit` bytes or [`FRAME_BYTES_MAX`], whichever
    /// is smaller.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit: limit.min(FRAME_BYTES_MAX) }
    }

    /// Changes the limit from the next frame on. It is low until a peer has proven its identity.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(FRAME_BYTES_MAX);
    }

    /// Appends bytes that have arrived. The caller takes out all frames before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next frame, or `None` until it has arrived whole. Between two frames the decoder
    /// holds no memory.
    ///
    /// # Errors
    /// [`TooLarge`] as soon as the header exceeds the limit, and again on every later call.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, TooLarge> {
        let Some(&[kind, low, middle, high]) = self.buffer.first_chunk() else {
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            return Ok(None);
        };
        let bytes = FRAME_HEADER_BYTES + u32::from_le_bytes([low, middle, high, 0]) as usize;
        if bytes > self.limit {
            return Err(TooLarge { bytes, limit: self.limit });
        }
        if self.buffer.len() < bytes {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(bytes);
        frame.advance(FRAME_HEADER_BYTES);
        Ok(Some(Frame { kind, body: frame.freeze() }))
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`Truncated`] if the stream ended within a frame.
    pub fn finish(self) -> Result<(), Truncated> {
        match self.buffer.len() {
            0 => Ok(()),
            bytes => Err(Truncated { bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_round_trip_whatever_pieces_they_arrive_in(
            frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..64)), 0..8),
            cuts in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let frames: Vec<_> =
                frames.into_iter().map(|(kind, body)| Frame::new(kind, body).unwrap()).collect();
            let mut wire = BytesMut::new();
            frames.iter().for_each(|frame| frame.encode(&mut wire));
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            let mut cut = cuts.iter().cycle();
            while !wire.is_empty() {
                let count = cut.next().map_or(1, |&count| count).min(wire.len());
                decoder.push(&wire.split_to(count));
                while let Some(frame) = decoder.next_frame().unwrap() {
                    out.push(frame);
                }
            }
            prop_assert_eq!(out, frames);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_from_its_header_alone() {
        let largest = Frame::new(1, vec![0; FRAME_BYTES_MAX - FRAME_HEADER_BYTES]).unwrap();
        let mut wire = BytesMut::new();
        largest.encode(&mut wire);
        let mut decoder = Decoder::default();
        decoder.push(&wire);
        assert_eq!(decoder.next_frame(), Ok(Some(largest)));

        let bytes = FRAME_BYTES_MAX + 1;
        let refused = TooLarge { bytes, limit: FRAME_BYTES_MAX };
        assert_eq!(Frame::new(1, vec![0; bytes - FRAME_HEADER_BYTES]), Err(refused));
        let length = u32::try_from(bytes - FRAME_HEADER_BYTES).unwrap().to_le_bytes();
        decoder.push(&[1, length[0], length[1], length[2]]);
        assert_eq!(decoder.next_frame(), Err(refused));
        assert_eq!(decoder.next_frame(), Err(refused));

        let mut early = Decoder::with_limit(16);
        early.push(&[0, 13, 0, 0]);
        assert_eq!(early.next_frame(), Err(TooLarge { bytes: 17, limit: 16 }));
        early.set_limit(17);
        assert_eq!(early.next_frame(), Ok(None));
        assert_eq!(early.finish(), Err(Truncated { bytes: 4 }));
    }
}
