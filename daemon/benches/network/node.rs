//! This program as one of the nodes it measures: what `icnd` does.

use std::io;
use std::path::Path;

use icn_daemon::config::{Config, Flags};

use crate::Outcome;

/// The first argument of a node; its directory, its address and those it dials follow.
pub(crate) const COMMAND: &str = "node";

/// Runs a node until it is told to stop.
pub(crate) fn run(data: &str, listen: &str, peers: &[String]) -> Outcome<()> {
    let flags = Flags {
        data_dir: Some(Path::new(data).to_owned()),
        http: Some("127.0.0.1:0".parse()?),
        listen: Some(listen.parse()?),
        peers: peers.iter().map(|peer| peer.parse()).collect::<Result<_, _>>()?,
        no_mdns: true,
        ..Flags::default()
    };
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let config = Config::load(&flags).map_err(|failure| failure.to_string())?;
    Ok(icn_daemon::run::run(&config).map_err(|failure| failure.to_string())?)
}
