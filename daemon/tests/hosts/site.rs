//! A node on each host of a network.

use std::time::{Duration, Instant};

use crate::harness::{Daemon, House, until};
use crate::lan::Lan;

pub(crate) const TOPIC: &str = "coop:ledger";

/// Nodes that know nothing of each other. They notice a silence sooner than by default, which is
/// longer than a test waits.
pub(crate) struct Site {
    pub(crate) lan: Lan,
    pub(crate) houses: Vec<House>,
    pub(crate) daemons: Vec<Option<Daemon>>,
}

/// The CPU time, log lines and records of a node so far.
pub(crate) struct Spent {
    at: Instant,
    cpu: Duration,
    log_lines: usize,
    last_lsn: u64,
}

impl Site {
    pub(crate) fn new(lan: Lan, silence_seconds: u64) -> Self {
        let houses: Vec<House> = lan.hosts.iter().map(|_| House::quick()).collect();
        for house in &houses {
            house.configure(&format!("silence_seconds = {silence_seconds}\n"));
        }
        let daemons = lan.hosts.iter().map(|_| None).collect();
        Self { lan, houses, daemons }
    }

    pub(crate) fn start(&mut self, host: usize, more: &[&str]) {
        let spawn = |command| self.lan.hosts[host].spawn(command);
        self.daemons[host] = Some(self.houses[host].start_by(spawn, more));
    }

    pub(crate) fn start_all(&mut self) {
        (0..self.houses.len()).for_each(|host| self.start(host, &[]));
    }

    pub(crate) fn kill(&mut self, host: usize) {
        self.daemons[host].take().expect("it runs").kill();
    }

    pub(crate) fn log(&self, host: usize) -> String {
        self.daemons[host].as_ref().expect("it runs").log()
    }

    /// The addresses of the peers that `icnctl peer list` shows.
    pub(crate) fn peers(&self, host: usize) -> Vec<String> {
        let shown = self.houses[host].get(&["peer", "list"]);
        let address = |peer: &serde_json::Value| peer["address"].as_str().map(str::to_owned);
        shown["peers"].as_array().expect("peers").iter().filter_map(address).collect()
    }

    /// Waits until each host has its number of `links`.
    pub(crate) fn wait_for_links(&self, links: &[usize]) {
        until("the links", || {
            let as_said = |(host, links)| self.peers(host).len() == links;
            links.iter().copied().enumerate().all(as_said).then_some(())
        });
    }

    pub(crate) fn wait_for_mesh(&self) {
        let hosts = self.houses.len();
        self.wait_for_links(&vec![hosts - 1; hosts]);
    }

    /// Makes the topic, and joins it at every node.
    pub(crate) fn follow(&self) {
        let id = self.houses[0].create(TOPIC, &["--public"]);
        self.houses.iter().for_each(|house| house.join(&id));
    }

    pub(crate) fn publish(&self, host: usize, text: &str) {
        self.houses[host].get(&["gossip", "publish", TOPIC, text]);
    }

    /// Waits until each of `hosts` has `count` messages, none of them twice.
    pub(crate) fn wait_for_messages(&self, hosts: &[usize], count: usize) {
        for &host in hosts {
            let enough = || self.houses[host].texts(TOPIC).len() >= count;
            until("the messages", || enough().then_some(()));
            let mut texts = self.houses[host].texts(TOPIC);
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), count, "at {host}: {texts:?}");
            assert_eq!(self.houses[host].texts(TOPIC).len(), count, "something came twice");
        }
    }

    pub(crate) fn spent(&self, host: usize) -> Spent {
        let daemon = self.daemons[host].as_ref().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.id())).expect("stat");
        // After the name in brackets: user and kernel time, in hundredths of a second.
        let fields = stat.rsplit(')').next().expect("fields").split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        let status = self.houses[host].get(&["status"]);
        Spent {
            at: now(),
            cpu: Duration::from_millis(10 * ticks),
            log_lines: daemon.log().lines().count(),
            last_lsn: status["wal"]["last_lsn"].as_u64().expect("an LSN"),
        }
    }
}

/// A missed deadline explains nothing; the logs of the nodes may.
impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (host, daemon) in self.daemons.iter().enumerate() {
                let log = daemon.as_ref().map_or_else(String::new, Daemon::log);
                tell(&format!("host {host}:\n{log}"));
            }
        }
    }
}

impl Spent {
    /// A node without peers and requests must cost next to no CPU time, log lines or records.
    pub(crate) fn check_idle(&self, now: &Self) {
        let elapsed = now.at - self.at;
        let cpu = now.cpu - self.cpu;
        let lines = now.log_lines - self.log_lines;
        tell(&format!("{elapsed:?} alone: {cpu:?} of CPU time, {lines} lines in the log"));
        assert!(cpu < elapsed / 4, "a busy loop: {cpu:?} of CPU time in {elapsed:?}");
        assert!(lines < 20, "{lines} lines in the log");
        assert_eq!(now.last_lsn, self.last_lsn, "the write-ahead log has grown");
    }
}

/// Measures how long a step takes; the time is printed and not judged.
pub(crate) struct Watch(Instant);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(now())
    }

    pub(crate) fn tell(&self, what: &str) {
        tell(&format!("{what} after {:?}", self.0.elapsed()));
    }
}

#[expect(clippy::print_stdout, reason = "times are shown with --nocapture")]
fn tell(what: &str) {
    println!("{what}");
}

#[expect(clippy::disallowed_methods, reason = "CPU time is compared with it")]
fn now() -> Instant {
    Instant::now()
}
