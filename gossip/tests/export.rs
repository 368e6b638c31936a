//! Exported states: identical after an import, and refused with a path when changed.
//!
//! `tests/golden/export.json` shows the format.
//! `ICN_GOLDEN=write cargo test -p icn-gossip --test export` rewrites it; the commit explains the change.

mod world;

use std::fs;
use std::path::Path;

use icn_gossip::{ImportError, State};
use proptest::prelude::*;
use serde_json::Value;
use world::{World, sample};

fn export(state: &State) -> Vec<u8> {
    let mut document = Vec::new();
    state.export(&mut document).expect("memory");
    document
}

fn bytes(state: &State) -> Vec<u8> {
    rmp_serde::to_vec(state).expect("serialises")
}

fn assert_survives(state: &State) -> Result<(), TestCaseError> {
    let document = export(state);
    let back = State::import(&document);
    let back = back.map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&back, state);
    prop_assert_eq!(bytes(&back), bytes(state));
    prop_assert_eq!(export(&back), document);
    Ok(())
}

proptest! {
    #[test]
    fn every_state_round_trips_through_export(steps in prop::collection::vec(any::<[u8; 4]>(), 0..60)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        assert_survives(&world.state)?;
    }
}

#[test]
fn the_empty_state_and_the_sample_round_trip() {
    assert_survives(&State::default()).expect("empty");
    assert_survives(&sample()).expect("sample");
}

#[test]
fn the_format_is_that_of_the_golden_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/export.json");
    let document = export(&sample());
    if std::env::var_os("ICN_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, &document).expect("the golden file");
    }
    let golden = fs::read(&path).expect("the golden file");
    assert!(golden == document, "the format has changed; see the head of this file");
    assert_eq!(State::import(&golden), Ok(sample()));
}

/// The sample's document without its digest, changed by `change`, as text.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&export(&sample())).expect("JSON");
    document["digest"] = Value::Null;
    change(&mut document);
    serde_json::to_vec(&document).expect("JSON")
}

/// The path of the first non-empty list that matches `path`, in which `*` is any index.
fn full(document: &Value, path: &str) -> String {
    let candidates = (0..9).map(|index| path.replace('*', &index.to_string()));
    let full = |path: &String| {
        document.pointer(path).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    };
    candidates.into_iter().find(full).expect("a non-empty list")
}

fn reported_path(document: &[u8]) -> String {
    match State::import(document) {
        Err(ImportError::Invalid { path, .. }) => path,
        other => panic!("{other:?}"),
    }
}

/// Collects the path of every value of a document.
fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(value, &format!("{path}/{name}"), out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                leaves(value, &format!("{path}/{index}"), out);
            }
        }
        _ => out.push(path.to_owned()),
    }
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_u64().expect("whole").wrapping_add(1)),
        Value::String(text) => {
            let mut text = text.clone().into_bytes();
            let last = text.last_mut().expect("no text is empty");
            *last = if *last == b'1' { b'2' } else { b'1' };
            Value::from(String::from_utf8(text).expect("ASCII"))
        }
        _ => Value::from(7),
    }
}

/// Values that are neither signed nor derived: a changed one is another valid state.
const FREE: [&str; 13] = [
    "/digest",
    "/node/did",
    "/node/epoch",
    "/access_version",
    "/lsn",
    "/trust",
    "/named",
    "/clock/",
    "/histories/",
    "/subscriptions/",
    "/unsigned_keys/",
    "/cursors/",
    "/readmitted",
];

#[test]
fn every_changed_value_is_detected() {
    let whole: Value = serde_json::from_slice(&export(&sample())).expect("JSON");
    let mut paths = Vec::new();
    leaves(&whole, "", &mut paths);
    let mut free = 0;
    for path in &paths {
        let with = |digest: bool| {
            let mut document = whole.clone();
            if !digest {
                document["digest"] = Value::Null;
            }
            let value = document.pointer_mut(path).expect("a value");
            *value = other(value);
            State::import(&serde_json::to_vec(&document).expect("JSON"))
        };
        assert!(with(true).is_err(), "{path}");
        match with(false) {
            Ok(state) => {
                assert!(FREE.iter().any(|free| path.contains(free)), "{path}");
                assert!(state != sample() || path == "/digest", "{path} means nothing");
                free += 1;
            }
            Err(ImportError::Invalid { path: reported, .. }) => {
                let reported =
                    reported.replace('[', "/").replace([']', '.'], "/").replace("//", "/");
                let root = path.trim_start_matches('/').split('/').next().expect("a field");
                // A wrong network or head is reported at the entries it concerns.
                let elsewhere = ["node", "histories"].contains(&root);
                assert!(reported.starts_with(root) || elsewhere, "{path}: reported as {reported}");
            }
            Err(error) => assert!(["/format", "/version"].contains(&path.as_str()), "{error}"),
        }
    }
    assert!(free < 40 && paths.len() > 200, "{free} of {}", paths.len());
}

#[test]
fn every_field_is_required_and_unknown_ones_are_refused() {
    let whole: Value = serde_json::from_slice(&export(&sample())).expect("JSON");
    let mut objects = Vec::new();
    fn walk(value: &Value, path: String, out: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| walk(value, format!("{path}/{name}"), out));
                out.push(path);
            }
            Value::Array(items) => (0..)
                .zip(items)
                .for_each(|(index, item): (usize, _)| walk(item, format!("{path}/{index}"), out)),
            _ => {}
        }
    }
    walk(&whole, String::new(), &mut objects);
    for path in &objects {
        let mut more = whole.clone();
        more.pointer_mut(path).expect("an object")["extra"] = Value::from(1);
        let error = State::import(&serde_json::to_vec(&more).expect("JSON")).unwrap_err();
        assert!(error.to_string().contains("extra"), "{path}: {error}");
        let names: Vec<String> = whole
            .pointer(path)
            .and_then(Value::as_object)
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        for name in names {
            let mut less = whole.clone();
            let object = less.pointer_mut(path).and_then(Value::as_object_mut).expect("an object");
            object.shift_remove(&name);
            let outcome = State::import(&serde_json::to_vec(&less).expect("JSON"));
            let nothing = whole.pointer(&format!("{path}/{name}")) == Some(&Value::Null);
            assert!(outcome.is_err() || nothing || name == "digest", "{path}/{name}");
        }
    }
}

#[test]
fn duplicates_are_reported() {
    for list in [
        "/topics",
        "/topics/*/entries",
        "/histories",
        "/histories/*/logs",
        "/subscriptions",
        "/peers",
        "/unsigned_keys",
        "/cursors",
    ] {
        let document = changed(|document| {
            let list = full(document, list);
            let items = document.pointer_mut(&list).and_then(Value::as_array_mut).expect("a list");
            items.push(items[0].clone());
        });
        let reported = reported_path(&document);
        let root = list.split('/').nth(1).expect("a field");
        assert!(reported.starts_with(root), "{list}: {reported}");
    }
    let text = String::from_utf8(changed(|_| {})).expect("JSON");
    let twice = text.replacen("\"version\":0", "\"version\":0,\"version\":0", 1);
    assert!(matches!(State::import(twice.as_bytes()), Err(ImportError::Other { .. })));
}

#[test]
fn dangling_references_are_reported() {
    let gone = |list: &'static str| {
        changed(move |document| {
            document.pointer_mut(list).and_then(Value::as_array_mut).expect("a list").clear();
        })
    };
    assert!(reported_path(&gone("/histories")).ends_with("entries[0].arrival"));
    assert!(reported_path(&gone("/histories/0/logs")).starts_with("histories[0].logs"));
    assert!(reported_path(&gone("/topics")).ends_with("].name"));
    let without_node = changed(|document| document["node"] = Value::Null);
    assert!(reported_path(&without_node).starts_with("histories[0]"));
}

#[test]
fn impossible_values_are_reported_with_their_path() {
    let document: Value = serde_json::from_slice(&changed(|_| {})).expect("JSON");
    let index = |list: &str, name: &str| {
        let items = document[list].as_array().expect("a list");
        items.iter().position(|item| item["name"] == name).expect("a name")
    };
    let ledger = index("topics", "coop:ledger");
    let news = index("topics", "news");
    let old_ledger = index("histories", "coop:ledger");
    let old_news = index("histories", "news");
    let stranger = world::keypair(9).did().to_string();
    let subscription = |name: &str| {
        let subscriptions = document["subscriptions"].as_array().expect("a list");
        let of_peer =
            |subscription: &Value| subscription["topic"] == name && subscription["by"] != "local";
        subscriptions.iter().position(of_peer).expect("a subscription")
    };
    let of_ledger = subscription("coop:ledger");
    let by_id = subscription(document["topics"][news]["id"].as_str().expect("an id"));
    let cases = [
        (format!("/histories/{old_ledger}/arrivals"), Value::from(2), "entries[2].arrival"),
        (format!("/histories/{old_ledger}/arrivals"), Value::from(u64::MAX), "].arrivals"),
        (format!("/histories/{old_news}/logs/0/head"), Value::from(1), "].entry.seq"),
        (format!("/histories/{old_news}/logs/0/head"), Value::from(0), "].logs"),
        (format!("/histories/{old_news}/logs/0/proof/1"), Value::Null, ".proof[1]"),
        (format!("/histories/{old_news}/logs/0/head_hash"), Value::from("0".repeat(64)), ".hash"),
        (format!("/topics/{news}/entries/0/arrival"), Value::from(0), "entries[0].arrival"),
        (format!("/topics/{news}/bytes"), Value::from(0), &format!("topics[{news}].bytes")),
        (format!("/topics/{ledger}/access_version"), Value::from(0), "].access_version"),
        (format!("/topics/{ledger}/access/read/0"), Value::from("everybody"), "].access.read"),
        ("/bytes".into(), Value::from(0), "bytes"),
        ("/peers/0/trust".into(), Value::from(1001), "peers[0].trust"),
        (format!("/subscriptions/{of_ledger}/by"), Value::from(stranger), "].by"),
        (format!("/subscriptions/{of_ledger}/id"), Value::Null, "].topic"),
        (format!("/subscriptions/{of_ledger}/id"), Value::from("0".repeat(64)), "].id"),
        (format!("/subscriptions/{by_id}/topic"), Value::from("coop:ledger"), "].topic"),
        ("/unsigned_keys/0/did".into(), document["peers"][0]["did"].clone(), "keys[0].did"),
        ("/cursors/0/topic".into(), Value::from("0".repeat(64)), "cursors[0].arrival"),
        ("/cursors/0/arrival".into(), Value::from(9), "cursors[0].arrival"),
        ("/cursors/0/name".into(), Value::from("Billing"), "cursors[0].name"),
    ];
    for (path, value, expected) in cases {
        let document =
            changed(|document| *document.pointer_mut(&path).expect("a value") = value.clone());
        let reported = reported_path(&document);
        assert!(reported.ends_with(expected), "{path} = {value}: reported as {reported}");
    }
    let behind = changed(|document| {
        let first = document["topics"][ledger]["entries"][0]["entry"]["hash"].clone();
        let logs = document["histories"][old_ledger]["logs"].as_array_mut().expect("a list");
        let log = logs.iter_mut().find(|log| log["head"] == 2).expect("a log of two");
        (log["head"], log["head_hash"]) = (Value::from(1), first);
    });
    assert!(reported_path(&behind).ends_with("entries[2].entry.seq"));
}

#[test]
fn another_version_is_reported_before_its_fields() {
    let newer = changed(|document| {
        document["version"] = Value::from(9);
        document["new"] = Value::from(1);
    });
    assert_eq!(State::import(&newer), Err(ImportError::Version { found: 9 }));
    for other in [&b""[..], b"{}", b"[]", br#"{"version":1,"created_at":5}"#, b"\xFF", b"{"] {
        let outcome = State::import(other);
        assert!(matches!(outcome, Err(ImportError::Other { .. })), "{outcome:?}");
    }
}

#[test]
fn a_rule_sealed_at_export_may_be_decodable_at_import_but_not_the_reverse() {
    let sealed = |document: &mut Value| {
        for side in ["read", "write"] {
            document["topics"][0]["access"][side] = serde_json::json!(["sealed"]);
        }
    };
    assert_eq!(State::import(&changed(sealed)), Ok(sample()));
    let unread = |topic: &Value| topic["access"]["read"] == serde_json::json!(["sealed"]);
    let opened = changed(|document| {
        let topics = document["topics"].as_array_mut().expect("a list");
        let topic = topics.iter_mut().find(|topic| unread(topic)).expect("a sealed one");
        topic["access"]["read"] = serde_json::json!(["everybody"]);
    });
    assert!(reported_path(&opened).ends_with("access.bytes"));
}

#[test]
fn errors_repeat_no_control_characters() {
    let name = "\u{1b}[2J".repeat(1000);
    let document = changed(|document| document[name.as_str()] = Value::Null);
    let text = State::import(&document).unwrap_err().to_string();
    assert!(!text.contains('\u{1b}') && text.len() < 2000, "{text}");
    let deep = "[".repeat(1 << 20);
    assert!(State::import(deep.as_bytes()).is_err());
    let deep = format!("{{\"format\":\"icn-state\",\"version\":0,\"x\":{deep}");
    assert!(State::import(deep.as_bytes()).is_err());
}
