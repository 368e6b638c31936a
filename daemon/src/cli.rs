//! `icnctl`: one command, one document, as text or as JSON.

mod acks;
mod args;
mod asker;
mod documents;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hints;
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
use std::path::PathBuf;

use clap::CommandFactory;
use icn_gossip::limits::PAYLOAD_BYTES_MAX;
use serde::Serialize;

use self::args::{
    Cli, ClockCommand, Command, CursorCommand, GossipCommand, IdentityCommand, PeerCommand, Source,
    StateCommand, TopicCommand, WalArgs, WalCommand,
};
use self::asker::{Asker, Files};
use self::documents::{AllEntries, ShownPeers};
use self::render::Show;
use crate::config;
use crate::control::client::Client;
use crate::control::codes;
use crate::control::reply::peers::PeerState;
use crate::control::reply::{self, Entries, FromReply, Peers};
use crate::control::request::Request;
use crate::exit;
use crate::failure::Failure;
use crate::stdout::{self, Kind, unwritable};
use crate::text::clock::expiry;
use crate::text::command::of_this_process;

const ONLINE: Source = Source { offline: false };

/// Runs the command of this process and returns its exit code.
#[must_use]
pub fn main() -> u8 {
    let cli: Cli = match stdout::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    config::name_in_texts(cli.data_dir.as_deref());
    let as_json = cli.json;
    match act(cli).map_err(Failure::located) {
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
            return Ok(Asker::Files(Box::new(Files::new(&self.directory))));
        }
        Ok(Asker::Node(Box::new(Client::connect(&self.directory)?)))
    }
}

fn confirm(yes: bool, what: &str) -> Result<(), Failure> {
    let unconfirmed = || {
        let advice = format!("Repeat it: {} --yes", of_this_process(&[]));
        let message = format!("This would {what}; nothing was done.");
        Failure::new(codes::NEEDS_YES, message).with_advice(advice)
    };
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
