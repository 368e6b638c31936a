//! `kill -9` at random moments under load: every acknowledged message is kept, in order, once.

mod harness;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use harness::{Dice, House, until};
use serde_json::{Value, json};

const KILLS: u64 = 50;
const TOPIC: &str = "coop:ledger";

/// One `icnctl gossip publish --lines` that never runs out of lines.
struct Publisher {
    child: Child,
    acknowledged: Arc<AtomicUsize>,
    answers: thread::JoinHandle<Vec<Value>>,
    lines: thread::JoinHandle<()>,
}

impl Publisher {
    fn start(house: &House, round: u64) -> Self {
        let mut child = house
            .icnctl(&["gossip", "publish", TOPIC, "--lines"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("spawn icnctl");
        let mut stdin = child.stdin.take().expect("stdin");
        let lines = thread::spawn(move || {
            // The loop ends with icnctl, after the kill.
            let mut number = 0_u64;
            while writeln!(stdin, "{round}:{number}").is_ok() {
                number += 1;
            }
        });
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let count = Arc::clone(&acknowledged);
        let answers = thread::spawn(move || {
            let mut answers = Vec::new();
            for line in stdout.lines().map_while(Result::ok) {
                let answer: Value = serde_json::from_str(&line).expect("a JSON line");
                if answer["lsn"].is_u64() {
                    answers.push(answer);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            answers
        });
        Self { child, acknowledged, answers, lines }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits for the end and returns every acknowledgement that was printed.
    fn finish(mut self) -> Vec<Value> {
        self.child.wait().expect("wait");
        self.lines.join().expect("join");
        self.answers.join().expect("join")
    }
}

#[test]
fn a_crash_loop_saves_snapshots_before_the_node_is_ready_and_fills_no_disk() {
    const LIVES: usize = 40;
    let house = House::quick();
    house.configure("[snapshot]\nlog_mib = 4\nrecords = 20\nkeep_mib = 12\n");
    let mut saved = 0;
    let mut most = 0;
    for life in 0..LIVES {
        let daemon = house.start();
        let before = until("the line that the node is ready", || {
            let log = std::fs::read_to_string(house.log_path()).expect("the log");
            log.split_once("ICNd ready").map(|(before, _)| before.to_owned())
        });
        saved += before.matches("saving a snapshot before the node is ready").count();
        if life == 0 {
            house.create(TOPIC, &[]);
        }
        house.get(&["gossip", "publish", TOPIC, &format!("life {life}")]);
        daemon.kill();
        let files = std::fs::read_dir(house.path().join("wal")).expect("a directory");
        let sizes = files.map(|file| file.expect("a file").metadata().expect("a size").len());
        most = sizes.sum::<u64>().max(most);
    }
    // The newest three snapshots with the log between them, the log since, and prepared files.
    assert!(saved >= 1, "a start with a long log has saved none");
    assert!(most <= 24 << 20, "{most}");
    let _daemon = house.start();
    assert_eq!(house.texts(TOPIC).len(), LIVES);
}

#[test]
fn fifty_kills_under_load_lose_and_repeat_no_message() {
    let house = House::with_snapshot_every(3000);
    let mut dice = Dice(0x1c9_0b5e_55ed);
    let friend = House::new();
    assert_eq!(friend.run(&["init"]).0, 0);
    let friend = friend.get(&["identity", "show", "--offline"]);
    let (friend, card) =
        (friend["did"].as_str().expect("DID"), friend["card"].as_str().expect("card"));

    let mut daemon = house.start();
    house.get(&["topic", "create", TOPIC, "--private", "--member", friend]);
    house.get(&["gossip", "subscribe", TOPIC]);
    house.get(&["peer", "add", card]);
    let mut members = vec![house.did(), friend.to_owned()];
    members.sort_unstable();
    let topic = house.get(&["topic", "show", TOPIC])["topic"].clone();
    let mut found_members: Vec<_> = topic["access"]["members"].as_array().expect("members").clone();
    found_members.sort_unstable_by_key(ToString::to_string);
    assert_eq!(json!(found_members), json!(members));
    let rule = topic["access"].clone();
    let subscriptions = house.get(&["gossip", "subscriptions"]);

    let mut arrival = 0;
    let mut places = BTreeMap::new();
    let mut total = 0;
    for round in 0..KILLS {
        let publisher = Publisher::start(&house, round);
        let enough = usize::try_from(dice.below(1500)).expect("small");
        until("enough acknowledgements", || (publisher.acknowledged() >= enough).then_some(()));
        let digest = (round % 5 == 0).then(|| house.get(&["state", "digest"]));
        let saving = (round % 3 == 0).then(|| {
            house.icnctl(&["snapshot", "create"]).stdout(Stdio::null()).spawn().expect("spawn")
        });
        // The kill may fall into a group, a rotation or a snapshot.
        let pause = std::time::Duration::from_micros(dice.below(20_000));
        thread::sleep(pause);
        daemon.kill();
        let answers = publisher.finish();
        assert!(answers.len() >= enough);
        if let Some(mut saving) = saving {
            saving.wait().expect("wait");
        }

        daemon = house.start();
        let after = arrival.to_string();
        let page = house.get(&["gossip", "entries", TOPIC, "--after", &after]);
        let entries = page["entries"].as_array().expect("entries");
        assert!(
            entries.len() >= answers.len(),
            "round {round}: {} of {} acknowledged messages are there",
            entries.len(),
            answers.len()
        );
        for (number, entry) in entries.iter().enumerate() {
            let seq = places.entry(entry["epoch"].to_string()).or_insert(0);
            *seq += 1;
            assert_eq!(entry["text"], format!("{round}:{number}"), "in order and once");
            assert_eq!(entry["seq"], *seq, "no gap and no repetition");
            if let Some(answer) = answers.get(number) {
                assert_eq!(&answer["lsn"], &entry["lsn"]);
                assert_eq!(&answer["seq"], &entry["seq"]);
            }
        }
        arrival = page["last"].as_u64().expect("last");
        total += entries.len();

        let topic = house.get(&["topic", "show", TOPIC]);
        assert_eq!(topic["topic"]["access"], rule, "exactly its members");
        assert_eq!(house.get(&["gossip", "subscriptions"]), subscriptions);
        assert_eq!(house.get(&["peer", "list", "--all"])["peers"][0]["did"], friend);
        if let Some(digest) = digest {
            let lsn = digest["lsn"].to_string();
            assert_eq!(house.get(&["state", "digest", "--lsn", &lsn]), digest);
            assert_eq!(house.get(&["state", "digest", "--lsn", &lsn, "--offline"]), digest);
        }
    }
    assert_eq!(house.texts(TOPIC).len(), total);
    let verified = house.get(&["wal", "verify"]);
    assert_eq!(verified["last_lsn"], house.get(&["status"])["wal"]["last_lsn"]);
    let snapshots = house.get(&["snapshot", "list"]);
    // The newest three, and the first one of the hour.
    assert_eq!(snapshots["snapshots"].as_array().map(Vec::len), Some(4), "{snapshots}");
    assert_eq!(snapshots["window"]["first"], 1, "{snapshots}");
}
