//! What an operator does with snapshots, through the node and without it.

mod harness;

use harness::House;
use serde_json::Value;

fn id(told: &Value) -> &str {
    told["id"].as_str().expect("an id")
}

#[test]
fn any_moment_of_the_window_can_be_restored_and_that_can_be_undone() {
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
    assert_eq!((&plan["to"]["lsn"], &plan["from"]["now"]), (&Value::from(two), &true.into()));
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
    // What the node publishes now takes no place that was taken before.
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
fn a_node_that_does_not_run_can_be_worked_on_too() {
    let house = House::new();
    let mut daemon = house.start();
    house.get(&["topic", "create", "a"]);
    house.get(&["gossip", "publish", "a", "one"]);
    let first = house.get(&["snapshot", "create", "--pin", "--label", "why=first try"]);
    house.get(&["gossip", "publish", "a", "two"]);
    let digest = house.get(&["state", "digest"]);
    daemon.kill();

    let second = house.get(&["snapshot", "create", "--label", "by=hand"]);
    assert_eq!((&second["lsn"], &second["labels"]["by"]), (&digest["lsn"], &"hand".into()));
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
fn a_damaged_snapshot_is_found_told_and_replaced() {
    let house = House::new();
    let _daemon = house.start();
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
    house.get(&["snapshot", "create"]);
    for bad in ["=x", "A=x", "x"] {
        let refused = house.fails(&["snapshot", "create", "--label", bad]);
        assert_eq!(refused, (2, "ICN-E0218".into()), "{bad}");
    }
}
