//! Frames, flow control and the end of links.

use std::time::Duration;

use icn_net::limits::{QUEUED_BYTES_MAX, UNSETTLED_BYTES_MAX, UNSETTLED_FRAME_BYTES};
use icn_net::{
    CLOSE_STOPPING, CLOSE_TOO_MANY, CloseReason, Config, FRAME_BYTES_MAX, Frame, LinkEvent, Stat,
};
use tokio::time::{Instant, timeout};

use crate::harness::{Node, TIME_MAX, config, frame, pair, timing};

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_report_the_same_link() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    a.dial(&b);
    let (in_a, in_b) = tokio::join!(a.next(), b.next());
    let LinkEvent::Up { binding, card, dialled: true, address, version: 1, .. } = in_a else {
        panic!("{in_a:?}")
    };
    assert_eq!(card.did, b.did());
    assert_eq!(card.x25519, [2; 32]);
    assert_eq!(address, b.address());
    let LinkEvent::Up { binding: there, card, dialled: false, address, .. } = in_b else {
        panic!("{in_b:?}")
    };
    assert_eq!(card.did, a.did());
    assert_eq!(card.x25519, [1; 32]);
    assert_eq!(address, a.address());
    assert_eq!(binding, there);
    assert_ne!(binding, [0; 32]);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_in_order_in_both_directions() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
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
    assert_eq!(a.stat(Stat::FramesOut), 2001);
    assert_eq!(b.stat(Stat::FramesIn), 2001);
    assert_eq!(a.stat(Stat::BytesOut), b.stat(Stat::BytesIn));
}

/// Receives events until none arrives for 500 ms, and keeps the frames with their credits.
async fn collect_until_quiet(node: &mut Node) -> (Vec<LinkEvent>, usize, usize) {
    let mut kept = Vec::new();
    let mut bytes = 0;
    let mut sent = 0;
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
async fn unsettled_frames_stall_the_sender_and_bound_the_memory() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let (to_b, _) = pair(&mut a, &mut b).await;
    const FRAMES: usize = 500;
    const BYTES: usize = 20_000;
    for _ in 0..FRAMES {
        assert!(a.transport.send(to_b, frame(1, vec![0; BYTES - 4])));
    }
    let ((kept, received, _), (_, _, sent)) =
        tokio::join!(collect_until_quiet(&mut b), collect_until_quiet(&mut a));
    let most = UNSETTLED_BYTES_MAX / (BYTES + UNSETTLED_FRAME_BYTES) * BYTES;
    assert_eq!(received, most, "the limit of unsettled bytes");
    assert!(sent >= received && sent < received + (4 << 20), "{sent} sent, {received} received");
    assert!(sent < FRAMES * BYTES / 2, "the sender did not stall");
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
async fn a_peer_that_sends_and_never_reads_is_not_read_from() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let (to_b, to_a) = pair(&mut a, &mut b).await;
    // B settles no frame, so that the answers of A stay in A's queue.
    const BYTES: usize = 100_000;
    let answers = (QUEUED_BYTES_MAX + (6 << 20)) / BYTES;
    for _ in 0..answers {
        assert!(a.transport.send(to_b, frame(1, vec![0; BYTES - 4])));
    }
    let ((kept, answered, _), _) =
        tokio::join!(collect_until_quiet(&mut b), collect_until_quiet(&mut a));
    // A finishes the read in progress, and reads no further.
    const QUESTIONS: usize = 15;
    for _ in 0..QUESTIONS {
        assert!(b.transport.send(to_a, frame(2, vec![0; BYTES - 4])));
    }
    let (asked, bytes, _) = collect_until_quiet(&mut a).await;
    assert!(bytes < 4 * BYTES, "{bytes} bytes of questions were read");
    drop((kept, asked));
    let answered = async {
        for _ in 0..answers - answered / BYTES {
            b.frame().await;
        }
    };
    // A goes on only while its events are received.
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
async fn nodes_that_only_send_close_the_link_instead_of_deadlocking() {
    let impatient = |seed| Node::with(Config { timing: timing(2000), ..config(seed) });
    let mut a = impatient(1);
    let mut b = impatient(2);
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
async fn both_ends_report_the_reason_of_a_close() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let (to_b, to_a) = pair(&mut a, &mut b).await;
    a.transport.close(to_b, 0x22, "an unsigned entry");
    let reason = "an unsigned entry".to_owned();
    let (in_a, in_b) = tokio::join!(a.down(), b.down());
    assert_eq!(in_a, (to_b, CloseReason::Ours { code: 0x22, reason: reason.clone() }));
    assert_eq!(in_b, (to_a, CloseReason::Theirs { code: 0x22, reason }));
    assert!(!a.transport.send(to_b, frame(1, [])));
    assert_eq!(a.stat(Stat::ClosedOurs), 1);
    assert_eq!(b.stat(Stat::ClosedTheirs), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_frames_arrive_before_a_node_stops() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
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
async fn a_dropped_transport_closes_its_links() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    pair(&mut a, &mut b).await;
    let Node { transport, mut events } = a;
    drop(transport);
    let why = b.down().await.1;
    assert!(matches!(why, CloseReason::Theirs { code: CLOSE_STOPPING, .. }), "{why:?}");
    // Every task has ended and dropped its sender of events.
    let ended = async { while events.recv().await.is_some() {} };
    assert!(timeout(TIME_MAX, ended).await.is_ok());
}
