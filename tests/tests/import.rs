//! Imports on a disk that loses power: what the earlier implementation left, and exported states.

use std::collections::BTreeSet;
use std::path::Path;

use icn_daemon::failure::Failure;
use icn_daemon::request::Request;
use icn_snapshot::Policy;
use icn_tests::{Rig, request};
use icn_wal::{Faults, SimDisk};
use serde_json::{Value, json};

/// Of the legal losses of each moment.
const LOSSES: u64 = 32;

fn import(path: &Path) -> Request {
    request(json!({ "cmd": "snapshot_import", "path": path }))
}

/// Runs `life` to its end, then with the power gone at each of its operations and after them, and shows `check` the disk
/// of every distinct loss with what the life had come to by then.
fn at_every_operation<T>(
    seed: u64,
    life: impl Fn(&mut Rig) -> Result<T, Failure>,
    check: impl Fn(&SimDisk, Option<&T>, &str),
) {
    let disk = SimDisk::new(seed);
    let mut rig = Rig::open(&disk, Policy::default(), seed).expect("open");
    life(&mut rig).expect("a life without faults");
    let (operations, mut images) = (disk.operations(), BTreeSet::new());
    // The last one is after its end.
    for power in 1..=operations + 1 {
        let disk = SimDisk::new(seed);
        disk.set_faults(Faults { power_loss_at: Some(power), ..Faults::default() });
        let opened = Rig::open(&disk, Policy::default(), seed);
        let ended = opened.and_then(|mut rig| life(&mut rig)).ok();
        for loss in 0..LOSSES {
            let image = disk.power_loss(power * LOSSES + loss);
            if images.insert((image.image_hash(), ended.is_some())) {
                check(&image, ended.as_ref(), &format!("operation {power}, loss {loss}"));
            }
        }
    }
    assert!(images.len() > 15, "{} images: the life has become trivial", images.len());
}

fn legacy() -> Value {
    let topic = |name: &str, access: &str| json!({ "name": name, "access_control": access, "max_entries": 10, "scope": "Global" });
    json!({
        "version": 1,
        "created_at": 1_700_000_000,
        "gossip_state": {
            "vector_clock": {},
            "local_subscriptions": ["coop:open", "coop:shut", "coop:later"],
            "subscriptions": {},
            "topics": {
                "coop:open": topic("coop:open", "Public"),
                "coop:shut": topic("coop:shut", "Participants(2)"),
            },
        },
        "network_state": null,
    })
}

/// Names with their access, and subscriptions. The ids of topics are made by chance.
fn taken(rig: &mut Rig) -> (Vec<(String, String)>, Vec<String>) {
    let list = rig.ask(request(json!({ "cmd": "topic_list" }))).expect("topics");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let topics = list["topics"].as_array().expect("topics").iter();
    let mut topics: Vec<_> =
        topics.map(|topic| (text(&topic["name"]), text(&topic["access"]["kind"]))).collect();
    topics.sort_unstable();
    let wishes = rig.node.state().subscriptions().map(|(topic, ..)| topic.to_owned());
    (topics, wishes.collect())
}

#[test]
fn an_import_that_loses_power_is_completed_by_importing_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.snapshot");
    std::fs::write(&path, legacy().to_string()).expect("write");
    let whole = (
        vec![("coop:open".into(), "public".into()), ("coop:shut".into(), "sealed".into())],
        vec!["coop:later".into(), "coop:open".into(), "coop:shut".into()],
    );
    at_every_operation(
        1,
        |rig| rig.ask(import(&path)),
        |image, acknowledged, what| {
            let mut rig = Rig::open(image, Policy::default(), 99)
                .unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let (topics, wishes) = taken(&mut rig);
            assert!(topics.iter().all(|topic| whole.0.contains(topic)), "{what}: {topics:?}");
            assert!(wishes.iter().all(|wish| whole.1.contains(wish)), "{what}: {wishes:?}");
            let again =
                rig.ask(import(&path)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            assert!(acknowledged.is_none() || again["mutations"] == 0, "{what}: {again}");
            assert_eq!(taken(&mut rig), whole, "{what}");
        },
    );
}

#[test]
fn a_state_whose_import_loses_power_is_a_whole_snapshot_or_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("exported.json");
    let publish = |rig: &mut Rig, text: &str| {
        rig.ask(request(json!({ "cmd": "publish", "topic": "a", "text": text })))
    };
    let create = |rig: &mut Rig| {
        rig.ask(request(json!({ "cmd": "topic_create", "name": "a" })))?;
        publish(rig, "one")
    };
    let mut rig = Rig::open(&SimDisk::new(1), Policy::default(), 1).expect("open");
    create(&mut rig).expect("a topic");
    rig.node.state().export(std::fs::File::create(&path).expect("create")).expect("export");
    let list = |rig: &mut Rig| {
        let list = rig.ask(request(json!({ "cmd": "snapshot_list" }))).expect("a list");
        list["snapshots"].as_array().expect("snapshots").clone()
    };
    at_every_operation(
        1,
        |rig| {
            create(rig)?;
            publish(rig, "two")?;
            let before = rig.digest();
            let imported = rig.ask(import(&path))?;
            Ok((before, imported))
        },
        |image, acknowledged, what| {
            let mut rig = Rig::open(image, Policy::default(), 99)
                .unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let kept = list(&mut rig);
            assert!(kept.len() <= 1, "{what}: {kept:?}");
            for snapshot in &kept {
                assert_eq!(snapshot["origin"], "imported", "{what}");
                let id = &snapshot["id"];
                let verify = json!({ "cmd": "snapshot_verify", "id": id });
                rig.ask(request(verify)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            }
            if let Some((before, imported)) = acknowledged {
                assert_eq!(rig.digest(), *before, "{what}: an import is no restore");
                assert_eq!(kept[0]["id"], imported["id"], "{what}");
            }
            let again =
                rig.ask(import(&path)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let restore = json!({ "cmd": "snapshot_restore", "to": { "id": again["id"] } });
            rig.ask(request(restore)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let state = rig.node.state();
            let entries = state.entries(state.resolve("a").expect("the topic"), 0);
            assert_eq!(entries.count(), 1, "{what}: what was exported");
        },
    );
}
