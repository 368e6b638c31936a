//! Checking signatures beside the core: at 10 to 35 µs each they would be most of its work.

use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};

use icn_gossip::Entry;
use icn_gossip::mesh::Batch;
use rayon::prelude::*;
use tokio::sync::mpsc;

use crate::node::PeerEvent;
use crate::shell::{Credit, Input};

/// A batch, and what its link waits for until it is checked.
pub(crate) type Unchecked = (Batch, Vec<Credit>);

/// How many entries are checked at once: more of them take hardly less time for each.
const SHARE: usize = 64;

/// Starts the thread. Batches come back in the order they went in, each checked by all processors.
/// It ends when the sender is dropped.
///
/// # Errors
/// When the system has no thread to give.
pub(crate) fn start(
    inbox: mpsc::WeakSender<Input>,
) -> std::io::Result<(std_mpsc::Sender<Unchecked>, JoinHandle<()>)> {
    let (sender, batches) = std_mpsc::channel::<Unchecked>();
    let thread = thread::Builder::new().name("verify".into()).spawn(move || {
        for (batch, credits) in batches {
            let entries = batch.entries();
            let valid = if entries.len() > SHARE {
                entries.par_chunks(SHARE).all(|share| Entry::verify_all(share).is_ok())
            } else {
                // Not even one other thread is woken.
                Entry::verify_all(entries).is_ok()
            };
            // The node is ending; nobody waits for it.
            let Some(inbox) = inbox.upgrade() else { continue };
            let verified = PeerEvent::Verified { batch, valid };
            let _ = inbox.blocking_send(Input::Peer(verified, None));
            drop(credits);
        }
    })?;
    Ok((sender, thread))
}
