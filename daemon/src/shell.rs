//! The threads of a node.
//!
//! | thread | task |
//! |---|---|
//! | core | takes the inbox in turns |
//! | release | waits for the log and releases outputs |
//! | verify | checks signatures |
//! | worker | writes snapshots and does other long work |

mod core;
pub(crate) mod inbox;
pub(crate) mod peers;
pub(crate) mod release;
mod verify;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};

use icn_gossip::Did;
use icn_snapshot::Policy;
use icn_wal::disk::Disk;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use self::core::Core;
use self::inbox::{INBOX_INPUTS_MAX, Input};
use self::release::{FrameSender, ReleaseGate, Sinks};
use crate::control::subscribers::Arrivals;
use crate::failure::Failure;
use crate::http::gauges::Gauges;
use crate::node::Node;

/// Turns that wait for the log; when the queue is full, the core waits.
const TURNS_MAX: usize = 64;

/// The running node.
pub(crate) struct Shell<D: Disk> {
    node: Arc<Mutex<Node<D>>>,
    inbox: mpsc::Sender<Input>,
    arrivals: watch::Receiver<Arrivals>,
    core: JoinHandle<()>,
}

impl<D: Disk> Shell<D> {
    /// Starts the threads. `poisoned` is called once, when the log has failed: outputs that wait for the
    /// log then never leave, and the process must end.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(crate) fn start(
        node: Node<D>,
        gauges: &Gauges,
        frames: Arc<dyn FrameSender>,
        poisoned: impl Fn(&Failure) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let wal = Arc::clone(node.store().wal());
        let compactor = node.store().compactor().clone();
        let node = Arc::new(Mutex::new(node));
        let poisoned: Arc<dyn Fn(&Failure) + Send + Sync> = Arc::new(poisoned);
        let (jobs, due_jobs) = std_mpsc::channel();
        let worker = {
            let node = Arc::clone(&node);
            let wal = Arc::clone(&wal);
            let gauges = gauges.clone();
            let run = move || worker::run(&node, &wal, &compactor, &gauges, &due_jobs);
            thread::Builder::new().name("worker".into()).spawn(run)?
        };
        let (arrived, arrivals) = watch::channel(Arrivals::default());
        let sinks = Sinks { jobs, frames, arrived };
        let meter = Arc::clone(&gauges.meter);
        let gate = Arc::new(ReleaseGate::new(wal, meter, sinks, Arc::clone(&poisoned)));
        let (releases, due_turns) = std_mpsc::sync_channel(TURNS_MAX);
        let release = {
            let gate = Arc::clone(&gate);
            thread::Builder::new().name("release".into()).spawn(move || gate.run(&due_turns))?
        };
        let (inbox, inputs) = mpsc::channel(INBOX_INPUTS_MAX);
        let (to_verify, verifier) = verify::start(inbox.downgrade())?;
        let gauges = gauges.clone();
        let core = Core { node: Arc::clone(&node), gate, releases, to_verify, gauges, poisoned };
        let core = thread::Builder::new().name("core".into()).spawn(move || {
            core.run(inputs);
            // The core has dropped their queues, which ends them.
            let _ = release.join();
            let _ = worker.join();
            let _ = verifier.join();
        })?;
        Ok(Self { node, inbox, arrivals, core })
    }

    /// The inbox of the core.
    pub(crate) fn inbox(&self) -> mpsc::Sender<Input> {
        self.inbox.clone()
    }

    /// Durable arrivals, for subscribers.
    pub(crate) fn arrivals(&self) -> watch::Receiver<Arrivals> {
        self.arrivals.clone()
    }

    /// Changes when snapshots are due and which stay, and which peers the operator names.
    pub(crate) fn reconfigure(&self, policy: Policy, named: BTreeSet<Did>) {
        let compactor = {
            let mut node = self.node.lock();
            node.set_due(policy.due);
            node.name_peers(named);
            node.store().compactor().clone()
        };
        // May wait while a snapshot is published, which must not keep the core from the node.
        compactor.set_retention(policy.retention);
    }

    /// Replies to all requests in the inbox, ends the threads and returns the node. Every other sender of
    /// the inbox must be gone.
    #[must_use]
    pub(crate) fn stop(self) -> Option<Node<D>> {
        drop(self.inbox);
        let _ = self.core.join();
        Arc::into_inner(self.node).map(Mutex::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use icn_gossip::mesh::LinkId;
    use icn_wal::disk::{Faults, SimDisk};
    use tokio::sync::oneshot;

    use super::inbox::Call;
    use super::*;
    use crate::control::request::Request;
    use crate::exit;
    use crate::http::health::Health;
    use crate::http::meter::Meter;
    use crate::node::{PeerEvent, simulated};

    struct Nowhere;

    impl FrameSender for Nowhere {
        fn send(&self, _: LinkId, _: u8, _: Bytes) {}

        fn close(&self, _: LinkId, _: u32, _: &'static str) {}
    }

    fn gauges() -> Gauges {
        let meter = Arc::new(Meter::new().unwrap());
        Gauges { meter, health: Arc::new(Health::new(1)) }
    }

    /// Reports when it is dropped.
    struct Receipt(std_mpsc::Sender<&'static str>);

    impl Drop for Receipt {
        fn drop(&mut self) {
            let _ = self.0.send("credit");
        }
    }

    #[test]
    fn a_settled_frame_returns_its_credit_before_the_turn_waits_for_the_log() {
        let disk = SimDisk::new(1);
        let (events, seen) = std_mpsc::channel();
        let failed = events.clone();
        let poisoned = move |_: &Failure| {
            let _ = failed.send("failure");
        };
        let node = simulated::node(&disk);
        let shell = Shell::start(node, &gauges(), Arc::new(Nowhere), poisoned).unwrap();
        // Every later operation fails: the log's, whatever its housekeeper does first.
        let power_loss_at = Some(disk.operations() + 1);
        disk.set_faults(Faults { power_loss_at, ..Faults::default() });
        let call = |line: &str| {
            let request = Request::from_line(line.as_bytes()).unwrap();
            Input::Call(Call { request, reply: oneshot::channel().0 })
        };
        let inbox = shell.inbox();
        let node = shell.node.lock();
        // The core takes this input and waits for the node, so the next two share a turn.
        inbox.blocking_send(call(r#"{"v":1,"cmd":"status"}"#)).ok().unwrap();
        while inbox.capacity() < INBOX_INPUTS_MAX {
            thread::yield_now();
        }
        let frame = PeerEvent::Frame { link: LinkId(9), kind: 1, body: Bytes::new() };
        inbox.blocking_send(Input::Peer(frame, Some(Box::new(Receipt(events))))).ok().unwrap();
        let create = r#"{"v":1,"cmd":"topic_create","name":"a"}"#;
        inbox.blocking_send(call(create)).ok().unwrap();
        drop(node);
        assert_eq!(seen.recv_timeout(Duration::from_secs(30)), Ok("credit"));
        assert_eq!(seen.recv_timeout(Duration::from_secs(30)), Ok("failure"));
        drop(inbox);
        drop(shell.stop());
    }

    #[test]
    fn a_panic_of_the_core_ends_the_node_and_answers_nothing() {
        let (events, seen) = std_mpsc::channel();
        let held = Receipt(events);
        // The process ends when the last thread has dropped this.
        let poisoned = move |_: &Failure| {
            let _ = held.0.send("failure");
        };
        let node = simulated::panicking_node(&SimDisk::new(1));
        let last = node.store().lsn();
        let wal = Arc::clone(node.store().wal());
        let shell = Shell::start(node, &gauges(), Arc::new(Nowhere), poisoned).unwrap();
        let create = br#"{"v":1,"cmd":"topic_create","name":"a"}"#;
        let request = Request::from_line(create).unwrap();
        let (caller, reply) = oneshot::channel();
        let call = Input::Call(Call { request, reply: caller });
        shell.inbox().blocking_send(call).ok().unwrap();
        assert_eq!(seen.recv_timeout(Duration::from_secs(30)), Ok("credit"));
        reply.blocking_recv().unwrap_err();
        assert_eq!(wal.stats().last_lsn, last, "nothing was appended");
        drop(shell.stop());
    }

    #[test]
    fn a_log_that_fails_while_no_request_waits_ends_the_node() {
        let disk = SimDisk::new(1);
        let node = simulated::node(&disk);
        let wal = Arc::clone(node.store().wal());
        let (failed, failures) = std_mpsc::channel();
        let poisoned = move |failure: &Failure| drop(failed.send(failure.clone()));
        let shell = Shell::start(node, &gauges(), Arc::new(Nowhere), poisoned).unwrap();
        let power_loss_at = Some(disk.operations() + 1);
        disk.set_faults(Faults { power_loss_at, ..Faults::default() });
        wal.note().unwrap_err();
        let failure = failures.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(failure.code, "ICN-E0204");
        assert_eq!(failure.exit, exit::POISONED);
        drop(shell.stop());
    }
}
