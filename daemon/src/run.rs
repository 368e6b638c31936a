//! The life of a process: recover, serve, stop in order.

mod files;
pub(crate) mod recovery;
mod reload;
mod rng;
mod services;
mod signals;
mod start_report;
mod suspend;

use std::time::Duration;

use icn_net::Target;

use self::recovery::Recovered;
use self::services::{Services, Waiting};
use self::signals::Signals;
use self::start_report::Start;
use crate::config::{Config, Flags};
use crate::control::codes;
use crate::data::datadir::{self, DataDir};
use crate::data::keyfile;
use crate::failure::Failure;
use crate::files::Budget;
use crate::output;
use crate::shell::peers::Peers;

/// How long open HTTP connections may delay the stop.
const LINGER: Duration = Duration::from_millis(200);

/// Recovers the node and runs it until a signal.
///
/// # Errors
/// Why it could not start, or, with exit code 74, that its log failed.
pub fn run(flags: &Flags) -> Result<(), Failure> {
    // Before all else: from here on no signal is lost, and none ends the node like a crash.
    let signals = Signals::start().map_err(|error| no_resources(&error))?;
    let config = Config::load(flags)?;
    output::set_level(config.log);
    if config.must_exist {
        datadir::must_exist(&config.data_dir)?;
    }
    let budget = files::claim()?;
    let directory = DataDir::own(&config.data_dir, config.unsafe_fs)?;
    let services = Services::open(&config)?;
    let waiting = services.answer_starting(&config)?;
    let life = Life { flags, config: &config, signals: &signals, budget };
    let outcome = start(&life, &directory, &services, waiting);
    services::remove_socket(&config);
    services.runtime.shutdown_timeout(LINGER);
    outcome
}

/// What a process was started with, and the signals that it gets.
struct Life<'a> {
    flags: &'a Flags,
    config: &'a Config,
    signals: &'a Signals,
    /// The files that it may have open.
    budget: Budget,
}

fn start(
    life: &Life<'_>,
    directory: &DataDir,
    services: &Services,
    waiting: Waiting,
) -> Result<(), Failure> {
    let Life { config, signals, budget, .. } = *life;
    let recovered = recovery::recover(config, directory, &services.gauges, signals.stop())?;
    let Some(Recovered { mut node, created, took }) = recovered else {
        tracing::info!("ICNd stopped while it was starting; nothing was changed on the disk");
        return Ok(());
    };
    if signals.stop().is_cancelled() {
        node.close()?;
        tracing::info!("ICNd stopped before it was ready");
        return Ok(());
    }
    node.name_peers(config.peers.iter().filter_map(Target::did).collect());
    node.limit_connections(budget);
    let recovery = node.recovery().clone();
    let peers = {
        let _runtime = services.runtime.enter();
        Peers::bind(config, keyfile::read(&config.data_dir)?)?
    };
    if created {
        tracing::warn!("{} Its DID: {}", start_report::NEW_IDENTITY, node.did());
    }
    let key_findings = node.key_findings().to_vec();
    let started = Start {
        did: node.did(),
        created,
        key_findings: &key_findings,
        directory: &config.data_dir,
        usual_directory: config.usual_directory,
        http: services.http,
        listen: peers.address().unwrap_or(config.listen),
        recovery: &recovery,
        took,
        has_topics: node.state().counts().topics > 0,
    };
    services.serve(life, waiting, node, peers, &started)
}

/// Makes the data directory and the key unless they exist. Returns the DID and whether it is new.
///
/// # Errors
/// Those of a start.
pub fn init(config: &Config) -> Result<(icn_gossip::Did, bool), Failure> {
    if keyfile::exists(&config.data_dir)? {
        return Ok((keyfile::read(&config.data_dir)?.card.did, false));
    }
    let directory = DataDir::own(&config.data_dir, config.unsafe_fs)?;
    let node = recovery::recover_to_the_end(config, &directory)?.node;
    let did = node.did();
    node.close()?;
    Ok((did, true))
}

fn no_resources(error: &std::io::Error) -> Failure {
    let message = format!("The system refuses a resource that the node needs: {error}.");
    Failure::new(codes::NO_RESOURCES, message)
}

fn ended_early() -> Failure {
    Failure::new(codes::ENDED_EARLY, "A part of the node ended before the node was stopped.")
}
