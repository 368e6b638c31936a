use std::time::Duration;

use icn_net::limits::{QUEUED_BYTES_MAX, UNSETTLED_BYTES_MAX, UNSETTLED_FRAME_BYTES};
use icn_net::{
    CLOSE_STOPPING, CLOSE_TOO_MANY, CloseReason, Config, FRAME_BYTES_MAX, Frame, LinkEvent, Stat,
};
use tokio::time::{Instant, timeout};

use crate::harness::{Node, TIME_MAX, config, frame, pair, timing};

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_know_the_same_of_a_link() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.dial(&b);
    let (in_a, in_b) = tokio::join!(a.next(), b.next());
    let LinkEvent::Up { binding, card, dialled: true, address, version: 0, .. } = in_a else {
        panic!("{in_a:?}")
    };
    assert_eq!((card.did, card.x25519, address), (b.did(), [2; 32], b.address()));
    let LinkEvent::Up { binding: there, card, dialled: false, address, .. } = in_b else {
        panic!("{in_b:?}")
    };
    assert_eq!((card.did, card.x25519, address), (a.did(), [1; 32], a.address()));
    assert_eq!(binding, there);
    assert_ne!(binding, [0; 32]);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_come_in_order_both_ways() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let (to_b, to_a) = pair(&mut a, &mut b).await;
    let body = |number: u32, from: u8| {
        let mut body = number.to_le_bytes().to_vec();
        body.resize(4 + (number as usize * 37) % 3000, from);
        body
    };
    for number in 0..2000 {
        assert!(a.transport.send(to_b, frame(1, body(number, b'a'))));
        assert!(b.transport.send(to_a, frame(2, body(number, b'b'))));
    }
    let largest = FRAME_BYTES_MAX - 4;
    assert!(a.transport.send(to_b, frame(9, vec![9; largest])));
    let b_reads = async {
        for number in 0..2000 {
            assert_eq!(b.frame().await, frame(1, body(number, b'a')));
        }
        assert_eq!(b.frame().await.body().len(), largest);
    };
    let a_reads = async {
        for number in 0..2000 {
            assert_eq!(a.frame().await, frame(2, body(number, b'b')));
        }
    };
    tokio::join!(a_reads, b_reads);
    assert_eq!((a.stat(Stat::FramesOut), b.stat(Stat::FramesIn)), (2001, 2001));
    assert_eq!(a.stat(Stat::BytesOut), b.stat(Stat::BytesIn));
}

/// Takes events until nothing more comes for a while, and keeps the frames with their credits.
async fn collect_until_quiet(node: &mut Node) -> (Vec<LinkEvent>, usize, usize) {
    let (mut kept, mut bytes, mut sent) = (Vec::new(), 0, 0);
    while let Ok(Some(event)) = timeout(Duration::from_millis(500), node.events.recv()).await {
        match &event {
            LinkEvent::Frame { frame, .. } => bytes += 4 + frame.body().len(),
            LinkEvent::Sent { bytes, .. } => sent += bytes,
            other => panic!("{other:?}"),
        }
        kept.push(event);
    }
    (kept, bytes, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_settle_stalls_the_sender_and_not_the_memory() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let (to_b, _) = pair(&mut a, &mut b).await;
    const FRAMES: usize = 500;
    const BYTES: usize = 20_000;
    for _ in 0..FRAMES {
        assert!(a.transport.send(to_b, frame(1, vec![0; BYTES - 4])));
    }
    let ((kept, received, _), (_, _, sent)) =
        tokio::join!(collect_until_quiet(&mut b), collect_until_quiet(&mut a));
    let most = UNSETTLED_BYTES_MAX / (BYTES + UNSETTLED_FRAME_BYTES) * BYTES;
    assert_eq!(received, most, "all that may be unsettled");
    assert!(sent >= received && sent < received + (4 << 20), "{sent} sent, {received} received");
    assert!(sent < FRAMES * BYTES / 2, "nothing stalled");
    drop(kept);
    let mut sent = sent;
    let a_counts = async {
        while sent < FRAMES * BYTES {
            match a.next().await {
                LinkEvent::Sent { bytes, .. } => sent += bytes,
                other => panic!("{other:?}"),
            }
        }
    };
    let b_reads = async {
        for _ in 0..FRAMES - received / BYTES {
            b.frame().await;
        }
    };
    tokio::join!(a_counts, b_reads);
    assert_eq!(sent, FRAMES * BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_never_reads_is_not_listened_to() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let (to_b, to_a) = pair(&mut a, &mut b).await;
    // B keeps all credits, so that what A answers stays in A's queue.
    const BYTES: usize = 100_000;
    let answers = (QUEUED_BYTES_MAX + (6 << 20)) / BYTES;
    for _ in 0..answers {
        assert!(a.transport.send(to_b, frame(1, vec![0; BYTES - 4])));
    }
    let ((kept, answered, _), _) =
        tokio::join!(collect_until_quiet(&mut b), collect_until_quiet(&mut a));
    // A reads what it was waiting for, and then no more.
    const QUESTIONS: usize = 15;
    for _ in 0..QUESTIONS {
        assert!(b.transport.send(to_a, frame(2, vec![0; BYTES - 4])));
    }
    let (asked, bytes, _) = collect_until_quiet(&mut a).await;
    assert!(bytes < 4 * BYTES, "{bytes} bytes of questions were taken");
    drop((kept, asked));
    let answered = async {
        for _ in 0..answers - answered / BYTES {
            b.frame().await;
        }
    };
    // What A is told has to be taken for A to go on.
    let mut questions = QUESTIONS - bytes / BYTES;
    let asked = async {
        loop {
            questions -= usize::from(matches!(a.next().await, LinkEvent::Frame { .. }));
        }
    };
    tokio::select! {
        () = answered => {}
        () = asked => {}
    }
    for _ in 0..questions {
        a.frame().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_only_talk_do_not_wait_for_each_other_for_ever() {
    let impatient = |seed| Node::with(Config { timing: timing(2000), ..config(seed) });
    let (mut a, mut b) = (impatient(1), impatient(2));
    let (to_b, to_a) = pair(&mut a, &mut b).await;
    for _ in 0..100 {
        assert!(a.transport.send(to_b, frame(1, vec![0; 100_000])));
        assert!(b.transport.send(to_a, frame(1, vec![0; 100_000])));
    }
    let ((_, in_a), (_, in_b)) = tokio::join!(a.down(), b.down());
    let closed = |why: &CloseReason| match why {
        CloseReason::Ours { code, .. } | CloseReason::Theirs { code, .. } => {
            *code == CLOSE_TOO_MANY
        }
        _ => false,
    };
    assert!(closed(&in_a) && closed(&in_b), "{in_a} and {in_b}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_close_is_told_at_both_ends() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let (to_b, to_a) = pair(&mut a, &mut b).await;
    a.transport.close(to_b, 0x22, "an entry nobody signed");
    let reason = "an entry nobody signed".to_owned();
    let (in_a, in_b) = tokio::join!(a.down(), b.down());
    assert_eq!(in_a, (to_b, CloseReason::Ours { code: 0x22, reason: reason.clone() }));
    assert_eq!(in_b, (to_a, CloseReason::Theirs { code: 0x22, reason }));
    assert!(!a.transport.send(to_b, frame(1, [])));
    assert_eq!((a.stat(Stat::ClosedOurs), b.stat(Stat::ClosedTheirs)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_queued_arrives_before_a_node_stops() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let (to_b, _) = pair(&mut a, &mut b).await;
    let frames: Vec<Frame> = (0..100).map(|number| frame(1, vec![number; 9000])).collect();
    for frame in &frames {
        assert!(a.transport.send(to_b, frame.clone()));
    }
    let stopping = a.transport.clone();
    let reading = async {
        let mut got = Vec::new();
        loop {
            match b.next().await {
                LinkEvent::Frame { frame, .. } => got.push(frame),
                LinkEvent::Down { reason, .. } => return (got, reason),
                other => panic!("{other:?}"),
            }
        }
    };
    let draining = async {
        while let Some(event) = a.events.recv().await {
            if matches!(event, LinkEvent::Down { .. }) {
                break;
            }
        }
    };
    let since = Instant::now();
    let ((got, why), (), ()) = tokio::join!(reading, stopping.shutdown(), draining);
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert_eq!(got, frames);
    assert!(matches!(why, CloseReason::Theirs { code: CLOSE_STOPPING, .. }), "{why:?}");
    assert!(!a.transport.send(to_b, frame(1, [])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_that_is_dropped_says_goodbye() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    pair(&mut a, &mut b).await;
    let Node { transport, mut events } = a;
    drop(transport);
    let why = b.down().await.1;
    assert!(matches!(why, CloseReason::Theirs { code: CLOSE_STOPPING, .. }), "{why:?}");
    // The tasks are gone with it: nobody holds the other end of the events.
    let ended = async { while events.recv().await.is_some() {} };
    assert!(timeout(TIME_MAX, ended).await.is_ok());
}
