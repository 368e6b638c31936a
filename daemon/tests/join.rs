//! Real nodes that join topics: by id, by name and creator, and what peers offer under a name.

mod harness;

use harness::{Daemon, House, until};
use serde_json::Value;

const NAME: &str = "coop:ledger";

/// Two nodes that are linked, and neither of whose operators has named the other.
fn linked_strangers() -> ([House; 2], [Daemon; 2]) {
    let [one, other] = [House::quick(), House::quick()];
    let first = one.start();
    let second = other.start_with(&["--peer", &first.peers()]);
    until("the link", || (one.get(&["status"])["peers"]["connected"] == 1).then_some(()));
    ([one, other], [first, second])
}

fn card(house: &House) -> String {
    house.get(&["identity", "show"])["card"].as_str().expect("a card").to_owned()
}

fn ids(candidates: &Value) -> Vec<String> {
    let candidates = candidates["candidates"].as_array().expect("candidates").iter();
    candidates.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_member_joins_by_id_before_or_after_the_topic_is_made_known_to_it() {
    let ([creator, member], _daemons) = linked_strangers();
    // The offer of the topic arrives before the member has joined it.
    let id = creator.create(NAME, &["--member", &member.did()]);
    let open = creator.create("news", &["--public"]);
    member.join(&id);
    member.join(&open);
    creator.get(&["gossip", "publish", NAME, "from the creator"]);
    member.get(&["gossip", "publish", NAME, "from the member"]);
    for house in [&creator, &member] {
        until("both messages", || (house.texts(NAME).len() == 2).then_some(()));
    }
    // After it was deleted, the topic is joined again.
    member.get(&["topic", "delete", NAME, "--yes"]);
    assert_eq!(member.fails(&["gossip", "publish", NAME, "nowhere"]), (1, "ICN-E0314".into()));
    member.join(&id);
    let shown = member.get(&["gossip", "entries", NAME])["topic"].take();
    assert_eq!(shown["creator"], creator.did());
    assert_eq!(shown["access"]["members"], 2);
}

#[test]
fn a_join_by_name_waits_for_the_creator_and_names_its_topics_when_there_are_several() {
    let ([creator, member], _daemons) = linked_strangers();
    let by = creator.did();
    let join = || member.get(&["topic", "join", NAME, "--creator", &by]);
    assert_eq!(join()["pending"], true);
    let id = creator.create(NAME, &["--public"]);
    until("the topic", || (join()["topic"]["id"] == id.as_str()).then_some(()));
    assert_eq!(join()["already"], true);
    member.get(&["gossip", "publish", NAME, "to the right one"]);
    until("the message", || (creator.texts(NAME) == ["to the right one"]).then_some(()));
    // The subscription ends by any name of the topic.
    assert_eq!(member.get(&["gossip", "unsubscribe", &id])["was_subscribed"], true);
    let left = member.get(&["gossip", "subscriptions"])["subscriptions"].take();
    assert!(left.as_array().expect("rows").iter().all(|row| row["by"] != "local"), "{left}");

    // A second topic of the same name and creator, which the creator joins like anybody else's.
    let other = House::quick();
    let others = other.start_with(&["--peer", &_daemons[0].peers()]);
    let second = other.create(NAME, &["--public"]);
    creator.join(&second);
    let refused = creator.ask(&["gossip", "publish", NAME, "to which?"]);
    assert_eq!(refused.1["error"]["code"], "ICN-E0303");
    let text = refused.1["error"]["message"].as_str().expect("a message");
    assert!(text.contains(&id) && text.contains(&second), "{text}");
    let with_creator = format!("{NAME}@{by}");
    creator.get(&["gossip", "publish", &with_creator, "to the first"]);
    drop(others);
}

#[test]
fn candidates_come_from_named_peers_only_and_are_listed_with_a_refused_message() {
    let ([creator, node], _daemons) = linked_strangers();
    let open = creator.create(NAME, &["--public"]);
    creator.create("shut", &[]);
    let found = node.get(&["topic", "candidates", NAME]);
    assert_eq!(found["asked"], 0, "the peer is a stranger");
    node.get(&["peer", "add", &card(&creator)]);
    let found = node.get(&["topic", "candidates", NAME]);
    assert_eq!((found["asked"].as_u64(), found["answered"].as_u64()), (Some(1), Some(1)));
    assert_eq!(ids(&found), [open.as_str()]);
    let candidate = &found["candidates"][0];
    assert_eq!(candidate["creator"], creator.did());
    assert_eq!(candidate["access"]["kind"], "public");
    assert_eq!(candidate["offered_by"], serde_json::json!([creator.did()]));
    assert_eq!(ids(&node.get(&["topic", "candidates", "shut"])), [""; 0]);
    // No candidate is entered, and a message by the name is refused with them.
    let (exit, refused) = node.ask(&["gossip", "publish", NAME, "SALARIES"]);
    assert_eq!(exit, 1);
    assert_eq!(refused["error"]["code"], "ICN-E0314");
    assert_eq!(ids(&refused["error"]), [open.as_str()]);
    let output = node.icnctl(&["gossip", "publish", NAME, "SALARIES"]).output().expect("run");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let listed = format!("candidate {open}: public, created by {}", creator.did());
    assert!(text.contains(&listed), "{text}");
    assert_eq!(node.get(&["topic", "list"])["topics"], Value::Array(Vec::new()));
    // A removed peer is a stranger again.
    node.get(&["peer", "remove", &creator.did()]);
    assert_eq!(node.get(&["topic", "candidates", "other"])["asked"], 0);
    assert_eq!(node.fails(&["topic", "join", NAME]), (1, "ICN-E0314".into()));
    let by_id = ["topic", "join", &open, "--creator", &creator.did()];
    assert_eq!(node.fails(&by_id), (1, "ICN-E0315".into()));
}
