//! Unpacking the next chunks while the one before is deserialised.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use super::opener::Opener;
use super::pieces::Piece;

/// So many pieces are read and unpacked before they are asked for: at most 2 MiB each.
const AHEAD: usize = 3;

/// A thread that opens pieces in order.
pub(crate) struct Ahead {
    /// Pieces, and a buffer for what they unpack to.
    pieces: SyncSender<(Piece, Vec<u8>)>,
    opened: Receiver<io::Result<Vec<u8>>>,
    /// How many are on their way.
    waiting: usize,
    /// Why nothing more is read.
    end: Option<io::Result<()>>,
    used: Vec<Vec<u8>>,
}

impl Ahead {
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        mut opener: Opener,
    ) -> io::Result<Self> {
        let (pieces, to_open) = sync_channel::<(Piece, Vec<u8>)>(AHEAD);
        let (done, opened) = sync_channel(AHEAD);
        Builder::new().name("unpacker".into()).spawn_scoped(scope, move || {
            for (piece, mut raw) in to_open {
                let result = opener.open(&piece, &mut raw);
                if done.send(result.map(|()| raw)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { pieces, opened, waiting: 0, end: None, used: Vec::new() })
    }

    /// The next piece, opened, and nothing once the file has ended. `read` reads one from the file.
    pub(crate) fn next(
        &mut self,
        used: Vec<u8>,
        mut read: impl FnMut() -> io::Result<Piece>,
    ) -> io::Result<Vec<u8>> {
        self.used.push(used);
        while self.end.is_none() && self.waiting < AHEAD {
            match read() {
                Ok(piece) => {
                    if matches!(piece, Piece::Trailer { .. }) {
                        self.end = Some(Ok(()));
                    }
                    let raw = self.used.pop().unwrap_or_default();
                    self.pieces.send((piece, raw)).map_err(io::Error::other)?;
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
