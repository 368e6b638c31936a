//! Peers played by a test over real connections to a real node.

mod harness;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use harness::checks::Watched;
use harness::{House, until};
use icn_gossip::limits::WANTS_MAX;
use icn_gossip::mesh::{Head, Interest, Message, Root, Tag, Want, WireEntry};
use icn_gossip::{
    Access, AccessBytes, Did, Entry, Genesis, KeyCard, Keypair, Position, TopicId, TopicSpec,
};
use icn_net::{CloseReason, Config, Frame, LinkEvent, LinkId, Transport, network_id};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// A played peer and its link to the node.
struct Player {
    transport: Transport,
    events: mpsc::Receiver<LinkEvent>,
    link: LinkId,
    binding: [u8; 32],
}

impl Player {
    async fn meet(address: &str) -> Self {
        let keypair = player();
        let card = KeyCard::sign(&keypair, [6; 32], 1);
        let listen = "127.0.0.1:0".parse().expect("an address");
        let config = Config::new(listen, Arc::new(keypair), card, network_id("icn"));
        let (sender, mut events) = mpsc::channel(1024);
        let transport = Transport::bind(config, sender).expect("a transport");
        assert!(transport.dial(address.parse().expect("a target")));
        match events.recv().await {
            Some(LinkEvent::Up { link, binding, .. }) => Self { transport, events, link, binding },
            other => panic!("{other:?}"),
        }
    }

    fn say(&self, message: &Message) {
        let (kind, body) = message.encode();
        self.transport.send(self.link, Frame::new(kind, body).expect("a frame"));
    }

    /// Every frame of the node until it answers a FIND: all that the messages so far have caused.
    async fn collect(&mut self) -> Vec<Frame> {
        let tag = Tag([0xA5; 16]);
        self.say(&Message::Find(tag));
        let mut frames = Vec::new();
        loop {
            match self.events.recv().await.expect("an event") {
                LinkEvent::Frame { frame, .. } => {
                    let message = Message::decode(frame.kind(), frame.body()).expect("sense");
                    if message == Some(Message::Found { tag, list: Vec::new() }) {
                        return frames;
                    }
                    frames.push(frame);
                }
                LinkEvent::Down { reason, .. } => panic!("{reason:?}"),
                _ => {}
            }
        }
    }

    /// The next message of the node, or why it has closed the link.
    async fn hear(&mut self) -> Result<Message, CloseReason> {
        loop {
            match self.events.recv().await.expect("an event") {
                LinkEvent::Frame { frame, .. } => {
                    if let Ok(Some(message)) = Message::decode(frame.kind(), frame.body()) {
                        return Ok(message);
                    }
                }
                LinkEvent::Down { reason, .. } => return Err(reason),
                LinkEvent::Sent { .. } | LinkEvent::Doubled(_) => {}
                other @ LinkEvent::Up { .. } => panic!("{other:?}"),
            }
        }
    }
}

fn player() -> Keypair {
    Keypair::from_seed([66; 32])
}

/// A topic of the played peer.
fn topic_of_player(name: &str, access: AccessBytes) -> Genesis {
    let spec = TopicSpec::new(name.into(), access, 1);
    Genesis::sign(&player(), network_id("icn"), spec, 1)
}

/// The peer's log: entries of one author, in order.
struct Log {
    entries: Vec<Entry>,
}

impl Log {
    fn write(topic: TopicId, count: u64) -> Self {
        let author = Keypair::from_seed([77; 32]);
        let mut entries: Vec<Entry> = Vec::new();
        for seq in 1..=count {
            let position = Position {
                network: network_id("icn"),
                topic,
                epoch: 5,
                seq,
                previous: entries.last().map_or([0; 32], Entry::hash),
                access_version: 1,
                time_ms: 1,
            };
            entries.push(Entry::sign(&author, &position, seq.to_string().into()));
        }
        Self { entries }
    }

    fn head(&self) -> Head {
        let last = self.entries.last().expect("an entry");
        let hash = *last.hash().first_chunk().expect("16 bytes");
        let header = last.header();
        Head { author: header.author, epoch: header.epoch, seq: header.seq, hash }
    }

    fn frame(&self, handle: u64, places: RangeInclusive<usize>) -> Message {
        let wire = |entry: &Entry| {
            let header = entry.header();
            let bytes = entry.encode();
            WireEntry {
                kind: header.kind,
                access_version: header.access_version,
                time_ms: header.time_ms,
                signature: *bytes[193..].first_chunk().expect("64 bytes"),
                payload: entry.payload().clone(),
            }
        };
        let list = self.entries[places.start() - 1..*places.end()].iter().map(wire).collect();
        Message::Entries { handle, first: *places.start() as u64, list }
    }
}

/// Serves `log` to the node at `address`, with the messages of `answer`, until the link ends.
async fn serve(
    address: &str,
    topic: TopicId,
    log: &Log,
    answer: impl Fn(u64) -> Vec<Message>,
) -> CloseReason {
    let mut player = Player::meet(address).await;
    let tag = Tag::of_topic(&player.binding, &topic);
    player.say(&Message::Roots(vec![(tag, Root([1; 16]))]));
    loop {
        match player.hear().await {
            Ok(Message::Ask(_)) => {
                let list = vec![log.head()];
                player.say(&Message::Heads { tag, last: true, unsolicited: false, list });
            }
            Ok(Message::Want(wants)) => {
                answer(wants[0].handle).iter().for_each(|message| player.say(message));
            }
            Ok(_) => {}
            Err(why) => return why,
        }
    }
}

fn with_topic(house: &House) -> TopicId {
    let created = house.get(&["topic", "create", "open", "--public"]);
    house.get(&["gossip", "subscribe", "open"]);
    created["topic"]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn an_entry_with_a_bad_signature_is_refused_and_ends_the_link() {
    let house = House::new();
    let daemon = house.start();
    let address = daemon.peers();
    let topic = with_topic(&house);
    // The core verifies few entries itself; other threads verify many concurrently.
    for count in [1, 50] {
        let mut log = Log::write(topic, count);
        let mut bytes = log.entries[0].encode();
        bytes[200] ^= 1;
        log.entries[0] = Entry::decode(&bytes).expect("an entry");
        let answer = |handle| vec![log.frame(handle, 1..=log.entries.len())];
        let why = runtime().block_on(async {
            let forging = serve(&address, topic, &log, answer);
            tokio::time::timeout(Duration::from_secs(30), forging).await.expect("an end in time")
        });
        assert!(matches!(why, CloseReason::Theirs { code: 0x22, .. }), "{count}: {why:?}");
    }
    assert_eq!(house.texts("open"), [""; 0]);
    assert_eq!(house.get(&["status"])["network"]["bad_signature"], 2);
}

#[test]
fn a_small_frame_of_entries_never_overtakes_a_large_one_before_it() {
    let house = House::new();
    let daemon = house.start();
    let address = daemon.peers();
    let topic = with_topic(&house);
    let log = Arc::new(Log::write(topic, 301));
    let runtime = runtime();
    let served = Arc::clone(&log);
    // Verifying 300 entries takes longer than the arrival of the one after them.
    runtime.spawn(async move {
        let answer = |handle| vec![served.frame(handle, 1..=300), served.frame(handle, 301..=301)];
        serve(&address, topic, &served, answer).await
    });
    until("all of them", || (house.texts("open").len() == 301).then_some(()));
    assert_eq!(house.get(&["status"])["network"]["rules"], 0);
}

#[test]
fn a_strangers_topic_takes_no_name_and_reads_nothing_before_and_after_the_real_one() {
    const NAME: &str = "coop:ledger";
    let [house, owner] = [House::quick(), House::quick()];
    let did = house.init();
    let daemon = house.start();
    let address = daemon.peers();
    assert_eq!(house.get(&["gossip", "subscribe", NAME])["pending"], true);
    let us: Did = did.parse().expect("a DID");
    let trap = topic_of_player(NAME, Access::participants(vec![us, player().did()]).encode());
    let sealed = topic_of_player(NAME, AccessBytes::from_bytes(vec![200]));
    let runtime = runtime();
    let mut player = runtime.block_on(Player::meet(&address));
    let mut attack = || {
        let name = Tag::of_name(&player.binding, NAME);
        let topics = || vec![trap.clone(), sealed.clone()];
        player.say(&Message::Topics(topics()));
        player.say(&Message::Found { tag: name, list: topics() });
        let interest = |topic: &Genesis| Interest {
            tag: Tag::of_topic(&player.binding, &topic.id()),
            missing: false,
        };
        let list = topics().iter().map(interest).collect();
        player.say(&Message::Interests { more: false, list });
        let frames = runtime.block_on(player.collect());
        let revealing = |frame: &&Frame| match Message::decode(frame.kind(), frame.body())
            .expect("sense")
            .expect("known")
        {
            Message::Interests { list, .. } => !list.is_empty(),
            Message::Clock(_) => false,
            _ => true,
        };
        assert_eq!(frames.iter().filter(revealing).count(), 0, "{frames:?}");
    };
    attack();
    assert_eq!(house.get(&["topic", "list"])["topics"], Value::Array(Vec::new()));
    let refused = house.fails(&["gossip", "publish", NAME, "SALARIES"]);
    assert_eq!(refused, (1, "ICN-E0314".into()));

    let owners = owner.start_with(&["--peer", &address]);
    let created = owner.get(&["topic", "create", NAME, "--private", "--member", &did]);
    owner.get(&["gossip", "subscribe", NAME]);
    let id = created["topic"]["id"].as_str().expect("an id");
    let joined = until("the real topic", || {
        let joined = house.get(&["topic", "join", id]);
        (joined["pending"] == false).then_some(joined)
    });
    assert_eq!(joined["topic"]["name"], NAME);
    attack();
    house.get(&["gossip", "publish", NAME, "SALARIES"]);
    until("the message at the owner", || (owner.texts(NAME) == ["SALARIES"]).then_some(()));
    attack();
    assert_eq!(house.get(&["topic", "list"])["topics"].as_array().map(Vec::len), Some(1));
    let rows = house.get(&["gossip", "subscriptions"])["subscriptions"].take();
    let own = rows.as_array().expect("rows").iter().filter(|row| row["by"] == "local");
    assert!(own.clone().count() == 2 && own.clone().all(|row| row["id"] == id), "{rows}");
    drop((owners, daemon));
}

/// What a stranger with every id and a dictionary of names is sent: kind and size of each frame. With
/// `secrets` the node has private topics, joins and pending subscriptions.
fn sent_to_a_stranger(secrets: bool) -> Vec<(u8, usize)> {
    let [house, member] = [House::quick(), House::quick()];
    let [did, members] = [house.init(), member.init()];
    let daemon = house.start();
    let address = daemon.peers();
    house.get(&["topic", "create", "open", "--public"]);
    house.get(&["gossip", "subscribe", "open"]);
    let mut others = Vec::new();
    let mut ids: Vec<TopicId> = Vec::new();
    let mut learn = |created: &Value| {
        ids.push(created["topic"]["id"].as_str().expect("an id").parse().expect("an id"));
    };
    if secrets {
        let made = ["topic", "create", "shut", "--private", "--member", &members];
        learn(&house.get(&made));
        house.get(&["gossip", "subscribe", "shut"]);
        house.get(&["gossip", "publish", "shut", "secret"]);
        others.push(member.start_with(&["--peer", &address]));
        let created = member.get(&["topic", "create", "plans", "--private", "--member", &did]);
        learn(&created);
        let id = ids[1].to_string();
        until("a joined topic", || {
            (house.get(&["topic", "join", &id])["pending"] == false).then_some(())
        });
        house.get(&["topic", "join", &"7".repeat(64)]);
        house.get(&["topic", "join", "coop:plans", "--creator", &members]);
        house.get(&["gossip", "subscribe", "coop:ledger"]);
    }
    ids.extend([TopicId::from_bytes([0x77; 32]), TopicId::from_bytes([5; 32])]);
    ids.resize(4, TopicId::from_bytes([6; 32]));
    let runtime = runtime();
    let mut player = runtime.block_on(Player::meet(&address));
    // The offer of the public topic comes first: one turn may handle any number of later messages.
    player.say(&Message::Interests { more: false, list: Vec::new() });
    let mut sent = Vec::new();
    while !matches!(sent.last(), Some(Message::Topics(_))) {
        sent.push(runtime.block_on(player.hear()).expect("a link"));
    }
    let mut frames = runtime.block_on(player.collect());
    let binding = player.binding;
    let tag = |id: &TopicId| Tag::of_topic(&binding, id);
    for missing in [true, false] {
        let list = ids.iter().map(|id| Interest { tag: tag(id), missing }).collect();
        player.say(&Message::Interests { more: false, list });
    }
    player.say(&Message::Roots(ids.iter().map(|id| (tag(id), Root([1; 16]))).collect()));
    for (handle, id) in (1..).zip(&ids) {
        let author = members.parse().expect("a DID");
        let want = Want { handle, tag: tag(id), author, epoch: 1, after: 0, hash: [0; 16] };
        player.say(&Message::Want(vec![want]));
    }
    for name in ["shut", "plans", "coop:plans", "coop:ledger"] {
        player.say(&Message::Find(Tag::of_name(&binding, name)));
        let us = did.parse().expect("a DID");
        let access = Access::participants(vec![us, self::player().did()]).encode();
        player.say(&Message::Topics(vec![topic_of_player(name, access)]));
        frames.extend(runtime.block_on(player.collect()));
        if secrets {
            house.get(&["gossip", "publish", "shut", name]);
            house.get(&["gossip", "subscribe", &format!("later:{name}")]);
            house.get(&["topic", "candidates", name]);
        }
    }
    frames.extend(runtime.block_on(player.collect()));
    let first = sent.iter().map(Message::encode).map(|(kind, body)| (kind, body.len()));
    first.chain(frames.iter().map(|frame| (frame.kind(), frame.body().len()))).collect()
}

#[test]
fn a_stranger_with_every_id_and_name_is_sent_the_same_by_a_node_with_secrets() {
    let bare = sent_to_a_stranger(false);
    assert_eq!(
        bare.len(),
        11,
        "interests, a time, an offer, a STOP for each WANT, and an answer to each FIND: {bare:?}"
    );
    assert_eq!(sent_to_a_stranger(true), bare);
}

#[test]
fn a_link_that_carries_as_many_logs_as_it_can_is_a_warning_until_it_ends() {
    let house = House::new();
    let daemon = house.start();
    let topic = with_topic(&house);
    let address = daemon.peers();
    let subscriptions = Watched { house: &house, daemon: &daemon, name: "subscriptions" };
    let runtime = runtime();
    let (ends, ended) = tokio::sync::oneshot::channel();
    let player = runtime.spawn(async move {
        let mut player = Player::meet(&address).await;
        let tag = Tag::of_topic(&player.binding, &topic);
        player.say(&Message::Roots(vec![(tag, Root([1; 16]))]));
        while !matches!(player.hear().await.expect("a message"), Message::Ask(_)) {}
        let author = Keypair::from_seed([77; 32]).did();
        for page in 0..WANTS_MAX as u64 / 800 + 1 {
            let head = |at| Head { author, epoch: page * 800 + at, seq: 1, hash: [1; 16] };
            let list = (0..800).map(head).collect();
            player.say(&Message::Heads { tag, last: false, unsolicited: false, list });
        }
        // Reads on, or the node would wait for it.
        tokio::select! {
            _ = ended => {}
            () = async { while player.hear().await.is_ok() {} } => {}
        }
    });
    let hint = subscriptions.house.hint("gossip unsubscribe");
    subscriptions.warns(&format!("1 are full. End some: {hint}"));
    ends.send(()).expect("the player");
    runtime.block_on(player).expect("the player");
    subscriptions.is_over();
}
