//! A peer that passes on what nobody has signed, on a real connection to a real node.

mod harness;

use std::sync::Arc;
use std::time::Duration;

use harness::House;
use icn_gossip::mesh::{Head, Message, Root, Tag, WireEntry};
use icn_gossip::{KeyCard, Keypair, TopicId};
use icn_net::{Config, Event, Frame, LinkId, Transport, Why, network_id};
use tokio::sync::mpsc;

/// The peer, and its link to the node.
struct Forger {
    transport: Transport,
    events: mpsc::Receiver<Event>,
    link: LinkId,
    binding: [u8; 32],
}

impl Forger {
    async fn meet(address: &str) -> Self {
        let keypair = Keypair::from_seed([66; 32]);
        let card = KeyCard::sign(&keypair, [6; 32], 1);
        let listen = "127.0.0.1:0".parse().expect("an address");
        let config = Config::new(listen, Arc::new(keypair), card, network_id("icn"));
        let (sender, mut events) = mpsc::channel(1024);
        let transport = Transport::bind(config, sender).expect("a transport");
        assert!(transport.dial(address.parse().expect("a target")));
        match events.recv().await {
            Some(Event::Up { link, binding, .. }) => Self { transport, events, link, binding },
            other => panic!("{other:?}"),
        }
    }

    fn say(&self, message: &Message) {
        let (kind, body) = message.encode();
        self.transport.send(self.link, Frame::new(kind, body).expect("a frame"));
    }

    /// What the node says next, or why it has closed the link.
    async fn hear(&mut self) -> Result<Message, Why> {
        loop {
            match self.events.recv().await.expect("an event") {
                Event::Frame { frame, .. } => {
                    if let Ok(Some(message)) = Message::decode(frame.kind(), frame.body()) {
                        return Ok(message);
                    }
                }
                Event::Down { why, .. } => return Err(why),
                Event::Sent { .. } => {}
                other @ Event::Up { .. } => panic!("{other:?}"),
            }
        }
    }
}

async fn forge(address: &str, topic: TopicId) -> Why {
    let mut forger = Forger::meet(address).await;
    let tag = Tag::of_topic(&forger.binding, &topic);
    let author = Keypair::from_seed([77; 32]).did();
    forger.say(&Message::Roots(vec![(tag, Root([1; 16]))]));
    loop {
        match forger.hear().await {
            Ok(Message::Ask(_)) => {
                let list = vec![Head { author, epoch: 5, seq: 1, hash: [2; 16] }];
                forger.say(&Message::Heads { tag, last: true, news: false, list });
            }
            Ok(Message::Want(wants)) => {
                let entry = WireEntry {
                    kind: 1,
                    access_version: 1,
                    time_ms: 1,
                    signature: [9; 64],
                    payload: (&b"what nobody has said"[..]).into(),
                };
                let handle = wants[0].handle;
                forger.say(&Message::Entries { handle, first: 1, list: vec![entry] });
            }
            Ok(_) => {}
            Err(why) => return why,
        }
    }
}

#[test]
fn what_nobody_has_signed_is_not_taken_and_ends_the_link() {
    let house = House::new();
    let daemon = house.start();
    let address = daemon.peers();
    let created = house.get(&["topic", "create", "open"]);
    house.get(&["gossip", "subscribe", "open"]);
    let topic = created["topic"]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let why = runtime.expect("a runtime").block_on(async {
        let forging = forge(&address, topic);
        tokio::time::timeout(Duration::from_secs(30), forging).await.expect("an end in time")
    });
    assert!(matches!(why, Why::Theirs { code: 0x22, .. }), "{why:?}");
    assert_eq!(house.texts("open"), [""; 0]);
    assert_eq!(house.get(&["status"])["network"]["bad_signature"], 1);
}
