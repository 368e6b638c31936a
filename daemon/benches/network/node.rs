//! This program as the nodes it measures: what `icnd` does.

use std::io;
use std::path::Path;
use std::thread;

use icn_daemon::config::Flags;

use crate::Outcome;

/// The first argument of a process of nodes.
pub(crate) const COMMAND: &str = "nodes";

/// What comes before each: its directory, its address and those it dials follow.
pub(crate) const NEXT: &str = "--";

/// Runs nodes until they are told to stop, each on threads of its own.
pub(crate) fn run(nodes: &[String]) -> Outcome<()> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    thread::scope(|scope| {
        let nodes = nodes.split(|word| word == NEXT).filter(|node| !node.is_empty());
        let threads: Vec<_> = nodes.map(|node| scope.spawn(|| run_one(node))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a node has panicked")?)
    })
}

fn run_one(node: &[String]) -> Outcome<()> {
    let [data, listen, peers @ ..] = node else { return Err("a node has a place".into()) };
    let flags = Flags {
        data_dir: Some(Path::new(data).to_owned()),
        http: Some("127.0.0.1:0".parse()?),
        listen: Some(listen.parse()?),
        peers: peers.iter().map(|peer| peer.parse()).collect::<Result<_, _>>()?,
        no_mdns: true,
        ..Flags::default()
    };
    Ok(icn_daemon::run::run(&flags).map_err(|failure| failure.to_string())?)
}
