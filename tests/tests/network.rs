//! Nodes among each other, on simulated disks and links.

use icn_gossip::TopicId;
use icn_tests::net::{Pace, World};
use serde_json::{Value, json};

fn create(world: &mut World, index: usize, line: Value) -> TopicId {
    let created = world.answer(index, line).expect("a topic");
    created["topic"]["id"].as_str().expect("an id").parse().expect("an id")
}

fn publish(world: &mut World, index: usize, topic: &str, text: &str) -> Value {
    let line = json!({ "cmd": "publish", "topic": topic, "text": text });
    world.answer(index, line).expect("published")
}

fn subscribe(world: &mut World, index: usize, topic: &str) {
    world.answer(index, json!({ "cmd": "subscribe", "topic": topic })).expect("subscribed");
}

fn texts(world: &World, index: usize, topic: TopicId) -> Vec<String> {
    let entries = world.node(index).state().entries(topic, 0);
    entries.map(|(_, stored)| String::from_utf8_lossy(stored.entry.payload()).into()).collect()
}

#[test]
fn what_one_publishes_the_other_gets() {
    let mut world = World::new(1, 2, Pace::default());
    let topic = create(&mut world, 0, json!({ "cmd": "topic_create", "name": "a" }));
    subscribe(&mut world, 0, "a");
    subscribe(&mut world, 1, "a");
    for number in 0..100 {
        publish(&mut world, 0, "a", &number.to_string());
    }
    let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let there = world.run_until(5000, |world| texts(world, 1, topic) == all);
    assert!(there, "{:?} {:?}", texts(&world, 1, topic), world.closed);
    assert_eq!(world.root(0, topic), world.root(1, topic));
    assert!(world.closed.is_empty(), "{:?}", world.closed);
}

/// What may be expected of a network after a while of faults: nothing acknowledged is lost, nothing is
/// delivered twice, no log forks, nothing private is known to others, and all become equal.
#[test]
fn histories_of_faults_end_well() {
    let seeds = std::env::var("ICN_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let from = std::env::var("ICN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in from..from + seeds {
        println!("seed {seed}");
        icn_tests::history::run(seed);
    }
}
