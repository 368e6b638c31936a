//! A short life of a node, and the promises that it made in its replies.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use icn_daemon::control::reply::reply_from_line;
use icn_daemon::control::request::Request;
use icn_daemon::failure::Failure;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::tracer::{Plan, Report, Traced};
use crate::harness::{House, until};

pub(crate) const TOPIC: &str = "coop:ledger";

/// Another node, which becomes a member and a known peer.
pub(crate) struct Friend {
    pub(crate) did: String,
    pub(crate) card: String,
}

impl Friend {
    pub(crate) fn new() -> Self {
        let house = House::quick();
        assert_eq!(house.run(&["init"]).0, 0);
        let identity = house.get(&["identity", "show", "--offline"]);
        let text = |key: &str| identity[key].as_str().expect("text").to_owned();
        Self { did: text("did"), card: text("card") }
    }
}

/// How far a request has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Fate {
    #[default]
    NotAsked,
    /// Sent and never answered: the item may exist or not.
    Asked,
    /// Answered with an error: the item must not exist.
    Refused,
    /// Answered with this data: the item must exist.
    Acknowledged(Value),
}

/// The items that may and that must exist after a life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promised {
    /// Whether the node has reported that it takes requests.
    pub(crate) ready: bool,
    /// Whether every request was answered, if only with a refusal.
    pub(crate) answered: bool,
    pub(crate) identity: Fate,
    pub(crate) topic: Fate,
    pub(crate) subscription: Fate,
    pub(crate) peer: Fate,
    /// Every message that may exist, in order.
    pub(crate) lines: Vec<(String, Fate)>,
    /// The acknowledged snapshots.
    pub(crate) snapshots: Vec<Value>,
    /// The codes of all refusals.
    pub(crate) refusals: Vec<String>,
}

/// The requests of a life besides the topic, the subscription and the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// Lines for `icnctl gossip publish --lines`, and their length.
    pub(crate) lines: usize,
    pub(crate) line_bytes: usize,
    /// Snapshots, each with a message after it.
    pub(crate) snapshots: usize,
    /// The number of calls that a sample strikes at.
    pub(crate) sample: u64,
}

impl Script {
    /// Each kind of request once.
    pub(crate) const SHORT: Self =
        Self { name: "a short life", lines: 5, line_bytes: 20, snapshots: 1, sample: 10 };

    /// Fills a segment; old snapshots and old segments are removed.
    pub(crate) const FULL: Self =
        Self { name: "a full life", lines: 20, line_bytes: 55_000, snapshots: 5, sample: 3 };

    /// Lives this script in `house` to the end that `plan` sets.
    ///
    /// # Errors
    /// The error of the system when it allows no tracing.
    pub(crate) fn live(
        self,
        house: &House,
        friend: &Friend,
        plan: Plan,
    ) -> Result<(Promised, Report), Errno> {
        let node = Traced::start(house, plan)?;
        let mut promised = Promised::default();
        if is_ready(house, &node) {
            promised.ready = true;
            promised.answered = self.ask_everything(house, friend, &mut promised).is_some();
            node.signal(Signal::SIGTERM);
        }
        Ok((promised, node.finish()))
    }

    /// `None` when the node has ended before the last reply.
    fn ask_everything(self, house: &House, friend: &Friend, to: &mut Promised) -> Option<()> {
        let mut line = Line::connect(house)?;
        to.identity = Fate::Asked;
        let identity = line.ask(&Request::Identity)?;
        to.identity = to.fate(identity);
        to.topic = Fate::Asked;
        let topic = line.ask(&Request::TopicCreate {
            name: TOPIC.into(),
            public: false,
            private: true,
            members: vec![friend.did.clone()],
            min_trust: None,
            scope: None,
            max_entries: None,
            retention_days: None,
        })?;
        to.topic = to.fate(topic);
        to.subscription = Fate::Asked;
        let subscription = line.ask(&Request::Subscribe { topic: TOPIC.into() })?;
        to.subscription = to.fate(subscription);
        self.publish_lines(house, to)?;
        for number in 0..self.snapshots {
            let snapshot = line.ask(&Request::SnapshotCreate { pin: false, labels: Vec::new() })?;
            if let Fate::Acknowledged(snapshot) = to.fate(snapshot) {
                to.snapshots.push(snapshot);
            }
            let text = format!("after snapshot {number}");
            to.lines.push((text.clone(), Fate::Asked));
            let published = line.ask(&Request::Publish {
                topic: TOPIC.into(),
                text: Some(text),
                base64: None,
                describe: false,
            })?;
            let fate = to.fate(published);
            to.lines.last_mut()?.1 = fate;
        }
        to.peer = Fate::Asked;
        let peer = line.ask(&Request::PeerAdd { card: friend.card.clone() })?;
        to.peer = to.fate(peer);
        Some(())
    }

    fn publish_lines(self, house: &House, to: &mut Promised) -> Option<()> {
        let first = to.lines.len();
        let text = |number| format!("{number:x<width$}", width = self.line_bytes);
        to.lines.extend((0..self.lines).map(|number| (text(number), Fate::Asked)));
        let input: String = to.lines[first..].iter().map(|(text, _)| format!("{text}\n")).collect();
        let output = house.publish_lines(TOPIC, &input);
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let mut gone = false;
        for (number, printed) in printed.lines().enumerate() {
            let answer: Value = serde_json::from_str(printed).expect("a JSON line");
            let fate = if answer["lsn"].is_u64() {
                Fate::Acknowledged(answer)
            } else {
                let code = answer["error"]["code"].as_str().expect("a code").to_owned();
                gone |= code == "ICN-E0141";
                if gone {
                    break;
                }
                to.refusals.push(code);
                Fate::Refused
            };
            to.lines[first + number].1 = fate;
        }
        // Without a node to connect to, icnctl prints no line.
        (!gone && !printed.is_empty()).then_some(())
    }
}

impl Promised {
    fn fate(&mut self, reply: Result<Value, Failure>) -> Fate {
        match reply {
            Ok(data) => Fate::Acknowledged(data),
            Err(failure) => {
                self.refusals.push(failure.code);
                Fate::Refused
            }
        }
    }
}

/// Waits until the node takes requests or has ended; returns whether it takes them.
pub(crate) fn is_ready(house: &House, node: &Traced) -> bool {
    until("the start of icnd", || {
        let ended = node.has_ended();
        let said = std::fs::read_to_string(house.out_path()).expect("read");
        // The last word that `icnd` prints once it takes requests.
        if said.contains("Ctrl-C") { Some(true) } else { ended.then_some(false) }
    })
}

/// A connection to the control socket.
pub(crate) struct Line {
    stream: BufReader<UnixStream>,
}

impl Line {
    /// `None` when no node listens.
    pub(crate) fn connect(house: &House) -> Option<Self> {
        let stream = UnixStream::connect(house.path().join("control.sock")).ok()?;
        Some(Self { stream: BufReader::new(stream) })
    }

    /// `None` when the node is gone before it has answered.
    pub(crate) fn ask(&mut self, request: &Request) -> Option<Result<Value, Failure>> {
        writeln!(self.stream.get_ref(), "{}", request.to_line()).ok()?;
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).ok()?;
        line.ends_with(b"\n").then(|| reply_from_line(&line))
    }
}
