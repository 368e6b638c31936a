//! Unpacking the next chunks while the one before is deserialised.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use super::chunk_decoder::ChunkDecoder;
use super::parts::FilePart;

/// So many parts are read and unpacked before they are asked for: at most 2 MiB each.
const PARTS_AHEAD: usize = 3;

/// A thread that opens parts in order.
pub(crate) struct Readahead {
    /// FileParts, and a buffer for what they unpack to.
    parts: SyncSender<(FilePart, Vec<u8>)>,
    opened: Receiver<io::Result<Vec<u8>>>,
    /// How many are on their way.
    waiting: usize,
    /// Why nothing more is read.
    end: Option<io::Result<()>>,
    used: Vec<Vec<u8>>,
}

impl Readahead {
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        mut decoder: ChunkDecoder,
    ) -> io::Result<Self> {
        let (parts, to_open) = sync_channel::<(FilePart, Vec<u8>)>(PARTS_AHEAD);
        let (done, opened) = sync_channel(PARTS_AHEAD);
        Builder::new().name("unpacker".into()).spawn_scoped(scope, move || {
            for (part, mut raw) in to_open {
                let result = decoder.decode(&part, &mut raw);
                if done.send(result.map(|()| raw)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { parts, opened, waiting: 0, end: None, used: Vec::new() })
    }

    /// The next part, opened, and nothing once the file has ended. `read` reads one from the file.
    pub(crate) fn next(
        &mut self,
        used: Vec<u8>,
        mut read: impl FnMut() -> io::Result<FilePart>,
    ) -> io::Result<Vec<u8>> {
        self.used.push(used);
        while self.end.is_none() && self.waiting < PARTS_AHEAD {
            match read() {
                Ok(part) => {
                    if matches!(part, FilePart::Trailer { .. }) {
                        self.end = Some(Ok(()));
                    }
                    let raw = self.used.pop().unwrap_or_default();
                    self.parts.send((part, raw)).map_err(io::Error::other)?;
                    self.waiting += 1;
                }
                Err(error) => self.end = Some(Err(error)),
            }
        }
        // What was read before an error is told before it.
        if self.waiting == 0 {
            return self.end.take().unwrap_or(Ok(())).map(|()| Vec::new());
        }
        self.waiting -= 1;
        self.opened.recv().map_err(io::Error::other)?
    }
}
