//! The frames of a stream, as they come.

use bytes::Bytes;
use quinn::{ReadError, RecvStream};

use crate::frame::{Decoder, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, TooLarge};
use crate::hello::HELLO_BYTES_MAX;

/// How many pieces are taken from QUIC at a time.
const READ_PIECES: usize = 32;

/// Frames as they come.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: RecvStream,
    pub(crate) decoder: Decoder,
    pieces: [Bytes; READ_PIECES],
}

/// What came of waiting for more.
pub(crate) enum More {
    /// There is more.
    Some,
    /// The stream has ended.
    End,
    /// The connection is closed or about to be.
    Lost,
}

/// Why no frame came.
pub(crate) enum NoFrame {
    TooLarge,
    End,
    Lost,
}

impl Reader {
    /// Takes nothing larger than a Hello until [`Reader::open`].
    pub(crate) fn new(stream: RecvStream) -> Self {
        let decoder = Decoder::with_limit(FRAME_HEADER_BYTES + HELLO_BYTES_MAX);
        Self { stream, decoder, pieces: Default::default() }
    }

    /// The peer has said who it is.
    pub(crate) fn open(&mut self) {
        self.decoder.set_limit(FRAME_BYTES_MAX);
    }

    pub(crate) async fn frame(&mut self) -> Result<Frame, NoFrame> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(TooLarge { .. }) => return Err(NoFrame::TooLarge),
            }
            match self.more().await {
                More::Some => {}
                More::End => return Err(NoFrame::End),
                More::Lost => return Err(NoFrame::Lost),
            }
        }
    }

    pub(crate) async fn more(&mut self) -> More {
        match self.stream.read_chunks(&mut self.pieces).await {
            Ok(Some(count)) => {
                for piece in &mut self.pieces[..count] {
                    self.decoder.push(&std::mem::take(piece));
                }
                More::Some
            }
            // A stream that is reset is one that ended where it should not.
            Ok(None) | Err(ReadError::Reset(_)) => More::End,
            Err(_) => More::Lost,
        }
    }
}
