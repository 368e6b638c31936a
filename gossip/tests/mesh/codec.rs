//! Messages and their bytes.

use icn_gossip::Access;
use icn_gossip::limits::{FOUND_MAX, SEQ_MAX};
use icn_gossip::mesh::{Head, Interest, Message, Root, StopReason, Tag, Want, WireEntry};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::rig::{Log, did, genesis, wire};

fn tags() -> impl Strategy<Value = Tag> {
    any::<[u8; 16]>().prop_map(Tag)
}

/// Numbers of every encoded length.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
}

fn seq() -> impl Strategy<Value = u64> {
    number().prop_map(|value| value.min(SEQ_MAX))
}

fn log() -> impl Strategy<Value = Log> {
    let topic = any::<[u8; 32]>().prop_map(icn_gossip::TopicId::from_bytes);
    (0..5_u8, topic, vec(".{0,40}", 1..4)).prop_map(|(seed, topic, texts)| {
        Log::of(seed, topic, &texts.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

fn entries() -> impl Strategy<Value = Vec<WireEntry>> {
    let entry = (log(), any::<u8>(), any::<u32>(), number());
    let entry = entry.prop_map(|(log, kind, access_version, time_ms)| WireEntry {
        kind,
        access_version,
        time_ms,
        ..wire(&log.entries[0])
    });
    vec(entry, 1..4)
}

fn want() -> impl Strategy<Value = Want> {
    let want = (number(), tags(), 0..5_u8, any::<u64>(), seq(), any::<[u8; 16]>());
    want.prop_map(|(handle, tag, seed, epoch, after, hash)| {
        let author = did(seed);
        Want { handle, tag, author, epoch, after, hash }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let interest = (tags(), any::<bool>());
    let interest = interest.prop_map(|(tag, missing)| Interest { tag, missing });
    let head = (0..5_u8, any::<u64>(), number(), any::<[u8; 16]>());
    let head = head.prop_map(|(seed, epoch, seq, hash)| {
        let author = did(seed);
        Head { author, epoch, seq, hash }
    });
    let topic = || {
        ("[a-z]{1,20}", any::<u64>())
            .prop_map(|(name, nonce)| genesis(2, &name, &Access::public(), nonce))
    };
    let reason = prop_oneof![
        Just(StopReason::Ceased),
        Just(StopReason::NotServed),
        Just(StopReason::Frozen),
        Just(StopReason::Forked),
        Just(StopReason::NoSource),
        (6..=u8::MAX).prop_map(StopReason::Other),
    ];
    prop_oneof![
        (any::<bool>(), vec(interest, 0..9))
            .prop_map(|(more, list)| Message::Interests { more, list }),
        vec(topic(), 0..3).prop_map(Message::Topics),
        tags().prop_map(Message::Find),
        number().prop_map(Message::Clock),
        (tags(), any::<u64>(), number()).prop_map(|(tag, epoch, ahead_ms)| Message::Held {
            tag,
            epoch,
            ahead_ms
        }),
        (tags(), vec(topic(), 0..=FOUND_MAX)).prop_map(|(tag, list)| Message::Found { tag, list }),
        vec((tags(), any::<[u8; 16]>().prop_map(Root)), 0..9).prop_map(Message::Roots),
        vec((0..6_u8, any::<[u8; 16]>()), 0..9).prop_map(ask),
        (tags(), any::<bool>(), any::<bool>(), vec(head, 0..9)).prop_map(
            |(tag, last, unsolicited, list)| Message::Heads { tag, last, unsolicited, list }
        ),
        want().prop_map(Message::Fetch),
        (number(), any::<[u8; 32]>(), entries())
            .prop_map(|(handle, previous, list)| Message::Fetched { handle, previous, list }),
        number().prop_map(|handle| Message::Fetched {
            handle,
            previous: [0; 32],
            list: Vec::new()
        }),
        vec(want(), 0..9).prop_map(Message::Want),
        (number(), seq(), entries()).prop_map(|(handle, first, list)| Message::Entries {
            handle,
            first,
            list
        }),
        number().prop_map(Message::Cease),
        (number(), reason).prop_map(|(handle, reason)| Message::Stop { handle, reason }),
        log().prop_map(|log| Message::Dispute(Box::new(log.entries[0].clone()))),
        (log(), log()).prop_map(|(one, other)| {
            Message::Proof(Box::new((one.entries[0].clone(), other.entries[0].clone())))
        }),
        (number(), seq(), any::<[u8; 32]>()).prop_map(|(handle, seq, hash)| Message::Base {
            handle,
            seq,
            hash
        }),
    ]
}

/// Encodes an ASK by hand, since digests can only be computed from the logs of a node.
fn ask(list: Vec<(u8, [u8; 16])>) -> Message {
    let mut body = vec![u8::try_from(list.len()).expect("few")];
    for (exponent, tag) in list {
        body.extend_from_slice(&tag);
        body.push(exponent);
        if exponent > 0 {
            (0..1 << exponent).for_each(|at: u64| body.extend_from_slice(&at.to_le_bytes()));
        }
    }
    Message::decode(4, &body).expect("well-formed").expect("known")
}

proptest! {
    #[test]
    fn every_message_round_trips(message in message()) {
        let (kind, body) = message.encode();
        prop_assert_eq!(Message::decode(kind, &body), Ok(Some(message)));
    }

    #[test]
    fn every_decodable_message_has_one_encoding(
        message in message(),
        kind in proptest::option::weighted(0.1, 0..20_u8),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        change in 0..4_u8,
    ) {
        let (own, body) = message.encode();
        let mut bytes = body.to_vec();
        let at = at.index(bytes.len());
        match change {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        let kind = kind.unwrap_or(own);
        if let Ok(Some(message)) = Message::decode(kind, &bytes) {
            prop_assert_eq!(message.encode(), (kind, bytes.into()));
        }
    }
}

#[test]
fn unknown_flags_are_malformed() {
    let tag = [0; 16];
    for flags in 2..=u8::MAX {
        assert!(Message::decode(1, &[flags, 0]).is_err(), "{flags}");
    }
    for flags in 4..=u8::MAX {
        assert!(Message::decode(5, &[&tag[..], &[flags, 0]].concat()).is_err(), "{flags}");
    }
}

#[test]
fn an_empty_page_has_no_previous_hash() {
    let page = Message::Fetched { handle: 7, previous: [0; 32], list: Vec::new() };
    assert_eq!(Message::decode(18, &[7]), Ok(Some(page)));
    assert!(Message::decode(18, &[&[7][..], &[0; 32]].concat()).is_err());
}

#[test]
fn a_varint_is_accepted_in_its_shortest_form_only() {
    let cease = |body: &[u8]| Message::decode(8, body);
    for (body, value) in [
        (&[0][..], 0),
        (&[0x7F], 127),
        (&[0x80, 1], 128),
        (&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], u64::MAX),
    ] {
        assert_eq!(cease(body), Ok(Some(Message::Cease(value))));
    }
    let malformed = Err(icn_gossip::mesh::LinkError::Malformed);
    for body in [
        &[][..],
        &[0x80],
        &[0x80, 0],
        &[0xFF, 0],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
    ] {
        assert_eq!(cease(body), malformed, "{body:?}");
    }
}
