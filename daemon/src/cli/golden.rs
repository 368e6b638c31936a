//! The replies of a node, and what `icnctl` prints of them, as a build of this version gives them.
//!
//! When they change on purpose: `ICN_GOLDEN=write cargo test -p icn-daemon golden`, and the commit says
//! what has changed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use icn_gossip::mesh::{LinkId, Message};
use icn_gossip::{
    Access, AccessBytes, Entry, Genesis, KeyCard, Keypair, LogKey, Mutation, Now, Position,
    TopicId, TopicSpec,
};
use icn_snapshot::Policy;
use icn_wal::{FsDisk, Lsn};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::documents::{AllEntries, Checked, Exported, Pruned, ShownPeers, Taken};
use super::render::Show;
use super::{salvage, wal};
use crate::connections::Connections;
use crate::control::codes;
use crate::control::reply::stream::StreamLine;
use crate::control::reply::{self, Snapshot};
use crate::control::server;
use crate::control::subscribers::{Arrivals, Subscribers};
use crate::failure::Failure;
use crate::http::meter::Meter;
use crate::node::{Effect, Identity, Inputs, Node, Output, PeerEvent, Rng, describe, simulated};
use crate::shell::inbox::{Call, Input, ReplySender};

/// A time that no clock has reached yet: whatever the clock says, an age is 0 s.
const START_MS: u64 = 4_102_444_800_000;

const NETWORK: [u8; 32] = [9; 32];

/// Numbers above 2^53.
struct Counted(u64);

impl Rng for Counted {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        0xfedc_ba98_7654_3200 + self.0
    }
}

/// The documents of one test, and where they are compared with what was.
struct Golden {
    directory: PathBuf,
    replaced: Vec<(String, &'static str)>,
    different: Vec<String>,
    seen: Vec<String>,
}

impl Golden {
    fn new(around: &Path) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/replies");
        let replaced = vec![
            (around.display().to_string(), "DIR"),
            (env!("CARGO_PKG_VERSION").to_owned(), "VERSION"),
        ];
        Self { directory, replaced, different: Vec::new(), seen: Vec::new() }
    }

    fn check(&mut self, name: &str, document: &Value) {
        let mut written = serde_json::to_string_pretty(document).expect("JSON") + "\n";
        for (text, placeholder) in &self.replaced {
            written = written.replace(text, placeholder);
        }
        let path = self.directory.join(format!("{name}.json"));
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        // The order of keys means nothing.
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        if parsed(&written) != parsed(&golden) {
            if std::env::var("ICN_GOLDEN").is_ok_and(|wish| wish == "write") {
                std::fs::create_dir_all(&self.directory).expect("create");
                std::fs::write(&path, &written).expect("write");
            } else {
                self.different.push(format!("{name}: {written}"));
            }
        }
        assert!(!self.seen.contains(&format!("{name}.json")), "{name} twice");
        self.seen.push(format!("{name}.json"));
    }

    /// Every document is as it was, and there is no other.
    fn finish(mut self) {
        assert!(self.different.is_empty(), "{}", self.different.join("\n"));
        let files = std::fs::read_dir(&self.directory).expect("golden files");
        let name = |file: std::io::Result<std::fs::DirEntry>| file.expect("a file").file_name();
        let mut files: Vec<_> =
            files.map(|file| name(file).into_string().expect("UTF-8")).collect();
        files.sort();
        self.seen.sort();
        assert_eq!(files, self.seen);
    }
}

/// A node with a control socket, whose time passes only when the test says so.
struct House {
    around: tempfile::TempDir,
    node: Arc<Mutex<Node<FsDisk>>>,
    now_ms: Arc<AtomicU64>,
    arrived: Arc<watch::Sender<Arrivals>>,
    stop: CancellationToken,
    runtime: tokio::runtime::Runtime,
    core: std::thread::JoinHandle<()>,
}

impl House {
    fn new() -> Self {
        let around = tempfile::tempdir().expect("a directory");
        let data = around.path().join("data");
        let disk = FsDisk::create(&data).expect("a disk");
        let keypair = Keypair::from_seed([7; 32]);
        let card = KeyCard::sign(&keypair, [8; 32], 1);
        let identity = Identity { keypair, card, network: NETWORK };
        let node = Node::open(
            &disk,
            Policy::default(),
            identity,
            Box::new(Counted(0)),
            Now::at(START_MS),
            None,
        );
        let node = Arc::new(Mutex::new(node.expect("a node")));
        let now_ms = Arc::new(AtomicU64::new(START_MS));
        let (arrived, arrivals) = watch::channel(Arrivals::default());
        let arrived = Arc::new(arrived);
        let (inbox, mut inputs) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = {
            let _entered = runtime.enter();
            server::bind(&data).expect("a socket")
        };
        let meter = Meter::new().expect("metrics").control_connections();
        let connections = Connections::new(4, meter, stop.clone());
        let subscribers = Subscribers::new(arrivals);
        runtime.spawn(server::serve(listener, inbox, subscribers, connections, stop.clone()));
        let core = std::thread::spawn({
            let node = node.clone();
            let now_ms = now_ms.clone();
            let arrived = arrived.clone();
            move || {
                while let Some(input) = inputs.blocking_recv() {
                    let Input::Call(Call { request, reply }) = input else { continue };
                    let now_ms = now_ms.load(Ordering::SeqCst);
                    let inputs = Inputs::requests(vec![(reply, request)]);
                    turn(&mut node.lock(), Now::at(now_ms), inputs, &arrived);
                }
            }
        });
        Self { around, node, now_ms, arrived, stop, runtime, core }
    }

    fn data(&self) -> PathBuf {
        self.around.path().join("data")
    }

    fn later(&self) -> u64 {
        self.now_ms.fetch_add(1000, Ordering::SeqCst) + 1000
    }

    fn step(&self, inputs: Inputs<ReplySender>) {
        turn(&mut self.node.lock(), Now::at(self.later()), inputs, &self.arrived);
    }

    fn apply(&self, mutation: Mutation) {
        simulated::apply(&mut self.node.lock(), Now::at(self.later()), mutation);
    }

    fn topic(&self, name: &str) -> TopicId {
        self.node.lock().state().resolve(name).expect("a topic")
    }

    /// Ends the node in good order and returns its directory.
    fn close(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.core.join().expect("the core");
        drop(self.runtime);
        let node = Arc::into_inner(self.node).expect("nobody else has it");
        node.into_inner().close().expect("an orderly stop");
        self.around
    }
}

/// One turn, and what the shell does with it.
fn turn(
    node: &mut Node<FsDisk>,
    now: Now,
    inputs: Inputs<ReplySender>,
    arrived: &watch::Sender<Arrivals>,
) {
    let wait = |node: &Node<FsDisk>, after| {
        if let Some(lsn) = Lsn::new(after) {
            node.store().wal().wait(lsn).expect("a log");
        }
    };
    let turn = node.step(now, inputs);
    let compactor = node.store().compactor().clone();
    for Output { after, effect } in turn.outputs {
        wait(node, after);
        match effect {
            Effect::Reply(caller, reply) => drop(caller.send(reply)),
            Effect::Save(draft, caller) => {
                let saved = compactor.save(draft.image);
                node.saved(now, saved.as_ref().map(drop).map_err(ToString::to_string));
                let reply =
                    saved.map(|saved| describe::snapshot(&saved).into()).map_err(Failure::from);
                caller.map(|caller| caller.send(reply));
            }
            Effect::Work(work, caller) => {
                let reply = work.perform(&compactor, |prepared| {
                    let (after, reply) = node.settle(now, prepared);
                    wait(node, after);
                    reply
                });
                caller.map(|caller| caller.send(reply));
            }
            Effect::Send { .. } | Effect::Close { .. } => {}
        }
    }
    if let Some(notifications) = turn.notifications {
        wait(node, notifications.after);
        arrived.send_modify(|arrivals| arrivals.add(notifications));
    }
}

/// A connection to the control socket.
struct Line(BufReader<UnixStream>);

impl Line {
    fn connect(house: &House) -> Self {
        let path = house.data().join("control.sock");
        Self(BufReader::new(UnixStream::connect(path).expect("a node")))
    }

    fn send(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").expect("send");
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("receive");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

/// Lines of text, which a diff shows better than one long string.
fn lines(text: &[u8]) -> Value {
    String::from_utf8_lossy(text).lines().collect()
}

/// The text of a document. Read as its type, the document loses and gains nothing.
fn shown<R: Serialize + DeserializeOwned + Show>(data: &Value) -> Value {
    let document: R = serde_json::from_value(data.clone()).unwrap_or_else(|error| {
        panic!("{error}: {data}");
    });
    assert_eq!(serde_json::to_value(&document).expect("JSON"), *data);
    text(&document)
}

fn text(document: &impl Show) -> Value {
    let mut text = Vec::new();
    document.show(&mut text).expect("memory");
    lines(&text)
}

/// Requests and what comes of them.
struct Script {
    house: House,
    golden: Golden,
    line: Line,
}

impl Script {
    fn send(&mut self, request: &Value) -> Value {
        let mut versioned = json!({ "v": 1 });
        for (key, value) in request.as_object().expect("a request") {
            versioned[key] = value.clone();
        }
        self.house.later();
        self.line.send(&versioned.to_string());
        self.line.receive()
    }

    /// A request of which nothing is kept.
    fn quietly(&mut self, request: Value) -> Value {
        let mut reply = self.send(&request);
        assert_eq!(reply["ok"], true, "{request}: {reply}");
        reply["data"].take()
    }

    fn ask<R>(&mut self, name: &str, request: Value) -> Value
    where
        R: Serialize + DeserializeOwned + Show,
    {
        self.ask_and_show(name, request, shown::<R>)
    }

    fn ask_and_show(
        &mut self,
        name: &str,
        request: Value,
        show: impl FnOnce(&Value) -> Value,
    ) -> Value {
        let mut reply = self.send(&request);
        assert_eq!(reply["ok"], true, "{request}: {reply}");
        let text = show(&reply["data"]);
        self.golden.check(name, &json!({ "request": request, "reply": reply, "text": text }));
        reply["data"].take()
    }

    fn refused(&mut self, name: &str, request: Value) {
        let reply = self.send(&request);
        assert_eq!(reply["ok"], false, "{request}: {reply}");
        let failure: Failure = serde_json::from_value(reply["error"].clone()).expect("a failure");
        let text = lines(failure.to_string().as_bytes());
        self.golden.check(name, &json!({ "request": request, "reply": reply, "text": text }));
    }

    /// A document of `icnctl` itself.
    fn document<R>(&mut self, name: &str, data: &Value)
    where
        R: Serialize + DeserializeOwned + Show,
    {
        let document = json!({ "document": data, "text": shown::<R>(data) });
        self.golden.check(name, &document);
    }
}

fn entries_shown(data: &Value) -> Value {
    let page: reply::Entries = serde_json::from_value(data.clone()).expect("a page");
    let reply::Entries { entries, last, more, topic, .. } = page;
    text(&AllEntries { topic, entries, last, more })
}

fn peers_shown(data: &Value) -> Value {
    let reply::Peers { peers } = serde_json::from_value(data.clone()).expect("peers");
    let known = peers.len();
    text(&ShownPeers { peers, known })
}

fn position(topic: TopicId, epoch: u64, seq: u64) -> Position {
    let network = NETWORK;
    let previous = [0; 32];
    Position { network, topic, epoch, seq, previous, access_version: 1, time_ms: START_MS }
}

fn empty_node(script: &mut Script) {
    script.ask::<reply::Identity>("identity", json!({ "cmd": "identity" }));
    script.ask::<reply::Status>("status_new", json!({ "cmd": "status" }));
    script.ask::<reply::Topics>("topic_list_empty", json!({ "cmd": "topic_list" }));
    let subscriptions = json!({ "cmd": "subscriptions" });
    script.ask::<reply::Subscriptions>("subscriptions_empty", subscriptions);
    script.ask_and_show("peer_list_empty", json!({ "cmd": "peer_list" }), peers_shown);
    script.ask::<reply::Snapshots>("snapshot_list_empty", json!({ "cmd": "snapshot_list" }));
}

fn topics(script: &mut Script) {
    let create = json!({ "cmd": "topic_create", "name": "a:public", "public": true });
    script.ask::<reply::TopicCreated>("topic_create_public", create.clone());
    script.refused("topic_create_again", create);
    let member = Keypair::from_seed([5; 32]).did().to_string();
    let create = json!({ "cmd": "topic_create", "name": "b:members", "members": [member] });
    script.ask::<reply::TopicCreated>("topic_create_members", create);
    let create = json!({
        "cmd": "topic_create", "name": "c:trusted", "min_trust": 300, "scope": "regional",
        "max_entries": 2, "retention_days": 1,
    });
    script.ask::<reply::TopicCreated>("topic_create_min_trust", create);
    let mut spec = TopicSpec::new("d:sealed".into(), Access::public().encode(), START_MS);
    spec.access = AccessBytes::from_bytes(vec![99]);
    let genesis = Genesis::sign(&Keypair::from_seed([5; 32]), NETWORK, spec, 4);
    script.house.apply(Mutation::CreateTopic(genesis));
    script.ask::<reply::Topics>("topic_list", json!({ "cmd": "topic_list" }));
    let publish = json!({ "cmd": "publish", "topic": "d:sealed", "text": "x" });
    script.refused("publish_sealed", publish);
    script.refused("topic_show_unknown", json!({ "cmd": "topic_show", "topic": "no:such" }));
}

fn entries(script: &mut Script) {
    let publish =
        |topic: &str, text: &str| json!({ "cmd": "publish", "topic": topic, "text": text });
    script.ask::<reply::Published>("publish_text", publish("a:public", "one\u{1b}[2Jline\n"));
    let publish_bytes = json!({ "cmd": "publish", "topic": "a:public", "base64": "/wD+" });
    script.ask::<reply::Published>("publish_base64", publish_bytes);
    script.refused(
        "publish_bad_base64",
        json!({ "cmd": "publish", "topic": "a:public", "base64": "!" }),
    );
    let topic = script.house.topic("a:public");
    let other = Keypair::from_seed([5; 32]);
    let entry = Entry::sign(&other, &position(topic, u64::MAX - 1, 1), "of another".into());
    let key = LogKey::of(&entry);
    script.house.apply(Mutation::Append { entry: entry.clone(), received_ms: START_MS });
    let entries = json!({ "cmd": "entries", "topic": "a:public" });
    script.ask_and_show("entries", entries, entries_shown);
    let first = json!({ "cmd": "entries", "topic": "a:public", "after": 1, "limit": 1 });
    script.ask_and_show("entries_page", first, entries_shown);
    let twin = Entry::sign(&other, &position(topic, u64::MAX - 1, 1), "the twin".into());
    script.house.apply(Mutation::Freeze(Box::new((entry, twin))));
    assert!(script.house.node.lock().state().head(&key).proof.is_some(), "a frozen log");
    let show = json!({ "cmd": "topic_show", "topic": "a:public" });
    script.ask::<reply::TopicShown>("topic_show", show);
    let show = json!({ "cmd": "topic_show", "topic": "b:members" });
    script.ask::<reply::TopicShown>("topic_show_members", show);
}

fn subscriptions(script: &mut Script) {
    let subscribe = |topic: &str| json!({ "cmd": "subscribe", "topic": topic });
    let unsubscribe = |topic: &str| json!({ "cmd": "unsubscribe", "topic": topic });
    script.ask::<reply::Subscribed>("subscribe", subscribe("a:public"));
    script.ask::<reply::Subscribed>("subscribe_again", subscribe("a:public"));
    script.ask::<reply::Subscribed>("subscribe_pending", subscribe("x:later"));
    script.ask::<reply::Unsubscribed>("unsubscribe", unsubscribe("a:public"));
    script.ask::<reply::Unsubscribed>("unsubscribe_again", unsubscribe("a:public"));
}

fn joins(script: &mut Script) {
    let join = |topic: &str| json!({ "cmd": "topic_join", "topic": topic });
    let creator = Keypair::from_seed([5; 32]).did().to_string();
    let by = |creator: &str| json!({ "cmd": "topic_join", "topic": "y:far", "creator": creator });
    script.ask::<reply::TopicJoined>("topic_join", join("b:members"));
    script.ask::<reply::TopicJoined>("topic_join_again", join("b:members"));
    script.ask::<reply::TopicJoined>("topic_join_pending", join(&"7".repeat(64)));
    script.ask::<reply::TopicJoined>("topic_join_by_creator", by(&creator));
    script.refused("topic_join_bad_creator", by("did:icn:nobody"));
    script.refused("topic_join_by_name_alone", join("y:far"));
    let publish = json!({ "cmd": "publish", "topic": "y:far", "text": "to whom?" });
    script.refused("publish_unbound", publish);
    let publish =
        json!({ "cmd": "publish", "topic": "b:members", "text": "described", "describe": true });
    script.ask::<reply::Published>("publish_described", publish);
    let search = json!({ "cmd": "topic_candidates", "name": "y:far", "search": true });
    script.ask::<reply::TopicCandidates>("topic_candidates_unasked", search);
    let candidate = |id: &str, admits: bool| {
        json!({
            "id": id.repeat(64), "creator": creator, "admits_this_node": admits,
            "access": { "kind": "participants", "members": 3 }, "offered_by": [creator],
        })
    };
    let candidates = json!([candidate("1", true), candidate("2", false)]);
    let found = json!({ "name": "y:far", "asked": 2, "answered": 1, "candidates": candidates });
    script.document::<reply::TopicCandidates>("topic_candidates_found", &found);
    let pending = json!({
        "lsn": 9, "pending": true, "already": false, "connected": 1, "topic": null,
        "reference": format!("y:far@{creator}"),
        "candidates": candidates,
    });
    script.document::<reply::TopicJoined>("topic_join_ambiguous", &pending);
    let failure = Failure {
        candidates: serde_json::from_value(candidates).expect("candidates"),
        ..Failure::new(codes::UNBOUND_NAME, "No topic y:far was joined here.")
    };
    let text = lines(failure.to_string().as_bytes());
    script.golden.check("unbound_with_candidates", &json!({ "error": failure, "text": text }));
}

/// After all others: a request moves the time of those after it.
fn refetches(script: &mut Script) {
    let refetch = |topic: &str| json!({ "cmd": "topic_refetch", "topic": topic });
    script.ask::<reply::TopicRefetch>("topic_refetch_whole", refetch("b:members"));
    script.refused("topic_refetch_not_subscribed", refetch("c:trusted"));
    let creator = Keypair::from_seed([5; 32]).did().to_string();
    let brief = json!({
        "id": "1".repeat(64), "name": "coop:ledger", "creator": creator, "created_here": false,
        "access": { "kind": "public" },
    });
    let refetched = |name: &str, changed: Value, script: &mut Script| {
        let mut reply = json!({
            "topic": brief, "since": null, "end": "done", "entries": 0, "bytes": 0, "authors": 0,
            "oldest": null, "logs": 3, "unavailable": 0, "refused": 0, "unanswered": 0,
        });
        for (field, value) in changed.as_object().expect("fields") {
            reply[field] = value.clone();
        }
        script.document::<reply::TopicRefetch>(name, &reply);
    };
    let came = json!({
        "entries": 12, "bytes": 3500, "authors": 2, "oldest": START_MS, "unavailable": 2,
        "unanswered": 1, "since": START_MS - 1000,
    });
    refetched("topic_refetch", came, script);
    let since =
        json!({ "entries": 1, "bytes": 300, "authors": 1, "oldest": START_MS, "since": START_MS });
    refetched("topic_refetch_since", since, script);
    refetched("topic_refetch_no_room", json!({ "end": "no_room" }), script);
    refetched("topic_refetch_no_peer", json!({ "end": "no_peer", "unavailable": 3 }), script);
    refetched("topic_refetch_refused", json!({ "refused": 1 }), script);
    refetched("topic_refetch_stopped", json!({ "end": "stopped" }), script);
}

/// What is sent and received on a connection that follows a topic.
fn streams(script: &mut Script) {
    let house = &script.house;
    let receive = |line: &mut Line, log: &mut Vec<Value>| {
        let received = line.receive();
        let text =
            serde_json::from_value(received.clone()).ok().map(|line: StreamLine| text(&line));
        log.push(json!({ "received": received, "text": text }));
    };
    let send = |line: &mut Line, log: &mut Vec<Value>, request: Value| {
        house.later();
        line.send(&request.to_string());
        log.push(json!({ "sent": request }));
    };
    let mut log = Vec::new();
    let mut line = Line::connect(house);
    let follow = json!({
        "v": 1, "cmd": "follow", "topic": "a:public", "cursor": "billing", "after": 0,
    });
    send(&mut line, &mut log, follow);
    (0..4).for_each(|_| receive(&mut line, &mut log));
    let acknowledge = json!({
        "v": 1, "cmd": "cursor_move", "topic": "a:public", "cursor": "billing", "arrival": 2,
    });
    send(&mut line, &mut log, acknowledge);
    receive(&mut line, &mut log);
    script.line.send(r#"{"v":1,"cmd":"publish","topic":"a:public","text":"fresh"}"#);
    script.line.receive();
    receive(&mut line, &mut log);
    send(&mut line, &mut log, json!({ "v": 1, "cmd": "status" }));
    receive(&mut line, &mut log);
    script.golden.check("stream", &json!({ "lines": log }));

    let mut log = Vec::new();
    let mut line = Line::connect(house);
    send(&mut line, &mut log, json!({ "v": 1, "cmd": "follow", "topic": "x:later" }));
    receive(&mut line, &mut log);
    for request in [
        r#"{"v":1,"cmd":"topic_create","name":"x:later","public":true,"max_entries":1}"#,
        r#"{"v":1,"cmd":"publish","topic":"x:later","text":"one"}"#,
    ] {
        script.line.send(request);
        script.line.receive();
        receive(&mut line, &mut log);
    }
    script.golden.check("stream_pending", &json!({ "lines": log }));

    for text in ["two", "three"] {
        script
            .line
            .send(&format!(r#"{{"v":1,"cmd":"publish","topic":"x:later","text":"{text}"}}"#));
        script.line.receive();
    }
    house.step(Inputs::tick());
    let mut log = Vec::new();
    let mut line = Line::connect(house);
    send(&mut line, &mut log, json!({ "v": 1, "cmd": "follow", "topic": "x:later", "after": 0 }));
    (0..3).for_each(|_| receive(&mut line, &mut log));
    script.golden.check("stream_pruned", &json!({ "lines": log }));
}

fn cursors(script: &mut Script) {
    let subscriptions = json!({ "cmd": "subscriptions" });
    script.ask::<reply::Subscriptions>("subscriptions", subscriptions);
    let cursor = |cmd: &str, name: &str| json!({ "cmd": cmd, "topic": "a:public", "cursor": name });
    let mut forward = cursor("cursor_move", "billing");
    forward["arrival"] = 3.into();
    // `icnctl` prints nothing of it.
    script.ask_and_show("cursor_move", forward.clone(), |_| json!([]));
    forward["arrival"] = 99.into();
    script.refused("cursor_move_ahead", forward);
    script.ask::<reply::CursorDeleted>("cursor_delete", cursor("cursor_delete", "billing"));
    script.refused("cursor_delete_again", cursor("cursor_delete", "billing"));
}

fn peers(script: &mut Script) {
    let card = |seed| KeyCard::sign(&Keypair::from_seed([seed; 32]), [seed; 32], 1);
    let add = json!({ "cmd": "peer_add", "card": card(3).to_string() });
    script.ask::<reply::PeerAdded>("peer_add", add.clone());
    script.ask::<reply::PeerAdded>("peer_add_again", add);
    script.refused("peer_add_bad", json!({ "cmd": "peer_add", "card": "icn-card:no" }));
    let did = Keypair::from_seed([4; 32]).did();
    script.house.apply(Mutation::AddUnsignedKey { did, x25519: [4; 32], time_ms: START_MS });
    for (number, seed) in [(1, 5), (2, 6)] {
        let up = PeerEvent::Up {
            link: LinkId(number),
            card: card(seed),
            binding: [seed; 32],
            address: ([192, 168, 7, seed], 7700).into(),
        };
        let (kind, body) = Message::Clock(START_MS + 2 * 60 * 60 * 1000).encode();
        let time = PeerEvent::Frame { link: LinkId(1), kind, body };
        // The second peer has not sent its time.
        let events = if number == 1 { vec![up, time] } else { vec![up] };
        script.house.step(Inputs { events, ..Inputs::default() });
    }
    let remove = |seed| {
        let did = Keypair::from_seed([seed; 32]).did().to_string();
        json!({ "cmd": "peer_remove", "did": did })
    };
    script.ask::<reply::PeerRemoved>("peer_remove_connected", remove(6));
    script.ask_and_show("peer_list", json!({ "cmd": "peer_list" }), peers_shown);
    script.ask::<reply::PeerRemoved>("peer_remove", remove(3));
    script.ask::<reply::PeerRemoved>("peer_remove_again", remove(3));
    let known = json!({ "peers": [], "known": 3 });
    script.document::<ShownPeers>("peer_list_none_connected", &known);
}

/// Returns the id of a snapshot.
fn snapshots(script: &mut Script) -> String {
    let create = json!({
        "cmd": "snapshot_create", "pin": true, "labels": ["why=before the update", "by=me"],
    });
    let made = script.ask::<Taken>("snapshot_create", create);
    let id = made["id"].as_str().expect("an id").to_owned();
    script.document::<Snapshot>("snapshot_show", &made);
    let no_label = json!({ "cmd": "snapshot_create", "labels": ["no label"] });
    script.refused("snapshot_create_bad_label", no_label);
    let verify = json!({ "cmd": "snapshot_verify", "id": id });
    script.ask::<reply::Verified>("snapshot_verify", verify);
    script.refused("snapshot_verify_bad_id", json!({ "cmd": "snapshot_verify", "id": "no" }));
    let pin = |pinned| json!({ "cmd": "snapshot_pin", "id": id, "pinned": pinned });
    script.ask::<reply::Pinned>("snapshot_unpin", pin(false));
    script.ask::<reply::Pinned>("snapshot_pin", pin(true));
    let verified = json!({ "snapshots": [
        { "id": id, "verified": true },
        { "id": "00000000000000000009-0000000000000001", "verified": false, "why": "bad bytes" },
    ] });
    script.document::<Checked>("snapshot_verify_all", &verified);
    script.document::<Exported>("snapshot_export", &json!({ "file": "state.json", "lsn": 9 }));
    id
}

fn restores(script: &mut Script, id: &str) {
    let digest = script.ask::<reply::Digest>("digest", json!({ "cmd": "digest" }));
    script.ask::<reply::TopicDeleted>(
        "topic_delete",
        json!({ "cmd": "topic_delete", "topic": "b:members" }),
    );
    let create = json!({ "cmd": "topic_create", "name": "e:new" });
    script.ask::<reply::TopicCreated>("topic_create", create);
    script.quietly(json!({ "cmd": "publish", "topic": "a:public", "text": "after" }));
    script.quietly(json!({ "cmd": "subscribe", "topic": "e:new" }));
    let card = KeyCard::sign(&Keypair::from_seed([3; 32]), [3; 32], 1).to_string();
    script.quietly(json!({ "cmd": "peer_add", "card": card }));
    let then = json!({ "cmd": "digest", "lsn": digest["lsn"] });
    assert_eq!(script.ask::<reply::Digest>("digest_at", then), digest);
    let diff = json!({ "cmd": "snapshot_diff", "from": { "id": id } });
    script.ask::<reply::Diff>("snapshot_diff", diff);
    let same = json!({ "cmd": "snapshot_diff", "from": { "id": id }, "to": { "id": id } });
    script.ask::<reply::Diff>("snapshot_diff_same", same);
    let to = json!({ "lsn": digest["lsn"] });
    let preview = json!({ "cmd": "snapshot_preview", "to": to });
    script.ask::<reply::Diff>("snapshot_preview", preview);
    script.refused(
        "snapshot_restore_outside",
        json!({ "cmd": "snapshot_restore", "to": { "lsn": 4000 } }),
    );
    let restore = json!({ "cmd": "snapshot_restore", "to": to });
    script.ask::<reply::Restored>("snapshot_restore", restore);
    script.ask::<reply::Snapshots>("snapshot_list", json!({ "cmd": "snapshot_list" }));

    // No request changes the rule of a topic; a newer version's may.
    let topic = |access: Value| {
        json!({
            "name": "a:public", "access": access, "access_version": 1, "scope": "global",
            "max_entries": 1000, "retention_ms": 86_400_000,
        })
    };
    let members = json!({ "kind": "participants", "members": ["did:icn:zOne", "did:icn:zTwo"] });
    let changed = json!({
        "same": false,
        "topics": [
            { "what": "t1", "change": "changed", "from": topic(members),
              "to": topic(json!({ "kind": "min_trust", "min_trust": 7 })) },
            { "what": "t2", "change": "changed", "from": topic(json!({ "kind": "public" })),
              "to": topic(json!({ "kind": "public" })) },
        ],
        "subscriptions": [
            { "what": "a by local", "change": "changed", "from": { "pending": true },
              "to": { "pending": false } },
        ],
        "peers": [
            { "what": "did:icn:zOne", "change": "changed",
              "from": { "unsigned_key": "00" }, "to": { "key": "icn-card:x", "trust": 5 } },
        ],
        "clocks": [{ "what": "a by x in epoch 5", "change": "changed", "from": 1, "to": 2 }],
        "entries": { "from": 2, "to": 2 },
        "from": { "lsn": 8, "time": START_MS, "timeline": 0, "now": false },
        "to": { "lsn": 9, "now": true },
    });
    script.document::<reply::Diff>("snapshot_diff_changed", &changed);
}

fn imports(script: &mut Script) {
    let path = |name: &str| script.house.around.path().join(name);
    let exported = path("exported.json");
    let legacy = path("state.snapshot");
    let mut document = Vec::new();
    script.house.node.lock().state().export(&mut document).expect("memory");
    std::fs::write(&exported, document).expect("write");
    let topic = |name: &str, access: &str| json!({ "name": name, "access_control": access, "max_entries": 10, "scope": "Global" });
    let document = json!({
        "version": 1,
        "created_at": 1_700_000_000,
        "gossip_state": {
            "vector_clock": {},
            "local_subscriptions": ["y:open", "y:later"],
            "subscriptions": {},
            "topics": { "y:open": topic("y:open", "Public"), "y:shut": topic("y:shut", "Participants(2)") },
            "more": 1,
        },
        "network_state": null,
    });
    std::fs::write(&legacy, document.to_string()).expect("write");
    let import = |path: &Path, dry_run| json!({ "cmd": "snapshot_import", "path": path, "dry_run": dry_run });
    script.ask::<reply::Imported>("snapshot_import_dry_run", import(&exported, true));
    script.ask::<reply::Imported>("snapshot_import", import(&exported, false));
    script.ask::<reply::Imported>("snapshot_import_legacy_dry_run", import(&legacy, true));
    script.ask::<reply::Imported>("snapshot_import_legacy", import(&legacy, false));
    let missing = import(&script.house.around.path().join("missing"), false);
    script.refused("snapshot_import_missing", missing);
}

fn ends(script: &mut Script, id: &str) {
    let delete = json!({ "cmd": "snapshot_delete", "id": id });
    script.refused("snapshot_delete_pinned", delete.clone());
    script.quietly(json!({ "cmd": "snapshot_pin", "id": id, "pinned": false }));
    script.quietly(json!({ "cmd": "snapshot_create" }));
    for dry_run in [true, false] {
        let name = if dry_run { "snapshot_prune_dry_run" } else { "snapshot_prune" };
        let request = json!({ "cmd": "snapshot_prune", "dry_run": dry_run });
        let mut plan = script.ask_and_show(name, request, |plan| {
            let plan = serde_json::from_value(plan.clone()).expect("a plan");
            text(&Pruned { plan, dry_run, explain: false })
        });
        plan["dry_run"] = json!(dry_run);
        plan["explain"] = json!(true);
        script.document::<Pruned>(&format!("{name}_explained"), &plan);
    }
    script.refused("snapshot_delete_needed", delete);
    let made = script.quietly(json!({ "cmd": "snapshot_create" }));
    script.quietly(json!({ "cmd": "snapshot_create" }));
    let delete = json!({ "cmd": "snapshot_delete", "id": made["id"] });
    script.ask::<reply::Deleted>("snapshot_delete", delete);
    script.ask::<reply::Status>("status", json!({ "cmd": "status" }));
    let create = json!({ "cmd": "topic_create", "name": "n", "public": true, "private": true });
    script.refused("topic_create_two_access_rules", create);
    let create = json!({ "cmd": "topic_create", "name": "n", "min_trust": 0 });
    script.refused("topic_create_no_trust", create);
    for (name, line) in [
        ("malformed", "{}"),
        ("unknown_command", r#"{"v":1,"cmd":"no_such"}"#),
        ("other_version", r#"{"v":2,"cmd":"status"}"#),
    ] {
        script.line.send(line);
        let reply = script.line.receive();
        script.golden.check(name, &json!({ "line": line, "reply": reply }));
    }
}

fn check(golden: &mut Golden, name: &str, document: &(impl Serialize + Show)) {
    golden.check(name, &json!({ "document": document, "text": text(document) }));
}

/// The log as its files show it.
fn log(around: &Path, golden: &mut Golden) {
    let data = around.join("data");
    let directory = data.join("wal");
    let disk = wal::open(&data, Some(&directory)).expect("a log");
    check(golden, "wal_list", &wal::list(&disk).expect("segments"));
    check(golden, "wal_verify", &wal::verify(&disk).expect("whole"));
    let whole = salvage::run(&data, Some(&directory), None, None).expect("a log");
    check(golden, "wal_salvage_whole", &whole);
    let filter = || wal::Filter {
        from: None,
        to: None,
        limit: None,
        since: None,
        until: None,
        types: Vec::new(),
    };
    let dump = |as_json| {
        let mut out = Vec::new();
        wal::dump(&disk, filter(), as_json, &mut out).expect("records");
        out
    };
    let records = dump(true);
    let records = records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let records: Vec<Value> =
        records.map(|line| serde_json::from_slice(line).expect("JSON")).collect();
    golden.check("wal_dump", &json!({ "lines": records, "text": lines(&dump(false)) }));

    let damaged = around.join("damaged");
    std::fs::create_dir(&damaged).expect("create");
    for file in std::fs::read_dir(&directory).expect("read") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), damaged.join(file.file_name())).expect("copy");
    }
    let record = &records[records.len() / 2];
    let number = |key: &str| record[key].as_u64().expect("a number");
    let path = damaged.join(format!("{:020}.wal", number("segment")));
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[usize::try_from(number("offset")).expect("small") + 70] ^= 1;
    std::fs::write(&path, bytes).expect("write");
    let mut salvage = |name: &str, to: Option<&Path>, from| {
        let found = salvage::run(&data, Some(&damaged), to, from).expect("a log");
        check(golden, name, &found);
    };
    salvage("wal_salvage_dry_run", None, None);
    salvage("wal_salvage", Some(&around.join("salvaged")), None);
    let behind = number("lsn") + 1;
    salvage("wal_salvage_from", Some(&around.join("salvaged-from")), Some(behind));
}

#[test]
fn replies_and_their_texts_are_as_ever() {
    let house = House::new();
    let golden = Golden::new(house.around.path());
    let line = Line::connect(&house);
    let mut script = Script { house, golden, line };
    empty_node(&mut script);
    topics(&mut script);
    entries(&mut script);
    subscriptions(&mut script);
    joins(&mut script);
    streams(&mut script);
    cursors(&mut script);
    peers(&mut script);
    let id = snapshots(&mut script);
    restores(&mut script, &id);
    imports(&mut script);
    ends(&mut script, &id);
    refetches(&mut script);
    let Script { house, mut golden, line } = script;
    drop(line);
    let around = house.close();
    log(around.path(), &mut golden);
    golden.finish();
}
