//! The random numbers of a running node.

use crate::exit;
use crate::node::Rng;
use crate::output;

/// Random numbers of the operating system.
pub(super) struct SystemRng;

impl Rng for SystemRng {
    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        if let Err(error) = getrandom::fill(&mut bytes) {
            // A repeated epoch number would fork the log of this node.
            tracing::error!("The system provides no random numbers: {error}");
            output::exit(exit::FAILED);
        }
        u64::from_le_bytes(bytes)
    }
}
