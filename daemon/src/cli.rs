//! `icnctl`: one command, one answer, for people or for scripts.

mod acks;
mod args;
#[cfg(test)]
mod golden;
mod lines;
mod moment;
mod render;
mod salvage;
mod snapshot;
mod subscribe;
mod tail;
mod wal;
mod written;

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use icn_gossip::limits::PAYLOAD_BYTES_MAX;
use icn_snapshot::{PointInTime, state_at};
use icn_wal::Lsn;
use serde_json::{Value, json};

use self::args::{
    Cli, Command, CursorCommand, GossipCommand, IdentityCommand, PeerCommand, Source, StateCommand,
    TopicCommand, WalArgs, WalCommand,
};
use self::render::View;
use crate::config;
use crate::control::client::Client;
use crate::control::codes;
use crate::control::request::{Reply, Request, snapshot_id};
use crate::data::{datadir, keyfile, offline};
use crate::exit;
use crate::failure::Failure;
use crate::node::guard::Guard;
use crate::node::machine::Machine;
use crate::node::work;
use crate::node::{ask, describe_digest, describe_identity, describe_snapshots};

const ONLINE: Source = Source { offline: false };

/// Does what was asked and returns the exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = Cli::parse();
    let as_json = cli.json;
    match act(cli) {
        Ok(()) => exit::OK,
        Err(failure) => {
            if failure.is_silent() {
                // The output has said everything.
            } else if as_json {
                let document = json!({ "ok": false, "error": failure });
                let _ = writeln!(io::stdout(), "{document}");
            } else {
                let _ = writeln!(io::stderr(), "{failure}");
            }
            failure.exit
        }
    }
}

fn act(cli: Cli) -> Result<(), Failure> {
    let directory = config::data_dir(cli.data_dir.as_deref())?;
    let ctl = Ctl { directory, as_json: cli.json };
    match cli.command {
        Command::Status => ctl.show(ONLINE, &Request::Status, View::Status),
        Command::Topic(command) => ctl.topic(command),
        Command::Gossip(command) => ctl.gossip(command),
        Command::Peer(command) => ctl.peer(command),
        Command::Snapshot(command) => ctl.snapshot(command),
        Command::Wal(command) => ctl.wal(command),
        Command::State(StateCommand::Digest { lsn, source }) => {
            ctl.show(source, &Request::Digest { lsn }, View::Digest)
        }
        Command::Identity(IdentityCommand::Show(source)) => {
            ctl.show(source, &Request::Identity, View::Identity)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "icnctl", &mut io::stdout());
            Ok(())
        }
    }
}

struct Ctl {
    directory: PathBuf,
    as_json: bool,
}

impl Ctl {
    fn topic(&self, command: TopicCommand) -> Result<(), Failure> {
        match command {
            TopicCommand::Create {
                name,
                private,
                members,
                min_trust,
                scope,
                max_entries,
                retention_days,
            } => {
                let request = Request::TopicCreate {
                    name,
                    private,
                    members,
                    min_trust,
                    scope,
                    max_entries,
                    retention_days,
                };
                self.show(ONLINE, &request, View::TopicCreated)
            }
            TopicCommand::List(source) => self.show(source, &Request::TopicList, View::Topics),
            TopicCommand::Show { topic, source } => {
                self.show(source, &Request::TopicShow { topic }, View::Topic)
            }
            TopicCommand::Delete { topic, yes } => {
                confirm(yes, &format!("forget {topic} and its entries on this node"))?;
                self.show(ONLINE, &Request::TopicDelete { topic }, View::TopicDeleted)
            }
        }
    }

    fn gossip(&self, command: GossipCommand) -> Result<(), Failure> {
        match command {
            GossipCommand::Publish { topic, lines: true, .. } => {
                lines::publish(&self.directory, &topic, io::stdin(), io::stdout())
            }
            GossipCommand::Publish { topic, text, .. } => {
                let payload = match text {
                    Some(text) if text != "-" => text.into_bytes(),
                    _ => read_message()?,
                };
                self.show(ONLINE, &lines::publication(&topic, &payload), View::Published)
            }
            GossipCommand::Subscribe { topic, follow: true, cursor, from_start, after } => {
                let after = if from_start { Some(0) } else { after };
                let wanted = subscribe::Wanted { topic, cursor, after };
                subscribe::follow(&self.directory, wanted, self.as_json)
            }
            GossipCommand::Cursor(CursorCommand::Delete { topic, name: cursor }) => {
                self.show(ONLINE, &Request::CursorDelete { topic, cursor }, View::CursorDeleted)
            }
            GossipCommand::Subscribe { topic, .. } => {
                self.show(ONLINE, &Request::Subscribe { topic }, View::Subscribed)
            }
            GossipCommand::Unsubscribe { topic } => {
                self.show(ONLINE, &Request::Unsubscribe { topic }, View::Unsubscribed)
            }
            GossipCommand::Subscriptions(source) => {
                self.show(source, &Request::Subscriptions, View::Subscriptions)
            }
            GossipCommand::Entries { topic, limit, after, source } => {
                let entries = self.entries(&topic, limit, after, source)?;
                self.tell(&entries, View::Entries)
            }
        }
    }

    /// All pages as one.
    fn entries(&self, topic: &str, limit: Option<usize>, after: u64, source: Source) -> Reply {
        let mut asked = self.asker(source)?;
        let (mut entries, mut after) = (Vec::new(), after);
        loop {
            let limit = limit.map(|limit| limit - entries.len());
            let mut page =
                asked.ask(&Request::Entries { topic: topic.to_owned(), after, limit })?;
            let got = page["entries"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let nothing = got.is_empty();
            entries.extend(got);
            after = page["last"].as_u64().unwrap_or(after);
            let more = page["more"] == true && !nothing;
            if !more || limit.is_some_and(|limit| limit == 0) {
                return Ok(json!({ "entries": entries, "last": after, "more": more }));
            }
        }
    }

    fn peer(&self, command: PeerCommand) -> Result<(), Failure> {
        match command {
            PeerCommand::List { all, source } => {
                let mut data = self.asker(source)?.ask(&Request::PeerList)?;
                if let Some(peers) = data["peers"].as_array_mut() {
                    let known = peers.len();
                    peers.retain(|peer| all || peer["state"] == "connected");
                    data["known"] = json!(known);
                }
                self.tell(&data, View::Peers)
            }
            PeerCommand::Add { card } => {
                self.show(ONLINE, &Request::PeerAdd { card }, View::PeerAdded)
            }
            PeerCommand::Remove { did } => {
                self.show(ONLINE, &Request::PeerRemove { did }, View::PeerRemoved)
            }
        }
    }

    fn wal(&self, WalArgs { log, command }: WalArgs) -> Result<(), Failure> {
        let log = log.as_deref();
        let open = || wal::open(&self.directory, log);
        match command {
            WalCommand::List(_) => self.tell(&wal::list(&open()?)?, View::Segments),
            WalCommand::Verify(_) => self.tell(&wal::verify(&open()?)?, View::LogVerified),
            WalCommand::Dump { from, to, limit, since, until, types, follow, .. } => {
                let filter = wal::Filter { from, to, limit, since, until, types };
                if follow {
                    return tail::follow(open()?, filter, self.as_json);
                }
                let out = io::BufWriter::new(io::stdout().lock());
                wal::dump(&open()?, filter, self.as_json, out)
            }
            WalCommand::Salvage { to, from, .. } => {
                let found = salvage::run(&self.directory, log, to.as_deref(), from)?;
                self.tell(&found, View::Salvaged)?;
                salvage::verdict(&found)
            }
        }
    }

    fn show(&self, source: Source, request: &Request, view: View) -> Result<(), Failure> {
        self.tell(&self.asker(source)?.ask(request)?, view)
    }

    fn tell(&self, data: &Value, view: View) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = if self.as_json {
            writeln!(out, "{}", json!({ "ok": true, "data": data }))
        } else {
            view.write(data, &mut out)
        };
        written.and_then(|()| out.flush()).map_err(|error| unwritable(&error))
    }

    /// The node, running or not.
    fn owner(&self) -> Result<Asker<'_>, Failure> {
        match Client::connect(&self.directory) {
            Ok(client) => Ok(Asker::Node(Box::new(client))),
            Err(failure) if failure.exit == exit::NOT_RUNNING => Ok(Asker::Owner(&self.directory)),
            Err(failure) => Err(failure),
        }
    }

    fn asker(&self, source: Source) -> Result<Asker<'_>, Failure> {
        if source.offline {
            return Ok(Asker::Files(&self.directory));
        }
        Ok(Asker::Node(Box::new(Client::connect(&self.directory)?)))
    }
}

/// Whoever knows the answer.
enum Asker<'a> {
    Node(Box<Client>),
    Files(&'a Path),
    /// The files, for as long as the answer takes: no daemon has them.
    Owner(&'a Path),
}

impl Asker<'_> {
    fn ask(&mut self, request: &Request) -> Reply {
        match self {
            Self::Node(client) => client.ask(request),
            Self::Files(directory) => from_files(directory, request),
            Self::Owner(directory) => offline::ask(directory, request.clone()),
        }
    }
}

fn from_files(directory: &Path, request: &Request) -> Reply {
    let disk = datadir::read_only(directory)?;
    match request {
        Request::Identity => Ok(describe_identity(&keyfile::read(directory)?.card)),
        Request::SnapshotList => {
            let retention = offline::config(directory)?.policy.retention;
            let window = icn_snapshot::restore_window(&disk)?;
            Ok(describe_snapshots(&icn_snapshot::list(&disk, retention)?, window))
        }
        Request::Digest { lsn } => {
            let at = lsn.and_then(Lsn::new).map_or(PointInTime::Latest, PointInTime::Lsn);
            let past = state_at::<Machine, _>(&disk, at)?;
            Ok(describe_digest(&past.state, past.lsn))
        }
        Request::SnapshotVerify { id } => {
            state_at::<Machine, _>(&disk, PointInTime::Snapshot(snapshot_id(id)?))?;
            Ok(json!({ "id": id, "verified": true }))
        }
        Request::SnapshotPreview { to } => work::preview_offline(&disk, to),
        Request::SnapshotDiff { from, to } => work::compare(&disk, from.as_ref(), to.as_ref()),
        other => {
            let past = state_at::<Machine, _>(&disk, PointInTime::Latest)?;
            Guard::new(&past.weaker).check(&past.state.0, other)?;
            ask(&past.state.0, other).unwrap_or_else(|| {
                Err(Failure::new(
                    codes::NOT_OFFLINE,
                    "The files do not answer this request; only the running node does.",
                ))
            })
        }
    }
}

fn confirm(yes: bool, what: &str) -> Result<(), Failure> {
    let unconfirmed =
        || Failure::new(codes::NEEDS_YES, format!("This would {what}; nothing was done."));
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(unconfirmed());
    }
    let mut err = io::stderr();
    let _ = write!(err, "This will {what}. Type yes to go on: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| unreadable(&error))?;
    if answer.trim() == "yes" { Ok(()) } else { Err(unconfirmed()) }
}

/// One message from standard input; one byte more than fits is enough to know that it does not.
fn read_message() -> Result<Vec<u8>, Failure> {
    let mut message = Vec::new();
    let limit = PAYLOAD_BYTES_MAX as u64 + 1;
    let mut input = io::stdin().lock().take(limit);
    input.read_to_end(&mut message).map_err(|error| unreadable(&error))?;
    Ok(message)
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(codes::INPUT_UNREADABLE, format!("The standard input cannot be read: {error}."))
}

fn unwritable(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::silent(exit::OK);
    }
    Failure::new(codes::OUTPUT_NOT_WRITTEN, format!("The output cannot be written: {error}."))
}
