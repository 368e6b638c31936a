//! A real node beyond its limits: a word for the caller, a warning for the operator, and a way out.
//!
//! When a limit changes: `ICN_GOLDEN=write cargo test -p icn-daemon --test limits` writes
//! `docs/reference/limits.md`.

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::checks::Watched;
use harness::client::Client;
use harness::{House, until};
use icn_daemon::control::request::LINE_BYTES_MAX;
use icn_daemon::limits::{self, LIMITS, Limit, Unit};
use icn_daemon::node::checks::CHECKS;
use icn_gossip::limits::{CURSORS_MAX, PARTICIPANTS_MAX, PAYLOAD_BYTES_MAX, PENDING_MAX};
use icn_gossip::{
    Access, Did, Genesis, KeyCard, Keypair, Mutation, Outcome, Provenance, State, TopicSpec,
};
use icn_net::limits::LINKS_MAX;
use icn_net::{Config, LinkEvent, Target, Transport, network_id};
use icn_snapshot::Labels;
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_reference_of_limits_matches_the_registry() {
    let path = repository().join("docs/reference/limits.md");
    let reference = reference();
    if std::env::var("ICN_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(&path, &reference).expect("write");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == reference, "limits.md is not up to date; see the head of this file");
}

fn reference() -> String {
    const HEAD: &str = "\
# Limits

Every limit that an operator, a member or a consumer can meet. `icnctl status`, `/healthz`, the metric
`icn_health_check` and the log all show the checks. The last column names the test that crosses the limit.
A full disk has no number: check `log` shows it, writes are refused with ICN-E0203, and reads go on.
This page is written from the registry in `daemon/src/limits.rs`; a test compares them.

| limit | most | beyond it | shown by | what to do | test |
|---|---|---|---|---|---|
";
    let row = |limit: &Limit| {
        let Limit { what, beyond, shown, way_out, test: (file, name), .. } = limit;
        let most = most(limit);
        format!("| {what} | {most} | {beyond} | {shown} | {way_out} | `{name}` in `{file}` |\n")
    };
    HEAD.to_owned() + &LIMITS.iter().map(row).collect::<String>()
}

fn most(limit: &Limit) -> String {
    const DAY_MS: u64 = 86_400_000;
    let units: &[(u64, &str)] = match limit.unit {
        Unit::Count => &[],
        Unit::Bytes => &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")],
        Unit::Ms if limit.most > 2 * DAY_MS => &[(DAY_MS, "days")],
        Unit::Ms => &[(3_600_000, "h"), (60_000, "min"), (1000, "s")],
    };
    let whole = units.iter().find(|(size, _)| limit.most.is_multiple_of(*size));
    whole.map_or_else(
        || limit.most.to_string(),
        |(size, unit)| format!("{} {unit}", limit.most / size),
    )
}

#[test]
fn every_limit_has_a_test_that_crosses_it_and_a_check_that_exists() {
    for Limit { what, shown, way_out, test: (file, name), .. } in LIMITS {
        let source = fs::read_to_string(repository().join(file)).expect("the file of the test");
        assert!(source.contains(&format!("fn {name}(")), "{what}: {name} in {file}");
        for check in shown.split("check `").skip(1) {
            let check = check.split('`').next().expect("a name");
            assert!(CHECKS.contains(&check), "{what}: {check}");
        }
        assert!(way_out.len() > 10, "{what}");
    }
}

#[test]
fn a_request_beyond_a_limit_is_refused_with_a_code() {
    let house = House::quick();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let refused = |arguments: &[&str]| house.fails(arguments).1;

    let longest = ".".repeat(PAYLOAD_BYTES_MAX);
    house.get(&["gossip", "publish", "a", &longest]);
    assert_eq!(refused(&["gossip", "publish", "a", &format!("{longest}.")]), "ICN-E0307");

    let longest = "a".repeat(128);
    house.get(&["topic", "create", &longest]);
    assert_eq!(refused(&["topic", "create", &format!("{longest}a")]), "ICN-E0301");

    let dids: Vec<String> = (0..u32::try_from(PARTICIPANTS_MAX).expect("few"))
        .map(|at| keypair(at).did().to_string())
        .collect();
    let mut create = vec!["topic", "create", "members"];
    for did in &dids {
        create.extend(["--member", did]);
    }
    assert_eq!(refused(&create), "ICN-E0317", "the creator is a member as well");
    house.get(&create[..create.len() - 2]);
    assert_eq!(house.get(&["topic", "show", "members"])["topic"]["access"]["kind"], "participants");

    let labels: Vec<String> = (0..=Labels::COUNT_MAX).map(|at| format!("l{at}=x")).collect();
    let mut create = vec!["snapshot", "create"];
    labels.iter().for_each(|label| create.extend(["--label", label]));
    assert_eq!(refused(&create), "ICN-E0223");
    house.get(&create[..create.len() - 2]);

    let file = house.around().join("large");
    let sparse = fs::File::create(&file).expect("create");
    sparse.set_len(limits::IMPORT.most + 1).expect("a sparse file");
    assert_eq!(refused(&["snapshot", "import", file.to_str().expect("UTF-8")]), "ICN-E0220");

    let mut client = Client::connect(&house);
    let create = json!({ "cmd": "snapshot_create", "labels": [] });
    // A save may end before the last request arrives, but not before all of them do.
    let creates = vec![create.clone(); 24];
    let replies = client.replies(&creates).into_iter();
    let codes: Vec<Value> = replies.map(|mut reply| reply["error"]["code"].take()).collect();
    assert_eq!(codes[..2], [Value::Null, Value::Null]);
    let refused = codes.iter().filter(|code| **code == "ICN-E0215").count();
    let taken = codes.iter().filter(|code| code.is_null()).count();
    assert!(refused > 0 && refused + taken == creates.len(), "{codes:?}");
    client.ask(&[create]);

    client.send(&" ".repeat(LINE_BYTES_MAX + 1));
    assert_eq!(client.reply().expect("a reply")["error"]["code"], "ICN-E0506");
    assert_eq!(client.reply(), None, "the start of the next request is unknown");
}

#[test]
fn a_topic_beyond_its_number_of_entries_lets_the_oldest_expire() {
    let house = House::quick();
    let _daemon = house.start();
    house.get(&["topic", "create", "a", "--max-entries", "10"]);
    let lines: String = (0..25).map(|number| format!("{number}\n")).collect();
    assert!(house.publish_lines("a", &lines).status.success());
    let kept: Vec<String> = (15..25).map(|number| number.to_string()).collect();
    until("ten entries", || (house.texts("a") == kept).then_some(()));
}

#[test]
fn lists_of_the_operator_warn_at_80_percent_and_refuse_when_full() {
    let house = House::quick();
    let daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let mut client = Client::connect(&house);
    let watched = Watched { house: &house, daemon: &daemon, name: "limits" };
    let percent = usize::try_from(limits::WARN_PERCENT).expect("few");
    let near = |most: usize| (most * percent).div_ceil(100);
    let each = |range: Range<usize>, request: &dyn Fn(usize) -> Value| {
        range.map(request).collect::<Vec<_>>()
    };

    let subscribe = |at| json!({ "cmd": "subscribe", "topic": format!("pending-{at}") });
    let unsubscribe = |at| json!({ "cmd": "unsubscribe", "topic": format!("pending-{at}") });
    let most = PENDING_MAX;
    client.ask(&each(0..near(most), &subscribe));
    let hint = watched.house.hint("gossip unsubscribe");
    watched.warns(&format!("{} of {most}. {hint}", near(most)));
    client.ask(&each(near(most)..most, &subscribe));
    let refused = &client.replies(&[subscribe(most)])[0];
    assert_eq!(refused["error"]["code"], "ICN-E0312", "{refused}");
    client.ask(&each(0..most / 2, &unsubscribe));
    watched.is_over();
    client.ask(&[subscribe(most)]);

    // A consumer makes its cursor.
    let follow = |at| {
        until("a place for the consumer", || {
            let mut consumer = Client::connect(&house);
            let request =
                json!({ "v": 1, "cmd": "follow", "topic": "a", "cursor": format!("c{at}") });
            consumer.send(&format!("{request}\n"));
            let code = consumer.reply().expect("a reply")["error"]["code"].take();
            (code != "ICN-E0334").then_some(code)
        })
    };
    let forget = |at| json!({ "cmd": "cursor_delete", "topic": "a", "cursor": format!("c{at}") });
    let most = CURSORS_MAX;
    assert!((0..near(most)).all(|at| follow(at).is_null()));
    let hint = watched.house.hint("gossip cursor delete");
    watched.warns(&format!("{} of {most}. {hint}", near(most)));
    assert!((near(most)..most).all(|at| follow(at).is_null()));
    assert_eq!(follow(most), "ICN-E0312");
    client.ask(&each(0..most / 2, &forget));
    watched.is_over();
    assert!(follow(most).is_null());
}

#[test]
fn consumers_beyond_the_limit_are_refused_until_one_ends() {
    let house = House::quick();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let follow = || {
        let mut client = Client::connect(&house);
        client.send("{\"v\":1,\"cmd\":\"follow\",\"topic\":\"a\"}\n");
        let reply = client.reply().expect("a reply");
        (client, reply["error"]["code"].clone())
    };
    let most = usize::try_from(limits::STREAMS.most).expect("a count");
    let mut consumers: Vec<Client> = Vec::new();
    for _ in 0..most {
        let (client, refusal) = follow();
        assert_eq!(refusal, Value::Null);
        consumers.push(client);
    }
    assert_eq!(follow().1, "ICN-E0334");
    drop(consumers.pop());
    until("a place", || (follow().1 == Value::Null).then_some(()));
}

fn keypair(at: u32) -> Keypair {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&at.to_le_bytes());
    Keypair::from_seed(seed)
}

/// So many of the list of `limit` that the operator is warned.
fn near(limit: Limit) -> u32 {
    let near = (limit.most * limits::WARN_PERCENT).div_ceil(100);
    u32::try_from(near).expect("a count")
}

/// A document of a state of the node `did`, whose peers have nearly filled each list that they can fill.
fn filled(did: Did) -> Value {
    let mut state = State::default();
    let mut lsn = 0;
    let mut apply = |mutation| {
        lsn += 1;
        let outcome = state.apply(lsn, mutation);
        assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    };
    let network = network_id("icn");
    apply(Mutation::Init { did, network, epoch: 1, clock: None });
    let spec = TopicSpec::new("a".into(), Access::public().encode(), 1);
    let genesis = Genesis::sign(&keypair(0), network, spec, 1);
    let topic = genesis.id();
    apply(Mutation::CreateTopic(genesis));
    for at in 0..near(limits::SUBSCRIBERS) {
        let by = Provenance::Peer(keypair(at).did());
        apply(Mutation::Subscribe { topic: topic.to_string(), by, time_ms: 1 });
    }
    for at in 0..near(limits::TARGETS) {
        let card = KeyCard::sign(&keypair(at), [1; 32], 1);
        let did = card.did;
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        apply(Mutation::AddPeer { card, named: false, time_ms: 1 });
        apply(Mutation::SetAddress { did, address });
    }
    let mut document = Vec::new();
    state.export(&mut document).expect("memory");
    let mut document: Value = serde_json::from_slice(&document).expect("JSON");
    // The first author has many runs, and every other one as many as is usual.
    let runs_of_one = near(limits::AUTHOR_LOGS);
    let log = |run: u32| {
        let author = keypair(run.checked_sub(runs_of_one).map_or(0, |run| 1 + run / 1000)).did();
        json!({
            "author": author.to_string(),
            "epoch": run.to_string(),
            "head": 1,
            "head_hash": "0".repeat(64),
        })
    };
    let runs = near(limits::TOPIC_LOGS);
    document["histories"] = json!([{
        "topic": topic.to_string(),
        "name": "a",
        "arrivals": runs,
        "logs": (0..runs).map(log).collect::<Vec<_>>(),
    }]);
    document["digest"].take();
    document
}

#[test]
fn lists_that_peers_fill_warn_at_80_percent() {
    let house = House::quick();
    let did = house.init().parse().expect("a DID");
    let daemon = house.start();
    let file = house.around().join("state.json");
    fs::write(&file, filled(did).to_string()).expect("write");
    let imported = house.get(&["snapshot", "import", file.to_str().expect("UTF-8")]);
    let id = imported["id"].as_str().expect("an id");
    house.get(&["snapshot", "restore", id, "--yes"]);
    let watched = Watched { house: &house, daemon: &daemon, name: "limits" };
    for limit in [limits::SUBSCRIBERS, limits::TARGETS, limits::AUTHOR_LOGS, limits::TOPIC_LOGS] {
        watched.warns(&format!(
            "{}: {} of {}. {}",
            limit.what,
            near(limit),
            limit.most,
            limit.way_out.replace("icnctl ", &house.hint(""))
        ));
    }
    house.get(&["topic", "delete", "a", "--yes"]);
    house.get(&["peer", "remove", &keypair(0).did().to_string()]);
    watched.is_over();
}

#[test]
fn peers_beyond_the_links_of_a_node_are_refused_and_health_warns() {
    let house = House::quick();
    let daemon = house.start();
    let address: SocketAddr = daemon.peers().parse().expect("an address");
    let watched = Watched { house: &house, daemon: &daemon, name: "limits" };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut peers = Vec::new();
    let mut connect = |count: usize| {
        while peers.len() < count {
            let keypair = Arc::new(keypair(u32::try_from(peers.len()).expect("few")));
            let card = KeyCard::sign(&keypair, [1; 32], 1);
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let config = Config::new(listen, keypair, card, network_id("icn"));
            let peer = runtime.block_on(async {
                let (sender, mut events) = tokio::sync::mpsc::channel(64);
                let transport = Transport::bind(config, sender).expect("a port");
                transport.dial(Target::new(None, address));
                let up = events.recv().await;
                assert!(matches!(up, Some(LinkEvent::Up { .. })), "{up:?}");
                (transport, events)
            });
            peers.push(peer);
        }
    };
    let near = usize::try_from(near(limits::LINKS)).expect("a count");
    connect(near);
    watched.warns(&format!("{near} of {LINKS_MAX}"));
    connect(LINKS_MAX);
    watched.warns(&format!("{LINKS_MAX} of {LINKS_MAX}"));
    let late = House::quick();
    let refused = late.start_with(&["--peer", &daemon.peers()]);
    until("the refusal", || refused.log().contains("the limit of links is reached").then_some(()));
    drop(peers);
    watched.is_over();
    until("a link", || refused.log().contains("Connected to").then_some(()));
}
