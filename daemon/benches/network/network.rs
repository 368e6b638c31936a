//! Networks of nodes beside raw QUIC and beside each other: `cd daemon/benches && cargo bench`.
//! Machines are shared and noisy, so that all take turns in every round, and only the medians of the
//! rounds, and the ratios inside them, are told.
//!
//! `cargo bench -- two` (or `ten`, `idle`, `catchup`) measures one part of it, `cargo bench -- icn` one
//! side, `--rounds N` in so many rounds.

mod catchup;
mod contender;
mod deliveries;
mod gossipsub;
mod icn;
mod idle;
mod iroh;
mod meter;
mod namespace;
mod node;
mod raw;
mod rounds;
mod ten;
mod two;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::contender::{CONTENDERS, Contender, Network, Plan};
use crate::deliveries::Deliveries;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 3;

type Table = fn(&mut dyn Write, &Measured<'_>) -> Outcome<()>;

const TABLES: [(&str, Table); 4] =
    [("two", two::table), ("ten", ten::table), ("idle", idle::table), ("catchup", catchup::table)];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, nodes @ ..] = &arguments[..]
        && command == node::COMMAND
    {
        return node::run(nodes);
    }
    if let Some(code) = namespace::enter(&arguments)? {
        std::process::exit(code);
    }
    let mut out = std::io::stdout();
    let private = namespace::is_private();
    if !private {
        writeln!(out, "NO BYTES: this account may not make a network namespace of its own.")?;
    }
    let mut wanted = Vec::new();
    let mut sides = Vec::new();
    let mut rounds = ROUNDS;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = words.next().ok_or("--rounds of what?")?.parse()?,
            // Cargo's own.
            "--bench" => {}
            word if TABLES.iter().any(|(name, _)| *name == word) => wanted.push(word),
            word if CONTENDERS.iter().any(|side| side.name == word) => sides.push(word),
            word => return Err(format!("{word} is not measured here").into()),
        }
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let is_wanted = |side: &&Contender| sides.is_empty() || sides.contains(&side.name);
    let contenders = CONTENDERS.iter().filter(is_wanted).collect();
    let measured = Measured { directory: directory.path(), rounds, private, contenders };
    for (name, table) in TABLES {
        if wanted.is_empty() || wanted.contains(&name) {
            table(&mut out, &measured)?;
        }
    }
    Ok(())
}

/// How to measure.
struct Measured<'a> {
    /// On the disk.
    directory: &'a Path,
    rounds: usize,
    /// Whether nobody else uses the loopback device.
    private: bool,
    /// In the order in which they take turns.
    contenders: Vec<&'static Contender>,
}

impl Measured<'_> {
    /// Those whose nodes keep a network going by themselves.
    fn gossiping(&self) -> impl Iterator<Item = &'static Contender> {
        self.contenders.iter().copied().filter(|contender| contender.gossips)
    }

    /// Founds a network of so many nodes with directories of their own, which it has to itself
    /// for as long as `measure` takes.
    fn with(
        &self,
        contender: &Contender,
        nodes: usize,
        followed: std::ops::Range<usize>,
        measure: impl FnOnce(&mut dyn Network, &Deliveries) -> Outcome<()>,
    ) -> Outcome<()> {
        let place = tempfile::tempdir_in(self.directory)?;
        let deliveries = Arc::new(Deliveries::new(nodes));
        let told = Arc::clone(&deliveries);
        let plan = Plan { directory: place.path(), nodes, followed, deliveries: told };
        let mut network = (contender.found)(plan)?;
        measure(network.as_mut(), &deliveries)
    }
}

/// What networks of one process run on.
fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
