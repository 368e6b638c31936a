//! The frames of a stream, as they come.

use bytes::Bytes;
use quinn::{ReadError, RecvStream};

use crate::frame::{Decoder, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, TooLarge};
use crate::hello::HELLO_BYTES_MAX;

/// How many pieces are taken from QUIC at a time.
const READ_PIECES: usize = 32;

/// Frames as they come.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    pub(crate) decoder: Decoder,
    pieces: [Bytes; READ_PIECES],
}

/// What came of waiting for more.
pub(crate) enum ReadOutcome {
    /// There is more.
    Data,
    /// The stream has ended.
    End,
    /// The connection is closed or about to be.
    Lost,
}

/// Why no frame came.
pub(crate) enum FrameReadError {
    TooLarge,
    End,
    Lost,
}

impl FrameReader {
    /// Takes nothing larger than a Hello until [`FrameReader::lift_limit`].
    pub(crate) fn new(stream: RecvStream) -> Self {
        let decoder = Decoder::with_limit(FRAME_HEADER_BYTES + HELLO_BYTES_MAX);
        Self { stream, decoder, pieces: Default::default() }
    }

    /// The peer has said who it is.
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
            // A stream that is reset is one that ended where it should not.
            Ok(None) | Err(ReadError::Reset(_)) => ReadOutcome::End,
            Err(_) => ReadOutcome::Lost,
        }
    }
}
