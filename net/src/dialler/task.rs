//! The task of a target. It does nothing while there is a link to the identity behind the target, unless
//! the local network says that this is elsewhere by now, or has heard of it here while it does not answer
//! on the link: a node that has moved does not answer where it was, nor hears an answer that comes from
//! elsewhere, and the link would be dead until the silence is too long. What the local network said before
//! can hold for two minutes more. Otherwise it dials: at once at first, within [`PROMPT`] after a link that
//! ended by nobody's fault, and after a failure with growing pauses, of which a random part is left out so
//! that nodes that lost each other together do not meet at the same moment for ever.

use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Did;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Dialler;
use crate::handshake::{self, Dialled, Failure};
use crate::limits::ADDRESSES_MAX;
use crate::link::Link;
use crate::stats::Count;
use crate::target::Target;
use crate::transport::Shared;
use crate::why::{CLOSE_REPLACED, Why};

/// The longest pause after a link that ended by nobody's fault.
const PROMPT: Duration = Duration::from_millis(250);
/// The first pause after a failure, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A link that lived this long is a success; one shorter than that is no reason to hurry.
const SUCCESS: Duration = Duration::from_secs(30);
const HURRY: Duration = Duration::from_secs(1);

/// Keeps a link to a target until it is dropped.
pub(super) async fn keep(shared: &Arc<Shared>, target: &Target, wake: &Notify) {
    let dialler = &shared.dialler;
    let mut declined = 0;
    // The link beside which this was dialled: once is enough, until there is news.
    let mut beside = None;
    loop {
        let expected = dialler.expected(target);
        let link = expected.and_then(|did| shared.table.of(&did));
        let dialled = match &link {
            None => dial(shared, target, expected).await,
            Some(link) => {
                declined = 0;
                dialler.connected(target);
                match turn(dialler, target, link, wake, beside == Some(link.id())).await {
                    Turn::Gone => {
                        rest(after(dialler, target, link), wake).await;
                        continue;
                    }
                    Turn::News => {
                        beside = None;
                        continue;
                    }
                    Turn::Elsewhere => {}
                }
                beside = Some(link.id());
                tokio::select! {
                    dialled = dial(shared, target, expected) => dialled,
                    // A newer link, or the one there is, makes this one needless.
                    () = link.gone() => continue,
                    () = link.answers(), if !dialler.has_moved(target, link) => continue,
                }
            }
        };
        let failures = match dialled {
            Dialled::Up(link) => {
                dialler.pin(target, link.peer());
                continue;
            }
            Dialled::Busy(peer) => {
                dialler.pin(target, peer);
                shared.stats.add(Count::DialDeclined, 1);
                declined += 1;
                declined
            }
            Dialled::Ourselves => {
                tracing::info!(%target, "this is the node itself: not dialled again");
                return dialler.never_again(target);
            }
            Dialled::Failed(Failure { count, text }) => {
                tracing::info!(%target, why = text, "not connected");
                shared.stats.add(count, 1);
                dialler.failed(target, Some(text))
            }
        };
        // Beside a link it waits for news of that.
        if link.is_none() {
            rest(pause(failures), wake).await;
        }
    }
}

/// What may happen while there is a link to the peer.
enum Turn {
    /// The link has gone.
    Gone,
    /// What is known of the peer, or of the link, is no longer what it was.
    News,
    /// It is worth a dial beside the link.
    Elsewhere,
}

async fn turn(
    dialler: &Dialler,
    target: &Target,
    link: &Link,
    wake: &Notify,
    was_dialled: bool,
) -> Turn {
    let moved = dialler.has_moved(target, link);
    if moved && !was_dialled {
        return Turn::Elsewhere;
    }
    tokio::select! {
        () = link.gone() => Turn::Gone,
        () = wake.notified() => Turn::News,
        () = link.answers(), if was_dialled && !moved => Turn::News,
        () = link.overdue(), if !was_dialled && dialler.is_hinted(target) => Turn::Elsewhere,
    }
}

async fn rest(pause: Duration, wake: &Notify) {
    tokio::select! {
        () = sleep(pause) => {}
        () = wake.notified() => {}
    }
}

/// Dials the addresses of a target, one after the other, until somebody is there.
async fn dial(shared: &Arc<Shared>, target: &Target, expected: Option<Did>) -> Dialled {
    let addresses = target.resolve().await.unwrap_or_default();
    let mut dialled = Dialled::Failed(Failure {
        count: Count::DialResolve,
        text: "the name of the host is not known".into(),
    });
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        dialled = handshake::dial(shared, address, expected).await;
        match &dialled {
            Dialled::Failed(failure)
                if matches!(failure.count, Count::DialUnreachable | Count::DialTransport) => {}
            _ => break,
        }
    }
    dialled
}

/// How long to wait after the end of a link.
fn after(dialler: &Dialler, target: &Target, link: &Link) -> Duration {
    let lived = link.age();
    if lived >= SUCCESS {
        dialler.held(target);
    }
    let hurry = match link.ended() {
        // Without a newer link here it was somebody else with the same key.
        Some(Why::Theirs { code: CLOSE_REPLACED, .. }) | None => false,
        Some(why) => why.ordinary(),
    };
    if hurry && lived >= HURRY {
        return some_of(PROMPT);
    }
    pause(dialler.failed(target, None))
}

/// The pause after so many failures in a row: twice the one before, of which up to half is left out.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
    pause / 2 + some_of(pause / 2)
}

/// A random part of it.
fn some_of(duration: Duration) -> Duration {
    // Without randomness the pause is only less well spread.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    duration.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use icn_gossip::{KeyCard, Keypair};
    use tokio::net::UdpSocket;
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::dialler::Source;
    use crate::frame::Frame;
    use crate::limits::TLS_TIME_MAX;
    use crate::transport::{Config, Event, Timing, Transport};

    fn bind(seed: u8, events: mpsc::Sender<Event>) -> Transport {
        bind_with(seed, events, Timing::default().keep_alive)
    }

    fn bind_with(seed: u8, events: mpsc::Sender<Event>, keep_alive: Duration) -> Transport {
        let keypair = Arc::new(Keypair::from_seed([seed; 32]));
        let card = KeyCard::sign(&keypair, [seed; 32], 1);
        let mut config = Config::new(([127, 0, 0, 1], 0).into(), keypair, card, [0; 32]);
        config.timing.keep_alive = keep_alive;
        Transport::bind(config, events).unwrap()
    }

    #[tokio::test]
    async fn whoever_is_heard_of_again_is_dialled_without_a_pause() {
        let transport = bind(1, mpsc::channel(1).0);
        let (shared, dialler) = (&transport.shared, &transport.shared.dialler);
        let failures = async |is: u32| {
            // Shorter than any pause after fifty failures.
            let counted = async {
                while transport.targets()[0].failures != is {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            assert!(timeout(PAUSE_MAX / 3, counted).await.is_ok(), "{is} failures");
        };
        let nowhere: Target = "no-such-host.invalid:1".parse().unwrap();
        assert!(dialler.add(shared, nowhere.clone(), Source::Asked));
        failures(1).await;
        dialler.0.lock().targets.get_mut(&nowhere).unwrap().failures = 50;
        failures(51).await;
        assert!(dialler.add(shared, nowhere, Source::Hint));
        failures(1).await;
    }

    #[tokio::test]
    async fn who_is_heard_of_elsewhere_than_the_link_goes_is_dialled_there() {
        let (events, mut told) = mpsc::channel(64);
        let node = bind(1, events);
        let (shared, dialler) = (&node.shared, &node.shared.dialler);
        // One peer, where it was and where it is: nothing there says that the first is no more.
        let [was, is] = [2, 2].map(|seed| bind(seed, mpsc::channel(64).0));
        let [was, is] = [&was, &is].map(|at| Target::new(Some(at.did()), at.local_addr().unwrap()));
        assert!(dialler.add(shared, was.clone(), Source::Hint));
        linked_to(&mut told, &was).await;
        let link = shared.table.of(&was.did().unwrap()).unwrap();
        assert!(dialler.add(shared, is.clone(), Source::Hint));
        assert!(!dialler.has_moved(&is, &link), "it is still where it was");
        while link.age() < HURRY + PROMPT {
            sleep(Duration::from_millis(20)).await;
        }
        dialler.remove(&was, Source::Hint);
        linked_to(&mut told, &is).await;
    }

    /// Waits for the next link, which must go there.
    async fn linked_to(told: &mut mpsc::Receiver<Event>, target: &Target) {
        let up = async {
            while let Some(event) = told.recv().await {
                if let Event::Up { peer, address, .. } = event {
                    return Target::new(Some(peer), address) == *target;
                }
            }
            false
        };
        assert!(timeout(PAUSE_MAX / 2, up).await == Ok(true), "no link to {target}");
    }

    /// A node with a link to a peer, through something that passes on what comes unless it is cut.
    struct Wired {
        node: Transport,
        told: mpsc::Receiver<Event>,
        peer: Transport,
        link: Arc<Link>,
        cut: Arc<AtomicBool>,
        wire: JoinHandle<()>,
    }

    impl Wired {
        async fn new(keep_alive: Duration) -> Self {
            let (events, mut told) = mpsc::channel(64);
            let (node, peer) = (bind_with(1, events, keep_alive), bind(2, mpsc::channel(64).0));
            let far = peer.local_addr().unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let there = Target::new(Some(peer.did()), socket.local_addr().unwrap());
            let cut = Arc::new(AtomicBool::new(false));
            let is_cut = Arc::clone(&cut);
            let wire = tokio::spawn(async move {
                let (mut near, mut packet) = (far, [0; 2000]);
                while let Ok((bytes, from)) = socket.recv_from(&mut packet).await {
                    let to = if from == far { near } else { far };
                    near = if from == far { near } else { from };
                    if !is_cut.load(Ordering::Relaxed) {
                        let _ = socket.send_to(&packet[..bytes], to).await;
                    }
                }
            });
            assert!(node.shared.dialler.add(&node.shared, there.clone(), Source::Hint));
            linked_to(&mut told, &there).await;
            let link = node.shared.table.of(&peer.did()).unwrap();
            Self { node, told, peer, link, cut, wire }
        }

        fn set_cut(&self, cut: bool) {
            self.cut.store(cut, Ordering::Relaxed);
        }

        /// The local network has heard of the peer here, too.
        fn hint(&self, at: SocketAddr) -> Target {
            let target = Target::new(Some(self.peer.did()), at);
            assert!(self.node.shared.dialler.add(&self.node.shared, target.clone(), Source::Hint));
            target
        }

        fn failures(&self, target: &Target) -> u32 {
            let targets = self.node.targets();
            targets.iter().find(|status| status.target == *target).unwrap().failures
        }
    }

    impl Drop for Wired {
        fn drop(&mut self) {
            self.wire.abort();
        }
    }

    const OFTEN: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn who_does_not_answer_is_dialled_wherever_else_the_local_network_has_heard_of_it() {
        let mut wired = Wired::new(OFTEN).await;
        let is = bind(2, mpsc::channel(64).0);
        let elsewhere = wired.hint(is.local_addr().unwrap());
        // It answers for longer than it may be silent.
        while wired.link.heard_and_asked().1 < 25 {
            sleep(Duration::from_millis(20)).await;
        }
        assert!(
            wired.link.ended().is_none(),
            "several addresses are no reason to leave one that answers"
        );
        wired.set_cut(true);
        linked_to(&mut wired.told, &elsewhere).await;
    }

    #[tokio::test]
    async fn who_was_asked_before_it_was_heard_of_elsewhere_is_overdue_as_well() {
        let mut wired = Wired::new(Timing::default().keep_alive).await;
        let is = bind(2, mpsc::channel(64).0);
        wired.set_cut(true);
        let (_, asked) = wired.link.heard_and_asked();
        let frame = Frame::new(1, b"are you there".to_vec()).unwrap();
        assert!(wired.node.send(wired.link.id(), frame));
        while wired.link.heard_and_asked().1 == asked {
            sleep(Duration::from_millis(5)).await;
        }
        let elsewhere = wired.hint(is.local_addr().unwrap());
        linked_to(&mut wired.told, &elsewhere).await;
    }

    #[tokio::test]
    async fn a_dial_beside_a_link_is_let_go_when_that_answers_and_made_again_when_it_does_not() {
        let wired = Wired::new(OFTEN).await;
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = nobody.local_addr().unwrap();
        let elsewhere = wired.hint(at);
        wired.set_cut(true);
        timeout(PAUSE_MAX / 2, nobody.recv_from(&mut [0; 2000])).await.unwrap().unwrap();
        wired.set_cut(false);
        // Longer than a dial takes that nobody lets go.
        sleep(TLS_TIME_MAX + 2 * HURRY).await;
        assert_eq!(wired.failures(&elsewhere), 0);
        wired.set_cut(true);
        timeout(PAUSE_MAX / 2, async {
            while wired.failures(&elsewhere) == 0 {
                sleep(OFTEN).await;
            }
        })
        .await
        .expect("a second dial");
    }

    #[tokio::test]
    async fn a_dial_beside_a_link_is_let_go_when_there_is_a_newer_one() {
        let mut wired = Wired::new(OFTEN).await;
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = wired.hint(nobody.local_addr().unwrap());
        wired.set_cut(true);
        timeout(PAUSE_MAX / 2, nobody.recv_from(&mut [0; 2000])).await.unwrap().unwrap();
        let is = bind(2, mpsc::channel(64).0);
        let there = wired.hint(is.local_addr().unwrap());
        assert!(is.dial(Target::new(Some(wired.node.did()), wired.node.local_addr().unwrap())));
        linked_to(&mut wired.told, &there).await;
        sleep(TLS_TIME_MAX + 2 * HURRY).await;
        assert_eq!(wired.failures(&elsewhere), 0);
    }

    #[tokio::test]
    async fn a_hint_beside_a_link_is_dialled_once() {
        let (node, peer) = (bind(1, mpsc::channel(64).0), bind(2, mpsc::channel(64).0));
        // Who is there is somebody else.
        let other = bind(3, mpsc::channel(64).0);
        let target = |at: &Transport| Target::new(Some(peer.did()), at.local_addr().unwrap());
        let (shared, dialler) = (&node.shared, &node.shared.dialler);
        assert!(dialler.add(shared, target(&peer), Source::Asked));
        let linked = async {
            while shared.table.of(&peer.did()).is_none_or(|link| link.age() < HURRY + PROMPT) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PAUSE_MAX / 2, linked).await.is_ok(), "no link");
        let link = shared.table.of(&peer.did()).unwrap();
        let elsewhere = target(&other);
        assert!(dialler.add(shared, elsewhere.clone(), Source::Hint));
        let failures = || {
            let targets = node.targets();
            targets.iter().find(|status| status.target == elsewhere).unwrap().failures
        };
        let failed = async {
            while failures() == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PAUSE_MAX / 2, failed).await.is_ok(), "never dialled");
        // If it were dialled again, four of the first pauses would show it.
        sleep(4 * PAUSE).await;
        assert_eq!(failures(), 1);
        assert!(link.ended().is_none(), "a link is no worse for what is said of its peer");
    }

    #[test]
    fn pauses_grow_up_to_a_minute() {
        for (failures, longest) in [(1, 250), (2, 500), (3, 1000), (9, 60_000), (9999, 60_000)] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<_> = (0..200).map(|_| pause(failures)).collect();
            assert!(pauses.iter().all(|&pause| pause >= longest / 2 && pause <= longest));
            assert!(pauses.iter().any(|&pause| pause < longest * 5 / 8), "no chance in it");
            assert!(pauses.iter().any(|&pause| pause > longest * 7 / 8), "no chance in it");
        }
    }
}
