//! Peers that violate the protocol: each violation costs only the peer's own link.

use std::net::UdpSocket;
use std::time::Duration;

use icn_net::{CLOSE_MALFORMED, CLOSE_TOO_MANY, CloseReason, Config, Refusal, Stat, Timing};
use quinn::ConnectionError;

use crate::harness::{Node, config, frame, pair};
use crate::raw_peer::{RawPeer, code, encoded};

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_peer_that_follows_the_protocol_gets_a_link() {
    let mut node = Node::new(1);
    let raw = RawPeer::new(9);
    let (_connection, mut send, _receive) = raw.join(node.address(), node.did()).await;
    assert_eq!(node.up().await.1, raw.keypair.did());
    send.write_all(&encoded(3, b"hello")).await.unwrap();
    assert_eq!(node.frame().await, frame(3, *b"hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_the_alpn_protocol_or_a_key_gets_no_session() {
    let mut node = Node::new(1);
    let raw = RawPeer::new(9);
    let error = raw.connect(node.address(), b"h3").await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
    // A TLS client counts as connected before the node has checked its key.
    if let Ok(connection) = raw.connect_without_key(node.address()).await {
        let error = connection.closed().await;
        assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
    }
    node.wait_for(Stat::HandshakeFailed, 2).await;
    node.expect_no_event(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_packets_disturb_no_link() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let (to_b, _) = pair(&mut a, &mut b).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..2000_u64 {
        let mut packet = blake3::hash(&number.to_le_bytes()).as_bytes().repeat(40);
        if number % 2 == 0 {
            // The first bytes of a QUIC Initial packet.
            packet[..6].copy_from_slice(&[0xC3, 0, 0, 0, 1, 8]);
        }
        socket.send_to(&packet[..1200.min(packet.len())], b.address()).unwrap();
    }
    a.transport.send(to_b, frame(1, *b"still there"));
    assert_eq!(b.frame().await, frame(1, *b"still there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_of_another_connection_is_refused() {
    let mut node = Node::new(1);
    let raw = RawPeer::new(9);
    let first = raw.connect(node.address(), b"icn/1").await.unwrap();
    let second = raw.connect(node.address(), b"icn/1").await.unwrap();
    let hello = raw.hello(&first, node.did());
    let (mut send, _receive) = second.open_bi().await.unwrap();
    send.write_all(&encoded(0, &hello)).await.unwrap();
    assert_eq!(code(&second).await, u64::from(Refusal::Unbound.code()));
    // The Hello is valid on the connection it was made for.
    let (mut send, _receive) = first.open_bi().await.unwrap();
    send.write_all(&[encoded(0, &hello), encoded(0, b"")].concat()).await.unwrap();
    node.up().await;
    assert_eq!(node.stat(Stat::RefusedUnbound), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_frame_that_is_not_a_hello_closes_the_connection() {
    let mut node = Node::new(1);
    let raw = RawPeer::new(9);
    let hello = {
        let connection = raw.connect(node.address(), b"icn/1").await.unwrap();
        raw.hello(&connection, node.did())
    };
    let firsts = [
        encoded(0, b"ICNh"),
        encoded(0, b""),
        encoded(1, &hello),
        encoded(0, &hello[..hello.len() - 1]),
        // A header that announces more than a Hello.
        encoded(0, &[0; 5000])[..4].to_vec(),
    ];
    for (count, first) in firsts.iter().enumerate() {
        let connection = raw.connect(node.address(), b"icn/1").await.unwrap();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(first).await.unwrap();
        assert_eq!(code(&connection).await, 0x10, "{count}");
    }
    // The stream ends within the Hello.
    let connection = raw.connect(node.address(), b"icn/1").await.unwrap();
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&encoded(0, &hello)[..50]).await.unwrap();
    send.finish().unwrap();
    assert_eq!(code(&connection).await, 0x10);
    assert_eq!(node.stat(Stat::RefusedMalformed), firsts.len() as u64 + 1);
    node.expect_no_event(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_or_unconfirmed_hello_closes_the_connection() {
    let hello = Duration::from_millis(300);
    let timing = Timing { hello, ..Timing::default() };
    let mut node = Node::with(Config { timing, ..config(1) });
    let raw = RawPeer::new(9);
    let silent = raw.connect(node.address(), b"icn/1").await.unwrap();
    let half = raw.connect(node.address(), b"icn/1").await.unwrap();
    let (mut send, _receive) = half.open_bi().await.unwrap();
    send.write_all(&encoded(0, &raw.hello(&half, node.did()))).await.unwrap();
    assert_eq!(code(&silent).await, 0x10);
    assert_eq!(code(&half).await, 0x10);
    node.expect_no_event(100).await;
    assert_eq!(node.stat(Stat::RefusedLate), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_protocol_violation_closes_the_link_with_its_code() {
    let mut node = Node::new(1);
    let raw = RawPeer::new(9);
    // A header that announces more than the limit; the frames before it arrive.
    let (connection, mut send, _receive) = raw.join(node.address(), node.did()).await;
    node.up().await;
    send.write_all(&encoded(7, b"before")).await.unwrap();
    send.write_all(&[7, 0xFF, 0xFF, 0xFF]).await.unwrap();
    assert_eq!(node.frame().await, frame(7, *b"before"));
    let why = node.down().await.1;
    assert!(matches!(&why, CloseReason::Ours { code: CLOSE_TOO_MANY, .. }), "{why}");
    assert_eq!(code(&connection).await, u64::from(CLOSE_TOO_MANY));

    // A second Hello.
    let (connection, mut send, _receive) = raw.join(node.address(), node.did()).await;
    node.up().await;
    send.write_all(&encoded(0, b"")).await.unwrap();
    assert!(matches!(node.down().await.1, CloseReason::Ours { code: CLOSE_MALFORMED, .. }));
    assert_eq!(code(&connection).await, u64::from(CLOSE_MALFORMED));

    // A stream that ends within a frame, on a connection that stays open.
    let (connection, mut send, _receive) = raw.join(node.address(), node.did()).await;
    node.up().await;
    send.write_all(&encoded(7, b"cut")[..5]).await.unwrap();
    send.finish().unwrap();
    assert!(matches!(node.down().await.1, CloseReason::Ours { code: CLOSE_MALFORMED, .. }));
    assert_eq!(code(&connection).await, u64::from(CLOSE_MALFORMED));

    // A peer that stops the stream of the node.
    let (connection, _send, mut receive) = raw.join(node.address(), node.did()).await;
    let link = node.up().await.0;
    receive.stop(0_u32.into()).unwrap();
    while node.transport.send(link, frame(1, [])) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(node.stat(Stat::FramesOut) < 1000, "the node does not notice");
        while node.events.len() > 1 {
            node.next().await;
        }
    }
    assert!(matches!(node.down().await.1, CloseReason::Ours { code: CLOSE_MALFORMED, .. }));
    assert_eq!(code(&connection).await, u64::from(CLOSE_MALFORMED));
    assert_eq!(node.stat(Stat::ClosedTooMany), 1);
    assert_eq!(node.stat(Stat::ClosedMalformed), 3);
    node.expect_no_event(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_has_one_stream_and_no_datagrams() {
    let mut node = Node::new(1);
    let raw = RawPeer::new(9);
    let (connection, _send, _receive) = raw.join(node.address(), node.did()).await;
    node.up().await;
    let more = tokio::time::timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(more.is_err(), "a second stream");
    let more = tokio::time::timeout(Duration::from_millis(300), connection.open_uni()).await;
    assert!(more.is_err(), "a stream in one direction");
    assert!(connection.send_datagram(bytes::Bytes::from_static(b"x")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_close_text_of_a_peer_is_reported_as_one_line() {
    let mut node = Node::new(1);
    let raw = RawPeer::new(9);
    let (connection, _send, _receive) = raw.join(node.address(), node.did()).await;
    node.up().await;
    connection.close(0x2F_u32.into(), b"it is\nall\x1b[2J mine");
    let CloseReason::Theirs { code: 0x2F, reason } = node.down().await.1 else { panic!() };
    assert_eq!(reason, "it is\u{FFFD}all\u{FFFD}[2J mine");
}
