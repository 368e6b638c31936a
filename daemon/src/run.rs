//! The life of a process: recover, serve, stop in order.

pub(crate) mod recovery;
mod rng;
mod services;
mod signals;
mod start_report;
mod suspend;

use std::time::Duration;

use icn_net::Target;

use self::services::Services;
use self::start_report::Start;
use crate::config::Config;
use crate::control::codes;
use crate::data::datadir::DataDir;
use crate::data::keyfile;
use crate::failure::Failure;
use crate::output;
use crate::shell::peers::Peers;

/// How long open HTTP connections may delay the stop.
const LINGER: Duration = Duration::from_millis(200);

/// Recovers the node and runs it until a signal.
///
/// # Errors
/// Why it could not start, or, with exit code 74, that its log failed.
pub fn run(config: &Config) -> Result<(), Failure> {
    output::set_level(config.log);
    let directory = DataDir::own(&config.data_dir, config.unsafe_fs)?;
    let services = Services::open(config)?;
    let (mut node, created, took) = recovery::recover(config, &directory, &services.gauges)?;
    node.name_peers(config.peers.iter().filter_map(Target::did).collect());
    let recovery = node.recovery().clone();
    let peers = {
        let _runtime = services.runtime.enter();
        Peers::bind(config, keyfile::read(&config.data_dir)?)?
    };
    let started = Start {
        did: node.did(),
        created,
        directory: &config.data_dir,
        usual_directory: config.usual_directory,
        http: services.http,
        listen: peers.address().unwrap_or(config.listen),
        recovery: &recovery,
        took,
        has_topics: node.state().counts().topics > 0,
    };
    let outcome = services.serve(config, node, peers, &started);
    services.runtime.shutdown_timeout(LINGER);
    outcome
}

/// Makes the data directory and the key unless they exist. Returns the DID and whether it is new.
///
/// # Errors
/// Those of a start.
pub fn init(config: &Config) -> Result<(icn_gossip::Did, bool), Failure> {
    if keyfile::exists(&config.data_dir) {
        return Ok((keyfile::read(&config.data_dir)?.card.did, false));
    }
    let directory = DataDir::own(&config.data_dir, config.unsafe_fs)?;
    let (node, ..) = recovery::recover(config, &directory, &recovery::gauges()?)?;
    let did = node.did();
    node.close()?;
    Ok((did, true))
}

fn no_resources(error: &std::io::Error) -> Failure {
    let message = format!("The system refuses a resource that the node needs: {error}.");
    Failure::new(codes::NO_RESOURCES, message)
}
