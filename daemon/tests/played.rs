//! Peers played by a test over real connections to a real node.

mod harness;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use harness::{House, until};
use icn_gossip::mesh::{Head, Message, Root, Tag, WireEntry};
use icn_gossip::{Entry, KeyCard, Keypair, Position, TopicId};
use icn_net::{CloseReason, Config, Frame, LinkEvent, LinkId, Transport, network_id};
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
        let keypair = Keypair::from_seed([66; 32]);
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
                LinkEvent::Sent { .. } => {}
                other @ LinkEvent::Up { .. } => panic!("{other:?}"),
            }
        }
    }
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
