//! Real nodes, a process each or all in one, spoken to through their control sockets as `icnctl` does it.
//! Their stores are on the disk: a message is durable at its publisher before it leaves, and at each
//! subscriber before it is delivered.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use icn_daemon::control::reply::reply_from_line;
use icn_daemon::control::request::Request;
use icn_daemon::failure::Failure;
use serde_json::Value;

use crate::contender::{Network, Plan, until};
use crate::deliveries::{Deliveries, message};
use crate::meter;
use crate::{Outcome, node};

const TOPIC: &str = "bench";

pub(crate) struct Icn {
    nodes: Vec<Node>,
    /// The process of all of them, if they have none of their own.
    host: Option<Process>,
    deliveries: Arc<Deliveries>,
    /// The id of the topic.
    topic: String,
}

struct Node {
    data: PathBuf,
    port: u16,
    /// The ports of those that it dials.
    dialled: Vec<u16>,
    followed: bool,
    /// How many messages its follower was told of.
    arrived: Arc<AtomicU64>,
    running: Option<Running>,
}

struct Running {
    /// Its own.
    process: Option<Process>,
    /// Where publications go; the answers are read by a thread.
    publications: BufWriter<UnixStream>,
}

impl Icn {
    /// With all nodes in one process where they are to be `together`.
    pub(crate) fn found(plan: Plan<'_>, together: bool) -> Outcome<Self> {
        // All at once, so that no two are the same.
        let any = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets: Vec<_> = (0..plan.nodes).map(|_| any()).collect::<Result<_, _>>()?;
        let ports = sockets.iter().map(|socket| Ok(socket.local_addr()?.port()));
        let ports: Vec<u16> = ports.collect::<Outcome<_>>()?;
        drop(sockets);
        let node = |index: usize| Node {
            data: plan.directory.join(format!("node-{index}")),
            port: ports[index],
            dialled: ports[..index].to_vec(),
            followed: plan.followed.contains(&index),
            arrived: Arc::default(),
            running: None,
        };
        let nodes = (0..plan.nodes).map(node).collect();
        let topic = String::new();
        let mut network = Self { nodes, host: None, deliveries: plan.deliveries, topic };
        if together {
            network.host = Some(Process::of(&network.nodes)?);
        }
        for node in &mut network.nodes {
            node.start(!together)?;
        }
        for node in &network.nodes {
            until("all links", || node.links().is_ok_and(|links| links + 1 == plan.nodes as u64))?;
        }
        let create =
            serde_json::json!({ "v": 1, "cmd": "topic_create", "name": TOPIC, "public": true });
        let created = Client::connect(&network.nodes[0].data)?.ask_line(&create.to_string())?;
        network.topic = created["topic"]["id"].as_str().unwrap_or_default().to_owned();
        for index in plan.followed {
            network.follow(index)?;
        }
        Ok(network)
    }

    /// Has a thread read what a node delivers, from the first message that was not told yet.
    fn follow(&self, index: usize) -> Outcome<()> {
        let node = &self.nodes[index];
        let mut client = Client::connect(&node.data)?;
        let after = Some(node.arrived.load(Ordering::Acquire));
        let topic = self.topic.clone();
        client.ask(&Request::Follow { topic, cursor: None, after })?;
        let deliveries = Arc::clone(&self.deliveries);
        let arrived = Arc::clone(&node.arrived);
        thread::spawn(move || {
            let mut line = Vec::new();
            while client.next_line(&mut line).is_ok() {
                if let Some(message) = text(&line) {
                    arrived.fetch_add(1, Ordering::Release);
                    deliveries.delivered(index, message);
                }
            }
        });
        Ok(())
    }
}

/// The message in a line of a follower; its other lines have none.
fn text(line: &[u8]) -> Option<&[u8]> {
    const BEFORE: &[u8] = b"\"text\":\"";
    let at = line.windows(BEFORE.len()).position(|window| window == BEFORE)?;
    Some(&line[at + BEFORE.len()..])
}

impl Node {
    /// Returns once it answers, in a process of its `own` or in that of all.
    fn start(&mut self, own: bool) -> Outcome<()> {
        let process = own.then(|| Process::of(std::slice::from_ref(self))).transpose()?;
        let mut client = None;
        until("the start of a node", || {
            client = Client::connect(&self.data).ok();
            client.is_some()
        })?;
        let mut answers = client.ok_or("no node")?;
        let publications = BufWriter::with_capacity(1 << 16, answers.requests.try_clone()?);
        thread::spawn(move || {
            let mut line = Vec::new();
            while answers.next_line(&mut line).is_ok() {
                reply_from_line::<Value>(&line).expect("a publication that is taken");
            }
        });
        self.running = Some(Running { process, publications });
        Ok(())
    }

    fn links(&self) -> Outcome<u64> {
        let status = Client::connect(&self.data)?.ask(&Request::Status)?;
        status["peers"]["connected"].as_u64().ok_or_else(|| "no count of links".into())
    }

    fn running(&mut self) -> Outcome<&mut Running> {
        self.running.as_mut().ok_or_else(|| "the node is down".into())
    }
}

impl Network for Icn {
    fn publish(&mut self, from: usize, numbers: Range<u64>) -> Outcome<()> {
        let publications = &mut self.nodes[from].running()?.publications;
        for number in numbers {
            let text = Some(String::from_utf8(message(number).to_vec())?);
            let request =
                Request::Publish { topic: TOPIC.into(), text, base64: None, describe: false };
            writeln!(publications, "{}", request.to_line())?;
        }
        Ok(publications.flush()?)
    }

    fn stop(&mut self, node: usize) -> Outcome<()> {
        self.nodes[node].running = None;
        Ok(())
    }

    fn start(&mut self, node: usize) -> Outcome<()> {
        self.nodes[node].start(true)?;
        if self.nodes[node].followed { self.follow(node) } else { Ok(()) }
    }

    fn cpu(&self) -> Outcome<Vec<Duration>> {
        let running = self.nodes.iter().filter_map(|node| node.running.as_ref());
        let processes = running.filter_map(|running| running.process.as_ref()).chain(&self.host);
        processes.map(|process| meter::cpu(&process.0.id().to_string())).collect()
    }
}

/// A process that ends with this, by SIGKILL.
struct Process(Child);

impl Process {
    fn of(nodes: &[Node]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(node::COMMAND);
        for node in nodes {
            command.arg(node::NEXT).arg(&node.data);
            let ports = std::iter::once(&node.port).chain(&node.dialled);
            command.args(ports.map(|port| format!("127.0.0.1:{port}")));
        }
        // Why it ended, if it should, is told by nothing else than its errors.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection to a node.
struct Client {
    answers: BufReader<UnixStream>,
    requests: UnixStream,
}

impl Client {
    fn connect(data: &Path) -> Outcome<Self> {
        // Its own path may be too long for the address of a socket.
        let directory = File::open(data)?;
        let path = format!("/proc/self/fd/{}/control.sock", directory.as_raw_fd());
        let requests = UnixStream::connect(path)?;
        Ok(Self { answers: BufReader::with_capacity(1 << 16, requests.try_clone()?), requests })
    }

    fn ask(&mut self, request: &Request) -> Outcome<Value> {
        self.ask_line(&request.to_line())
    }

    fn ask_line(&mut self, request: &str) -> Outcome<Value> {
        self.requests.write_all(format!("{request}\n").as_bytes())?;
        let mut line = Vec::new();
        self.next_line(&mut line)?;
        let reply: Result<Value, Failure> = reply_from_line(&line);
        reply.map_err(|failure| failure.to_string().into())
    }

    fn next_line(&mut self, line: &mut Vec<u8>) -> Outcome<()> {
        line.clear();
        self.answers.read_until(b'\n', line)?;
        if line.last() == Some(&b'\n') { Ok(()) } else { Err("the node has ended".into()) }
    }
}
