//! The Hello: its layout, its signature, and what is refused.

use super::*;

struct Node {
    keypair: Keypair,
    card: KeyCard,
}

impl Node {
    fn new(seed: u8) -> Self {
        let keypair = Keypair::from_seed([seed; 32]);
        let card = KeyCard::sign(&keypair, [seed; 32], 1);
        Self { keypair, card }
    }

    fn local(&self) -> LocalNode<'_> {
        LocalNode {
            keypair: &self.keypair,
            card: &self.card,
            network: crate::network_id("icn"),
            versions: Versions { oldest: 2, newest: 4 },
            capabilities: 5,
        }
    }
}

fn session(role: Role, peer: &Node) -> TlsSession {
    TlsSession { binding: [9; 32], role, peer: peer.keypair.did() }
}

#[test]
fn each_end_learns_the_identity_of_the_other() {
    let ana = Node::new(1);
    let ben = Node::new(2);
    for (role, other) in [(Role::Dialler, Role::Acceptor), (Role::Acceptor, Role::Dialler)] {
        let hello = Hello::sign(&ana.local(), &session(role, &ben));
        let local = LocalNode { versions: Versions { oldest: 1, newest: 3 }, ..ben.local() };
        let peer = Hello::accept(&hello, &local, &session(other, &ana));
        let card = ana.card.clone();
        assert_eq!(peer, Ok(AcceptedHello { card, version: 3, capabilities: 5 }));
    }
}

#[test]
fn a_changed_or_cut_hello_is_refused() {
    let ana = Node::new(1);
    let ben = Node::new(2);
    let hello = Hello::sign(&ana.local(), &session(Role::Dialler, &ben));
    let accept = |bytes: &[u8]| Hello::accept(bytes, &ben.local(), &session(Role::Acceptor, &ana));
    assert!(accept(&hello).is_ok());
    for bit in 0..hello.len() * 8 {
        let mut changed = hello.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(accept(&changed).is_err(), "bit {bit}");
    }
    for end in 0..hello.len() {
        assert!(accept(&hello[..end]).is_err(), "{end} bytes");
    }
    assert_eq!(accept(&vec![b'I'; HELLO_BYTES_MAX + 1]), Err(Refusal::Malformed));
}

#[test]
fn a_hello_is_valid_on_one_connection_only() {
    let ana = Node::new(1);
    let ben = Node::new(2);
    let eve = Node::new(3);
    let hello = Hello::sign(&ana.local(), &session(Role::Dialler, &ben));
    let there = session(Role::Acceptor, &ana);
    let other_session = TlsSession { binding: [8; 32], ..there };
    assert_eq!(Hello::accept(&hello, &ben.local(), &other_session), Err(Refusal::Unbound));
    let reflected = TlsSession { role: Role::Dialler, ..there };
    assert_eq!(Hello::accept(&hello, &ben.local(), &reflected), Err(Refusal::Unbound));
    // Eve holds the key of the session and replays a Hello that she received from Ana.
    let heard = TlsSession { peer: eve.keypair.did(), ..there };
    assert_eq!(Hello::accept(&hello, &ben.local(), &heard), Err(Refusal::NotTheKey));
    let ourselves = session(Role::Acceptor, &ana);
    assert_eq!(Hello::accept(&hello, &ana.local(), &ourselves), Err(Refusal::Ourselves));
}

#[test]
fn each_mismatch_has_its_own_refusal() {
    let ana = Node::new(1);
    let ben = Node::new(2);
    let ours = ben.local().versions;
    let judge = |local: LocalNode<'_>| {
        let hello = Hello::sign(&local, &session(Role::Dialler, &ben));
        Hello::accept(&hello, &ben.local(), &session(Role::Acceptor, &ana))
    };
    let speaking =
        |oldest, newest| LocalNode { versions: Versions { oldest, newest }, ..ana.local() };
    for (oldest, newest, common) in [(0, 2, 2), (4, 9, 4), (3, 3, 3), (0, 9, 4)] {
        assert_eq!(judge(speaking(oldest, newest)).map(|peer| peer.version), Ok(common));
    }
    let theirs = Versions { oldest: 0, newest: 1 };
    assert_eq!(judge(speaking(0, 1)), Err(Refusal::TooOld { ours, theirs }));
    let theirs = Versions { oldest: 5, newest: 6 };
    assert_eq!(judge(speaking(5, 6)), Err(Refusal::TooNew { ours, theirs }));
    assert_eq!(judge(speaking(4, 3)), Err(Refusal::Malformed));
    let network = crate::network_id("other");
    assert_eq!(judge(LocalNode { network, ..ana.local() }), Err(Refusal::OtherNetwork));
    let bits = 1 << 60;
    let capabilities = bits | 3;
    assert_eq!(judge(LocalNode { capabilities, ..ana.local() }), Err(Refusal::Demands { bits }));
}

#[test]
fn a_hello_with_fields_of_a_later_version_is_accepted() {
    let ana = Node::new(1);
    let ben = Node::new(2);
    let here = session(Role::Dialler, &ben);
    let mut longer = Hello::sign(&ana.local(), &here);
    longer.truncate(CARD_END);
    longer.extend_from_slice(b"what version 3 will add");
    let longer = seal(longer, &ana.keypair, &here);
    assert!(Hello::accept(&longer, &ben.local(), &session(Role::Acceptor, &ana)).is_ok());
}
