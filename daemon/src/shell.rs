//! The threads around the node: one takes turns, one waits for the disk and lets effects out when
//! the first has more to do, one checks signatures, one does what takes long.

pub(crate) mod peers;
pub(crate) mod release;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use bytes::Bytes;
use icn_gossip::Entry;
use icn_gossip::mesh::{Batch, LinkId};
use icn_snapshot::{Check, Compactor};
use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::control::request::{Reply, Request};
use crate::control::subscribers::Arrivals;
use crate::failure::{Failure, exit};
use crate::http::health::{Facts, Health};
use crate::http::meter::Meter;
use crate::node::work::{Prepared, Work};
use crate::node::{Draft, Effect, Node, Output, PeerEvent, describe_snapshot};
use crate::shell::release::{Door, Turn, Ways};
use crate::shell::verify::{self, Unchecked};

/// Requests the core has not taken yet; beyond it connections wait.
pub(crate) const INBOX_REQUESTS_MAX: usize = 4096;

/// What one turn takes at most.
const TURN_REQUESTS_MAX: usize = 256;

/// Turns that wait for the disk.
const TURNS_MAX: usize = 64;

/// When no more than this comes in at once, so few signatures are checked on the spot: there is nobody
/// to be held up.
const FEW_INPUTS: usize = 4;
const FEW_ENTRIES: usize = 2;

/// How often time alone is looked at.
const TICK: Duration = Duration::from_millis(500);

/// What comes in.
pub(crate) enum Input {
    /// Somebody asks.
    Asked(Asked),
    /// Something happens on a link. What comes with it is dropped once the node is done with it, which
    /// lets the link go on.
    Peer(PeerEvent, Option<Credit>),
}

/// What a link waits for before it reads on.
pub(crate) type Credit = Box<dyn Send>;

/// Where frames go.
pub(crate) trait Wire: Send + Sync {
    /// Queues a frame; [`PeerEvent::Sent`] tells when it has left.
    fn send(&self, link: LinkId, kind: u8, body: Bytes);

    /// Ends a link.
    fn close(&self, link: LinkId, code: u32, name: &'static str);
}

/// A request and where its answer goes.
pub(crate) struct Asked {
    /// What is asked.
    pub(crate) request: Request,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Reply>,
}

type Answer = oneshot::Sender<Reply>;

/// What takes long.
pub(crate) enum Job {
    Save(Box<Draft>, Option<Answer>),
    Work(Work, Option<Answer>),
}

/// What the threads tell the outside about themselves.
#[derive(Clone)]
pub(crate) struct Gauges {
    /// What is counted.
    pub(crate) meter: Arc<Meter>,
    /// How it is.
    pub(crate) health: Arc<Health>,
}

/// The running node.
pub(crate) struct Shell<D: Disk> {
    node: Arc<Mutex<Node<D>>>,
    inbox: mpsc::Sender<Input>,
    arrivals: watch::Receiver<Arrivals>,
    thread: JoinHandle<()>,
}

impl<D: Disk> Shell<D> {
    /// Starts the threads. `poisoned` is called once, when the log has failed: nothing that has not
    /// left by then ever will, and the process must end.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(
        node: Node<D>,
        gauges: &Gauges,
        wire: Arc<dyn Wire>,
        poisoned: impl Fn(&Failure) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let wal = Arc::clone(node.store().wal());
        let compactor = node.store().compactor().clone();
        let node = Arc::new(Mutex::new(node));
        let poisoned: Arc<dyn Fn(&Failure) + Send + Sync> = Arc::new(poisoned);
        let (jobs, todo) = std_mpsc::channel();
        let worker = {
            let (node, wal, gauges) = (Arc::clone(&node), Arc::clone(&wal), gauges.clone());
            let work = move || work(&node, &wal, &compactor, &gauges, &todo);
            thread::Builder::new().name("worker".into()).spawn(work)?
        };
        let (turns, due) = std_mpsc::sync_channel(TURNS_MAX);
        let (arrived, arrivals) = watch::channel(Arrivals::default());
        let ways = Ways { jobs, wire, arrived };
        let (meter, failed) = (Arc::clone(&gauges.meter), Arc::clone(&poisoned));
        let door = Arc::new(Door::new(wal, meter, ways, failed));
        let release = {
            let door = Arc::clone(&door);
            thread::Builder::new().name("release".into()).spawn(move || door.serve(&due))?
        };
        let (inbox, requests) = mpsc::channel(INBOX_REQUESTS_MAX);
        let (unchecked, verifier) = verify::start(inbox.downgrade())?;
        let (turning, gauges) = (Arc::clone(&node), gauges.clone());
        let thread = thread::Builder::new().name("core".into()).spawn(move || {
            take_turns(&turning, requests, &door, &turns, &unchecked, &gauges, &*poisoned);
            drop((door, turns, unchecked));
            // They end because their channels do.
            let _ = release.join();
            let _ = worker.join();
            let _ = verifier.join();
        })?;
        Ok(Self { node, inbox, arrivals, thread })
    }

    /// Where requests go.
    pub(crate) fn inbox(&self) -> mpsc::Sender<Input> {
        self.inbox.clone()
    }

    /// What has arrived and is durable.
    pub(crate) fn arrivals(&self) -> watch::Receiver<Arrivals> {
        self.arrivals.clone()
    }

    /// Answers what has been asked, ends the threads and gives the node back. Every other sender of
    /// the inbox must be gone.
    #[must_use]
    pub(crate) fn stop(self) -> Option<Node<D>> {
        drop(self.inbox);
        let _ = self.thread.join();
        Arc::into_inner(self.node).map(Mutex::into_inner)
    }
}

fn take_turns<D: Disk>(
    node: &Mutex<Node<D>>,
    mut inbox: mpsc::Receiver<Input>,
    door: &Door<D>,
    turns: &std_mpsc::SyncSender<Turn>,
    unchecked: &std_mpsc::Sender<Unchecked>,
    gauges: &Gauges,
    poisoned: &dyn Fn(&Failure),
) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut batch = Vec::with_capacity(TURN_REQUESTS_MAX);
    let mut next_tick = clock::now_ms();
    // Batches that are being checked.
    let mut checking = 0;
    while receive(&mut inbox, &mut batch, &mut Context::from_waker(&waker)) {
        let now = clock::now_ms();
        gauges.meter.turned(batch.len());
        let is_quiet = batch.len() <= FEW_INPUTS && inbox.is_empty();
        let (outputs, news) = {
            let mut node = node.lock();
            // What fails while nobody waits, such as a note, is met by nobody at the door.
            if let Err(error) = node.store().wal().check() {
                poisoned(&error.into());
                return;
            }
            let (mut events, mut requests) = (Vec::new(), Vec::new());
            let mut credits: HashMap<LinkId, Vec<Credit>> = HashMap::new();
            for input in batch.drain(..) {
                match input {
                    Input::Asked(Asked { request, answer }) => requests.push((answer, request)),
                    Input::Peer(event, credit) => {
                        checking -= usize::from(matches!(event, PeerEvent::Verified { .. }));
                        if let (PeerEvent::Frame { link, .. }, Some(credit)) = (&event, credit) {
                            credits.entry(*link).or_default().push(credit);
                        }
                        events.push(event);
                    }
                }
            }
            let mut outputs = node.step(now, events, requests);
            let at_once = if is_quiet && checking == 0 { FEW_INPUTS } else { 0 };
            for _ in 0..at_once {
                let Some(batch) = take_small(&mut outputs) else { break };
                let valid = Entry::verify_all(batch.entries()).is_ok();
                let verified = vec![PeerEvent::Verified { batch, valid }];
                outputs.extend(node.step(now, verified, Vec::new()));
            }
            if now >= next_tick {
                outputs.extend(node.tick(now));
                next_tick = now + u64::try_from(TICK.as_millis()).unwrap_or(500);
                observe(&node, now, gauges);
            }
            let news = node.news();
            drop(node);
            let check = |output| match output {
                // It waits for nothing, and what its link may send for it.
                Output { effect: Effect::Verify(batch), .. } => {
                    let credits = credits.remove(&batch.link()).unwrap_or_default();
                    checking += 1;
                    let _ = unchecked.send((batch, credits));
                    None
                }
                output => Some(output),
            };
            (outputs.into_iter().filter_map(check).collect::<Vec<_>>(), news)
        };
        let is_empty = outputs.is_empty() && news.is_none();
        if !is_empty && !door.come((outputs, news), is_quiet, turns) {
            return;
        }
    }
}

/// Wakes the core. A thread that is parked is woken for less than one that waits in a runtime.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for what comes in, no longer than for a tick; `false` when nothing will any more.
fn receive(
    inbox: &mut mpsc::Receiver<Input>,
    batch: &mut Vec<Input>,
    context: &mut Context<'_>,
) -> bool {
    for waits in [true, false] {
        match inbox.poll_recv_many(context, batch, TURN_REQUESTS_MAX) {
            Poll::Ready(count) => return count > 0,
            Poll::Pending if waits => thread::park_timeout(TICK),
            Poll::Pending => {}
        }
    }
    true
}

/// Takes out the first batch that is to be checked, if that is sooner done than handed to another
/// thread and back. None overtakes another.
fn take_small<T>(outputs: &mut Vec<Output<T>>) -> Option<Batch> {
    let mut batches = outputs.iter().enumerate().filter_map(|(at, output)| match &output.effect {
        Effect::Verify(batch) => Some((at, batch.entries().len())),
        _ => None,
    });
    let (at, _) = batches.next().filter(|(_, entries)| *entries <= FEW_ENTRIES)?;
    match outputs.remove(at).effect {
        Effect::Verify(batch) => Some(batch),
        _ => None,
    }
}

fn observe<D: Disk>(node: &Node<D>, now_ms: u64, gauges: &Gauges) {
    let counts = node.state().counts();
    gauges.meter.gossip(&counts);
    gauges.meter.network(node.mesh());
    let log = node.store().wal().stats();
    gauges.meter.log(&log);
    let kept = node.store().compactor().list();
    gauges.meter.snapshots(&kept);
    gauges.meter.guard(node.guard().findings().len());
    gauges.health.turned(Facts {
        now_ms,
        changed: node.store().changed(),
        newest_snapshot_ms: kept
            .iter()
            .rfind(|kept| kept.check == Check::Whole)
            .map(|kept| kept.created_ms),
        damaged_snapshots: kept.iter().filter(|kept| kept.check == Check::Damaged).count(),
        weaknesses: node.guard().findings().len(),
        sealed_topics: counts.sealed_topics,
        no_room: log.no_room,
    });
}

fn work<D: Disk>(
    node: &Mutex<Node<D>>,
    wal: &Wal<D>,
    compactor: &Compactor<D>,
    gauges: &Gauges,
    todo: &std_mpsc::Receiver<Job>,
) {
    for job in todo {
        match job {
            Job::Save(draft, answer) => {
                let Draft { image, counts } = *draft;
                let saved = gauges.meter.save(&counts, || compactor.save(image));
                node.lock().saved(clock::now_ms(), saved.is_ok());
                gauges.health.saved(saved.as_ref().map(drop));
                match &saved {
                    Ok((snapshot, took)) => tracing::info!(
                        "State snapshot {} saved in {:.3}s ({} bytes)",
                        snapshot.id,
                        took.as_secs_f64(),
                        snapshot.bytes
                    ),
                    Err(error) => {
                        tracing::error!(
                            "cannot save a snapshot: {error}; the log keeps everything"
                        );
                    }
                }
                if let Some(answer) = answer {
                    let _ = answer.send(saved.map(|(snapshot, _)| describe_snapshot(&snapshot)));
                }
            }
            Job::Work(work, answer) => {
                let settle = |prepared: Prepared| {
                    tracing::warn!("{prepared}");
                    let (after, reply) = node.lock().settle(clock::now_ms(), prepared);
                    if let Some(lsn) = Lsn::new(after) {
                        wal.wait(lsn)?;
                    }
                    reply
                };
                let verified = if let Work::Verify(id) = work { Some(id) } else { None };
                let reply = work.perform(compactor, settle);
                if let (Some(id), Err(failure)) = (verified, &reply)
                    && failure.exit == exit::DAMAGE
                {
                    gauges.meter.verify_failed();
                    node.lock().found_damage(clock::now_ms());
                    tracing::error!("Snapshot {id} fails its check: {}", failure.message);
                }
                if let Some(answer) = answer {
                    let _ = answer.send(reply);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use icn_wal::disk::{Faults, SimDisk};

    use super::*;
    use crate::node::simulated;

    struct Nowhere;

    impl Wire for Nowhere {
        fn send(&self, _: LinkId, _: u8, _: Bytes) {}

        fn close(&self, _: LinkId, _: u32, _: &'static str) {}
    }

    #[test]
    fn a_log_that_fails_while_nobody_asks_ends_the_node() {
        let disk = SimDisk::new(1);
        let node = simulated::node(&disk);
        let wal = Arc::clone(node.store().wal());
        let meter = Arc::new(Meter::new().unwrap());
        let gauges = Gauges { meter, health: Arc::new(Health::new(1, 1000)) };
        let (failed, failures) = std_mpsc::channel();
        let poisoned = move |failure: &Failure| drop(failed.send(failure.clone()));
        let shell = Shell::start(node, &gauges, Arc::new(Nowhere), poisoned).unwrap();
        disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 1), ..Faults::default() });
        wal.note().unwrap_err();
        let failure = failures.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!((failure.code.as_str(), failure.exit), ("ICN-E0204", exit::POISONED));
        drop(shell.stop());
    }
}
