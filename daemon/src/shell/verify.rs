//! The verify thread: checks signatures, which at 10 to 35 µs each would be most of the core's work.

use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};

use icn_gossip::Entry;
use icn_gossip::mesh::Batch;
use rayon::prelude::*;
use tokio::sync::mpsc;

use crate::node::PeerEvent;
use crate::shell::inbox::{Credit, Input};

/// A batch, and the credits that its link gets back once it is verified.
pub(crate) type Unverified = (Batch, Vec<Credit>);

/// Entries that are verified together: with more of them each takes hardly less time.
const CHUNK_ENTRIES: usize = 64;

/// Starts the thread, which ends when the sender is dropped. Verdicts return in the order of the batches;
/// all processors share one batch.
///
/// # Errors
/// When the system cannot start a thread.
pub(crate) fn start(
    inbox: mpsc::WeakSender<Input>,
) -> std::io::Result<(std_mpsc::Sender<Unverified>, JoinHandle<()>)> {
    let (sender, batches) = std_mpsc::channel::<Unverified>();
    let thread = thread::Builder::new().name("verify".into()).spawn(move || {
        for (batch, credits) in batches {
            let entries = batch.entries();
            let valid = if entries.len() > CHUNK_ENTRIES {
                entries.par_chunks(CHUNK_ENTRIES).all(|chunk| Entry::verify_all(chunk).is_ok())
            } else {
                // Too few to be worth waking another thread.
                Entry::verify_all(entries).is_ok()
            };
            // The node is stopping.
            let Some(inbox) = inbox.upgrade() else { continue };
            let verified = PeerEvent::Verified { batch, valid };
            let _ = inbox.blocking_send(Input::Peer(verified, None));
            drop(credits);
        }
    })?;
    Ok((sender, thread))
}
