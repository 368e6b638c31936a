//! Each kind of bad input has its own error and exit code, and loses nothing.

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use harness::House;
use icn_daemon::node::machine::Machine;
use icn_gossip::{Access, AccessBytes, Entry, Genesis, Keypair, Mutation, Position, TopicSpec};
use icn_snapshot::{Policy, Store};
use icn_wal::FsDisk;
use serde_json::{Value, json};

fn assert_refused(house: &House, exit: i32, code: &str) {
    let (status, text) = house.run(&[]);
    assert_eq!(status, exit, "{text}");
    assert!(text.contains(&format!("{code} · exit {exit}")), "{text}");
}

/// A node with a topic and 200 messages, stopped by a kill.
fn house_with_history() -> (House, Value) {
    let house = House::new();
    let daemon = house.start();
    house.get(&["topic", "create", "coop:ledger", "--private"]);
    let lines: String = (0..200).map(|number| format!("message {number}\n")).collect();
    assert!(house.publish_lines("coop:ledger", &lines).status.success());
    let digest = house.get(&["state", "digest"]);
    daemon.kill();
    (house, digest)
}

fn segments(house: &House) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(house.path().join("wal"))
        .expect("read")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    files.sort();
    files
}

#[test]
fn a_second_icnd_on_the_same_directory_is_refused() {
    let house = House::new();
    let _daemon = house.start();
    assert_refused(&house, 11, "ICN-E0101");
    house.get(&["status"]);
}

#[test]
fn a_start_on_a_corrupt_segment_is_refused_and_changes_nothing() {
    let (house, digest) = house_with_history();
    let path = segments(&house).remove(0);
    let good = fs::read(&path).expect("read");
    let mut bad = good.clone();
    // In the first frame. The frames after it were written once it was durable, and say so.
    // Damage to a frame of the last 20 ms before the kill would look like a torn tail.
    bad[4096 + 88] ^= 1;
    fs::write(&path, &bad).expect("write");
    assert_refused(&house, 5, "ICN-E0201");
    let (code, told) = house.ask(&["wal", "verify"]);
    assert_eq!(code, 5, "{told}");
    assert_eq!(&told["error"]["code"], &json!("ICN-E0201"), "{told}");
    let error = &told["error"];
    assert_eq!(error["file"].as_str(), path.to_str());
    assert_eq!(&error["segment"], &json!(1));
    assert_eq!(&error["offset"], &json!(4096));
    assert_eq!(error["reason"], "DamagedBeforeDurableMark");
    assert!(
        error["advice"].as_str().expect("advice").contains(&house.hint("wal salvage")),
        "{told}"
    );
    assert_eq!(fs::read(&path).expect("read"), bad);
    fs::write(&path, &good).expect("write");
    let _daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
}

#[test]
fn a_damaged_log_is_salvaged_into_a_copy_and_the_node_starts_on_it() {
    let house = House::new();
    let daemon = house.start();
    house.get(&["topic", "create", "coop:ledger"]);
    let salvage = |to: &[&str]| house.ask(&[&["wal", "salvage"], to].concat());
    assert_eq!(salvage(&["--dry-run"]).0, 11, "a running node may be writing");
    for start in (0..500).step_by(25) {
        let line = |number: i32| format!("{number:0>1000}\n");
        let lines: String = (start..start + 25).map(line).collect();
        assert!(house.publish_lines("coop:ledger", &lines).status.success());
    }
    daemon.kill();
    let path = segments(&house).remove(0);
    let good = fs::read(&path).expect("read");
    // In the middle of the messages.
    let mut bad = good.clone();
    bad[300_000] ^= 1;
    fs::write(&path, &bad).expect("write");
    assert_refused(&house, 5, "ICN-E0201");

    let (code, told) = salvage(&["--dry-run"]);
    assert_eq!(code, 3, "{told}");
    let data = &told["data"];
    let kept = data["kept"]["last_lsn"].as_u64().expect("a run");
    let missing = &data["missing"][0];
    assert!(kept > 50, "{told}");
    assert_eq!(missing["first_lsn"], kept + 1);
    assert_eq!(data["skipped"][0]["reason"], "DamagedBeforeDurableMark");
    assert_eq!(data["runs"].as_array().map(Vec::len), Some(2), "{told}");
    let inside = house.path().join("wal/new");
    let (code, told) = salvage(&["--to", inside.to_str().expect("UTF-8")]);
    assert_eq!(code, 1);
    assert_eq!(&told["error"]["code"], &json!("ICN-E0209"));
    assert!(!inside.exists());

    let to = house.around().join("salvaged");
    let to = to.to_str().expect("UTF-8");
    assert_eq!(salvage(&["--to", to]).0, 3);
    assert_eq!(salvage(&["--to", to]).0, 1, "it is not empty any more");
    assert!(fs::read(&path).expect("read") == bad, "the log itself has changed");
    fs::rename(house.path().join("wal"), house.around().join("damaged")).expect("rename");
    fs::rename(to, house.path().join("wal")).expect("rename");
    let _daemon = house.start();
    let texts = house.texts("coop:ledger");
    assert!((50..450).contains(&texts.len()), "{} messages", texts.len());
    assert!(texts.iter().enumerate().all(|(at, text)| *text == format!("{at:0>1000}")));
    let lsn = house.get(&["gossip", "publish", "coop:ledger", "afterwards"])["lsn"].as_u64();
    let last = missing["last_lsn"].as_u64().expect("a known hole");
    assert!(lsn > Some(last), "a number was given out twice");
}

#[test]
fn a_missing_or_foreign_segment_stops_the_start() {
    let (house, digest) = house_with_history();
    let path = segments(&house).remove(0);
    let good = fs::read(&path).expect("read");
    let (other, _) = house_with_history();
    fs::copy(segments(&other).remove(0), &path).expect("copy");
    let (status, text) = house.run(&[]);
    assert_eq!(status, 5, "{text}");
    fs::remove_file(&path).expect("remove");
    let (status, text) = house.run(&[]);
    assert_eq!(status, 5, "{text}");
    fs::write(&path, &good).expect("write");
    let _daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
}

#[test]
fn an_unknown_format_version_is_refused_as_newer() {
    let (house, _) = house_with_history();
    let path = segments(&house).remove(0);
    let mut bytes = fs::read(&path).expect("read");
    // A flipped bit alone is damage; only a header with a valid checksum has another format.
    bytes[8] = 9;
    let checksum = crc32fast::hash(&bytes[..508]).to_le_bytes();
    bytes[508..512].copy_from_slice(&checksum);
    fs::write(&path, &bytes).expect("write");
    assert_refused(&house, 15, "ICN-E0150");
}

#[test]
fn foreign_files_are_left_alone() {
    let (house, digest) = house_with_history();
    for place in ["wal/notes.txt", "snapshots/notes.txt", "notes.txt"] {
        fs::write(house.path().join(place), "mine").expect("write");
    }
    let daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
    house.get(&["snapshot", "create"]);
    daemon.kill();
    for place in ["wal/notes.txt", "snapshots/notes.txt", "notes.txt"] {
        assert_eq!(fs::read(house.path().join(place)).expect("read"), b"mine");
    }
}

#[test]
fn a_directory_with_foreign_files_gets_no_node() {
    let house = House::new();
    fs::create_dir(house.path()).expect("create");
    fs::write(house.path().join("letter.txt"), "dear").expect("write");
    assert_refused(&house, 10, "ICN-E0104");
    assert_eq!(fs::read_dir(house.path()).expect("read").count(), 1);
    assert_eq!(house.fails(&["status"]), (10, "ICN-E0106".into()));
}

#[test]
fn a_lost_or_foreign_key_never_becomes_a_new_identity() {
    let (house, digest) = house_with_history();
    let path = house.path().join("identity.key");
    let key = fs::read(&path).expect("read");
    let copy = house.path().join("identity.key.copy");
    for missing in [&path, &copy] {
        fs::remove_file(missing).expect("remove");
    }
    assert_refused(&house, 1, "ICN-E0103");
    assert!(!path.exists() && !copy.exists());
    let other = House::new();
    assert_eq!(other.run(&["init"]).0, 0);
    fs::copy(other.path().join("identity.key"), &path).expect("copy");
    assert_refused(&house, 12, "ICN-E0102");
    fs::write(&path, "icn-key-v0\nno hex\n").expect("write");
    assert_refused(&house, 5, "ICN-E0114");
    fs::write(&path, key).expect("write");
    let _daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    // A file where the directory should be, and a file system that refuses writes even from root.
    let file = House::at("file");
    fs::write(file.path(), "").expect("write");
    assert_refused(&file, 1, "ICN-E0100");
    assert_refused(&House::at("/proc/icn-node"), 1, "ICN-E0100");
}

#[test]
fn a_wrong_configuration_is_refused_before_the_log_is_made() {
    let house = House::new();
    fs::create_dir(house.path()).expect("create");
    let config = house.path().join("icn.toml");
    for (content, told) in [
        ("htpp = \"127.0.0.1:1\"\n", "htpp"),
        ("[snapshot]\nrecords = 0\n", "is 0"),
        ("silence_seconds = 2\n", "3 to 600"),
        ("http = \n", "line 1"),
    ] {
        fs::write(&config, content).expect("write");
        assert_refused(&house, 6, "ICN-E0110");
        let (status, text) = house.run(&["check-config"]);
        assert_eq!(status, 6);
        assert!(text.contains(told), "{text}");
        assert!(!house.path().join("wal").exists());
    }
    fs::write(&config, "http = \"0.0.0.0:8080\"\n").expect("write");
    let (status, text) = house.run(&["check-config"]);
    assert!(status == 6 && text.contains("loopback"), "{text}");
    fs::write(&config, "[snapshot]\nrecords = 10\n").expect("write");
    assert_eq!(house.run(&["check-config"]).0, 0);
}

#[test]
fn a_message_over_the_limit_is_refused_and_earlier_lines_are_published() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let largest = "x".repeat(61_440);
    let mut command = house.icnctl(&["gossip", "publish", "a", "-", "--json"]);
    let publish = |text: &str, command: &mut std::process::Command| {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
        child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
        child.wait_with_output().expect("wait")
    };
    assert!(publish(&largest, &mut command).status.success());
    let output = publish(&format!("{largest}x"), &mut command);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("ICN-E0307"));

    let output = house.publish_lines("a", &format!("before\n{largest}{largest}\n"));
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    for word in ["ICN-E0307", "Nothing was sent after", "indeterminate"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["seq"], 2);
    assert_eq!(lines[1]["error"]["code"], "ICN-E0307");
    assert_eq!(house.texts("a"), [largest.as_str(), "before"]);
}

#[test]
fn malformed_requests_are_refused_and_the_node_keeps_serving() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let mut stream = UnixStream::connect(house.path().join("control.sock")).expect("connect");
    let mut answers = BufReader::new(stream.try_clone().expect("clone"));
    let mut next = || {
        let mut line = String::new();
        answers.read_line(&mut line).expect("read");
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    for (line, code) in [
        (&b"not json"[..], "ICN-E0501"),
        (b"", "ICN-E0501"),
        (b"\xff\x00", "ICN-E0501"),
        (b"[1]", "ICN-E0501"),
        (br#"{"v":1,"cmd":"explode"}"#, "ICN-E0501"),
        (br#"{"v":1,"cmd":"subscribe"}"#, "ICN-E0501"),
        (br#"{"v":2,"cmd":"status"}"#, "ICN-E0502"),
        (br#"{"v":1,"cmd":"publish","topic":"a"}"#, "ICN-E0504"),
        (br#"{"v":1,"cmd":"publish","topic":"a","base64":"?"}"#, "ICN-E0504"),
        (br#"{"v":1,"cmd":"topic_create","name":"A B"}"#, "ICN-E0301"),
        (br#"{"v":1,"cmd":"topic_create","name":"b","public":true,"private":true}"#, "ICN-E0505"),
        (br#"{"v":1,"cmd":"topic_create","name":"b","public":true,"min_trust":5}"#, "ICN-E0505"),
        (br#"{"v":1,"cmd":"topic_create","name":"b","min_trust":0}"#, "ICN-E0515"),
        (br#"{"v":1,"cmd":"topic_create","name":"b","min_trust":1001}"#, "ICN-E0515"),
        (br#"{"v":1,"cmd":"topic_create","name":"b","min_trust":-1}"#, "ICN-E0501"),
        (br#"{"v":1,"cmd":"peer_add","card":"icn-card:x"}"#, "ICN-E0320"),
    ] {
        stream.write_all(&[line, b"\n"].concat()).expect("write");
        let answer = next();
        assert_eq!(answer["error"]["code"], code, "{}: {answer}", String::from_utf8_lossy(line));
    }
    stream.write_all(b"{\"v\":1,\"cmd\":\"status\"}\n").expect("write");
    assert_eq!(next()["ok"], true, "the connection goes on");
    // A line without an end closes its own connection and no other.
    stream.write_all(&vec![b'x'; (1 << 20) + 2]).expect("write");
    assert_eq!(next()["error"]["code"], "ICN-E0506");
    house.get(&["status"]);
}

#[test]
fn sealed_topics_and_private_topics_of_others_stay_closed() {
    let house = House::new();
    let mut daemon = house.start();
    assert_eq!(daemon.stop("TERM"), Some(0));
    let stranger = Keypair::from_seed([7; 32]);
    let disk = FsDisk::create(house.path()).expect("open");
    let (mut store, _) = Store::<Machine, _>::open(&disk, Policy::default()).expect("open");
    let network = store.state().0.node().expect("a node").network;
    let declare = |name: &str, access: AccessBytes| {
        Genesis::sign(&stranger, network, TopicSpec::new(name.into(), access, 1), 1)
    };
    let private = declare("private", Access::participants(vec![stranger.did()]).encode());
    let position = Position {
        network,
        topic: private.id(),
        epoch: 1,
        seq: 1,
        previous: [0; 32],
        access_version: 0,
        time_ms: 1,
    };
    let entry = Entry::sign(&stranger, &position, Bytes::from_static(b"secret"));
    for mutation in [
        Mutation::CreateTopic(declare("sealed", AccessBytes::from_bytes(vec![200, 1, 2]))),
        Mutation::CreateTopic(private),
        Mutation::Append { entry, received_ms: 1 },
    ] {
        let (lsn, _) = store.commit(1, mutation).expect("commit");
        store.wal().wait(lsn).expect("wait");
    }
    store.close().expect("close");

    let daemon = house.start();
    for _ in 0..2 {
        assert_eq!(house.fails(&["gossip", "publish", "sealed", "x"]), (19, "ICN-E0305".into()));
        assert_eq!(house.fails(&["gossip", "entries", "sealed"]), (19, "ICN-E0305".into()));
        assert_eq!(house.fails(&["gossip", "publish", "private", "x"]), (19, "ICN-E0306".into()));
        assert_eq!(house.fails(&["gossip", "entries", "private"]), (19, "ICN-E0306".into()));
        let offline = ["gossip", "entries", "private", "--offline"];
        assert_eq!(house.fails(&offline), (19, "ICN-E0306".into()));
        // The topics stay closed in a snapshot as in the log.
        house.get(&["snapshot", "create"]);
    }
    assert_eq!(house.get(&["topic", "show", "sealed"])["topic"]["access"]["kind"], "sealed");
    assert!(daemon.http("/healthz", "localhost").1.contains("1 sealed"));
    daemon.kill();
    let _daemon = house.start();
    assert_eq!(house.fails(&["gossip", "publish", "sealed", "x"]), (19, "ICN-E0305".into()));
}
