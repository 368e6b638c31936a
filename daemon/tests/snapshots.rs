//! An operator's commands on snapshots, with a running node and without.

mod harness;

use harness::{House, until};
use serde_json::Value;

fn id(told: &Value) -> &str {
    told["id"].as_str().expect("an id")
}

#[test]
fn any_moment_of_the_window_can_be_restored_and_a_restore_can_be_undone() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", "a", "--private"]);
    house.get(&["gossip", "publish", "a", "one"]);
    let two = house.get(&["gossip", "publish", "a", "two"])["lsn"].as_u64().expect("an LSN");
    house.get(&["snapshot", "create"]);
    house.get(&["gossip", "publish", "a", "three"]);
    house.get(&["topic", "create", "b"]);
    house.get(&["gossip", "subscribe", "b"]);
    let before = house.get(&["state", "digest"]);

    let at = ["snapshot", "restore", "--lsn", &two.to_string()];
    let plan = house.get(&[&at[..], &["--dry-run"]].concat());
    assert_eq!(&plan["to"]["lsn"], &Value::from(two));
    assert_eq!(plan["from"]["now"], true);
    assert_eq!(plan["topics"][0]["change"], "removed");
    assert_eq!(plan["topics"][0]["from"]["name"], "b");
    assert_eq!(plan["subscriptions"][0]["what"], "b by local");
    assert_eq!(plan["entries"], serde_json::json!({ "from": 3, "to": 2 }));
    assert_eq!(plan["clocks"], serde_json::json!([]), "how far the logs have come stays");
    assert_eq!(house.get(&["state", "digest"]), before, "a dry run changes nothing");
    assert_eq!(house.fails(&at), (17, "ICN-E0511".into()));
    assert_eq!(house.get(&["state", "digest"]), before);

    let restored = house.get(&[&at[..], &["--yes"]].concat());
    assert_eq!(restored["restored_lsn"], two);
    assert_eq!(house.texts("a"), ["one", "two"]);
    assert_eq!(house.fails(&["topic", "show", "b"]).1, "ICN-E0302");
    let undo = restored["undo"].as_str().expect("an id");
    let listed = house.get(&["snapshot", "show", undo]);
    assert!(listed["kept_because"].is_string(), "{listed}");
    let diff = house.get(&["snapshot", "diff", undo]);
    assert_eq!(diff["topics"][0]["change"], "removed", "{diff}");

    house.get(&["snapshot", "restore", undo, "--yes"]);
    assert_eq!(house.texts("a"), ["one", "two", "three"]);
    house.get(&["topic", "show", "b"]);
    let same = house.get(&["snapshot", "diff", undo]);
    assert_eq!(same["same"], true, "{same}");
    // An entry published now takes no place that was taken before.
    let published = house.get(&["gossip", "publish", "a", "four"]);
    assert_eq!(published["seq"], 1, "a new epoch");
    assert_eq!(house.texts("a"), ["one", "two", "three", "four"]);

    let beyond = ["snapshot", "restore", "--lsn", "4000", "--yes"];
    assert_eq!(house.fails(&beyond), (21, "ICN-E0214".into()));
    assert_eq!(house.fails(&["snapshot", "restore", "--lsn", "0", "--yes"]).0, 21);
    let old = ["snapshot", "restore", "--time", "2001-01-01T00:00:00Z", "--yes"];
    assert_eq!(house.fails(&old), (21, "ICN-E0214".into()));
    let now = house.get(&["snapshot", "restore", "--time", "0m", "--dry-run"]);
    assert_eq!(now["same"], true, "{now}");
}

#[test]
fn snapshot_commands_work_on_a_stopped_node() {
    let house = House::new();
    let mut daemon = house.start();
    house.get(&["topic", "create", "a"]);
    house.get(&["gossip", "publish", "a", "one"]);
    let first = house.get(&["snapshot", "create", "--pin", "--label", "why=first try"]);
    house.get(&["gossip", "publish", "a", "two"]);
    let digest = house.get(&["state", "digest"]);
    daemon.kill();

    let second = house.get(&["snapshot", "create", "--label", "by=hand"]);
    assert_eq!(&second["lsn"], &digest["lsn"]);
    assert_eq!(second["labels"]["by"], "hand");
    house.get(&["snapshot", "verify", "--all", "--offline"]);
    assert_eq!(house.fails(&["snapshot", "delete", id(&first)]).1, "ICN-E0213", "it is pinned");
    house.get(&["snapshot", "unpin", id(&first)]);
    let plan = house.get(&["snapshot", "prune", "--dry-run", "--explain"]);
    assert!(plan["snapshots"].as_array().expect("a plan").iter().all(|one| one["stays"] == true));
    let told = house.get(&["snapshot", "restore", id(&first), "--dry-run"]);
    assert_eq!(told["entries"], serde_json::json!({ "from": 2, "to": 1 }));
    house.get(&["snapshot", "restore", id(&first), "--yes"]);
    house.get(&["snapshot", "delete", id(&second)]);

    daemon = house.start();
    assert_eq!(house.texts("a"), ["one"]);
    assert_eq!(house.fails(&["snapshot", "show", id(&second)]).1, "ICN-E0212");
    assert_eq!(daemon.stop("TERM"), Some(0));
}

#[test]
fn a_damaged_snapshot_is_found_reported_and_replaced() {
    let house = House::new();
    let daemon = house.start();
    house.get(&["topic", "create", "a"]);
    house.get(&["snapshot", "create"]);
    house.get(&["gossip", "publish", "a", "one"]);
    let newest = house.get(&["snapshot", "create"]);
    let name = format!("{:020}-{:010}.snap", newest["lsn"].as_u64().expect("an LSN"), 2);
    let path = house.path().join("snapshots").join(name);
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 8;
    std::fs::write(&path, bytes).expect("write");
    assert_eq!(house.fails(&["snapshot", "verify", "--all"]), (5, "ICN-E0219".into()));
    let listed = house.get(&["snapshot", "list"]);
    assert_eq!(listed["snapshots"][1]["check"], "damaged");
    assert_eq!(listed["snapshots"][0]["kept_because"], "newest");
    assert_eq!(house.get(&["status"])["snapshot"]["damaged"], 1);
    let health = until("a warning", || {
        let (_, body) = daemon.http("/healthz", "localhost");
        body.contains("damaged").then_some(body)
    });
    assert!(health.contains("\"status\":\"warn\""), "{health}");
    let (_, metrics) = daemon.http("/metrics", "localhost");
    assert!(metrics.contains("icn_snapshot_verify_failures_total 1"), "{metrics}");
    // The node replaces a snapshot found damaged without a request.
    until("another snapshot", || {
        let listed = house.get(&["snapshot", "list"]);
        let all = listed["snapshots"].as_array().expect("snapshots");
        let whole = all.iter().filter(|one| one["check"] == "whole");
        (whole.count() == 2).then_some(())
    });
    for bad in ["=x", "A=x", "x"] {
        let refused = house.fails(&["snapshot", "create", "--label", bad]);
        assert_eq!(refused, (2, "ICN-E0223".into()), "{bad}");
    }
}

#[test]
fn an_exported_state_can_be_imported_on_another_machine_and_restored() {
    let house = House::new();
    let mut daemon = house.start();
    house.get(&["topic", "create", "a", "--private"]);
    house.get(&["gossip", "publish", "a", "one"]);
    house.get(&["gossip", "subscribe", "later"]);
    let snapshot = house.get(&["snapshot", "create"]);
    house.get(&["gossip", "publish", "a", "two"]);
    let exports = tempfile::tempdir().expect("a directory");
    let file = exports.path().join("state.json");
    let file = file.to_str().expect("UTF-8");
    let told = house.get(&["snapshot", "export", id(&snapshot), "--to", file]);
    assert_eq!(told["lsn"], snapshot["lsn"]);
    assert_eq!(house.fails(&["snapshot", "export", "--to", file]).1, "ICN-E0222", "it is there");
    let document: Value =
        serde_json::from_slice(&std::fs::read(file).expect("read")).expect("JSON");
    assert_eq!(document["node"]["did"], house.did());
    assert_eq!(daemon.stop("TERM"), Some(0));

    // The same node on another machine, with only its key.
    let other = House::new();
    std::fs::create_dir_all(other.path()).expect("a directory");
    let key = "identity.key";
    std::fs::copy(house.path().join(key), other.path().join(key)).expect("copy");
    let checked = other.get(&["snapshot", "import", file, "--dry-run"]);
    assert_eq!(checked["legacy"], false);
    let imported = other.get(&["snapshot", "import", file]);
    assert_eq!(imported["origin"], "imported");
    assert_eq!(imported["pinned"], true);
    let again = exports.path().join("again.json");
    let again = again.to_str().expect("UTF-8");
    other.get(&["snapshot", "export", id(&imported), "--to", again]);
    assert_eq!(std::fs::read(again).expect("read"), std::fs::read(file).expect("read"));
    other.get(&["snapshot", "restore", id(&imported), "--yes"]);
    let _daemon = other.start();
    assert_eq!(other.texts("a"), ["one"]);
    let subscriptions = other.get(&["gossip", "subscriptions"]);
    assert_eq!(subscriptions["subscriptions"][0]["topic"], "later");
    assert_eq!(other.get(&["gossip", "publish", "a", "new"])["seq"], 1, "a new epoch");

    // The state of another node is refused, and so is a file that holds no state.
    let stranger = House::new();
    let _stranger = stranger.start();
    assert_eq!(stranger.fails(&["snapshot", "import", file]), (12, "ICN-E0224".into()));
    std::fs::write(again, "{\"format\":1").expect("write");
    assert_eq!(stranger.fails(&["snapshot", "import", again]), (1, "ICN-E0221".into()));
    let absent = exports.path().join("absent");
    let absent = absent.to_str().expect("UTF-8");
    assert_eq!(stranger.fails(&["snapshot", "import", absent]), (1, "ICN-E0220".into()));
}

#[test]
fn a_state_of_the_earlier_implementation_is_imported_and_never_overwritten() {
    let left = House::new();
    std::fs::create_dir_all(left.path().join("store")).expect("a directory");
    let document = left.path().join("store/state.snapshot");
    let text = serde_json::json!({
        "version": 1,
        "created_at": 1_700_000_000,
        "gossip_state": {
            "vector_clock": {},
            "local_subscriptions": ["coop:open", "coop:later"],
            "subscriptions": {},
            "topics": {
                "coop:open": { "name": "coop:open", "access_control": "Public", "max_entries": 10, "scope": "Global" },
                "coop:shut": { "name": "coop:shut", "access_control": "Participants(2)", "max_entries": 10, "scope": "Global" },
            },
        },
        "network_state": null,
    });
    std::fs::write(&document, text.to_string()).expect("write");
    let (code, told) = left.run(&[]);
    assert_eq!(code, 10);
    assert!(told.contains("ICN-E0105") && told.contains("snapshot import"), "{told}");
    assert!(!left.path().join("identity.key").exists(), "something was made");

    let house = House::new();
    let _daemon = house.start();
    let file = document.to_str().expect("UTF-8");
    let plan = house.get(&["snapshot", "import", file, "--dry-run"]);
    assert_eq!(house.get(&["topic", "list"])["topics"], serde_json::json!([]));
    let imported = house.get(&["snapshot", "import", file]);
    assert_eq!(imported["legacy"], true);
    assert_eq!(&imported["mutations"], &plan["mutations"]);
    assert_eq!(house.get(&["topic", "show", "coop:open"])["topic"]["access"]["kind"], "public");
    // The members were kept as a number only, so the topic is sealed and not opened to all.
    assert_eq!(house.get(&["topic", "show", "coop:shut"])["topic"]["access"]["kind"], "sealed");
    let subscriptions = house.get(&["gossip", "subscriptions"]);
    assert_eq!(subscriptions["subscriptions"].as_array().map(Vec::len), Some(2), "{subscriptions}");
    let again = house.get(&["snapshot", "import", file]);
    assert_eq!(again["mutations"], 0, "nothing is taken twice: {again}");
    // A checksum file next to it is compared; an unreadable one is an error.
    let beside = left.path().join("store/state.snapshot.sha256");
    std::fs::write(&beside, "0".repeat(64)).expect("write");
    assert_eq!(house.fails(&["snapshot", "import", file]), (1, "ICN-E0221".into()));
    std::fs::remove_file(&beside).expect("remove");
    std::fs::create_dir(&beside).expect("a directory");
    assert_eq!(house.fails(&["snapshot", "import", file]), (1, "ICN-E0220".into()));
}
