//! How a node enters the topics that its operator has joined, and offers its own.

use std::collections::BTreeSet;

use icn_gossip::limits::{CANDIDATES_MAX, FOUND_MAX, SEARCHES_MAX};
use icn_gossip::mesh::{Interest, LinkId, Message, Root, Tag};
use icn_gossip::{Access, AccessSummary, Genesis, Keypair, Mutation, Provenance, TopicId};

use crate::rig::{Node, binding, did, genesis, interest, tag};

fn missing(tag: Tag) -> Message {
    Message::Interests { more: false, list: vec![Interest { tag, missing: true }] }
}

fn no_interests() -> Message {
    Message::Interests { more: false, list: Vec::new() }
}

/// The ids of the topics whose genesis was sent.
fn offered(sent: &[Message]) -> Vec<TopicId> {
    let lists = sent.iter().filter_map(|message| match message {
        Message::Topics(list) => Some(list),
        _ => None,
    });
    lists.flatten().map(Genesis::id).collect()
}

/// The tags of the names that were asked for.
fn finds(sent: &[Message]) -> Vec<Tag> {
    let find = |message: &Message| match message {
        Message::Find(tag) => Some(*tag),
        _ => None,
    };
    sent.iter().filter_map(find).collect()
}

fn found(link: u64, name: &str, list: &[&Genesis]) -> Message {
    let list = list.iter().map(|genesis| (*genesis).clone()).collect();
    Message::Found { tag: Tag::of_name(&binding(link), name), list }
}

fn named(name: &str, creator: u8) -> String {
    format!("{name}@{}", did(creator))
}

#[test]
fn a_request_by_id_is_answered_with_the_genesis_every_time() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.up(1, 2);
    for _ in 0..3 {
        node.take_sent(1);
        node.receive(1, missing(tag(1, &topic)));
        let sent = offered(&node.take_sent(1));
        assert!(sent.contains(&topic), "the peer may have had no room for it");
    }
}

#[test]
fn a_name_alone_enters_no_topic() {
    let mut node = Node::new(1);
    node.subscribe("b");
    node.up_named(1, 2, true);
    let trap = genesis(2, "b", &Access::participants(vec![did(1), did(2)]), 1);
    let sealed = genesis(2, "b", &Access::min_trust(5), 2);
    node.receive(1, Message::Topics(vec![trap.clone(), sealed.clone()]));
    node.mesh.search(node.now(), "b");
    node.work();
    node.receive(1, found(1, "b", &[&trap, &sealed]));
    assert_eq!(node.mesh.candidates("b").count(), 2);
    assert_eq!(node.state.topics().count(), 0);
    assert_eq!(node.closed, []);
    // The real topic, joined by its id, is what the name means.
    let real = genesis(3, "b", &Access::participants(vec![did(1), did(3)]), 1);
    node.subscribe(&real.id().to_string());
    node.up(2, 3);
    node.receive(2, Message::Topics(vec![real.clone()]));
    assert_eq!(node.state.resolve("b"), Ok(real.id()));
}

#[test]
fn a_join_by_id_accepts_only_that_topic_and_only_what_it_may_read() {
    let mut node = Node::new(1);
    let wanted = genesis(2, "b", &Access::public(), 1);
    let closed = genesis(2, "b", &Access::participants(vec![did(3)]), 2);
    node.subscribe(&wanted.id().to_string());
    node.subscribe(&closed.id().to_string());
    node.up(1, 3);
    node.receive(1, Message::Topics(vec![genesis(3, "b", &Access::public(), 1), closed]));
    assert_eq!(node.state.topics().count(), 0);
    node.receive(1, Message::Topics(vec![wanted.clone()]));
    assert!(node.state.topic(&wanted.id()).is_some());
}

#[test]
fn a_topic_offered_before_it_is_joined_is_asked_for_when_it_is() {
    let mut node = Node::new(1);
    let topic = genesis(2, "b", &Access::participants(vec![did(1), did(2)]), 1);
    // Peer 2 may read the topic; peer 3 knows its genesis only.
    node.up(1, 2);
    node.up(2, 3);
    node.receive(1, Message::Topics(vec![topic.clone()]));
    node.receive(2, Message::Topics(vec![topic.clone()]));
    [1, 2].into_iter().for_each(|link| drop(node.take_sent(link)));
    node.subscribe(&topic.id().to_string());
    assert_eq!(node.take_sent(1), [missing(tag(1, &topic.id()))]);
    assert_eq!(node.take_sent(2), []);
    node.receive(1, Message::Topics(vec![topic.clone()]));
    assert!(node.state.topic(&topic.id()).is_some());
}

#[test]
fn a_join_by_name_asks_the_creator_alone_and_believes_it_alone() {
    let mut node = Node::new(1);
    node.subscribe(&named("b", 2));
    let mut links = vec![(1, 2), (2, 3)];
    for (link, peer) in links.drain(..) {
        node.up_named(link, peer, true);
    }
    let finds_b = [Tag::of_name(&binding(1), "b")];
    assert_eq!(finds(&node.take_sent(1)), finds_b);
    assert_eq!(finds(&node.take_sent(2)), []);
    let topic = genesis(2, "b", &Access::public(), 1);
    // An old topic of the creator, offered and offered by another peer.
    let old = genesis(2, "b", &Access::public(), 2);
    node.mesh.search(node.now(), "b");
    node.work();
    node.receive(2, Message::Topics(vec![old.clone()]));
    node.receive(2, found(2, "b", &[&old]));
    assert_eq!(node.state.topics().count(), 0);
    // A topic that does not admit this node, and two that do.
    let other = genesis(2, "b", &Access::participants(vec![did(3)]), 3);
    node.receive(1, found(1, "b", &[&other]));
    node.advance(20_000);
    node.receive(1, found(1, "b", &[&topic, &old]));
    assert_eq!(node.state.topics().count(), 0);
    assert_eq!(node.count("ambiguous_join"), 1);
    node.advance(20_000);
    node.receive(1, found(1, "b", &[&topic, &other]));
    assert_eq!(node.state.topics().map(|(id, _)| *id).collect::<Vec<_>>(), [topic.id()]);
    node.take_sent(1);
    node.advance(60_000);
    assert_eq!(finds(&node.take_sent(1)), [], "nothing is missing any more");
    assert_eq!(node.closed, []);
}

#[test]
fn a_creator_that_offers_a_new_topic_is_asked_at_once_for_the_joined_name() {
    let mut node = Node::new(1);
    node.subscribe(&named("b", 2));
    node.up(1, 2);
    node.receive(1, found(1, "b", &[]));
    node.take_sent(1);
    let topic = genesis(2, "b", &Access::participants(vec![did(1), did(2)]), 1);
    node.receive(1, Message::Topics(vec![topic.clone()]));
    assert_eq!(finds(&node.take_sent(1)), [Tag::of_name(&binding(1), "b")]);
    node.receive(1, found(1, "b", &[&topic]));
    assert_eq!(node.state.resolve(&named("b", 2)), Ok(topic.id()));
    assert_eq!(node.state.resolve("b"), Ok(topic.id()));
}

#[test]
fn a_topic_is_offered_once_to_a_peer_that_may_read_it_and_has_not_announced_it() {
    let (mut node, topic) =
        Node::with_topic(1, &Access::participants(vec![did(1), did(2), did(4)]));
    for (link, peer) in [(1, 2), (2, 3), (3, 4)] {
        node.up(link, peer);
        node.advance(1000);
        assert_eq!(offered(&node.take_sent(link)), [], "the peer has announced nothing yet");
    }
    node.receive(1, no_interests());
    node.receive(2, no_interests());
    node.receive(3, interest(3, &topic));
    node.advance(60_000);
    node.receive(1, no_interests());
    assert_eq!(offered(&node.take_sent(1)), [topic]);
    assert_eq!(offered(&node.take_sent(2)), [], "it may not read the topic");
    assert_eq!(offered(&node.take_sent(3)), [], "it has the topic");
    // A topic that is made later is offered as well.
    let later = genesis(1, "later", &Access::public(), 9);
    node.commit(Mutation::CreateTopic(later.clone()));
    node.work();
    for link in 1..=3 {
        assert_eq!(offered(&node.take_sent(link)), [later.id()]);
    }
}

#[test]
fn many_offers_are_paced_by_their_bytes_and_too_many_are_ignored() {
    // Each genesis names 900 members and has 57 KiB.
    let member = |at: u64| Keypair::from_seed(binding(at)).did();
    let members = (0..900).map(member).chain([did(1), did(2)]).collect();
    let access = Access::participants(members);
    let topics: Vec<_> = (0..70).map(|at| genesis(2, &format!("t{at}"), &access, at)).collect();
    let bytes = |list: &[Genesis]| list.iter().map(|one| one.encode().len()).sum::<usize>();
    let mut holder = Node::new(2);
    topics.iter().for_each(|topic| drop(holder.commit(Mutation::CreateTopic(topic.clone()))));
    let mut node = Node::new(1);
    node.up(1, 2);
    holder.up(1, 1);
    holder.receive(1, no_interests());
    let mut all = BTreeSet::new();
    let mut sent = 0;
    for second in 0..40 {
        for message in holder.take_sent(1) {
            if let Message::Topics(list) = &message {
                all.extend(list.iter().map(Genesis::id));
                sent += bytes(list);
            }
            node.receive(1, message);
        }
        assert!(sent <= (1 << 20) + (second + 1) * (96 << 10), "{sent} bytes after {second} s");
        holder.advance(1000);
        // The network accepts the frames.
        let in_flight = holder.view(1).in_flight;
        holder.mesh.sent(LinkId(1), in_flight);
        holder.work();
        node.advance(1000);
    }
    assert_eq!(all.len(), topics.len());
    assert_eq!(node.count("offer_ignored"), 0);
    // A peer that offers faster is not heeded, and not closed: it may know no better.
    for topic in topics.iter().chain(&topics) {
        node.receive(1, Message::Topics(vec![topic.clone()]));
    }
    assert!(node.count("offer_ignored") > 60);
    assert_eq!(node.closed, []);
    // One that is joined and was not heeded is asked for, since the peer offers it only once.
    let late = genesis(2, "late", &Access::public(), 1);
    node.subscribe(&late.id().to_string());
    node.advance(1000);
    node.take_sent(1);
    let small = genesis(2, "small", &Access::public(), 1);
    let before = node.count("offer_ignored");
    while node.count("offer_ignored") == before {
        node.receive(1, Message::Topics(vec![small.clone()]));
    }
    node.receive(1, Message::Topics(vec![late.clone()]));
    assert_eq!(node.state.topics().count(), 0);
    node.advance(1000);
    let missed = Interest { tag: tag(1, &late.id()), missing: true };
    let is_asked = |message: &Message| matches!(message, Message::Interests { list, .. } if list.contains(&missed));
    assert!(node.take_sent(1).iter().any(is_asked));
    node.receive(1, Message::Topics(vec![late.clone()]));
    assert!(node.state.topic(&late.id()).is_some());
    node.commit(Mutation::DeleteTopic(late.id()));
    // A bad signature of a joined topic ends no link either: that would show the join.
    let joined = genesis(2, "joined", &Access::public(), 1);
    node.subscribe(&joined.id().to_string());
    node.advance(60_000);
    let mut forged = joined.encode();
    *forged.last_mut().expect("a signature") ^= 1;
    let forged = Genesis::decode(&forged).expect("well-formed");
    assert_eq!(forged.id(), joined.id());
    node.receive(1, Message::Topics(vec![forged]));
    assert_eq!(node.closed, []);
    assert_eq!(node.state.topics().count(), 0);
    node.receive(1, Message::Topics(vec![joined]));
    assert_eq!(node.state.topics().count(), 1);
}

#[test]
fn every_answer_to_a_repeated_list_of_interests_is_an_answer() {
    // Each genesis names 900 members: the answers to one list are more than is heeded unasked.
    let member = |at: u64| Keypair::from_seed(binding(at)).did();
    let members = (0..900).map(member).chain([did(1), did(2)]).collect();
    let access = Access::participants(members);
    let topics: Vec<_> = (0..40).map(|at| genesis(2, &format!("t{at}"), &access, at)).collect();
    let mut node = Node::new(1);
    node.up(1, 2);
    for topic in &topics {
        node.receive(1, Message::Topics(vec![topic.clone()]));
        node.advance(1000);
    }
    node.advance(60_000);
    for topic in &topics {
        node.subscribe(&topic.id().to_string());
    }
    // Another subscription repeats the list while its answers are on the way.
    node.advance(1000);
    node.commit(Mutation::CreateTopic(genesis(1, "own", &Access::public(), 9)));
    node.subscribe("own");
    node.advance(1000);
    let lists = node.take_sent(1).into_iter().filter(|message| {
        let asks =
            |list: &[Interest]| list.iter().filter(|one| one.missing).count() == topics.len();
        matches!(message, Message::Interests { list, .. } if asks(list))
    });
    let lists = lists.count();
    assert!(lists >= 2, "{lists}");
    for topic in std::iter::repeat_n(&topics, lists).flatten() {
        node.receive(1, Message::Topics(vec![topic.clone()]));
    }
    assert_eq!(node.count("offer_ignored"), 0);
    assert_eq!(node.state.topics().count(), topics.len() + 1);
    assert_eq!(node.closed, []);
}

#[test]
fn a_search_asks_known_peers_and_keeps_few_candidates() {
    let mut node = Node::new(1);
    let members = Access::participants(vec![did(1), did(3)]);
    node.commit(Mutation::CreateTopic(genesis(1, "private", &members, 1)));
    // Peer 2 is named by the operator, 3 is a member of a private topic, and 4 is a stranger.
    for (link, peer) in [(1, 2), (2, 3), (3, 4)] {
        node.up_named(link, peer, peer == 2);
        node.take_sent(link);
    }
    node.mesh.search(node.now(), "b");
    node.work();
    for (link, is_asked) in [(1, true), (2, true), (3, false)] {
        assert_eq!(finds(&node.take_sent(link)).len(), usize::from(is_asked), "{link}");
    }
    assert_eq!(node.mesh.asked_for("b"), (2, 0));
    let of = |creator, nonce| genesis(creator, "b", &Access::public(), nonce);
    let ours = genesis(9, "b", &members, 1);
    node.receive(1, found(1, "b", &[&of(9, 1), &of(9, 2), &of(9, 3), &ours]));
    node.receive(2, found(2, "b", &[&of(9, 1)]));
    assert_eq!(node.mesh.asked_for("b"), (2, 2));
    let candidate = node.mesh.candidates("b").find(|one| one.id == of(9, 1).id()).expect("told");
    assert_eq!(candidate.offered_by, [did(2), did(3)].into());
    assert_eq!(candidate.creator, did(9));
    assert_eq!(candidate.access, AccessSummary::Public);
    let candidate = node.mesh.candidates("b").find(|one| one.id == ours.id()).expect("told");
    assert_eq!(candidate.access, AccessSummary::Members(2));
    assert!(candidate.admits_us);
    // A later answer of a peer replaces its earlier one.
    node.mesh.search(node.now(), "b");
    node.work();
    node.receive(1, found(1, "b", &[&of(9, 5)]));
    let ids: BTreeSet<_> = node.mesh.candidates("b").map(|one| one.id).collect();
    assert_eq!(ids, [of(9, 1).id(), of(9, 5).id()].into());
    assert_eq!(node.count("candidate_left_out"), 0);
    for peer in 10..60 {
        let link = u64::from(peer);
        node.up_named(link, peer, true);
        node.mesh.search(node.now(), "b");
        node.work();
        let told: Vec<_> = (0..FOUND_MAX as u64).map(|nonce| of(peer, nonce)).collect();
        node.receive(link, found(link, "b", &told.iter().collect::<Vec<_>>()));
        node.down(link);
    }
    assert_eq!(node.mesh.candidates("b").count(), CANDIDATES_MAX);
    assert!(node.count("candidate_left_out") > 0);
    assert_eq!(node.state.topics().count(), 1, "no candidate is entered");
    // The oldest search is forgotten beyond the limit, and every one after a while.
    for other in 0..SEARCHES_MAX {
        node.wait(1);
        node.mesh.search(node.now(), &format!("other{other}"));
    }
    assert_eq!(node.mesh.candidates("b").count(), 0);
    assert_eq!(node.closed, []);
}

#[test]
fn a_find_is_answered_with_readable_topics_of_that_name_only() {
    let mut node = Node::new(1);
    let private = Access::participants(vec![did(1), did(3)]);
    for (name, access, nonce) in [("b", &private, 0), ("c", &Access::public(), 0)] {
        node.commit(Mutation::CreateTopic(genesis(1, name, access, nonce)));
    }
    for nonce in 1..9 {
        node.commit(Mutation::CreateTopic(genesis(5, "d", &Access::public(), nonce)));
    }
    let answers = |node: &mut Node, link: u64, name: &str| {
        node.take_sent(link);
        node.receive(link, Message::Find(Tag::of_name(&binding(link), name)));
        let sent = node.take_sent(link);
        let [Message::Found { list, .. }] = &sent[..] else { panic!("{sent:?}") };
        list.len()
    };
    node.up(1, 2);
    node.up(2, 3);
    for (name, at_2, at_3) in [("b", 0, 1), ("c", 1, 1), ("d", FOUND_MAX, FOUND_MAX), ("e", 0, 0)] {
        assert_eq!(answers(&mut node, 1, name), at_2, "{name}");
        assert_eq!(answers(&mut node, 2, name), at_3, "{name}");
    }
}

#[test]
fn an_answer_that_does_not_fit_its_question_closes_the_link() {
    for fault in 0..3 {
        let mut node = Node::new(1);
        node.up_named(1, 2, true);
        node.mesh.search(node.now(), "b");
        node.work();
        let mut topic = genesis(2, if fault == 0 { "c" } else { "b" }, &Access::public(), 1);
        match fault {
            1 => topic.network = [7; 32],
            2 => topic.nonce += 1,
            _ => {}
        }
        node.receive(1, found(1, "b", &[&topic]));
        let name = if fault == 2 { "bad_signature" } else { "unasked" };
        assert_eq!(node.closed, [(1, name)], "{fault}");
        assert_eq!(node.mesh.candidates("b").count(), 0);
    }
}

#[test]
fn subscribing_to_many_topics_stays_within_a_peers_budget() {
    let mut node = Node::new(1);
    let topics: Vec<_> =
        (0..300).map(|at| genesis(2, &format!("t{at}"), &Access::public(), at)).collect();
    node.up(1, 2);
    let list = topics.iter().map(|genesis| {
        let tag = tag(1, &genesis.id());
        Interest { tag, missing: false }
    });
    node.receive(1, Message::Interests { more: false, list: list.collect() });
    for genesis in &topics {
        node.commit(Mutation::CreateTopic(genesis.clone()));
        node.subscribe(&genesis.spec.name);
    }
    for two in topics.chunks(2) {
        let root = |genesis: &Genesis| (tag(1, &genesis.id()), Root([3; 16]));
        node.receive(1, Message::Roots(two.iter().map(root).collect()));
    }
    let counts = |sent: Vec<Message>| {
        let mut asked = Vec::new();
        let mut announced = Vec::new();
        for message in sent {
            match message {
                Message::Ask(list) => asked.push(list.len()),
                Message::Roots(list) => announced.push(list),
                _ => {}
            }
        }
        (asked, announced)
    };
    let at_once = counts(node.take_sent(1));
    let messages = at_once.0.len() + at_once.1.len();
    assert!(messages <= 100, "{messages} at once");
    node.advance(1000);
    let later = counts(node.take_sent(1));
    assert_eq!(at_once.0.iter().chain(&later.0).sum::<usize>(), 300);
    let announced: BTreeSet<_> =
        at_once.1.iter().chain(&later.1).flatten().map(|(tag, _)| tag).collect();
    assert_eq!(announced.len(), 300);
    assert!(later.0.len() + later.1.len() <= 3, "{later:?}");
}

#[test]
fn a_topic_refused_for_lack_of_room_is_requested_again() {
    let mut node = Node::new(1);
    let topic = genesis(2, "b", &Access::public(), 1);
    node.subscribe(&topic.id().to_string());
    node.up(1, 2);
    node.full = true;
    let offer = Message::Topics(vec![topic]);
    node.receive(1, offer.clone());
    node.take_sent(1);
    node.full = false;
    node.advance(20_000);
    let asked =
        |message: &Message| matches!(message, Message::Interests { list, .. } if list[0].missing);
    assert!(node.take_sent(1).iter().any(asked));
    node.receive(1, offer);
    assert_eq!(node.state.topics().count(), 1);
}

#[test]
fn a_subscription_is_kept_for_a_topic_that_becomes_known_later() {
    let mut node = Node::new(1);
    let wanted = genesis(2, "b", &Access::public(), 1);
    node.up(1, 3);
    node.receive(1, interest(1, &wanted.id()));
    node.commit(Mutation::CreateTopic(wanted));
    node.work();
    let by = Provenance::Peer(did(3));
    assert!(node.state.subscriptions().any(|(_, whose, _)| whose == by));
}
