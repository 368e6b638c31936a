//! Writes the seeds of every target: `cargo run --release --example seeds` in this directory.
//!
//! For a target that reads bytes, a seed is what the crates themselves write. For a target that
//! reads a script, it is the shortest random script for each possible verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use icn_fuzz::workload::Oracle;
use icn_fuzz::{Edit, End, Log, Ops, edit, headers, mesh, replay, segments, snapshot};
use icn_gossip::mesh::{
    Ask, Digests, Head, Interest, Message, Root, StopReason, Tag, Want, WireEntry,
};
use icn_gossip::{
    Access, AccessBytes, Entry, Genesis, KeyCard, Keypair, Mutation, Position, Provenance, State,
    TopicSpec,
};
use icn_net::{Frame, Hello, LocalNode, Role, TlsSession, VERSIONS_SPOKEN};
use icn_wal::Error;
use icn_wal::disk::SimDisk;

type Seeds = BTreeMap<String, Vec<u8>>;

fn main() -> io::Result<()> {
    let all = [
        ("frame", frame()),
        ("segment", shortest(20_000, segment)),
        ("ops", shortest(4000, ops)),
        ("snapshot", snapshots()),
        ("entry", entry()),
        ("wire", wire()),
        ("message", messages()),
        ("export", export()),
        ("legacy", legacy()),
    ];
    for (target, seeds) in all {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        if dir.is_dir() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let bytes: usize = seeds.values().map(Vec::len).sum();
        println!("{target}: {} seeds, {bytes} bytes", seeds.len());
        for (name, bytes) in seeds {
            fs::write(dir.join(name), bytes)?;
        }
    }
    Ok(())
}

/// Of `tries` random inputs of growing length, the first one for each name that `name` returns.
fn shortest(tries: usize, name: fn(&[u8]) -> Option<String>) -> Seeds {
    let mut seeds = Seeds::new();
    let mut random = 1_u64;
    for turn in 0..tries {
        let input: Vec<u8> = (0..4 + turn * 96 / tries)
            .map(|_| {
                random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                (random >> 56) as u8
            })
            .collect();
        if let Some(name) = name(&input) {
            seeds.entry(name).or_insert(input);
        }
    }
    seeds
}

fn variant(error: &Error) -> String {
    match error {
        Error::Corrupt(damage) => format!("{:?}", damage.reason),
        other => format!("{other:?}").chars().take_while(char::is_ascii_alphanumeric).collect(),
    }
}

fn segment(input: &[u8]) -> Option<String> {
    let (end, edits) = <(End, Vec<Edit>)>::arbitrary_take_rest(Unstructured::new(input)).ok()?;
    let log = Log::that_ended(end);
    let disk = log.disk();
    edit(&disk, &edits);
    let verdict = match replay(&disk) {
        Err(error) => variant(&error),
        Ok(found) => format!("{}-lost", log.records.len() - found.len()),
    };
    Some(format!("{end:?}-{verdict}").to_lowercase())
}

fn ops(input: &[u8]) -> Option<String> {
    let ops = Ops::new(input);
    let disk = SimDisk::new(1);
    disk.set_faults(ops.faults.clone());
    let faults = [
        ("power", ops.faults.power_loss_at.is_some()),
        ("sync", ops.faults.sync_error_at.is_some()),
        ("write", ops.faults.write_error_at.is_some()),
        ("open", ops.faults.open_error_at.is_some()),
        ("read", ops.faults.read_error_at.is_some()),
        ("room", ops.faults.room.is_some()),
    ];
    let mut planned = faults.iter().filter(|(_, planned)| *planned).map(|(name, _)| *name);
    let (fault, None) = (planned.next().unwrap_or("none"), planned.next()) else { return None };
    let end = Oracle::default().run(&disk, &ops.plan);
    let end = end.map_or_else(|error| variant(&error), |()| "done".into());
    Some(format!("{fault}-{end}-{}", ops.plan.len() / 8).to_lowercase())
}

/// Frames of real logs, unchanged and with each field replaced.
fn frame() -> Seeds {
    let mut seeds = Seeds::new();
    for end in [End::Note, End::Close] {
        let disk = Log::that_ended(end).disk();
        let segment = segments(&disk).pop().and_then(|name| disk.read_file(&name));
        let segment = segment.expect("a segment");
        for (index, frame) in headers(&segment).into_iter().enumerate() {
            for own in [0, 0xFF] {
                let mut bytes = segment[frame.offset..frame.end].to_vec();
                bytes[0] = own;
                seeds.insert(format!("{index}-kind{}-{own:02x}", frame.kind), bytes);
            }
        }
    }
    seeds
}

/// One changed byte in each field of a snapshot, with and without valid checksums; truncations.
fn snapshots() -> Seeds {
    let (disk, name) = snapshot();
    let length = disk.read_file(&name).expect("a snapshot").len();
    let header = [0, 8, 12, 16, 32, 40, 48, 56, 64, 92];
    let chunk = [96, 100, 104, 108, 120, (108 + length - 64) / 2];
    let trailer = [64, 56, 48, 40, 8, 4, 1].map(|behind| length - behind);
    let mut seeds = Seeds::new();
    for place in header.into_iter().chain(chunk).chain(trailer) {
        for repaired in [0, 1] {
            let mut script = vec![repaired];
            script.extend_from_slice(&u32::try_from(place).expect("small").to_le_bytes()[..3]);
            script.push(0xA5);
            seeds.insert(format!("byte{place}-{repaired}"), script);
        }
    }
    for part in [0, 1, 128, 255] {
        seeds.insert(format!("cut{part}"), vec![0, 0xFF, 0xFF, 0xFF, part]);
    }
    seeds
}

fn keypair() -> Keypair {
    Keypair::from_seed([1; 32])
}

fn card() -> KeyCard {
    KeyCard::sign(&keypair(), [2; 32], 1)
}

fn entry() -> Seeds {
    let did = keypair().did();
    let network = icn_net::network_id("icn");
    let genesis = |access: &Access| {
        let spec = TopicSpec::new("news".into(), access.encode(), 1);
        Genesis::sign(&keypair(), network, spec, 7)
    };
    let rules = [
        ("public", Access::public()),
        ("participants", Access::participants(vec![did])),
        ("trust", Access::min_trust(3)),
    ];
    let topic = genesis(&rules[0].1).id();
    let position = Position {
        network,
        topic,
        epoch: 1,
        seq: 1,
        previous: [0; 32],
        access_version: 0,
        time_ms: 5,
    };
    let entry = Entry::sign(&keypair(), &position, Bytes::from_static(b"hello"));
    let name = String::from("news");
    let by = Provenance::Local;
    let mutations = [
        ("init", Mutation::Init { did, network, epoch: 1, clock: None }),
        ("create", Mutation::CreateTopic(genesis(&rules[1].1))),
        ("delete", Mutation::DeleteTopic(topic)),
        ("subscribe", Mutation::Subscribe { topic: name.clone(), by, time_ms: 5 }),
        ("unsubscribe", Mutation::Unsubscribe { topic: name, by: Provenance::Peer(did) }),
        ("append", Mutation::Append { entry: entry.clone(), received_ms: 6 }),
        ("prune", Mutation::Prune { topic, through: 1 }),
        ("peer", Mutation::AddPeer { card: card(), named: false, time_ms: 5 }),
        ("forget", Mutation::RemovePeer(did)),
        ("cursor", Mutation::MoveCursor { topic, name: "app".into(), arrival: 1 }),
        ("cursor-gone", Mutation::DeleteCursor { topic, name: "app".into() }),
    ];
    let mut seeds = Seeds::new();
    seeds.insert("entry".into(), entry.encode());
    seeds.insert("empty".into(), Entry::sign(&keypair(), &position, Bytes::new()).encode());
    for (name, access) in rules {
        seeds.insert(format!("access-{name}"), access.encode().as_bytes().to_vec());
    }
    for (name, mutation) in mutations {
        let mut bytes = Vec::new();
        mutation.encode(&mut bytes);
        seeds.insert(format!("mutation-{name}"), bytes);
    }
    seeds
}

/// States with some of every kind of data, with their digest and without.
fn export() -> Seeds {
    let did = keypair().did();
    let network = icn_net::network_id("icn");
    let init = Mutation::Init { did, network, epoch: 1, clock: None };
    let topic = |access: AccessBytes| {
        let genesis =
            Genesis::sign(&keypair(), network, TopicSpec::new("news".into(), access, 1), 7);
        (genesis.id(), Mutation::CreateTopic(genesis))
    };
    let (topic_id, open) = topic(Access::public().encode());
    let entry = |payload: &'static [u8]| {
        let epoch = 1;
        let seq = 1;
        let previous = [0; 32];
        let position = Position {
            network,
            topic: topic_id,
            epoch,
            seq,
            previous,
            access_version: 1,
            time_ms: 5,
        };
        let entry = Entry::sign(&keypair(), &position, Bytes::from_static(payload));
        Mutation::Append { entry, received_ms: 6 }
    };
    let wish = |by| Mutation::Subscribe { topic: "news".into(), by, time_ms: 5 };
    let peer = Keypair::from_seed([3; 32]).did();
    let cursor = Mutation::MoveCursor { topic: topic_id, name: "app".into(), arrival: 1 };
    let states = [
        ("empty", vec![]),
        ("waiting", vec![wish(Provenance::Local), wish(Provenance::Peer(peer))]),
        ("members", vec![init.clone(), topic(Access::participants(vec![peer]).encode()).1]),
        ("sealed", vec![init.clone(), topic(AccessBytes::from_bytes(vec![9, 9])).1]),
        ("entry", vec![init.clone(), open.clone(), wish(Provenance::Local), entry(b"hello")]),
        ("cursor", vec![init.clone(), open.clone(), entry(b"hello"), cursor]),
        ("frozen", vec![init, open, entry(b"one"), entry(&[0xFF])]),
        ("peer", vec![Mutation::AddPeer { card: card(), named: false, time_ms: 5 }]),
        ("unsigned", vec![Mutation::AddUnsignedKey { did, x25519: [4; 32], time_ms: 5 }]),
    ];
    let mut seeds = Seeds::new();
    for (name, mutations) in states {
        let mut state = State::default();
        for (lsn, mutation) in (1..).zip(mutations) {
            state.apply(lsn, mutation);
        }
        let mut document = Vec::new();
        state.export(&mut document).expect("memory");
        let edited = String::from_utf8(document.clone()).expect("JSON");
        let without = |line: &&str| !line.starts_with("  \"digest\"");
        let edited: String = edited.lines().filter(without).map(str::trim_start).collect();
        seeds.insert(name.into(), document);
        seeds.insert(format!("{name}-edited"), edited.into_bytes());
    }
    seeds
}

/// Sequences of messages: each kind alone, and those that lead to an entry.
fn messages() -> Seeds {
    let topic = mesh::topic();
    let entry = mesh::entry();
    let tag = Tag::of_topic(&mesh::BINDING, &topic);
    let author = Keypair::from_seed([3; 32]).did();
    let hash = [1; 16];
    let head = |seq| Head { author, epoch: 4, seq, hash };
    let want = |after| Want { handle: 0, tag, author: keypair().did(), epoch: 9, after, hash };
    let list = vec![Interest { tag, missing: true }];
    let heads = |seq| Message::Heads { tag, last: true, unsolicited: false, list: vec![head(seq)] };
    let bytes = entry.encode();
    let signature = *bytes[193..].first_chunk().expect("64 bytes");
    let payload = entry.payload().clone();
    let wire = WireEntry { kind: 1, access_version: 1, time_ms: 6, signature, payload };
    let entries = Message::Entries { handle: 0, first: 1, list: vec![wire] };
    let base = Message::Base { handle: 0, seq: 5, hash: [2; 32] };
    let access = Access::participants(vec![keypair().did(), author]).encode();
    let spec = TopicSpec::new("joined".into(), access, 5);
    let genesis = Genesis::sign(&Keypair::from_seed([3; 32]), [1; 32], spec, 7);
    let name = Tag::of_name(&mesh::BINDING, "joined");
    let all = [
        ("offer", vec![Message::Topics(vec![genesis.clone()])]),
        ("find", vec![Message::Find(name)]),
        ("found", vec![Message::Found { tag: name, list: vec![genesis] }]),
        ("interests", vec![Message::Interests { more: false, list }]),
        ("roots", vec![Message::Roots(vec![(tag, Root([3; 16]))])]),
        ("clock", vec![Message::Clock(6)]),
        ("ask", vec![Message::Ask(vec![Ask { tag, digests: Digests::default() }])]),
        ("heads", vec![heads(7)]),
        ("want", vec![Message::Want(vec![want(0)]), Message::Cease(0)]),
        ("ahead", vec![Message::Want(vec![want(1 << 40)])]),
        ("entries", vec![heads(7), entries]),
        ("base", vec![heads(7), base]),
        ("stop", vec![heads(7), Message::Stop { handle: 0, reason: StopReason::NoSource }]),
        ("dispute", vec![Message::Dispute(Box::new(entry.clone()))]),
        ("proof", vec![Message::Proof(Box::new((entry.clone(), entry)))]),
    ];
    let frame = |message: Message| {
        let (kind, body) = message.encode();
        let length = u16::try_from(body.len()).expect("small").to_le_bytes();
        [&[kind], &length[..], &body[..]].concat()
    };
    let seed = |messages: Vec<Message>| messages.into_iter().flat_map(frame).collect();
    all.into_iter().map(|(name, messages)| (name.into(), seed(messages))).collect()
}

/// One document with every field, and parts of it.
fn legacy() -> Seeds {
    let own = keypair().did();
    let peer = Keypair::from_seed([3; 32]).did();
    let topic = |name: &str, rule: &str, scope: &str| {
        format!(
            r#""{name}":{{"name":"{name}","access_control":"{rule}","max_entries":9,"scope":"{scope}"}}"#
        )
    };
    let topics = [
        topic("a", "Public", "Global"),
        topic("b", &format!("Participants:[{own},{peer}]"), "Regional"),
        topic("c", "TrustClass:Known", "LocalCluster"),
        topic("d", "MinTrustScore:0.7", "Global"),
        topic("e", "Participants:2", "?"),
    ];
    let key = format!("{:?}", [5; 32]);
    let connection = format!(
        r#"{{"did":"{peer}","negotiated_version":1,"peer_capabilities":3,"peer_software":"x","x25519_key":{key},"ml_kem_public":[1]}}"#
    );
    let gossip = |topics: &str| {
        format!(
            r#""gossip_state":{{"vector_clock":{{"{own}":3}},"subscriptions":{{"a":["{own}","{peer}"],"b":["{peer}"],"z":["{peer}"]}},"local_subscriptions":["a"],"topics":{{{topics}}}}}"#
        )
    };
    let network = format!(
        r#""network_state":{{"peer_connections":{{"{peer}":{connection}}},"peer_x25519_keys":{{"{peer}":{key}}},"peer_addresses":{{"{peer}":"192.0.2.1:1"}}}}"#
    );
    let identity = r#""identity_state":{"did_key":{"type":"software","secret_bytes":[1]}}"#;
    let start = r#""version":1,"created_at":5"#;
    let mut seeds = Seeds::new();
    for (name, parts) in [
        ("empty", vec![start.to_owned()]),
        ("gossip", vec![start.to_owned(), gossip(&topics[0])]),
        ("topics", vec![start.to_owned(), gossip(&topics.join(","))]),
        ("network", vec![start.to_owned(), network.clone()]),
        ("identity", vec![start.to_owned(), identity.to_owned(), r#""more":{"a":[0]}"#.to_owned()]),
        ("all", vec![start.to_owned(), gossip(&topics.join(",")), network, identity.to_owned()]),
    ] {
        seeds.insert(name.into(), format!("{{{}}}", parts.join(",")).into_bytes());
    }
    seeds
}

/// Frames in pieces of different lengths, and a Hello of another session.
fn wire() -> Seeds {
    let keypair = keypair();
    let card = card();
    let network = icn_net::network_id("icn");
    let peer = Keypair::from_seed([3; 32]);
    let local = LocalNode {
        keypair: &peer,
        card: &card,
        network,
        versions: VERSIONS_SPOKEN,
        capabilities: 0,
    };
    let session = TlsSession { binding: [5; 32], role: Role::Dialler, peer: keypair.did() };
    let hello = Hello::sign(&local, &session);
    let mut seeds = Seeds::new();
    for (piece, bodies) in [(0, vec![0, 1, 2]), (2, vec![3, 0, 40]), (255, vec![700, 5])] {
        let mut wire = BytesMut::from(&[piece][..]);
        for (kind, bytes) in bodies.into_iter().enumerate() {
            let body = vec![b'.'; bytes];
            Frame::new(kind as u8, body).expect("small").encode(&mut wire);
        }
        seeds.insert(format!("frames-in-pieces-of-{}", u16::from(piece) + 1), wire.to_vec());
    }
    let mut framed = BytesMut::from(&[63][..]);
    Frame::new(1, hello.clone()).expect("small").encode(&mut framed);
    seeds.insert("framed-hello".into(), framed.to_vec());
    seeds.insert("hello".into(), [&[0], &hello[..]].concat());
    seeds.insert("too-large".into(), vec![3, 1, 0xFF, 0xFF, 0xFF, 0]);
    seeds
}
