//! `icnctl`: one command, one document, as text or as JSON.

mod acks;
mod args;
mod documents;
#[cfg(test)]
mod golden;
mod join;
mod kind;
mod lines;
mod moment;
mod refetch;
mod render;
mod salvage;
mod snapshot;
mod subscribe;
mod table;
mod tail;
mod wal;
mod written;

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use icn_gossip::limits::PAYLOAD_BYTES_MAX;
use icn_snapshot::{PointInTime, state_at};
use icn_wal::Lsn;
use serde::Serialize;

use self::args::{
    Cli, ClockCommand, Command, CursorCommand, GossipCommand, IdentityCommand, PeerCommand, Source,
    StateCommand, TopicCommand, WalArgs, WalCommand,
};
use self::documents::{AllEntries, ShownPeers};
use self::render::Show;
use crate::config;
use crate::control::client::Client;
use crate::control::codes;
use crate::control::reply::peers::PeerState;
use crate::control::reply::{self, Entries, FromReply, Peers, Reply, Verified};
use crate::control::request::{Request, snapshot_id};
use crate::data::{datadir, keyfile, offline};
use crate::exit;
use crate::failure::Failure;
use crate::node::guard::Guard;
use crate::node::machine::Machine;
use crate::node::work;
use crate::node::{ask, describe};
use crate::stdout::{self, Kind, unwritable};
use crate::text::clock::expiry;

const ONLINE: Source = Source { offline: false };

/// Runs the command of this process and returns its exit code.
#[must_use]
pub fn main() -> u8 {
    let cli: Cli = match stdout::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let as_json = cli.json;
    match act(cli) {
        Ok(()) => exit::OK,
        Err(failure) if as_json && !failure.is_silent() && is_written(&failure) => failure.exit,
        Err(failure) => stdout::report(&failure),
    }
}

/// Whether standard output has the document of a failure, unless the failure is about the output itself.
fn is_written(failure: &Failure) -> bool {
    let document = reply::document(Err::<&(), _>(failure)) + "\n";
    failure.code != codes::OUTPUT_NOT_WRITTEN.code
        && stdout::print(Kind::Query, document.as_bytes()).is_ok()
}

fn act(cli: Cli) -> Result<(), Failure> {
    let directory = config::data_dir(cli.data_dir.as_deref())?;
    let kind = cli.command.kind();
    let ctl = Ctl { directory, as_json: cli.json, kind };
    match cli.command {
        Command::Status => ctl.show::<reply::Status>(ONLINE, &Request::Status),
        Command::Topic(command) => ctl.topic(command),
        Command::Gossip(command) => ctl.gossip(command),
        Command::Peer(command) => ctl.peer(command),
        Command::Snapshot(command) => ctl.snapshot(command),
        Command::Wal(command) => ctl.wal(command),
        Command::State(StateCommand::Digest { lsn, source }) => {
            ctl.show::<reply::Digest>(source, &Request::Digest { lsn })
        }
        Command::Clock(ClockCommand::Show) => ctl.show::<reply::Clock>(ONLINE, &Request::ClockShow),
        Command::Clock(ClockCommand::Confirm { yes }) => ctl.confirm_clock(yes),
        Command::Identity(IdentityCommand::Show(source)) => {
            ctl.show::<reply::Identity>(source, &Request::Identity)
        }
        Command::Completions { shell } => {
            // Written to memory first: the generator panics where it cannot write.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "icnctl", &mut text);
            stdout::print(kind, &text)
        }
    }
}

struct Ctl {
    directory: PathBuf,
    as_json: bool,
    kind: Kind,
}

impl Ctl {
    /// Confirms the wall clock. What would expire is shown before it does.
    fn confirm_clock(&self, yes: bool) -> Result<(), Failure> {
        let clock: reply::Clock = self.asker(ONLINE)?.ask(&Request::ClockShow)?;
        if let Some(what) = expiry(&clock) {
            confirm(yes, &what)?;
        }
        self.show::<reply::Clock>(ONLINE, &Request::ClockConfirm)
    }

    fn topic(&self, command: TopicCommand) -> Result<(), Failure> {
        match command {
            TopicCommand::Create {
                name,
                public,
                private,
                members,
                min_trust,
                scope,
                max_entries,
                retention_days,
            } => {
                let request = Request::TopicCreate {
                    name,
                    public,
                    private,
                    members,
                    min_trust,
                    scope,
                    max_entries,
                    retention_days,
                };
                self.show::<reply::TopicCreated>(ONLINE, &request)
            }
            TopicCommand::List(source) => self.show::<reply::Topics>(source, &Request::TopicList),
            TopicCommand::Show { topic, source } => {
                self.show::<reply::TopicShown>(source, &Request::TopicShow { topic })
            }
            TopicCommand::Join { topic, creator } => self.join(topic, creator),
            TopicCommand::Candidates { name } => self.candidates(name),
            TopicCommand::Refetch { topic, since } => self.refetch(topic, since),
            TopicCommand::Delete { topic, yes } => {
                confirm(yes, &format!("forget {topic} and its entries on this node"))?;
                self.show::<reply::TopicDeleted>(ONLINE, &Request::TopicDelete { topic })
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
                self.show::<reply::Published>(ONLINE, &lines::publication(&topic, &payload, true))
            }
            GossipCommand::Subscribe { topic, follow: true, cursor, from_start, after } => {
                let after = if from_start { Some(0) } else { after };
                let wanted = subscribe::Wanted { topic, cursor, after };
                subscribe::follow(&self.directory, wanted, self.as_json)
            }
            GossipCommand::Cursor(CursorCommand::Delete { topic, name: cursor }) => {
                self.show::<reply::CursorDeleted>(ONLINE, &Request::CursorDelete { topic, cursor })
            }
            GossipCommand::Subscribe { topic, .. } => {
                self.show::<reply::Subscribed>(ONLINE, &Request::Subscribe { topic })
            }
            GossipCommand::Unsubscribe { topic } => {
                self.show::<reply::Unsubscribed>(ONLINE, &Request::Unsubscribe { topic })
            }
            GossipCommand::Subscriptions(source) => {
                self.show::<reply::Subscriptions>(source, &Request::Subscriptions)
            }
            GossipCommand::Entries { topic, limit, after, source } => {
                self.print(&self.entries(&topic, limit, after, source)?)
            }
        }
    }

    /// All pages of entries as one document.
    fn entries(
        &self,
        topic: &str,
        limit: Option<usize>,
        after: u64,
        source: Source,
    ) -> Result<AllEntries, Failure> {
        let mut asked = self.asker(source)?;
        let mut entries = Vec::new();
        let mut after = after;
        loop {
            let limit = limit.map(|limit| limit - entries.len());
            let request = Request::Entries { topic: topic.to_owned(), after, limit };
            let Entries { entries: page, last, more, topic: about, .. } = asked.ask(&request)?;
            let more = more && !page.is_empty();
            entries.extend(page);
            after = last;
            if !more || limit.is_some_and(|limit| limit == 0) {
                return Ok(AllEntries { topic: about, entries, last, more });
            }
        }
    }

    fn peer(&self, command: PeerCommand) -> Result<(), Failure> {
        match command {
            PeerCommand::List { all, source } => {
                let Peers { mut peers } = self.asker(source)?.ask(&Request::PeerList)?;
                let known = peers.len();
                peers.retain(|peer| all || peer.state == PeerState::Connected);
                self.print(&ShownPeers { peers, known })
            }
            PeerCommand::Add { card } => {
                self.show::<reply::PeerAdded>(ONLINE, &Request::PeerAdd { card })
            }
            PeerCommand::Remove { did } => {
                self.show::<reply::PeerRemoved>(ONLINE, &Request::PeerRemove { did })
            }
        }
    }

    fn wal(&self, WalArgs { log, command }: WalArgs) -> Result<(), Failure> {
        let log = log.as_deref();
        let open = || wal::open(&self.directory, log);
        match command {
            WalCommand::List(_) => self.print(&wal::list(&open()?)?),
            WalCommand::Verify(_) => self.print(&wal::verify(&open()?)?),
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
                self.print(&found)?;
                salvage::verdict(&found)
            }
        }
    }

    /// Prints the reply to `request`.
    fn show<R>(&self, source: Source, request: &Request) -> Result<(), Failure>
    where
        R: FromReply + Serialize + Show,
    {
        self.print(&self.asker(source)?.ask::<R>(request)?)
    }

    fn print<T: Serialize + Show>(&self, data: &T) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = if self.as_json {
            writeln!(out, "{}", reply::document(Ok(data)))
        } else {
            data.show(&mut out)
        };
        written.and_then(|()| out.flush()).map_err(|error| unwritable(self.kind, &error))
    }

    /// The running node; without one, its locked files.
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

/// Where a reply comes from.
enum Asker<'a> {
    Node(Box<Client>),
    Files(&'a Path),
    /// The files of a stopped node, locked for one request.
    Owner(&'a Path),
}

impl Asker<'_> {
    fn ask<R: FromReply>(&mut self, request: &Request) -> Result<R, Failure> {
        match self {
            Self::Node(client) => client.ask(request),
            Self::Files(directory) => from_files(directory, request)?.try_into(),
            Self::Owner(directory) => offline::ask(directory, request.clone())?.try_into(),
        }
    }
}

fn from_files(directory: &Path, request: &Request) -> Reply {
    let disk = datadir::read_only(directory)?;
    match request {
        Request::Identity => Ok(describe::identity(&keyfile::read(directory)?.card).into()),
        Request::SnapshotList => {
            let retention = offline::config(directory)?.policy.retention;
            let window = describe::window(&icn_snapshot::restore_window(&disk, retention)?);
            Ok(describe::snapshots(&icn_snapshot::list(&disk, retention)?, window).into())
        }
        Request::Digest { lsn } => {
            let at = lsn.and_then(Lsn::new).map_or(PointInTime::Latest, PointInTime::Lsn);
            let past = state_at::<Machine, _>(&disk, at)?;
            Ok(describe::state_digest(&past.state, past.lsn).into())
        }
        Request::SnapshotVerify { id } => {
            state_at::<Machine, _>(&disk, PointInTime::Snapshot(snapshot_id(id)?))?;
            Ok(Verified { id: id.clone(), verified: true }.into())
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

/// Reads one message from standard input, up to one byte more than a message may have.
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
