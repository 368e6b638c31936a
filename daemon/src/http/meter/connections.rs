//! The connections of both sockets, and the files that the process has open.

use metrics::{Counter, Gauge};

use super::{gauge, real};
use crate::files;

/// The connections of one socket.
#[derive(Clone)]
pub(crate) struct ConnectionMeter {
    /// The socket, for the log.
    pub(crate) kind: &'static str,
    /// Connections that are open.
    pub(crate) open: Gauge,
    most: Gauge,
    /// Connections that ended in favour of a new one.
    pub(crate) replaced: Counter,
    /// Connections that ended since their client was too slow.
    pub(crate) slow: Counter,
}

impl ConnectionMeter {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            open: metrics::gauge!("icn_connections_open", "socket" => kind),
            most: metrics::gauge!("icn_connections_max", "socket" => kind),
            replaced: metrics::counter!("icn_connections_replaced_total", "socket" => kind),
            slow: metrics::counter!("icn_connections_slow_total", "socket" => kind),
        }
    }

    /// Sets the bound.
    pub(crate) fn most(&self, most: usize) {
        self.most.set(real(most as u64));
    }
}

/// Both sockets, and the files.
pub(super) struct FileMeter {
    pub(super) http: ConnectionMeter,
    pub(super) control: ConnectionMeter,
    open: Gauge,
    most: Gauge,
}

impl FileMeter {
    pub(super) fn new() -> Self {
        metrics::describe_gauge!("icn_connections_open", "Connections that are open, by socket.");
        metrics::describe_gauge!("icn_connections_max", "Connections that may be open, by socket.");
        metrics::describe_counter!(
            "icn_connections_replaced_total",
            "Connections that waited for their client and ended in favour of a new one, by socket."
        );
        metrics::describe_counter!(
            "icn_connections_slow_total",
            "Connections that ended since their client was too slow, by socket."
        );
        Self {
            http: ConnectionMeter::new("http"),
            control: ConnectionMeter::new("control"),
            open: gauge("icn_files_open", "Files and sockets that the process has open."),
            most: gauge("icn_files_max", "Files and sockets that the process may have open."),
        }
    }

    /// Measures the files of the process.
    pub(super) fn measure(&self) {
        if let Some(open) = files::open() {
            self.open.set(real(open));
        }
        self.most.set(real(files::most()));
    }
}
