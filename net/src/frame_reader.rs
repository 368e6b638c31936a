//! Reads frames from the stream of a connection.

use bytes::Bytes;
use quinn::{ReadError, RecvStream};

use crate::frame::{Decoder, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, TooLarge};
use crate::hello::HELLO_BYTES_MAX;

/// The most chunks of bytes read from QUIC at a time.
const READ_PIECES: usize = 32;

/// Reads frames from the stream of a connection.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    pub(crate) decoder: Decoder,
    pieces: [Bytes; READ_PIECES],
}

/// The outcome of waiting for more bytes.
pub(crate) enum ReadOutcome {
    /// Bytes have arrived.
    Data,
    /// The peer has ended the stream.
    End,
    /// The connection is closed, or about to close.
    Lost,
}

/// Why no frame was read.
pub(crate) enum FrameReadError {
    TooLarge,
    End,
    Lost,
}

impl FrameReader {
    /// A reader that refuses a frame larger than a Hello until [`FrameReader::lift_limit`].
    pub(crate) fn new(stream: RecvStream) -> Self {
        let decoder = Decoder::with_limit(FRAME_HEADER_BYTES + HELLO_BYTES_MAX);
        Self { stream, decoder, pieces: Default::default() }
    }

    /// Accepts frames of any legal size: the peer has proven its identity.
    pub(crate) fn lift_limit(&mut self) {
        self.decoder.set_limit(FRAME_BYTES_MAX);
    }

    pub(crate) async fn next_frame(&mut self) -> Result<Frame, FrameReadError> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(TooLarge { .. }) => return Err(FrameReadError::TooLarge),
            }
            match self.read_more().await {
                ReadOutcome::Data => {}
                ReadOutcome::End => return Err(FrameReadError::End),
                ReadOutcome::Lost => return Err(FrameReadError::Lost),
            }
        }
    }

    pub(crate) async fn read_more(&mut self) -> ReadOutcome {
        match self.stream.read_chunks(&mut self.pieces).await {
            Ok(Some(count)) => {
                for piece in &mut self.pieces[..count] {
                    self.decoder.push(&std::mem::take(piece));
                }
                ReadOutcome::Data
            }
            // A reset ends the stream, too: the peer sends no more frames.
            Ok(None) | Err(ReadError::Reset(_)) => ReadOutcome::End,
            Err(_) => ReadOutcome::Lost,
        }
    }
}
