//! The import of a legacy `state.snapshot`: what is imported, what is refused, and a report on all of it.

use icn_gossip::legacy::{self, Fate, Import, Importer, LegacyError, Report};
use icn_gossip::limits::PENDING_MAX;
use icn_gossip::{
    Access, Did, KeyCard, Keypair, Mutation, Policy, Provenance, Scope, State, Topic, View,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_764_070_000_000;

fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

/// Formats a DID as the earlier implementation did.
fn legacy_did(did: &Did) -> String {
    format!("did:icn:z{}", bs58::encode(did.key()).into_string())
}

fn node() -> State {
    let mut state = State::default();
    state.apply(
        1,
        Mutation::Init { did: keypair(1).did(), network: [1; 32], epoch: 9, clock: None },
    );
    state
}

fn import_into(state: &State, document: &Value) -> Result<Import, LegacyError> {
    import_bytes(state, &serde_json::to_vec(document).expect("JSON"), None)
}

fn import_bytes(
    state: &State,
    document: &[u8],
    checksum: Option<&str>,
) -> Result<Import, LegacyError> {
    let mut next = 0;
    let mut nonce = || {
        next += 1;
        next
    };
    let keypair = keypair(1);
    let importer = Importer { keypair: &keypair, formerly: None, now_ms: NOW, nonce: &mut nonce };
    legacy::import(document, checksum, state, importer)
}

fn topic(rule: &str, name: &str) -> Value {
    json!({ "name": name, "access_control": rule, "max_entries": 10_000, "scope": "Global" })
}

/// A document with every field that any version wrote.
fn full() -> Value {
    let own = keypair(1).did();
    let ana = keypair(2).did();
    let ben = keypair(3).did();
    let [own, ana, ben] = [own, ana, ben].map(|did| legacy_did(&did));
    let peer = |did: &str, key: u8| {
        json!({
            "did": did, "negotiated_version": 1, "peer_capabilities": u64::MAX,
            "peer_software": "icnd-0.1.0", "x25519_key": vec![key; 32],
            "ml_dsa_public": [1, 2, 3], "ml_kem_public": [4, 5, 6],
        })
    };
    json!({
        "version": 1,
        "created_at": 1_764_000_000,
        "gossip_state": {
            "vector_clock": { &own: 17, &ana: u64::MAX },
            "subscriptions": {
                "coop:ledger": [&own, &ana, &ben],
                "global:identity": [&ana, "did:icn:nobody"],
                "not:yet": [&ben],
                "planted": [&own],
            },
            "local_subscriptions": ["coop:ledger", "not:yet"],
            "topics": {
                "coop:ledger": topic(&format!("Participants:[{own},{ana}]"), "coop:ledger"),
                "global:identity": topic("Public", "global:identity"),
                "trust:attestations": {
                    "name": "trust:attestations", "access_control": "TrustClass:Known",
                    "max_entries": 0, "scope": "Galactic",
                },
                "counted": topic("Participants:2", "counted"),
                "Upper Case": topic("Public", "Upper Case"),
                "two": topic("Public", "names"),
            },
        },
        "network_state": {
            "peer_connections": { &ana: peer(&ana, 5), &own: peer(&own, 6) },
            "peer_x25519_keys": { &ana: vec![7; 32], &ben: vec![8; 32], "did:icn:x": vec![9; 32] },
            "peer_addresses": { &ana: "192.0.2.7:7777" },
        },
        "identity_state": {
            "did": own, "did_key": { "type": "software", "secret_bytes": [66, 66], "public_bytes": [1] },
            "tls_key_der": [66, 66], "x25519_secret": "hunter2", "later": { "deep": "hunter2" },
        },
        "later": { "hunter": "hunter2" },
    })
}

fn fate(report: &Report, field: &str) -> Fate {
    let mut lines = report.lines.iter().filter(|line| line.field == field);
    let line = lines.next().unwrap_or_else(|| panic!("{field} is not accounted for"));
    assert_eq!(lines.next(), None, "{field} twice");
    line.fate
}

fn named<'a>(state: &'a State, name: &str) -> &'a Topic {
    state.topic(&state.resolve(name).expect("a topic")).expect("a topic")
}

#[test]
fn everything_representable_is_imported() {
    let Import { mutations, state, .. } = import_into(&node(), &full()).expect("imports");
    let ana = keypair(2).did();
    let ben = keypair(3).did();
    let view = |name| named(&state, name).genesis.spec.access.view();
    let members = Access::participants(vec![keypair(1).did(), ana]);
    assert_eq!(*view("coop:ledger"), View::Open(members));
    assert_eq!(*view("global:identity"), View::Open(Access::public()));
    assert_eq!(*view("trust:attestations"), View::Open(Access::min_trust(100)));
    assert_eq!(*view("counted"), View::Sealed);
    assert_eq!(state.topics().count(), 4);
    let genesis = &named(&state, "coop:ledger").genesis;
    genesis.verify().expect("signed by the node");
    assert_eq!(genesis.creator, keypair(1).did());
    assert_eq!(genesis.network, [1; 32]);
    assert_eq!(genesis.spec.max_entries, 10_000);
    assert_eq!(genesis.spec.created_ms, NOW);
    let odd = &named(&state, "trust:attestations").genesis.spec;
    assert_eq!(odd.max_entries, 1_000_000);
    assert_eq!(odd.scope, Scope::Local);
    let mut subscriptions: Vec<_> = state
        .subscriptions()
        .map(|(name, by, subscription)| (name, by, subscription.topic.is_none()))
        .collect();
    subscriptions.sort_unstable();
    let mut expected = vec![
        ("coop:ledger", Provenance::Local, false),
        ("coop:ledger", Provenance::Peer(ana), false),
        ("global:identity", Provenance::Peer(ana), false),
        ("not:yet", Provenance::Local, true),
        ("not:yet", Provenance::Peer(ben), true),
    ];
    expected.sort_unstable();
    assert_eq!(subscriptions, expected);
    let mut keys: Vec<_> = state.unsigned_keys().map(|(did, key)| (*did, key.x25519[0])).collect();
    keys.sort_by_key(|(_, key)| *key);
    assert_eq!(keys, vec![(ana, 5), (ben, 8)]);
    assert_eq!(state.peers().count(), 0);

    let mut again = node();
    for (lsn, mutation) in (2..).zip(mutations) {
        let mut record = Vec::new();
        mutation.encode(&mut record);
        again.apply(lsn, Mutation::decode(&record).expect("a record"));
    }
    assert_eq!(again, state, "the mutations produce the state");
}

#[test]
fn every_field_is_accounted_for() {
    let report = import_into(&node(), &full()).expect("imports").report;
    let [own, ana, ben] = [1, 2, 3].map(|seed| legacy_did(&keypair(seed).did()));
    let topics = "gossip_state.topics";
    let subscriptions = "gossip_state.subscriptions";
    let peers = "network_state.peer_connections";
    let keys = "network_state.peer_x25519_keys";
    for (field, expected) in [
        ("version".to_owned(), Fate::Taken),
        ("created_at".into(), Fate::NotNeeded),
        ("gossip_state.vector_clock".into(), Fate::NotNeeded),
        (format!("{topics}.\"coop:ledger\".name"), Fate::Taken),
        (format!("{topics}.\"coop:ledger\".access_control"), Fate::Taken),
        (format!("{topics}.\"coop:ledger\".max_entries"), Fate::Taken),
        (format!("{topics}.\"coop:ledger\".scope"), Fate::Taken),
        (format!("{topics}.\"coop:ledger\".retention"), Fate::Default),
        (format!("{topics}.\"coop:ledger\".min_trust_threshold"), Fate::Default),
        (format!("{topics}.\"counted\".access_control"), Fate::Refused),
        (format!("{topics}.\"trust:attestations\".max_entries"), Fate::Default),
        (format!("{topics}.\"trust:attestations\".scope"), Fate::Default),
        (format!("{topics}.\"Upper Case\""), Fate::Refused),
        (format!("{topics}.\"two\""), Fate::Refused),
        ("gossip_state.local_subscriptions[0]".into(), Fate::Taken),
        ("gossip_state.local_subscriptions[1]".into(), Fate::Taken),
        (format!("{subscriptions}.\"coop:ledger\"[0]"), Fate::NotNeeded),
        (format!("{subscriptions}.\"coop:ledger\"[1]"), Fate::Taken),
        (format!("{subscriptions}.\"coop:ledger\"[2]"), Fate::Refused),
        (format!("{subscriptions}.\"global:identity\"[1]"), Fate::Refused),
        (format!("{subscriptions}.\"planted\"[0]"), Fate::Refused),
        (format!("{subscriptions}.\"not:yet\"[0]"), Fate::Taken),
        (format!("{peers}.*.negotiated_version"), Fate::NotNeeded),
        (format!("{peers}.*.peer_capabilities"), Fate::NotNeeded),
        (format!("{peers}.*.peer_software"), Fate::NotNeeded),
        (format!("{peers}.*.ml_dsa_public"), Fate::Refused),
        (format!("{peers}.*.ml_kem_public"), Fate::Refused),
        (format!("{peers}.{ana:?}.x25519_key"), Fate::Taken),
        (format!("{peers}.{own:?}.x25519_key"), Fate::NotNeeded),
        (format!("{keys}.{ana:?}"), Fate::Refused),
        (format!("{keys}.{ben:?}"), Fate::Taken),
        (format!("{keys}.\"did:icn:x\""), Fate::Refused),
        (format!("network_state.peer_addresses.{ana:?}"), Fate::NotNeeded),
        ("identity_state".into(), Fate::Refused),
        ("later".into(), Fate::Refused),
    ] {
        assert_eq!(fate(&report, &field), expected, "{field}");
    }
    let mut fields: Vec<_> = report.lines.iter().map(|line| &line.field).collect();
    fields.sort_unstable();
    assert!(fields.windows(2).all(|pair| pair[0] != pair[1]), "reported twice");
    let text: String = report.lines.iter().map(|line| format!("{line}\n")).collect();
    assert!(!text.contains("hunter2") && !text.contains("66"), "{text}");
}

#[test]
fn secrets_reach_neither_the_state_nor_the_records() {
    let Import { state, mutations, .. } = import_into(&node(), &full()).expect("imports");
    let mut bytes = rmp_serde::to_vec(&state).expect("serialises");
    mutations.iter().for_each(|mutation| mutation.encode(&mut bytes));
    assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
}

#[test]
fn importing_twice_imports_nothing_twice() {
    let once = import_into(&node(), &full()).expect("imports").state;
    let twice = import_into(&once, &full()).expect("imports");
    assert_eq!(twice.mutations, vec![]);
    assert_eq!(twice.state, once);
}

#[test]
fn without_local_subscriptions_own_dids_count_as_local() {
    let mut document = full();
    document["gossip_state"].as_object_mut().expect("fields").remove("local_subscriptions");
    let state = import_into(&node(), &document).expect("imports").state;
    let own: Vec<_> = state
        .subscriptions()
        .filter(|(_, by, _)| *by == Provenance::Local)
        .map(|(name, ..)| name.to_owned())
        .collect();
    assert_eq!(own, ["coop:ledger", "planted"]);
}

#[test]
fn a_signed_card_replaces_an_unsigned_key_and_never_the_reverse() {
    let mut state = node();
    let card = KeyCard::sign(&keypair(2), [1; 32], 1);
    state.apply(2, Mutation::AddPeer { card, named: false, time_ms: 1 });
    let mut after = import_into(&state, &full()).expect("imports").state;
    let unsigned = |state: &State| state.unsigned_keys().map(|(did, _)| *did).collect::<Vec<_>>();
    assert_eq!(unsigned(&after), [keypair(3).did()]);
    assert_eq!(after.peers().map(|(_, peer)| peer.card.x25519).collect::<Vec<_>>(), [[1; 32]]);
    let card = KeyCard::sign(&keypair(3), [2; 32], 0);
    after.apply(3, Mutation::AddPeer { card, named: false, time_ms: 1 });
    assert_eq!(unsigned(&after), vec![]);
    assert_eq!(after.peers().count(), 2);
}

#[test]
fn a_former_identity_does_not_become_a_peer() {
    let document = full();
    let keypair = keypair(4);
    let mut state = State::default();
    state.apply(1, Mutation::Init { did: keypair.did(), network: [1; 32], epoch: 9, clock: None });
    let formerly = Some(Keypair::from_seed([1; 32]).did());
    let mut nonce = || 5;
    let importer = Importer { keypair: &keypair, formerly, now_ms: NOW, nonce: &mut nonce };
    let bytes = serde_json::to_vec(&document).expect("JSON");
    let state = legacy::import(&bytes, None, &state, importer).expect("imports").state;
    assert!(state.unsigned_keys().all(|(did, _)| Some(*did) != formerly));
    assert!(
        state
            .subscriptions()
            .all(|(_, by, _)| formerly.is_none_or(|did| by != Provenance::Peer(did)))
    );
}

#[test]
fn documents_that_are_no_legacy_snapshot_are_refused() {
    let bytes = serde_json::to_vec_pretty(&full()).expect("JSON");
    let other = |document: &[u8]| import_bytes(&node(), document, None).unwrap_err();
    for version in [0, 2, u64::MAX] {
        let mut document = full();
        document["version"] = json!(version);
        let error = other(&serde_json::to_vec(&document).expect("JSON"));
        assert_eq!(error, LegacyError::Version { found: version });
    }
    for length in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(other(&bytes[..length]), LegacyError::Other { .. }), "{length}");
    }
    for text in ["null", "[]", "{}", "7", "{\"version\":\"1\"}", "{\"version\":-1}"] {
        assert!(matches!(other(text.as_bytes()), LegacyError::Other { .. }), "{text}");
    }
    assert!(matches!(other(&[&bytes[..], b"x"].concat()), LegacyError::Other { .. }));
    let mut document = full();
    document["gossip_state"]["topics"]["coop:ledger"]["scope"] = json!(7);
    let LegacyError::Invalid { path, .. } = import_into(&node(), &document).unwrap_err() else {
        panic!("no path is reported");
    };
    assert_eq!(path, "gossip_state.topics.coop:ledger.scope");
    let twice = String::from_utf8(bytes).expect("JSON").replacen("\"two\"", "\"counted\"", 1);
    let error = other(twice.as_bytes()).to_string();
    assert!(error.contains("\"counted\" is listed twice"), "{error}");
    assert_eq!(import_into(&State::default(), &full()).unwrap_err(), LegacyError::OtherNode);
}

#[test]
fn the_document_must_match_its_checksum() {
    let bytes = serde_json::to_vec(&full()).expect("JSON");
    let import = |document: &[u8], checksum: &str| import_bytes(&node(), document, Some(checksum));
    let Err(LegacyError::Checksum { found, .. }) = import(&bytes, &"0".repeat(64)) else {
        panic!("a wrong checksum was accepted");
    };
    for right in [
        found.clone(),
        format!("{found}\n"),
        format!("{found}  state.snapshot"),
        found.to_uppercase(),
    ] {
        assert!(import(&bytes, &right).is_ok(), "{right}");
    }
    for wrong in ["", "x", &found[1..], "0x00"] {
        assert_eq!(import(&bytes, wrong).unwrap_err(), LegacyError::NoChecksum);
    }
    let mut damaged = bytes;
    damaged[40] ^= 1;
    assert!(matches!(import(&damaged, &found), Err(LegacyError::Checksum { .. })));
}

#[test]
fn huge_and_deeply_nested_documents_are_refused() {
    let huge = vec![b' '; (64 << 20) + 1];
    let error = import_bytes(&node(), &huge, None).unwrap_err();
    assert_eq!(error, LegacyError::TooLarge { bytes: huge.len() });
    for before in
        ["", "{\"version\":1,\"gossip_state\":{\"topics\":", "{\"version\":1,\"identity_state\":"]
    {
        for bracket in ["[", "{\"a\":"] {
            let document = format!("{before}{}", bracket.repeat(1 << 20));
            assert!(import_bytes(&node(), document.as_bytes(), None).is_err());
        }
    }
}

#[test]
fn a_list_beyond_its_limit_is_reported_in_one_line() {
    let mut document = full();
    let names: Vec<String> = (0..50_003).map(|number| format!("a{number}")).collect();
    document["gossip_state"]["local_subscriptions"] = json!(names);
    document["network_state"]["peer_addresses"] = names
        .iter()
        .map(|name| (name.clone(), json!("x")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    for name in &names {
        document["identity"][name.as_str()] = json!(1);
        document[name.as_str()] = json!(1);
    }
    let report = import_into(&node(), &document).expect("imports").report;
    assert_eq!(fate(&report, "gossip_state.local_subscriptions"), Fate::Refused);
    assert_eq!(fate(&report, "network_state.peer_addresses"), Fate::Refused);
    let full = report.lines.iter().filter(|line| line.why.contains("is full")).count();
    assert_eq!(full, 50_000 - PENDING_MAX, "pending subscriptions have a limit of their own");
    assert!(report.lines.len() < 102_000, "{}", report.lines.len());
}

#[test]
fn a_report_holds_no_character_that_a_terminal_obeys() {
    let bad = "\u{1b}[2J\u{202e}".repeat(500);
    let mut document = full();
    document[bad.as_str()] = json!(1);
    document["gossip_state"]["topics"][bad.as_str()] = topic(&bad, "x");
    document["gossip_state"]["topics"]["sealed"] = topic(&bad, "sealed");
    document["gossip_state"]["subscriptions"][bad.as_str()] =
        json!([bad, legacy_did(&keypair(2).did())]);
    document["gossip_state"]["local_subscriptions"] = json!([bad]);
    document["network_state"]["peer_addresses"][bad.as_str()] = json!(bad);
    let Import { state, report, .. } = import_into(&node(), &document).expect("imports");
    for line in &report.lines {
        let text = line.to_string();
        assert!(!text.chars().any(|one| one.is_control() || one == '\u{202e}'), "{text:?}");
        assert!(text.len() < 2000, "{}", text.len());
    }
    let kept = named(&state, "sealed").genesis.spec.access.as_bytes().to_vec();
    assert_eq!(kept[1..], *bad.as_bytes(), "kept unchanged");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(Value::from),
        "(did:icn:z?)?[a-zA-Z0-9]{0,50}".prop_map(Value::from),
        "(Public|Participants:\\[.{0,9}\\]|TrustClass:.{0,9})".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn paths(value: &Value, path: &str, out: &mut Vec<String>) {
    out.push(path.to_owned());
    let names: Vec<String> = match value {
        Value::Object(fields) => {
            fields.keys().map(|name| name.replace('~', "~0").replace('/', "~1")).collect()
        }
        Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
        _ => Vec::new(),
    };
    for name in names {
        let path = format!("{path}/{name}");
        if let Some(value) = value.pointer(&format!("/{name}")) {
            paths(value, &path, out);
        }
    }
}

proptest! {
    #[test]
    fn no_changed_value_opens_a_topic_or_panics(place in any::<prop::sample::Index>(), value in json_value()) {
        let mut document = full();
        let mut all = Vec::new();
        paths(&document, "", &mut all);
        *document.pointer_mut(place.get::<String>(&all)).expect("a value") = value;
        let Ok(Import { state, .. }) = import_into(&node(), &document) else { return Ok(()) };
        for (_, topic) in state.topics() {
            let name = &topic.genesis.spec.name;
            let rule = &document["gossip_state"]["topics"][name]["access_control"];
            if let View::Open(access) = topic.genesis.spec.access.view() {
                prop_assert_eq!(access.read == Policy::Public, *rule == json!("Public"));
            }
        }
        let mut exported = Vec::new();
        state.export(&mut exported).expect("memory");
        prop_assert_eq!(State::import(&exported), Ok(state));
    }
}
