//! Unpacking the next chunks while an earlier one is deserialised.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use super::chunk_decoder::ChunkDecoder;
use super::parts::FilePart;

/// How many parts are read and unpacked in advance: at most 2 MiB each.
const PARTS_AHEAD: usize = 3;

/// A thread that decodes parts in order.
pub(crate) struct Readahead {
    /// Parts to decode, each with a buffer for its raw bytes.
    parts: SyncSender<(FilePart, Vec<u8>)>,
    decoded: Receiver<io::Result<Vec<u8>>>,
    /// How many parts were sent and not yet received.
    in_flight: usize,
    /// Set once reading has ended: after the trailer, or with an error.
    end: Option<io::Result<()>>,
    /// Buffers to use again.
    buffers: Vec<Vec<u8>>,
}

impl Readahead {
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        mut decoder: ChunkDecoder,
    ) -> io::Result<Self> {
        let (parts, to_decode) = sync_channel::<(FilePart, Vec<u8>)>(PARTS_AHEAD);
        let (done, decoded) = sync_channel(PARTS_AHEAD);
        Builder::new().name("unpacker".into()).spawn_scoped(scope, move || {
            for (part, mut raw) in to_decode {
                let result = decoder.decode(&part, &mut raw);
                if done.send(result.map(|()| raw)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { parts, decoded, in_flight: 0, end: None, buffers: Vec::new() })
    }

    /// The raw bytes of the next chunk, empty after the trailer. `read` reads one part from the file, and
    /// `used` is a buffer to use again.
    pub(crate) fn next(
        &mut self,
        used: Vec<u8>,
        mut read: impl FnMut() -> io::Result<FilePart>,
    ) -> io::Result<Vec<u8>> {
        self.buffers.push(used);
        while self.end.is_none() && self.in_flight < PARTS_AHEAD {
            match read() {
                Ok(part) => {
                    if matches!(part, FilePart::Trailer { .. }) {
                        self.end = Some(Ok(()));
                    }
                    let raw = self.buffers.pop().unwrap_or_default();
                    self.parts.send((part, raw)).map_err(io::Error::other)?;
                    self.in_flight += 1;
                }
                Err(error) => self.end = Some(Err(error)),
            }
        }
        // Parts read before an error are returned before the error.
        if self.in_flight == 0 {
            return self.end.take().unwrap_or(Ok(())).map(|()| Vec::new());
        }
        self.in_flight -= 1;
        self.decoded.recv().map_err(io::Error::other)?
    }
}
