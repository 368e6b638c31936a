use bytes::Bytes;
use icn_gossip::{Entry, Mutation, Position};
use icn_snapshot::Weakness;
use icn_wal::disk::SimDisk;
use serde_json::{Value, json};

use super::*;
use crate::control::reply::check::Level;
use crate::node::{Effect, Inputs, simulated};

fn ask(node: &mut Node<SimDisk>, request: Value) -> Result<Value, Failure> {
    let request = serde_json::from_value(request).expect("a request");
    let turn = node.step(Now::at(2), Inputs::requests(vec![((), request)]));
    let output = turn.outputs.into_iter().next().expect("an output");
    let compactor = node.store().compactor().clone();
    let reply = match output.effect {
        Effect::Reply((), reply) => reply,
        effect @ (Effect::Save(..) | Effect::Send { .. } | Effect::Close { .. }) => {
            panic!("no request asks for {effect:?}")
        }
        Effect::Work(work, _) => {
            work.perform(&compactor, |prepared| node.settle(Now::at(3), prepared).1)
        }
    };
    reply.map(|data| data.to_value())
}

#[test]
fn a_topic_closed_by_the_guard_stays_closed_until_a_restore() {
    let mut node = simulated::node(&SimDisk::new(1));
    let created = ask(&mut node, json!({ "cmd": "topic_create", "name": "a" }));
    let lsn = created.expect("a topic")["lsn"].clone();
    let entries = json!({ "cmd": "entries", "topic": "a" });
    ask(&mut node, entries.clone()).expect("open");
    let id = *node.state().topics().next().expect("a topic").0;
    let text = "the access rule of topic a is another one".to_owned();
    node.guard = Guard::new(&[Weakness { subject: id.as_bytes().to_vec(), text }]);
    for closed in [
        entries.clone(),
        json!({ "cmd": "publish", "topic": "a", "text": "x" }),
        json!({ "cmd": "subscribe", "topic": "a" }),
    ] {
        assert_eq!(ask(&mut node, closed).expect_err("closed").code, "ICN-E0313");
    }
    let status = ask(&mut node, json!({ "cmd": "status" })).expect("a status");
    assert_eq!(status["last_start"]["weaker"].as_array().map(Vec::len), Some(1));
    let restore = json!({ "cmd": "snapshot_restore", "to": { "lsn": lsn } });
    ask(&mut node, restore).expect("a person has chosen");
    ask(&mut node, entries).expect("open again");
}

#[test]
fn a_restored_entry_of_the_future_expires_like_one_received_now() {
    let mut node = simulated::node(&SimDisk::new(1));
    let create = json!({ "cmd": "topic_create", "name": "a", "retention_days": 1 });
    ask(&mut node, create).expect("a topic");
    let publish = json!({ "cmd": "publish", "topic": "a", "text": "x" });
    ask(&mut node, publish).expect("an entry");
    let id = *node.state().topics().next().expect("a topic").0;
    // As if another node had received the next one.
    let position = Position {
        network: [9; 32],
        topic: id,
        epoch: 77,
        seq: 1,
        previous: [0; 32],
        access_version: 1,
        time_ms: 1,
    };
    let entry = Entry::sign(&node.keypair, &position, Bytes::new());
    let append = Mutation::Append { entry, received_ms: 1 << 50 };
    let (lsn, _) = node.commit(Now::at(2), append).expect("an entry");
    let restore = json!({ "cmd": "snapshot_restore", "to": { "lsn": lsn } });
    ask(&mut node, restore).expect("a restore");
    let ages: Vec<u64> =
        node.state().entries(id, 0).map(|(_, stored)| stored.received_ms).collect();
    assert_eq!(ages, [2, 3], "the node's clock at the restore");
}

#[test]
fn a_refused_create_or_restore_leaves_the_last_snapshot_due() {
    let mut node = simulated::node(&SimDisk::new(1));
    assert!(node.store.changed());
    let create = json!({ "cmd": "snapshot_create", "labels": ["no label"] });
    assert_eq!(ask(&mut node, create).expect_err("no label").code, "ICN-E0223");
    assert!(node.last_draft(Now::at(3)).is_some());
    let restore = json!({ "cmd": "snapshot_restore", "to": { "lsn": 4000 } });
    assert_eq!(ask(&mut node, restore).expect_err("beyond").code, "ICN-E0214");
    assert!(node.last_draft(Now::at(3)).is_some(), "the image of the present was not written");
}

#[test]
fn a_start_after_a_crash_saves_a_long_log_before_the_node_is_ready() {
    let mut disk = SimDisk::new(1);
    let due = Due { segments: 5, ..Due::default() };
    let policy = icn_snapshot::Policy { due, ..icn_snapshot::Policy::default() };
    let mut saved = Vec::new();
    for life in 1..=20 {
        let mut node = simulated::node_by(&disk, policy);
        let draft = node.draft_after_crash(Now::at(life));
        if let Some(draft) = draft {
            node.store.compactor().save(draft.image).expect("save");
            node.saved(Now::at(life), Ok(()));
            saved.push(life);
        }
        assert_eq!(node.saves, 0);
        // What each life commits, even if it is killed at once.
        let create = json!({ "cmd": "topic_create", "name": format!("t{life}") });
        ask(&mut node, create).expect("a topic");
        node.store.wal().wait(Lsn::new(node.store.lsn()).expect("an LSN")).expect("durable");
        drop(node);
        disk = disk.kill();
    }
    // Of the segments since a snapshot, the newest does not count; nor does the first of all.
    assert_eq!(saved, [8, 14, 20]);
    for life in 21..40 {
        let mut node = simulated::node_by(&disk, policy);
        assert!(node.draft_after_crash(Now::at(life)).is_none(), "{life}: it was stopped");
        let create = json!({ "cmd": "topic_create", "name": format!("t{life}") });
        ask(&mut node, create).expect("a topic");
        node.close().expect("close");
    }
    let weaker = Weakness { subject: Vec::new(), text: "a key is gone".into() };
    let mut node = simulated::node_by(&disk, policy);
    node.recovery.log.clean = false;
    node.guard = Guard::new(&[weaker]);
    assert!(node.draft_after_crash(Now::at(50)).is_none(), "an operator decides first");
    node.guard = Guard::default();
    assert!(node.draft_after_crash(Now::at(50)).is_some());
}

#[test]
fn a_failed_snapshot_is_retried_only_after_the_retry_interval() {
    fn draft(node: &mut Node<SimDisk>, now_ms: u64) -> Option<Box<Draft>> {
        node.step::<()>(Now::at(now_ms), Inputs::tick()).outputs.into_iter().find_map(|output| {
            match output.effect {
                Effect::Save(draft, None) => Some(draft),
                _ => None,
            }
        })
    }
    let mut node = simulated::node(&SimDisk::new(1));
    let due = 1 + Due::default().age_ms;
    assert!(draft(&mut node, 1).is_none(), "the first record is new");
    let failed = draft(&mut node, due).expect("it is due");
    assert!(draft(&mut node, due).is_none(), "it is under way");
    drop(failed);
    node.saved(Now::at(due), Err("no disk".into()));
    assert!(draft(&mut node, due + RETRY_MS - 1).is_none(), "the disk has just failed");
    let again = draft(&mut node, due + RETRY_MS).expect("it is still due");
    node.store().compactor().save(again.image).expect("save");
    node.saved(Now::at(due + RETRY_MS), Ok(()));
    assert!(draft(&mut node, 2 * due).is_none(), "nothing has changed");
    node.found_damage(Now::at(due));
    assert!(draft(&mut node, due).is_some(), "another one is to take its place");
}

#[test]
fn a_log_that_a_snapshot_had_to_complete_at_the_start_is_a_warning() {
    let mut node = simulated::node(&SimDisk::new(1));
    let check = |node: &Node<SimDisk>| {
        let checks = node.checks(&node.state().counts());
        checks.into_iter().find(|check| check.name == "log").expect("the check")
    };
    assert_eq!(check(&node).level, Level::Ok);
    node.recovery.log.missing_through = 7;
    let warned = check(&node);
    assert!(warned.level == Level::Warn && warned.text.contains("up to #7"), "{warned:?}");
}
