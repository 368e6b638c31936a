//! What the threads of a node report of themselves.

use std::sync::Arc;

use super::health::Health;
use super::meter::Meter;

/// Metrics and health of one node, shared by its threads.
#[derive(Clone)]
pub(crate) struct Gauges {
    /// The metrics.
    pub(crate) meter: Arc<Meter>,
    /// The health.
    pub(crate) health: Arc<Health>,
}
