//! Networks of real nodes on simulated disks and links.

use std::collections::{BTreeMap, BTreeSet};

use icn_daemon::control::reply::check::Level;
use icn_gossip::{LogKey, TopicId};
use icn_tests::history;
use icn_tests::world::{Delays, World};
use serde_json::{Value, json};

fn create(world: &mut World, index: usize, line: Value) -> TopicId {
    let created = world.ask_and_wait(index, line).expect("a topic");
    created["topic"]["id"].as_str().expect("an id").parse().expect("an id")
}

fn publish(world: &mut World, index: usize, topic: &str, text: &str) -> Value {
    let line = json!({ "cmd": "publish", "topic": topic, "text": text });
    world.ask_and_wait(index, line).expect("published")
}

fn subscribe(world: &mut World, index: usize, topic: &str) {
    world.ask_and_wait(index, json!({ "cmd": "subscribe", "topic": topic })).expect("subscribed");
}

fn texts(world: &World, index: usize, topic: TopicId) -> Vec<String> {
    let entries = world.node(index).state().entries(topic, 0);
    entries.map(|(_, stored)| String::from_utf8_lossy(stored.entry.payload()).into()).collect()
}

#[test]
fn a_subscriber_gets_what_a_peer_publishes() {
    let mut world = World::new(1, 2, Delays::default());
    let topic =
        create(&mut world, 0, json!({ "cmd": "topic_create", "name": "a", "public": true }));
    (0..2).for_each(|index| subscribe(&mut world, index, &topic.to_string()));
    for number in 0..100 {
        publish(&mut world, 0, "a", &number.to_string());
    }
    let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let there = world.run_until(5000, |world| texts(world, 1, topic) == all);
    assert!(there, "{:?} {:?}", texts(&world, 1, topic), world.closed);
    assert_eq!(world.root(0, topic), world.root(1, topic));
    assert!(world.closed.is_empty(), "{:?}", world.closed);
}

#[test]
fn only_a_public_topic_reaches_a_peer_that_its_creator_has_not_named() {
    let mut world = World::new(5, 2, Delays::default());
    let own = create(&mut world, 0, json!({ "cmd": "topic_create", "name": "own" }));
    let line = json!({ "cmd": "topic_create", "name": "open", "public": true });
    let open = create(&mut world, 0, line);
    for index in 0..2 {
        subscribe(&mut world, index, &own.to_string());
        subscribe(&mut world, index, &open.to_string());
    }
    publish(&mut world, 0, "own", "for this node");
    publish(&mut world, 0, "open", "for every node");
    assert!(world.run_until(10_000, |world| texts(world, 1, open) == ["for every node"]));
    world.run(60_000);
    assert!(world.node(1).state().topic(&own).is_none(), "the peer knows the topic");
    assert_eq!(texts(&world, 1, own), [""; 0]);
    assert_eq!(texts(&world, 0, own), ["for this node"]);
    assert!(world.closed.is_empty(), "{:?}", world.closed);
}

#[test]
fn a_burst_over_slow_links_arrives_in_order_within_bounds() {
    let delays = Delays { link_bytes: 300, ..Delays::default() };
    let mut world = World::new(2, 3, delays);
    let topic =
        create(&mut world, 0, json!({ "cmd": "topic_create", "name": "a", "public": true }));
    (0..3).for_each(|index| subscribe(&mut world, index, &topic.to_string()));
    let small = (0..2000).map(|number: u32| number.to_string());
    let large = (0..30).map(|number: u32| format!("{number} {}", ".".repeat(60_000)));
    let all: Vec<String> = small.chain(large).collect();
    for text in &all {
        world.ask(0, json!({ "cmd": "publish", "topic": "a", "text": text }));
    }
    let there = world.run_until(60_000, |world| {
        for (link, view) in (0..3).flat_map(|index| world.node(index).mesh().links()) {
            assert!(view.in_flight < (1 << 20) + (140 << 10), "{link:?} {view:?}");
        }
        (1..3).all(|index| world.node(index).state().last_arrival(&topic) == all.len() as u64)
    });
    assert!(there, "{:?}", world.closed);
    assert!((1..3).all(|index| texts(&world, index, topic) == all));
    assert!(world.closed.is_empty(), "{:?}", world.closed);
    // Each entry crossed one link to each node.
    let payload: u64 = all.iter().map(|text| text.len() as u64 + 90).sum();
    assert!(world.received[1] < payload * 13 / 10, "{} of {payload}", world.received[1]);
}

#[test]
fn a_peer_that_never_reads_does_not_slow_the_others() {
    let mut world = World::new(3, 3, Delays::default());
    let topic =
        create(&mut world, 0, json!({ "cmd": "topic_create", "name": "a", "public": true }));
    (0..3).for_each(|index| subscribe(&mut world, index, &topic.to_string()));
    publish(&mut world, 0, "a", "first");
    assert!(world.run_until(10_000, |world| texts(world, 2, topic) == ["first"]));
    publish(&mut world, 2, "a", "second");
    assert!(world.run_until(10_000, |world| (0..3).all(|at| texts(world, at, topic).len() == 2)));
    world.not_reading.insert(2);
    for number in 0..100 {
        let text = format!("{number} {}", ".".repeat(60_000));
        publish(&mut world, 0, "a", &text);
        // The peer that never reads goes on publishing.
        publish(&mut world, 2, "a", &format!("not reading {number}"));
        subscribe(&mut world, 0, &format!("t{number}"));
        world.run(1000);
        for (link, view) in (0..2).flat_map(|index| world.node(index).mesh().links()) {
            assert!(view.in_flight < (1 << 20) + (140 << 10), "{link:?} {view:?}");
            assert!(view.tracked_items < 400, "{link:?} {view:?}");
        }
    }
    let there = world.run_until(10_000, |world| texts(world, 1, topic).len() == 202);
    assert!(there, "{}", texts(&world, 1, topic).len());
}

#[test]
fn a_clock_an_hour_ahead_delays_only_its_own_entries() {
    let mut world = World::new(4, 3, Delays::default());
    let topic =
        create(&mut world, 0, json!({ "cmd": "topic_create", "name": "a", "public": true }));
    (0..3).for_each(|index| subscribe(&mut world, index, &topic.to_string()));
    world.run(2000);
    world.members[2].skew_ms = 3_600_000;
    publish(&mut world, 2, "a", "early");
    publish(&mut world, 0, "a", "now");
    let there = |world: &World| (0..3).all(|at| texts(world, at, topic).contains(&"now".into()));
    assert!(world.run_until(5000, there));
    world.run(40 * 60_000);
    let early = |world: &World, at| texts(world, at, topic).contains(&"early".into());
    assert!(!early(&world, 0) && !early(&world, 1));
    let counted = |name| {
        world
            .node(0)
            .mesh()
            .counts()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| count)
    };
    assert!((1..10).contains(&counted("future")), "{}", counted("future"));
    assert!(world.run_until(25 * 60_000, |world| early(world, 0) && early(world, 1)));
    // Its next entry arrives at once when the clock is right again.
    world.members[2].skew_ms = 0;
    publish(&mut world, 2, "a", "later");
    let later = |world: &World| (0..3).all(|at| texts(world, at, topic).contains(&"later".into()));
    assert!(world.run_until(5000, later));
    assert!(world.closed.is_empty(), "{:?}", world.closed);
}

/// A chain 1 – 0 – 2 whose first member was cloned in its life, with the clone as member 3 at the other end: both
/// copies have one identity, and no peer has links to both. The topic holds what was published before.
fn with_clone(seed: u64) -> (World, TopicId, Vec<String>) {
    let mut world = World::with_tapes(seed, 3, Delays::default());
    world.topology = [(0, 1), (0, 2)].into();
    world.run(1000);
    let line = json!({ "cmd": "topic_create", "name": "a", "public": true });
    let topic = create(&mut world, 0, line);
    (0..3).for_each(|index| subscribe(&mut world, index, &topic.to_string()));
    assert!(world.run_until(10_000, |world| world.node(1).state().topic(&topic).is_some()));
    let mut all: Vec<String> = (0..3).map(|number| format!("before {number}")).collect();
    all.iter().for_each(|text| drop(publish(&mut world, 1, "a", text)));
    let there = world.run_until(10_000, |world| (0..3).all(|at| texts(world, at, topic) == all));
    assert!(there);
    assert_eq!(world.clone_running(1), 3);
    world.topology = [(0, 1), (0, 2), (2, 3)].into();
    // The member at the end misses what follows, and the fork.
    world.cut(0, 2);
    world.cut(2, 3);
    world.cut(0, 3);
    all.push("pending".to_owned());
    publish(&mut world, 1, "a", "pending");
    (world, topic, all)
}

fn distinct(world: &World, index: usize, topic: TopicId) -> BTreeSet<String> {
    texts(world, index, topic).into_iter().collect()
}

fn epoch(world: &World, index: usize) -> u64 {
    world.node(index).state().node().expect("a node").epoch
}

fn check_forks(world: &World, index: usize) -> (bool, String) {
    let node = world.node(index);
    let checks = node.checks(&node.state().counts());
    let check = checks.into_iter().find(|check| check.name == "forks").expect("the check");
    (check.level == Level::Warn, check.text)
}

/// A running machine is cloned with its memory, and both copies go on: each signs another message at one place,
/// and more after it.
#[test]
fn both_copies_of_a_running_node_go_on_in_epochs_of_their_own_and_lose_nothing() {
    for (seed, count) in [(1, 1), (2, 2), (3, 40)] {
        let (mut world, topic, mut all) = with_clone(seed);
        let shared = epoch(&world, 1);
        assert_eq!(epoch(&world, 3), shared);
        for number in 0..count {
            for (index, who) in [(1, "original"), (3, "clone")] {
                let text = format!("{who} {number}");
                publish(&mut world, index, "a", &text);
                all.push(text);
            }
        }
        world.heal();
        let expected: BTreeSet<String> = all.iter().cloned().collect();
        let there = world.run_until(200_000, |world| {
            let whole = |at| distinct(world, at, topic) == expected;
            (0..4).all(|at| whole(at) && world.root(at, topic) == world.root(0, topic))
        });
        let lacking =
            |at| expected.difference(&distinct(&world, at, topic)).cloned().collect::<Vec<_>>();
        assert!(there, "{count}: {:?}", (0..4).map(lacking).collect::<Vec<_>>());
        let key = LogKey { topic, author: world.did(1), epoch: shared };
        for index in 0..4 {
            let log = world.node(index).state().head(&key);
            assert_eq!((log.fork(), log.is_fork_exact()), (Some(4), true), "at {index}");
            let (warns, text) = check_forks(&world, index);
            assert!(warns && text.contains("identity.key"), "{index}: {text}");
            // A message has at most two places, and none of before the fork has two.
            let mut times: BTreeMap<String, usize> = BTreeMap::new();
            texts(&world, index, topic)
                .into_iter()
                .for_each(|text| *times.entry(text).or_default() += 1);
            let most = |text: &str| if text.starts_with("before") { 1 } else { 2 };
            assert!(times.iter().all(|(text, times)| *times <= most(text)), "{index}: {times:?}");
        }
        let epochs: BTreeSet<u64> = [shared, epoch(&world, 1), epoch(&world, 3)].into();
        assert_eq!(epochs.len(), 3, "each copy has an epoch of its own");
        // What they write from now on arrives once.
        for (index, text) in [(1, "later original"), (3, "later clone")] {
            publish(&mut world, index, "a", text);
            let once = |world: &World| {
                let count =
                    |at| texts(world, at, topic).iter().filter(|other| *other == text).count();
                (0..4).all(|at| count(at) == 1)
            };
            assert!(world.run_until(60_000, once), "{text}");
        }
        assert!(world.closed.is_empty(), "{:?}", world.closed);
    }
}

/// A copy that gets what the other one wrote before it writes itself forks nothing.
#[test]
fn a_copy_that_receives_what_the_other_one_wrote_begins_an_epoch_without_a_fork() {
    let (mut world, topic, mut all) = with_clone(4);
    let shared = epoch(&world, 1);
    world.heal();
    assert!(world.run_until(60_000, |world| distinct(world, 3, topic).len() == all.len()));
    assert_ne!(epoch(&world, 3), shared);
    assert!(check_forks(&world, 3).0, "{:?}", check_forks(&world, 3));
    for (index, text) in [(1, "original"), (3, "clone")] {
        publish(&mut world, index, "a", text);
        all.push(text.to_owned());
    }
    let there = |world: &World| (0..4).all(|at| texts(world, at, topic).len() == all.len());
    assert!(world.run_until(60_000, there));
    assert_eq!(world.node(0).state().forks().count(), 0);
    assert!(!check_forks(&world, 0).0);
}

/// Seeds of histories that once broke a promise, and why. The order of random draws in a turn has changed
/// since, so these seeds are samples of today: they do not repeat the histories that failed.
const REGRESSIONS: &[(u64, &str)] = &[
    (7, "after a restore, an author with a gap was preferred to a peer without one"),
    (18, "a clock put back stopped the list of interests"),
    (60, "in a topic that prunes entries, a source with a gap was left and chosen again for ever"),
    (100_658, "in a chain of six a log with a hole takes a minute for each link"),
];

/// The promises of a network after faults: no acknowledged message is lost, none is delivered
/// twice, no log forks, no private topic is known to others, and all nodes converge.
#[test]
fn histories_of_faults_converge_and_keep_every_promise() {
    let seeds = std::env::var("ICN_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(500);
    let from = std::env::var("ICN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in from..from + seeds {
        println!("seed {seed}");
        history::run(seed);
    }
}

#[test]
fn histories_that_once_failed_keep_every_promise() {
    for (seed, why) in REGRESSIONS {
        println!("seed {seed}: {why}");
        history::run(*seed);
    }
}

#[test]
fn a_seed_gives_one_history() {
    let [one, again, other] = [1, 1, 6].map(history::run);
    assert_eq!(one, again);
    assert_ne!(one.1, other.1);
}
