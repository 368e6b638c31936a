//! The wall clocks of peers.

use icn_gossip::mesh::Message;

use crate::rig::Node;

const HOUR_MS: u64 = 60 * 60 * 1000;

fn times(sent: Vec<Message>) -> Vec<u64> {
    let time = |message| match message {
        Message::Clock(wall_ms) => Some(wall_ms),
        _ => None,
    };
    sent.into_iter().filter_map(time).collect()
}

#[test]
fn the_wall_time_is_sent_at_once_and_every_ten_minutes() {
    let mut node = Node::new(1);
    node.up(1, 2);
    assert_eq!(times(node.take_sent(1)), [node.now_ms]);
    let since_ms = node.now_ms;
    node.advance(HOUR_MS);
    let sent = times(node.take_sent(1));
    assert_eq!(sent, (1..=6).map(|at| since_ms + at * HOUR_MS / 6).collect::<Vec<_>>());
}

#[test]
fn the_difference_of_two_clocks_is_that_of_the_last_time_received() {
    let mut node = Node::new(1);
    node.up(1, 2);
    node.up(2, 3);
    assert_eq!(node.view(1).clock_ahead_ms, None);
    let items = node.view(1).tracked_items;
    for wall_ms in [0, 1 << 50, u64::MAX, node.now_ms + 2 * HOUR_MS] {
        node.receive(1, Message::Clock(wall_ms));
        let ahead = node.view(1).clock_ahead_ms.expect("a difference");
        let expected = i128::from(wall_ms) - i128::from(node.now_ms);
        assert_eq!(i128::from(ahead), expected.min(1 << 42));
    }
    assert_eq!(node.view(1).tracked_items, items, "one time of each peer is kept");
    assert_eq!(node.view(2).clock_ahead_ms, None);
    node.advance(60_000);
    assert_eq!(node.view(1).clock_ahead_ms, Some(7_200_000), "both clocks go on");
    node.now_ms += 3 * HOUR_MS;
    node.advance(500);
    assert_eq!(node.view(1).clock_ahead_ms, Some(-3_600_000), "this node's clock was set");
    node.advance(15 * 60_000);
    assert_eq!(node.view(1).clock_ahead_ms, None, "the peer repeats it no more");
}

#[test]
fn a_peer_that_sends_its_time_all_the_time_loses_its_link_alone() {
    let mut node = Node::new(1);
    node.up(1, 2);
    node.up(2, 3);
    for _ in 0..300 {
        node.receive(1, Message::Clock(node.now_ms));
    }
    assert_eq!(node.closed, [(1, "too_many")]);
}
