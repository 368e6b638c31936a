//! Imports on a disk that loses power: states of the earlier implementation, and exported states.

use std::path::Path;

use icn_daemon::control::request::Request;
use icn_daemon::failure::Failure;
use icn_snapshot::Policy;
use icn_tests::{SimNode, request, sweep_power_losses};
use icn_wal::disk::SimDisk;
use serde_json::{Value, json};

/// How many legal losses of each power cut are checked.
const LOSSES: u64 = 32;

fn import(path: &Path) -> Request {
    request(json!({ "cmd": "snapshot_import", "path": path }))
}

/// Calls `check` with disks that a power loss in `life` may leave, and with the result of `life` if
/// it was acknowledged.
fn sweep<T>(
    life: impl Fn(&mut SimNode) -> Result<T, Failure>,
    check: impl Fn(&mut SimNode, Option<&T>, &str),
) {
    let open = |disk: &SimDisk, seed| SimNode::open(disk, Policy::default(), seed);
    open(&SimDisk::new(1), 1).and_then(|mut sim| life(&mut sim)).expect("a life without faults");
    let sweep = sweep_power_losses(
        1,
        LOSSES,
        |disk| open(disk, 1).and_then(|mut sim| life(&mut sim)).ok(),
        |told| u64::from(told.is_some()),
        |image, told, what| {
            let mut sim = open(image, 99).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            check(&mut sim, told.as_ref(), what);
        },
    );
    assert!(sweep.images > 15, "{sweep:?}: the life has become trivial");
}

fn topic(name: &str, access: &str) -> Value {
    json!({ "name": name, "access_control": access, "max_entries": 10, "scope": "Global" })
}

fn legacy() -> Value {
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

/// The names of topics with their access, and the subscriptions. Ids are left out: they are random.
fn taken(sim: &mut SimNode) -> (Vec<(String, String)>, Vec<String>) {
    let list = sim.ask(request(json!({ "cmd": "topic_list" }))).expect("topics");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let topics = list["topics"].as_array().expect("topics").iter();
    let mut topics: Vec<_> =
        topics.map(|topic| (text(&topic["name"]), text(&topic["access"]["kind"]))).collect();
    topics.sort_unstable();
    let wishes = sim.node.state().subscriptions().map(|(topic, ..)| topic.to_owned());
    (topics, wishes.collect())
}

#[test]
fn a_second_import_completes_one_that_lost_power() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.snapshot");
    std::fs::write(&path, legacy().to_string()).expect("write");
    let whole = (
        vec![("coop:open".into(), "public".into()), ("coop:shut".into(), "sealed".into())],
        vec!["coop:later".into(), "coop:open".into(), "coop:shut".into()],
    );
    sweep(
        |sim| sim.ask(import(&path)),
        |sim, acknowledged, what| {
            let (topics, wishes) = taken(sim);
            assert!(topics.iter().all(|topic| whole.0.contains(topic)), "{what}: {topics:?}");
            assert!(wishes.iter().all(|wish| whole.1.contains(wish)), "{what}: {wishes:?}");
            let again =
                sim.ask(import(&path)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            assert!(acknowledged.is_none() || again["mutations"] == 0, "{what}: {again}");
            assert_eq!(taken(sim), whole, "{what}");
        },
    );
}

#[test]
fn an_import_of_a_state_is_a_whole_snapshot_or_none_after_power_loss() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("exported.json");
    let publish = |sim: &mut SimNode, text: &str| {
        sim.ask(request(json!({ "cmd": "publish", "topic": "a", "text": text })))
    };
    let create = |sim: &mut SimNode| {
        sim.ask(request(json!({ "cmd": "topic_create", "name": "a" })))?;
        publish(sim, "one")
    };
    let mut sim = SimNode::open(&SimDisk::new(1), Policy::default(), 1).expect("open");
    create(&mut sim).expect("a topic");
    sim.node.state().export(std::fs::File::create(&path).expect("create")).expect("export");
    let list = |sim: &mut SimNode| {
        let list = sim.ask(request(json!({ "cmd": "snapshot_list" }))).expect("a list");
        list["snapshots"].as_array().expect("snapshots").clone()
    };
    sweep(
        |sim| {
            create(sim)?;
            publish(sim, "two")?;
            let before = sim.digest();
            let imported = sim.ask(import(&path))?;
            Ok((before, imported))
        },
        |sim, acknowledged, what| {
            let kept = list(sim);
            assert!(kept.len() <= 1, "{what}: {kept:?}");
            for snapshot in &kept {
                assert_eq!(snapshot["origin"], "imported", "{what}");
                let id = &snapshot["id"];
                let verify = json!({ "cmd": "snapshot_verify", "id": id });
                sim.ask(request(verify)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            }
            if let Some((before, imported)) = acknowledged {
                assert_eq!(sim.digest(), *before, "{what}: an import is no restore");
                assert_eq!(kept[0]["id"], imported["id"], "{what}");
            }
            let again =
                sim.ask(import(&path)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let restore = json!({ "cmd": "snapshot_restore", "to": { "id": again["id"] } });
            sim.ask(request(restore)).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let state = sim.node.state();
            let entries = state.entries(state.resolve("a").expect("the topic"), 0);
            assert_eq!(entries.count(), 1, "{what}: what was exported");
        },
    );
}
