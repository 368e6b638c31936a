//! A state of the size of a node's.

use std::io::Write;
use std::path::Path;

use icn_snapshot::StateMachine;
use icn_wal::Lsn;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::BoxResult;
use crate::measure::{clock, median, millis};
use crate::state::open;

const ROUNDS: u64 = 21;
const PEERS: u64 = 100;
const TOPICS: u64 = 10;
const SUBSCRIPTIONS: u64 = 50;

/// The peers, topics and subscriptions of a node. The two keys of a peer are 64 bytes that do not compress.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Node {
    peers: OrdMap<ByteArray<32>, Peer>,
    topics: OrdMap<ByteArray<32>, Topic>,
    subscriptions: OrdMap<(String, u8), u64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Peer {
    x25519: ByteArray<32>,
    trust: u16,
    added_ms: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Topic {
    name: String,
    access_version: u32,
    entries: u64,
}

impl StateMachine for Node {
    type Mutation = u64;
    type Outcome = ();
    const SCHEMA: u32 = 0;

    fn encode(round: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&round.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<u64, String> {
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| "not a number")?))
    }

    fn apply(&mut self, _: Lsn, round: u64) {
        for number in 0..PEERS {
            let did = hash("did", number);
            let x25519 = hash("x25519", number + round);
            let added_ms = 1_800_000_000_000 + number * 1234;
            self.peers.insert(did, Peer { x25519, trust: 500, added_ms });
        }
        for number in 0..TOPICS {
            let name = format!("topic-{number}");
            let topic = Topic { name, access_version: 1, entries: number * 100 };
            self.topics.insert(hash("topic", number), topic);
        }
        for number in 0..SUBSCRIPTIONS {
            let since_ms = 1_800_000_000_000 + number * 4321;
            self.subscriptions
                .insert((format!("topic-{}", number / 5), (number % 5) as u8), since_ms);
        }
    }
}

fn hash(what: &str, number: u64) -> ByteArray<32> {
    ByteArray::new(*blake3::hash(format!("{what} {number}").as_bytes()).as_bytes())
}

pub(crate) fn print(out: &mut impl Write, directory: &Path) -> BoxResult<()> {
    writeln!(
        out,
        "\n### A node's state: {PEERS} peers, {TOPICS} topics, {SUBSCRIPTIONS} subscriptions\n"
    )?;
    let path = directory.join("node");
    let mut store = open::<Node>(&path)?;
    let mut saves = vec![];
    let mut loads = vec![];
    let mut bytes = 0;
    for round in 0..ROUNDS {
        let (lsn, ()) = store.commit(0, round)?;
        store.wal().wait(lsn)?;
        let image = store.image(0, 0).ok_or("an empty state")?;
        let start = clock();
        bytes = store.compactor().save(image)?.bytes;
        saves.push(millis(start.elapsed()));
    }
    store.close()?;
    for _ in 0..ROUNDS {
        let start = clock();
        let store = open::<Node>(&path)?;
        loads.push(millis(start.elapsed()));
        store.close()?;
    }
    let most = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    writeln!(out, "| | median ms | worst of {ROUNDS} ms |")?;
    writeln!(out, "|---|--:|--:|")?;
    writeln!(out, "| save | {:.2} | {:.2} |", median(saves.clone()), most(&saves))?;
    writeln!(out, "| open the store | {:.2} | {:.2} |", median(loads.clone()), most(&loads))?;
    writeln!(out, "\nThe file has {bytes} bytes.")?;
    Ok(())
}
