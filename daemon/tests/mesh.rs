//! A mesh of real nodes, judged by the messages of each.

mod harness;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Instant;

use harness::{Daemon, House, until};
use serde_json::Value;

const TOPIC: &str = "coop:ledger";

/// Nodes in a mesh, each with a port that it keeps through restarts.
struct Mesh {
    houses: Vec<House>,
    ports: Vec<u16>,
    dids: Vec<String>,
    daemons: Vec<Option<Daemon>>,
}

impl Mesh {
    fn new(count: usize) -> Self {
        let houses: Vec<House> = (0..count).map(|_| House::quick()).collect();
        let dids = houses.iter().map(House::init).collect();
        // All ports are bound at once, so that no two are the same.
        let sockets: Vec<_> =
            (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
        let ports = sockets.iter().map(|socket| socket.local_addr().expect("an address").port());
        let ports = ports.collect();
        drop(sockets);
        let daemons = (0..count).map(|_| None).collect();
        let mut mesh = Self { houses, ports, dids, daemons };
        (0..count).for_each(|index| mesh.start(index));
        mesh
    }

    fn start(&mut self, index: usize) {
        let listen = format!("127.0.0.1:{}", self.ports[index]);
        let mut more = vec!["--listen".to_owned(), listen];
        for (other, port) in self.ports.iter().enumerate().filter(|(other, _)| *other != index) {
            more.extend(["--peer".into(), format!("{}@127.0.0.1:{port}", self.dids[other])]);
        }
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        self.daemons[index] = Some(self.houses[index].start_with(&more));
    }

    fn kill(&mut self, index: usize) {
        self.daemons[index].take().expect("it runs").kill();
    }

    fn connected(&self, index: usize) -> u64 {
        self.houses[index].get(&["status"])["peers"]["connected"].as_u64().expect("a number")
    }

    fn entries(&self, index: usize) -> u64 {
        let (code, shown) = self.houses[index].ask(&["topic", "show", TOPIC]);
        if code == 0 { shown["data"]["topic"]["entries"].as_u64().expect("a number") } else { 0 }
    }
}

fn lines(from: &str, count: usize) -> String {
    (0..count).map(|number| format!("{from}:{number}\n")).collect()
}

#[test]
fn killing_each_of_four_nodes_in_turn_costs_the_others_at_most_a_reconnect() {
    let mut mesh = Mesh::new(5);
    let stranger = 4;
    let members: Vec<&str> = (1..4).flat_map(|at| ["--member", &mesh.dids[at]]).collect();
    let id = mesh.houses[0].create(TOPIC, &members);
    let all_linked = |mesh: &Mesh| (0..5).all(|index| mesh.connected(index) == 4);
    until("a full mesh", || all_linked(&mesh).then_some(()));
    (1..4).for_each(|index| mesh.houses[index].join(&id));
    assert_eq!(mesh.houses[stranger].get(&["topic", "join", &id])["pending"], true);
    let mut total = 0;
    for round in 0..4 {
        // Two nodes publish, and the third is killed while their messages are in flight.
        let one = (round + 1) % 4;
        let other = (round + 2) % 4;
        std::thread::scope(|scope| {
            for index in [one, other] {
                let house = &mesh.houses[index];
                scope.spawn(move || {
                    let published =
                        house.publish_lines(TOPIC, &lines(&format!("{round}/{index}"), 500));
                    assert!(published.status.success(), "{published:?}");
                });
            }
        });
        total += 1000;
        mesh.kill(round);
        assert!(
            mesh.houses[one]
                .publish_lines(TOPIC, &lines(&format!("{round}/late"), 500))
                .status
                .success()
        );
        total += 500;
        mesh.start(round);
        #[expect(clippy::disallowed_methods, reason = "it is only shown")]
        let started = Instant::now();
        until("the missed messages", || (mesh.entries(round) == total).then_some(()));
        println!("node {round} has all after {:?}", started.elapsed());
        mesh.houses[round].get(&["gossip", "publish", TOPIC, &format!("{round}/back")]);
        total += 1;
        until("its message at the others", || {
            (0..4).all(|index| mesh.entries(index) == total).then_some(())
        });
    }
    let texts = |index: usize| {
        let all = mesh.houses[index].texts(TOPIC);
        let once: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(once.len(), all.len(), "something came twice to {index}");
        once
    };
    let first = texts(0);
    assert_eq!(first.len() as u64, total);
    (1..4).for_each(|index| assert_eq!(texts(index), first, "node {index}"));
    for index in 0..5 {
        let status = mesh.houses[index].get(&["status"]);
        let network = status["network"].as_object().expect("counts");
        // A stall is no rejection; every other count would be one.
        let rejected: Vec<_> =
            network.iter().filter(|(name, count)| *name != "stalled" && **count != 0).collect();
        assert!(rejected.is_empty(), "node {index}: {network:?}");
    }
    assert_eq!(mesh.houses[stranger].get(&["topic", "list"])["topics"], Value::Array(Vec::new()));
    until("a full mesh", || all_linked(&mesh).then_some(()));
}

#[test]
fn messages_missed_while_down_arrive_after_the_start() {
    let mut mesh = Mesh::new(2);
    let id = mesh.houses[0].create(TOPIC, &["--public"]);
    mesh.houses[1].join(&id);
    mesh.houses[0].get(&["gossip", "publish", TOPIC, "first"]);
    until("the first message", || (mesh.entries(1) == 1).then_some(()));
    mesh.kill(1);
    let line = format!("{}\n", "x".repeat(256));
    assert!(mesh.houses[0].publish_lines(TOPIC, &line.repeat(10_000)).status.success());
    mesh.start(1);
    #[expect(clippy::disallowed_methods, reason = "it is only shown")]
    let started = Instant::now();
    until("all 10 001 messages", || (mesh.entries(1) == 10_001).then_some(()));
    println!("10 000 messages after {:?}", started.elapsed());
}
