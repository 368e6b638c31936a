//! A damaged log, and which snapshot continues with the records salvaged from it.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::House;
use serde_json::{Value, json};

const TOPIC: &str = "coop:ledger";

/// A killed node: messages 1 to 6, a snapshot, messages 7 to 9. Message `n` is record `n + 2`.
fn house_with_history() -> (House, Value, Vec<String>) {
    let house = House::new();
    let daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    for number in 1..=9 {
        house.get(&["gossip", "publish", TOPIC, &format!("message {number}")]);
        if number == 6 {
            assert_eq!(house.get(&["snapshot", "create"])["lsn"], 8);
        }
    }
    let digest = house.get(&["state", "digest"]);
    let texts = house.texts(TOPIC);
    daemon.kill();
    (house, digest, texts)
}

fn wal(house: &House) -> PathBuf {
    house.path().join("wal")
}

/// A path next to the data directory.
fn beside(house: &House, name: &str) -> String {
    house.around().join(name).to_str().expect("UTF-8").to_owned()
}

/// Flips a bit of the record with this LSN; returns the file and the offset of the frame.
fn damage(house: &House, lsn: u64) -> (PathBuf, u64) {
    let lsn = lsn.to_string();
    let dump = ["wal", "dump", "--json", "--from", &lsn, "--limit", "1"];
    let output = house.icnctl(&dump).output().expect("run icnctl");
    let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let number = |key: &str| record[key].as_u64().expect("a number");
    let path = wal(house).join(format!("{:020}.wal", number("segment")));
    let mut bytes = fs::read(&path).expect("read");
    bytes[usize::try_from(number("offset")).expect("small") + 70] ^= 1;
    fs::write(&path, bytes).expect("write");
    (path, number("offset"))
}

fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("read")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect();
    files.sort();
    files
}

/// Runs a salvage, which must end with `exit`, and returns its report.
fn salvage(house: &House, how: &[&str], exit: i32) -> Value {
    let before = files(&wal(house));
    let (code, mut told) = house.ask(&[&["wal", "salvage"], how].concat());
    assert_eq!(code, exit, "{told}");
    assert_eq!(&told["ok"], &json!(true), "{told}");
    assert!(files(&wal(house)) == before, "the damaged log has changed");
    told["data"].take()
}

/// Puts the salvaged log in the place of the damaged one, as the report advises.
fn put_in_place(house: &House, from: &str) {
    fs::rename(wal(house), house.around().join("wal.damaged")).expect("rename");
    fs::rename(from, wal(house)).expect("rename");
}

#[test]
fn a_hole_after_the_snapshot_costs_only_the_records_from_it_on() {
    let (house, _, texts) = house_with_history();
    let (file, offset) = damage(&house, 10);
    let (status, log) = house.run(&[]);
    assert!(status == 5 && log.contains(&house.hint("wal salvage")), "{log}");

    let dry = salvage(&house, &["--dry-run"], 3);
    let new = beside(&house, "wal.new");
    let told = salvage(&house, &["--to", &new], 3);
    for key in ["runs", "kept", "missing", "skipped", "torn_bytes", "next_lsn", "whole", "snapshot"]
    {
        assert_eq!(told[key], dry[key], "{key}");
    }
    let kept = &told["kept"];
    assert_eq!(&kept["first_lsn"], &json!(1), "{told}");
    assert_eq!(&kept["last_lsn"], &json!(9), "{told}");
    assert_eq!(&kept["records"], &json!(9));
    assert_eq!(&told["runs"][0], kept);
    assert_eq!(told["missing"], json!([{ "first_lsn": 10, "last_lsn": 10 }]));
    assert_eq!(&told["runs"][1]["first_lsn"], &json!(11));
    assert_eq!(&told["whole"], &json!(false));
    let skipped = &told["skipped"][0];
    assert_eq!(skipped["file"].as_str(), file.to_str());
    assert_eq!(&skipped["segment"], &json!(1));
    assert_eq!(&skipped["offset"], &json!(offset));
    assert_eq!(skipped["reason"], "DamagedBeforeDurableMark");
    assert!(skipped["bytes"].as_u64() > Some(64));
    assert_eq!(told["snapshot"]["fits"], true);

    assert_eq!(house.get(&["wal", "verify", "--log", &new])["records"], 9);
    put_in_place(&house, &new);
    let _daemon = house.start();
    assert_eq!(house.texts(TOPIC), texts[..7]);
    // Peers may have seen the lost records: no LSN and no place in the node's own log is used
    // again.
    let snapshot = house.get(&["snapshot", "create"]);
    let restore = ["snapshot", "restore", snapshot["id"].as_str().expect("an id"), "--yes"];
    let restored = house.get(&restore)["lsn"].as_u64();
    assert!(restored >= told["next_lsn"].as_u64() && restored > Some(11), "{restored:?}");
    house.get(&["gossip", "publish", TOPIC, "afterwards"]);
    let entries = house.get(&["gossip", "entries", TOPIC]);
    let old = &entries["entries"][6];
    let new = &entries["entries"][7];
    assert_eq!(&old["text"], &json!("message 7"));
    assert_eq!(&new["text"], &json!("afterwards"));
    assert_ne!(old["epoch"], new["epoch"]);
}

#[test]
fn a_hole_before_the_snapshot_costs_nothing() {
    let (house, digest, texts) = house_with_history();
    damage(&house, 5);
    // The records before the hole end before the snapshot. The report says so; a start is refused.
    let prefix = beside(&house, "wal.prefix");
    let told = salvage(&house, &["--to", &prefix], 3);
    assert_eq!(&told["kept"]["last_lsn"], &json!(4));
    assert_eq!(&told["snapshot"]["fits"], &json!(false));
    let output = house.icnctl(&["wal", "salvage", "--dry-run"]).output().expect("run icnctl");
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for told in ["not snapshot 8-1", "--to DIR --from 9", "Missing  #5", "Readable #6", "Skipped"] {
        assert!(text.contains(told), "{told} in {text}");
    }
    put_in_place(&house, &prefix);
    let (status, log) = house.run(&[]);
    assert!(status == 5 && log.contains("ICN-E0202"), "{log}");

    // The records that continue the snapshot, from the damaged log at its new path.
    let damaged = beside(&house, "wal.damaged");
    let fitting = beside(&house, "wal.fitting");
    let told = salvage(&house, &["--log", &damaged, "--to", &fitting, "--from", "9"], 3);
    assert_eq!(&told["kept"]["after"], &json!(5));
    assert_eq!(&told["kept"]["last_lsn"], &json!(11));
    assert_eq!(told["snapshot"]["fits"], true);
    fs::remove_dir_all(&damaged).expect("remove");
    put_in_place(&house, &fitting);
    let _daemon = house.start();
    assert_eq!(house.texts(TOPIC), texts);
    assert_eq!(house.get(&["state", "digest"])["digest"], digest["digest"]);
}

#[test]
fn a_node_whose_log_is_wholly_lost_continues_from_its_snapshot() {
    let (house, _, texts) = house_with_history();
    for (path, bytes) in files(&wal(&house)) {
        if path.extension().is_some_and(|extension| extension == "wal") {
            fs::write(path, vec![0; bytes.len()]).expect("write");
        }
    }
    let new = beside(&house, "wal.new");
    let told = salvage(&house, &["--to", &new], 5);
    assert_eq!(&told["kept"], &json!(null), "{told}");
    assert_eq!(&told["snapshot"]["from"], &json!(9), "{told}");
    assert!(!Path::new(&new).exists());
    let told = salvage(&house, &["--to", &new, "--from", "9"], 3);
    assert_eq!(&told["kept"]["records"], &json!(0));
    assert_eq!(&told["snapshot"]["fits"], &json!(true));
    put_in_place(&house, &new);
    let _daemon = house.start();
    assert_eq!(house.texts(TOPIC), texts[..6]);
}

#[test]
fn an_undamaged_log_is_salvaged_whole() {
    let (house, digest, _) = house_with_history();
    let new = beside(&house, "wal.new");
    let told = salvage(&house, &["--to", &new], 0);
    assert_eq!(&told["whole"], &json!(true));
    assert_eq!(&told["missing"], &json!([]));
    let dump = |more: &[&str]| {
        let dump = ["wal", "dump", "--json"];
        let output = house.icnctl(&dump).args(more).output().expect("run icnctl");
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        let record = |line: &str| {
            let record: Value = serde_json::from_str(line).expect("JSON");
            ["lsn", "time", "type", "bytes", "detail"].map(|key| record[key].clone())
        };
        lines.lines().map(record).collect::<Vec<_>>()
    };
    let records = dump(&[]);
    assert_eq!(records.len(), 11);
    assert_eq!(dump(&["--log", &new]), records);
    put_in_place(&house, &new);
    let _daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
}

#[test]
fn a_salvage_refuses_unsafe_targets_and_a_running_node() {
    let (house, ..) = house_with_history();
    let before = files(&wal(&house));
    let refused = |to: &str| {
        let answer = house.fails(&["wal", "salvage", "--to", to]);
        assert_eq!(answer, (1, "ICN-E0209".into()), "{to}");
    };
    let inside = |name: &str| house.path().join(name).to_str().expect("UTF-8").to_owned();
    for name in ["wal", "wal/new", "new", "wal/../snapshots/deeper/new", "identity.key"] {
        refused(&inside(name));
    }
    std::os::unix::fs::symlink(wal(&house), house.around().join("link")).expect("link");
    refused(&beside(&house, "link/new"));
    let taken = house.around().join("taken");
    fs::create_dir(&taken).expect("create");
    fs::write(taken.join("letter"), "dear").expect("write");
    refused(&beside(&house, "taken"));
    fs::remove_file(taken.join("letter")).expect("remove");
    fs::create_dir(taken.join("more")).expect("create");
    refused(&beside(&house, "taken"));
    assert_eq!(fs::read_dir(&taken).expect("read").count(), 1);
    assert!(files(&wal(&house)) == before);
    let nothing = ["wal", "verify", "--log", taken.to_str().expect("UTF-8")];
    assert_eq!(house.fails(&nothing), (10, "ICN-E0218".into()));
    let usage = house.icnctl(&["wal", "salvage"]).output().expect("run icnctl");
    assert_eq!(usage.status.code(), Some(2));

    let new = beside(&house, "new");
    let _daemon = house.start();
    let log = inside("wal");
    for more in [&[][..], &["--log", &log]] {
        let running = [&["wal", "salvage", "--to", &new], more].concat();
        assert_eq!(house.fails(&running), (11, "ICN-E0101".into()));
    }
    assert!(!Path::new(&new).exists());
}
