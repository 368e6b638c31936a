//! `docs/reference/control.schema.json` and `CONTROL.md`, written from the types of requests and replies.
//!
//! When a type changes: `ICN_GOLDEN=write cargo test -p icn-daemon --test schema`.

use std::fmt::Write;
use std::path::Path;

use icn_daemon::control::reply::stream::StreamLine;
use icn_daemon::control::reply::{
    Begun, Clock, CursorDeleted, CursorMoved, Deleted, Diff, Digest, Entries, Identity, Imported,
    PeerAdded, PeerRemoved, Peers, Pinned, Plan, Published, Restored, Snapshot, Snapshots, Status,
    Subscribed, Subscriptions, TopicCandidates, TopicCreated, TopicDeleted, TopicJoined,
    TopicRefetch, TopicShown, Topics, Unsubscribed, Verified,
};
use icn_daemon::control::request::{Request, VERSION};
use icn_daemon::failure::Failure;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The type of the reply to each request.
fn replies(types: &mut SchemaGenerator) -> Vec<(&'static str, Value)> {
    fn of<T: JsonSchema>(types: &mut SchemaGenerator) -> Value {
        types.subschema_for::<T>().to_value()
    }
    vec![
        ("status", of::<Status>(types)),
        ("identity", of::<Identity>(types)),
        ("topic_create", of::<TopicCreated>(types)),
        ("topic_list", of::<Topics>(types)),
        ("topic_show", of::<TopicShown>(types)),
        ("topic_delete", of::<TopicDeleted>(types)),
        ("topic_join", of::<TopicJoined>(types)),
        ("topic_candidates", of::<TopicCandidates>(types)),
        ("topic_refetch", of::<TopicRefetch>(types)),
        ("publish", of::<Published>(types)),
        ("subscribe", of::<Subscribed>(types)),
        ("unsubscribe", of::<Unsubscribed>(types)),
        ("follow", of::<Begun>(types)),
        ("cursor_move", of::<CursorMoved>(types)),
        ("cursor_delete", of::<CursorDeleted>(types)),
        ("subscriptions", of::<Subscriptions>(types)),
        ("entries", of::<Entries>(types)),
        ("snapshot_create", of::<Snapshot>(types)),
        ("snapshot_list", of::<Snapshots>(types)),
        ("snapshot_verify", of::<Verified>(types)),
        ("snapshot_diff", of::<Diff>(types)),
        ("snapshot_preview", of::<Diff>(types)),
        ("snapshot_restore", of::<Restored>(types)),
        ("snapshot_import", of::<Imported>(types)),
        ("snapshot_pin", of::<Pinned>(types)),
        ("snapshot_prune", of::<Plan>(types)),
        ("snapshot_delete", of::<Deleted>(types)),
        ("digest", of::<Digest>(types)),
        ("clock_show", of::<Clock>(types)),
        ("clock_confirm", of::<Clock>(types)),
        ("peer_list", of::<Peers>(types)),
        ("peer_add", of::<PeerAdded>(types)),
        ("peer_remove", of::<PeerRemoved>(types)),
    ]
}

/// The name of the request that a branch of the schema of [`Request`] describes.
fn command(branch: &Value) -> &str {
    branch["properties"]["cmd"]["const"].as_str().expect("a request has a name")
}

/// The name of the type that a schema refers to.
fn type_name(schema: &Value) -> &str {
    let reference = schema["$ref"].as_str().expect("a reference");
    reference.rsplit('/').next().unwrap_or(reference)
}

fn schema() -> Value {
    let mut types = SchemaGenerator::default();
    let mut requests = Request::json_schema(&mut types).to_value();
    // The version comes with each request.
    for branch in requests["oneOf"].as_array_mut().expect("requests") {
        branch["properties"]["v"] = json!({ "const": VERSION });
        branch["required"].as_array_mut().expect("a list").push("v".into());
    }
    let replies: Map<String, Value> =
        replies(&mut types).into_iter().map(|(name, reply)| (name.to_owned(), reply)).collect();
    let failure = types.subschema_for::<Failure>().to_value();
    let stream_line = types.subschema_for::<StreamLine>().to_value();
    let mut definitions = types.take_definitions(true);
    definitions.insert("Request".into(), requests);
    definitions.insert(
        "Reply".into(),
        json!({
            "description": "The line that replies to a request.",
            "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "ok": { "const": true },
                        "data": { "description": "See `replies`, by the name of the request." },
                    },
                    "required": ["ok", "data"],
                },
                {
                    "type": "object",
                    "properties": { "ok": { "const": false }, "error": failure },
                    "required": ["ok", "error"],
                },
            ],
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The control socket of icnd",
        "description": "Each line is one of these documents. `replies` has the type of the data in \
                        the reply to each request.",
        "oneOf": [{ "$ref": "#/$defs/Request" }, { "$ref": "#/$defs/Reply" }, stream_line],
        "replies": replies,
        "$defs": definitions,
    })
}

fn reference(schema: &Value) -> String {
    const HEAD: &str = "\
# The control socket

A client of a node connects to the Unix socket `control.sock` in the data directory and writes one request
per line, as JSON. The node replies with one line per request, in the order of the requests.

```text
→ {\"v\":1,\"cmd\":\"publish\",\"topic\":\"coop:ledger\",\"text\":\"hello\"}
← {\"ok\":true,\"data\":{\"lsn\":7,\"seq\":1,\"arrival\":1}}
← {\"ok\":false,\"error\":{\"code\":\"ICN-E0302\",\"message\":\"…\",\"advice\":\"…\",\"exit\":1}}
```

- `v` is the version of the protocol: 1.
- A request has at most 1 MiB. A list in a reply may be longer. Up to 1 024 requests of a connection may be in flight.
- The rest of a request has 10 s after its first byte. Replies may stay unread for 10 min.
- Of more than 320 connections, the one that has waited longest for its client ends, with `ICN-E0516`. One that
  has a request in flight, and one that follows a topic, do not end.
- A reply leaves the node once everything it depends on is durable.
- LSNs, sequence numbers, arrival indices, counts and bytes are numbers; times are numbers of ms since 1970.
- An epoch is text: it is a random 64-bit number, and many programs round numbers above 2⁵³.
- A client ignores fields that it does not know. A node refuses them.
- `icnctl --json` prints the same documents. [Error codes](errors.md) has the codes.

[control.schema.json](control.schema.json) is the JSON Schema of all lines, with the meaning of each field. This
page is written from the same types; a test compares them.

## Requests and replies

| `cmd` | fields | does | data of the reply |
|---|---|---|---|
";
    const STREAM: &str = "
A field with `?` may be absent.

## Streams

After `follow` the connection carries the lines of a stream, each once it is durable. The node reads `cursor_move`
from it and nothing else. An error ends the stream.

```text
→ {\"v\":1,\"cmd\":\"follow\",\"topic\":\"coop:ledger\",\"cursor\":\"billing\"}
← {\"ok\":true,\"data\":{\"topic\":\"…\",\"pending\":false,\"after\":6,\"lsn\":90}}
← {\"index\":7,\"lsn\":91,\"author\":\"did:icn:…\",\"epoch\":\"5\",\"seq\":4,\"time\":1764070000123,\"text\":\"hello\"}
← {\"pruned\":{\"from\":8,\"through\":11}}
→ {\"v\":1,\"cmd\":\"cursor_move\",\"topic\":\"…\",\"cursor\":\"billing\",\"arrival\":7}
← {\"acknowledged\":7}
```

While the node waits for a topic that it does not know, `pending` is true and `topic` is null. It sends the reply
to `follow` again once it knows the topic.
";
    let mut page = HEAD.to_owned();
    for branch in schema["$defs"]["Request"]["oneOf"].as_array().expect("requests") {
        let name = command(branch);
        let required = branch["required"].as_array().expect("a list");
        let fields = branch["properties"].as_object().expect("fields").keys();
        let fields = fields.filter(|field| !["cmd", "v"].contains(&field.as_str())).map(|field| {
            let optional = if required.contains(&json!(field)) { "" } else { "?" };
            format!("`{field}`{optional}")
        });
        let fields = fields.collect::<Vec<_>>().join(", ");
        let does = branch["description"].as_str().expect("a description").replace('\n', " ");
        let reply = type_name(&schema["replies"][name]);
        writeln!(page, "| `{name}` | {fields} | {does} | `{reply}` |").expect("memory");
    }
    page + STREAM
}

fn matches_file(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    if std::env::var("ICN_GOLDEN").is_ok_and(|wish| wish == "write") {
        std::fs::write(&path, generated).expect("write");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == generated, "{name} is not up to date; see the head of this file");
}

#[test]
fn every_request_has_a_reply_in_the_schema() {
    let schema = schema();
    let requests = schema["$defs"]["Request"]["oneOf"].as_array().expect("requests").iter();
    let requests: Vec<_> = requests.map(command).collect();
    let replies: Vec<_> = schema["replies"].as_object().expect("replies").keys().collect();
    assert_eq!(requests, replies);
}

#[test]
fn the_control_reference_matches_the_types() {
    let schema = schema();
    let written = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
    matches_file("control.schema.json", &written);
    matches_file("CONTROL.md", &reference(&schema));
}
