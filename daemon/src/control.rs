//! The control socket: requests and replies as JSON lines, and both ends of the connection.

pub(crate) mod client;
pub mod codes;
pub mod reply;
pub mod request;
pub(crate) mod server;
pub(crate) mod socket;
mod stream;
pub(crate) mod subscribers;
pub(crate) mod waiting;
