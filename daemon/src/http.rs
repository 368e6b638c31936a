//! Health, metrics and the first page, on loopback.

pub(crate) mod gauges;
pub(crate) mod health;
pub(crate) mod meter;
mod page;
pub(crate) mod server;
pub(crate) mod site;
