//! Hosts with a network of their own. Each is a thread in a network namespace, which its child
//! processes share.
//!
//! An unnamed namespace ends with its last process. So no test leaves one, however it ends, and no
//! two tests share one.

use std::io::{self, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use crate::harness::until;

type Job = Box<dyn FnOnce() + Send>;

/// A host with the loopback interface and those plugged in.
pub(crate) struct Host {
    jobs: mpsc::Sender<Job>,
    /// The name of its namespace for `ip`.
    name: String,
}

impl Host {
    fn new() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (sender, moved) = mpsc::channel();
        std::thread::spawn(move || {
            let there = unshare(CloneFlags::CLONE_NEWNET).map(|()| gettid().to_string());
            let _ = sender.send(there);
            queue.into_iter().for_each(|job| job());
        });
        let refused = |error| io::Error::other(format!("no network namespaces: {error}"));
        let name = moved.recv().expect("it says how it went").map_err(refused)?;
        let host = Self { jobs, name };
        host.try_ip("link set lo up")?;
        Ok(host)
    }

    /// Starts a process on this host.
    pub(crate) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let (sender, spawned) = mpsc::channel();
        let job = move || drop(sender.send(command.spawn()));
        self.jobs.send(Box::new(job)).expect("the host is there");
        spawned.recv().expect("an answer")
    }

    /// Runs `ip` on this host; it must succeed.
    pub(crate) fn ip(&self, arguments: &str) {
        self.try_ip(arguments).unwrap_or_else(|error| panic!("{error}"));
    }

    fn try_ip(&self, arguments: &str) -> io::Result<String> {
        let mut command = Command::new("ip");
        command.args(arguments.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        let no_ip = |error| io::Error::other(format!("cannot run ip: {error}"));
        let child = self.spawn(command).map_err(no_ip)?;
        let Output { status, stdout, stderr } = child.wait_with_output()?;
        if status.success() {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        } else {
            let why = String::from_utf8_lossy(&stderr);
            Err(io::Error::other(format!("ip {arguments}: {}", why.trim())))
        }
    }

    /// Waits until `eth0` is up: the kernel reports it some time after the cable is plugged in.
    fn wait_for_carrier(&self) {
        let shown = || self.try_ip("link show eth0").expect("shown");
        until("the carrier", || shown().contains("state UP").then_some(()));
    }
}

/// Hosts on one network, each with `eth0` and an [`address`].
pub(crate) struct Lan {
    /// The hosts.
    pub(crate) hosts: Vec<Host>,
    switch: Option<Host>,
}

/// An address of the network. A host begins with the one of its own number.
pub(crate) fn address(number: usize) -> String {
    format!("192.0.2.{}", number + 1)
}

impl Lan {
    /// Two hosts and a cable; `None`, with a line on stderr, where the system allows no hosts.
    pub(crate) fn cable() -> Option<Self> {
        or_say(Self::try_cable())
    }

    /// Hosts at a switch; `None`, with a line on stderr, where the system allows no hosts.
    pub(crate) fn switch(hosts: usize) -> Option<Self> {
        or_say(Self::try_switch(hosts))
    }

    fn try_cable() -> io::Result<Self> {
        let hosts = vec![Host::new()?, Host::new()?];
        hosts[0].try_ip(&format!("link add eth0 type veth peer eth0 netns {}", hosts[1].name))?;
        Self { hosts, switch: None }.with_addresses()
    }

    fn try_switch(hosts: usize) -> io::Result<Self> {
        let hosts = (0..hosts).map(|_| Host::new()).collect::<io::Result<Vec<_>>>()?;
        let switch = Host::new()?;
        switch.try_ip("link add br0 type bridge")?;
        switch.try_ip("link set br0 up")?;
        for (port, host) in hosts.iter().enumerate() {
            let name = &host.name;
            switch.try_ip(&format!("link add port{port} type veth peer eth0 netns {name}"))?;
            switch.try_ip(&format!("link set port{port} master br0 up"))?;
        }
        Self { hosts, switch: Some(switch) }.with_addresses()
    }

    fn with_addresses(self) -> io::Result<Self> {
        for (at, host) in self.hosts.iter().enumerate() {
            host.try_ip(&format!("address add {}/24 dev eth0", address(at)))?;
            host.try_ip("link set eth0 up")?;
        }
        self.hosts.iter().for_each(Host::wait_for_carrier);
        Ok(self)
    }

    /// Replaces the address of a host.
    pub(crate) fn move_to(&self, host: usize, number: usize) {
        self.hosts[host].ip("address flush dev eth0 scope global");
        self.hosts[host].ip(&format!("address add {}/24 dev eth0", address(number)));
    }

    /// The switch silently drops every packet from and to this host.
    pub(crate) fn isolate(&self, host: usize) {
        self.at_switch(&format!("link set port{host} nomaster"));
    }

    /// The switch forwards packets from and to this host again.
    pub(crate) fn rejoin(&self, host: usize) {
        self.at_switch(&format!("link set port{host} master br0"));
    }

    fn at_switch(&self, arguments: &str) {
        self.switch.as_ref().expect("a switch").ip(arguments);
    }
}

fn or_say(lan: io::Result<Lan>) -> Option<Lan> {
    if let Err(error) = &lan {
        // Directly to stderr: the test harness hides the output of a test that passes.
        let _ = writeln!(io::stderr(), "SKIPPED: no hosts can be made here: {error}");
    }
    lan.ok()
}
