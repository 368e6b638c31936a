//! The whole node against power loss, a full disk and a failing disk.

use std::collections::{BTreeMap, BTreeSet};

use icn_daemon::control::request::Request;
use icn_daemon::exit;
use icn_daemon::failure::Failure;
use icn_daemon::node::{Effect, Inputs, Rng};
use icn_gossip::{KeyCard, Keypair, Now};
use icn_snapshot::{Due, Integrity, Policy, Retention};
use icn_tests::{SimNode, TestRng, request, sweep_power_losses};
use icn_wal::disk::{Faults, SimDisk};
use serde_json::json;

/// Small limits, so that a short run takes several snapshots.
const POLICY: Policy = Policy {
    due: Due { log_bytes: 1 << 30, segments: u64::MAX, records: 12, age_ms: u64::MAX },
    retention: Retention {
        keep: 3,
        window_ms: 0,
        window_bytes: u64::MAX,
        window_segments: u64::MAX,
    },
};

fn publish(text: &str) -> Request {
    request(json!({"cmd": "publish", "topic": "coop:ledger", "text": text}))
}

/// The messages of the topic; none if the topic does not exist.
fn texts(sim: &mut SimNode) -> Vec<String> {
    let question = request(json!({"cmd": "entries", "topic": "coop:ledger"}));
    let page = match sim.ask(question) {
        Err(refusal) if refusal.code == "ICN-E0302" => return Vec::new(),
        page => page.expect("a page"),
    };
    let each = page["entries"].as_array().expect("entries").iter();
    each.map(|entry| entry["text"].as_str().expect("text").to_owned()).collect()
}

/// What clients have observed of one run.
#[derive(Default)]
struct Seen {
    digests: BTreeMap<u64, [u8; 32]>,
    durable: u64,
    acknowledged: Vec<String>,
    private: bool,
    subscribed: bool,
    peer: bool,
    /// The position of a consumer's cursor, once it has one.
    cursor: Option<u64>,
}

impl Seen {
    /// Records the current state of the node, durable or not.
    fn state(&mut self, sim: &SimNode) {
        let (lsn, digest) = sim.digest();
        self.digests.insert(lsn, digest);
    }

    /// Requests a change, whose reply means that it is durable.
    fn ask(&mut self, sim: &mut SimNode, request: Request) -> Result<(), Failure> {
        let reply = sim.ask(request);
        self.state(sim);
        self.durable = self.durable.max(reply?["lsn"].as_u64().expect("an LSN"));
        Ok(())
    }
}

/// Runs a node by `seed`, to the end of the run or the first error of the disk.
fn live(sim: &mut SimNode, seed: u64, seen: &mut Seen) -> Result<(), Failure> {
    let mut rng = TestRng::new(seed);
    seen.state(sim);
    let create = json!({"cmd": "topic_create", "name": "coop:ledger", "private": true});
    seen.ask(sim, request(create))?;
    seen.private = true;
    seen.ask(sim, request(json!({"cmd": "subscribe", "topic": "coop:ledger"})))?;
    seen.subscribed = true;
    let card = KeyCard::sign(&Keypair::from_seed([5; 32]), [6; 32], 1).to_string();
    seen.ask(sim, request(json!({"cmd": "peer_add", "card": card})))?;
    seen.peer = true;
    let follow = json!({"cmd": "follow", "topic": "coop:ledger", "cursor": "app"});
    seen.ask(sim, request(follow))?;
    seen.cursor = Some(0);
    for number in 0..40 {
        let text = format!("{number} {}", "x".repeat(usize::try_from(rng.below(300)).unwrap_or(0)));
        match rng.below(8) {
            0 => {
                // Accepted without a released reply: it may have survived the crash or not.
                sim.ask_unreleased(publish(&text));
                seen.state(sim);
            }
            1 => sim.tick()?,
            _ => {
                seen.ask(sim, publish(&text))?;
                seen.acknowledged.push(text);
            }
        }
        if number % 5 == 4 {
            let page = sim.ask(request(json!({"cmd": "entries", "topic": "coop:ledger"})))?;
            let arrival = page["arrived"].as_u64().expect("a number");
            let moved = json!({
                "cmd": "cursor_move", "topic": "coop:ledger", "cursor": "app", "arrival": arrival,
            });
            seen.ask(sim, request(moved))?;
            seen.cursor = Some(arrival);
        }
    }
    Ok(())
}

/// Checks that the recovered node has every state and message that clients have observed.
fn check(image: &SimDisk, seen: &Seen, what: &str) {
    let mut sim =
        SimNode::open(image, POLICY, 99).unwrap_or_else(|failure| panic!("{what}: {failure}"));
    let (lsn, digest) = sim.digest();
    if let Some(before) = seen.digests.get(&lsn) {
        assert_eq!(digest, *before, "{what}: another state at #{lsn}");
    } else {
        // The power was cut before the first state was recorded.
        assert!(seen.digests.is_empty(), "{what}: #{lsn} never was");
    }
    assert!(lsn >= seen.durable, "{what}: #{} was acknowledged, #{lsn} is there", seen.durable);
    let found = texts(&mut sim);
    let mut rest = found.iter();
    for text in &seen.acknowledged {
        assert!(rest.any(|found| found == text), "{what}: {text:?} is lost or out of order");
    }
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{what}: delivered twice");
    if seen.private {
        let topic = sim.ask(request(json!({"cmd": "topic_show", "topic": "coop:ledger"})));
        let access = &topic.expect("the topic")["topic"]["access"];
        assert_eq!(access["kind"], "participants", "{what}");
        assert_eq!(access["members"], json!([sim.node.did().to_string()]), "{what}");
    }
    let counts = sim.node.state().counts();
    assert!(counts.subscriptions >= usize::from(seen.subscribed), "{what}: subscription");
    assert!(counts.peers >= usize::from(seen.peer), "{what}: peer key");
    let cursor = sim.node.state().cursors().next();
    let stands = cursor.map(|(id, _, arrival)| (arrival, sim.node.state().last_arrival(&id)));
    assert!(stands.map(|(stands, _)| stands) >= seen.cursor, "{what}: the cursor has gone back");
    assert!(stands.is_none_or(|(stands, last)| stands <= last), "{what}: {stands:?}");
    // The node accepts further messages.
    if seen.private {
        sim.ask(publish("afterwards")).unwrap_or_else(|failure| panic!("{what}: {failure}"));
    }
}

#[test]
fn a_node_recovers_its_state_after_power_loss_at_every_operation() {
    let mut points = 0;
    let mut images = 0;
    for seed in 0..4 {
        let whole = |disk: &SimDisk| {
            let mut sim = SimNode::open(disk, POLICY, seed)?;
            live(&mut sim, seed, &mut Seen::default())
        };
        whole(&SimDisk::new(seed)).expect("a life without faults");
        let life = |disk: &SimDisk| {
            let mut seen = Seen::default();
            if let Ok(mut sim) = SimNode::open(disk, POLICY, seed) {
                let _ = live(&mut sim, seed, &mut seen);
            }
            seen
        };
        let sweep = sweep_power_losses(seed, 4, life, |seen| seen.durable, check);
        points += sweep.points;
        images += sweep.images;
    }
    // A run that became trivial would make this test prove nothing.
    assert!(points > 300 && images > 300, "{points} crash points, {images} images");
}

#[test]
fn a_full_disk_refuses_appends_until_it_has_room_again() {
    let disk = SimDisk::new(1);
    let mut sim = SimNode::open(&disk, Policy::default(), 1).expect("open");
    sim.ask(request(json!({"cmd": "topic_create", "name": "coop:ledger"}))).expect("create");
    disk.set_faults(Faults { room: Some(0), ..Faults::default() });
    let large = "x".repeat(50_000);
    let mut published = Vec::new();
    let refusal = loop {
        let text = format!("{} {large}", published.len());
        match sim.ask(publish(&text)) {
            Ok(_) => published.push(text),
            Err(refusal) => break refusal,
        }
        assert!(published.len() < 1000, "the disk never fills");
    };
    assert_eq!(refusal.code.as_str(), "ICN-E0203", "{refusal}");
    assert_eq!(refusal.exit, 18, "{refusal}");
    // It reads on, a small refusal changes nothing, and with room everything works again.
    let page = texts(&mut sim);
    assert_eq!(page, published[..page.len()]);
    let before = sim.digest();
    assert_eq!(sim.ask(publish(&large)).expect_err("still full").code, "ICN-E0203");
    assert_eq!(sim.digest(), before);
    disk.set_faults(Faults::default());
    assert_eq!(sim.ask(publish(&large)).expect_err("not tried at once").code, "ICN-E0203");
    sim.node.store().wal().prepare().expect("room again");
    let last = sim.ask(publish("room again")).expect("publish");
    assert_eq!(last["seq"], published.len() as u64 + 1);
    let live = sim.digest();
    drop(sim);
    let image = disk.power_loss(0);
    // A start, a read and a stop need no room.
    image.set_faults(Faults { full: 0..u64::MAX, ..Faults::default() });
    let mut again = SimNode::open(&image, Policy::default(), 2).expect("recover");
    assert_eq!(again.digest(), live);
    assert_eq!(texts(&mut again), page);
    assert_eq!(again.ask(publish("no room")).expect_err("full").code, "ICN-E0203");
    again.node.close().expect("a stop");
    image.set_faults(Faults::default());
    let mut again = SimNode::open(&image, Policy::default(), 2).expect("recover");
    assert_eq!(again.digest(), live);
    again.ask(publish("room again")).expect("publish");
    // Only a new node needs room, for the record of its identity.
    let empty = SimDisk::new(1);
    empty.set_faults(Faults { room: Some(500_000), ..Faults::default() });
    let refusal = SimNode::open(&empty, Policy::default(), 2).err().expect("no room for a node");
    assert_eq!(refusal.code.as_str(), "ICN-E0203", "{refusal}");
    assert_eq!(refusal.exit, 18, "{refusal}");
}

#[test]
fn a_node_releases_nothing_after_a_failed_sync() {
    for failing in 1..40 {
        let disk = SimDisk::new(failing);
        let mut seen = Seen::default();
        disk.set_faults(Faults { sync_error_at: Some(failing), ..Faults::default() });
        let ended = SimNode::open(&disk, POLICY, failing).and_then(|mut sim| {
            let ended = live(&mut sim, failing, &mut seen);
            if sim.node.store().wal().stats().poisoned {
                assert!(sim.ask(publish("too late")).is_err(), "sync {failing}");
                let status = sim.ask(request(json!({"cmd": "status"})));
                assert!(status.is_err(), "sync {failing}: an answer left a poisoned node");
            }
            ended
        });
        disk.set_faults(Faults::default());
        for loss in 0..4 {
            let what = format!("sync {failing}, loss {loss}, {ended:?}");
            check(&disk.power_loss(loss), &seen, &what);
        }
        check(&disk.kill(), &seen, &format!("sync {failing}, kill, {ended:?}"));
    }
}

#[test]
fn a_seed_gives_one_run_of_a_node() {
    let life = |seed| {
        let disk = SimDisk::new(seed);
        let mut sim = SimNode::open(&disk, POLICY, seed).expect("open");
        live(&mut sim, seed, &mut Seen::default()).expect("a life without faults");
        (sim.digest(), disk.operations(), TestRng::new(seed).next())
    };
    assert_eq!(life(3), life(3));
    assert_ne!(life(3).0, life(4).0);
}

#[test]
fn a_snapshot_requested_during_another_is_written_after_it() {
    let mut sim = SimNode::open(&SimDisk::new(1), Policy::default(), 1).expect("open");
    let create = || ((), request(json!({"cmd": "snapshot_create"})));
    let turn = sim.node.step(Now::at(2), Inputs::requests(vec![create(), create(), create()]));
    let outputs = turn.outputs;
    let [first, second, third] = outputs.try_into().expect("three effects");
    let Effect::Reply((), Err(refusal)) = third.effect else { panic!("{:?}", third.effect) };
    assert_eq!(refusal.code, "ICN-E0215", "two images at once are enough");
    for output in [first, second] {
        let Effect::Save(draft, Some(())) = output.effect else { panic!("{:?}", output.effect) };
        sim.node.store().compactor().save(draft.image).expect("save");
        sim.node.saved(Now::at(1), Ok(()));
    }
    assert_eq!(sim.node.store().compactor().list().len(), 2);
    sim.ask(create().1).expect("there is room again");
}

#[test]
fn the_scrub_reads_snapshots_in_turn_and_replaces_a_damaged_one() {
    const HOUR_MS: u64 = 60 * 60 * 1000;
    let disk = SimDisk::new(1);
    let mut sim = SimNode::open(&disk, Policy { due: Due::default(), ..POLICY }, 1).expect("open");
    for name in ["a", "b", "c"] {
        let create = json!({ "cmd": "topic_create", "name": name });
        sim.ask(request(create)).expect("a topic");
        sim.ask(request(json!({ "cmd": "snapshot_create" }))).expect("a snapshot");
    }
    let kept = sim.node.store().compactor().list();
    let bad = kept[1].id;
    let name = format!("snapshots/{}", bad.file_name());
    let mut bytes = disk.read_file(&name).expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 2;
    disk.write_file(&name, &bytes);
    sim.advance(HOUR_MS);
    sim.tick().expect("the oldest is whole");
    sim.tick().expect("nothing more within the hour");
    sim.advance(HOUR_MS);
    sim.tick().expect("a snapshot of the clock's hourly stamp");
    let found = sim.tick().expect_err("the next is damaged");
    assert_eq!(found.exit, exit::DAMAGE);
    sim.node.found_damage(Now::at(0));
    sim.tick().expect("another takes its place");
    let kept = sim.node.store().compactor().list();
    let whole = kept.iter().filter(|kept| kept.integrity == Integrity::Whole);
    assert_eq!(whole.count(), 3);
    assert!(kept.iter().all(|kept| kept.id != bad), "{kept:?}");
}

#[test]
fn save_and_load_snapshot() {
    let disk = SimDisk::new(1);
    let mut sim = SimNode::open(&disk, Policy::default(), 1).expect("open");
    sim.ask(request(json!({ "cmd": "topic_create", "name": "coop:ledger" }))).expect("a topic");
    sim.ask(publish("hello")).expect("a message");
    let saved = sim.ask(request(json!({ "cmd": "snapshot_create" }))).expect("a snapshot");
    let digest = sim.digest();
    drop(sim);
    let mut sim = SimNode::open(&disk.kill(), Policy::default(), 2).expect("open");
    let recovery = sim.node.recovery();
    assert_eq!(recovery.snapshot.map(|id| id.to_string()).as_deref(), saved.as_str());
    assert_eq!(recovery.log.replayed, 0);
    assert_eq!(sim.digest(), digest);
    assert_eq!(texts(&mut sim), ["hello"]);
}

#[test]
fn load_nonexistent_snapshot() {
    let disk = SimDisk::new(1);
    let mut sim = SimNode::open(&disk, Policy::default(), 1).expect("a new node");
    assert_eq!(sim.node.recovery().snapshot, None);
    let digest = sim.digest();
    let restore = json!({ "cmd": "snapshot_restore", "to": { "id": "77-77" } });
    assert_eq!(sim.ask(request(restore)).expect_err("none").code, "ICN-E0212");
    assert_eq!(sim.digest(), digest);
}

#[test]
fn delete_snapshot() {
    let disk = SimDisk::new(1);
    let mut sim = SimNode::open(&disk, Policy::default(), 1).expect("open");
    let mut taken = Vec::new();
    for name in ["a", "b"] {
        sim.ask(request(json!({ "cmd": "topic_create", "name": name }))).expect("a topic");
        taken.push(sim.ask(request(json!({ "cmd": "snapshot_create" }))).expect("a snapshot"));
    }
    let digest = sim.digest();
    let mut delete =
        |id: &serde_json::Value| sim.ask(request(json!({ "cmd": "snapshot_delete", "id": id })));
    delete(&taken[0]).expect("an old one");
    assert_eq!(delete(&taken[0]).expect_err("it is gone").code, "ICN-E0212");
    assert_eq!(delete(&taken[1]).expect_err("the newest").code, "ICN-E0213");
    assert_eq!(delete(&"../identity.key".into()).expect_err("no id").code, "ICN-E0216");
    drop(sim);
    let sim = SimNode::open(&disk.kill(), Policy::default(), 2).expect("open");
    assert_eq!(sim.digest(), digest);
    assert_eq!(sim.node.store().compactor().list().len(), 1);
}

#[test]
fn network_state() {
    let disk = SimDisk::new(1);
    let mut sim = SimNode::open(&disk, Policy::default(), 1).expect("open");
    let card = KeyCard::sign(&Keypair::from_seed([5; 32]), [6; 32], 1);
    let add = json!({ "cmd": "peer_add", "card": card.to_string() });
    sim.ask(request(add)).expect("a peer");
    sim.ask(request(json!({ "cmd": "snapshot_create" }))).expect("a snapshot");
    drop(sim);
    // From the snapshot alone, and from the log if the snapshot is damaged.
    let whole = disk.kill();
    let damaged = whole.fork();
    let name = damaged.files().into_iter().find(|name| name.ends_with(".snap")).expect("one");
    damaged.write_file(&name, b"nothing");
    for (disk, passed_over) in [(whole, 0), (damaged, 1)] {
        let sim = SimNode::open(&disk, Policy::default(), 2).expect("open");
        assert_eq!(sim.node.recovery().passed_over.len(), passed_over);
        let peers: Vec<_> = sim.node.state().peers().map(|(_, peer)| peer.card.clone()).collect();
        assert_eq!(peers, std::slice::from_ref(&card));
    }
}
