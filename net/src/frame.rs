//! One frame of a stream: what kind it is, how long it is, and its body.
//!
//! ```text
//! offset bytes field
//!      0     1 kind
//!      1     3 length of the body (little-endian)
//!      4     n body
//! ```
//!
//! There is no checksum: QUIC delivers what was sent, or nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The largest frame, header included: 256 KiB. A peer can make us hold no more than one of them
/// per stream.
pub const FRAME_BYTES_MAX: usize = 256 << 10;

/// The bytes before the body.
pub const FRAME_HEADER_BYTES: usize = 4;

const _: () = assert!(FRAME_BYTES_MAX < 1 << 24);
const _: () = assert!(icn_gossip::limits::ENTRY_BYTES_MAX * 2 < FRAME_BYTES_MAX);

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    kind: u8,
    body: Bytes,
}

/// The frame is larger than may be sent at this point. A stream that announces one cannot be read
/// any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes, where at most {limit} are allowed")]
pub struct TooLarge {
    /// Its bytes, header included.
    pub bytes: usize,
    /// The most there may be.
    pub limit: usize,
}

/// The stream ended within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream ended {bytes} bytes into a frame")]
pub struct Truncated {
    /// The bytes of the frame that had come.
    pub bytes: usize,
}

impl Frame {
    /// A frame to send.
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

    /// What the body is.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// What it carries.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Appends the frame to what is to be sent.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(FRAME_HEADER_BYTES + self.body.len());
        out.put_u8(self.kind);
        out.put_uint_le(self.body.len() as u64, 3);
        out.put_slice(&self.body);
    }
}

/// Divides the bytes of a stream into frames, however they arrive. It holds at most one frame and
/// what was pushed last.
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
    /// A decoder that takes no frame of more than `limit` bytes, nor of more than
    /// [`FRAME_BYTES_MAX`].
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit: limit.min(FRAME_BYTES_MAX) }
    }

    /// Changes the limit from the next frame on: it is low until a peer has said who it is.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(FRAME_BYTES_MAX);
    }

    /// Takes what has arrived. Take the frames out before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` until it has arrived whole. A decoder between two frames holds no
    /// memory.
    ///
    /// # Errors
    /// [`TooLarge`], as soon as its header says so and again on every later call.
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

    /// The stream has ended.
    ///
    /// # Errors
    /// [`Truncated`] when it ended within a frame.
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
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..64)), 0..8),
            cuts in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let frames: Vec<_> =
                frames.into_iter().map(|(kind, body)| Frame::new(kind, body).unwrap()).collect();
            let mut wire = BytesMut::new();
            frames.iter().for_each(|frame| frame.encode(&mut wire));
            let mut decoder = Decoder::default();
            let (mut out, mut cut) = (Vec::new(), cuts.iter().cycle());
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
    fn a_frame_over_the_limit_is_refused_by_its_header_alone() {
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
