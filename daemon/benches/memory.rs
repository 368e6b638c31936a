//! What is resident while a snapshot of a large gossip state is saved.
//! `cargo bench -p icn-daemon --bench memory [-- ENTRIES]`.

use std::error::Error;
use std::io::Write;

use bytes::Bytes;
use icn_daemon::node::machine::Machine;
use icn_gossip::{
    Access, Entry, Genesis, Keypair, LogKey, Mutation, Outcome, Position, TopicId, TopicSpec,
};
use icn_snapshot::{Policy, Store};
use icn_wal::FsDisk;

type Measured<T> = Result<T, Box<dyn Error>>;

const ENTRIES: u64 = 1_000_000;
const TOPICS: u64 = 10;
const NETWORK: [u8; 32] = [2; 32];
const EPOCH: u64 = 1;

fn create(store: &mut Store<Machine, FsDisk>, author: &Keypair, number: u64) -> Measured<TopicId> {
    let access = Access::public().encode();
    let mut spec = TopicSpec::new(format!("bench-{number}"), access, 1);
    spec.max_entries = u32::MAX;
    let genesis = Genesis::sign(author, NETWORK, spec, number);
    match store.commit(1, Mutation::CreateTopic(genesis))?.1 {
        Outcome::TopicCreated(id) => Ok(id),
        other => Err(format!("{other:?}").into()),
    }
}

fn append(
    store: &mut Store<Machine, FsDisk>,
    author: &Keypair,
    topic: TopicId,
    number: u64,
) -> Measured<()> {
    let head = store.state().0.head(&LogKey { topic, author: author.did(), epoch: EPOCH });
    let position = Position {
        network: NETWORK,
        topic,
        epoch: EPOCH,
        seq: head.head + 1,
        previous: head.head_hash,
        access_version: 1,
        time_ms: 1,
    };
    let text = format!("message {number:020} of a member to all the others in the cooperative");
    let entry = Entry::sign(author, &position, Bytes::from(text));
    match store.commit(1, Mutation::Append { entry, received_ms: 1 })?.1 {
        Outcome::Appended { .. } => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// MiB.
fn resident(line: &str) -> Measured<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|found| found.strip_prefix(line)).ok_or("no such line")?;
    Ok(found.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

fn main() -> Measured<()> {
    let entries = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(ENTRIES);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let empty = resident("VmRSS:")?;
    let disk = FsDisk::create(directory.path())?;
    let (mut store, _) = Store::<Machine, _>::open(&disk, Policy::default())?;
    let author = Keypair::from_seed([1; 32]);
    store.commit(
        1,
        Mutation::Init { did: author.did(), network: NETWORK, epoch: EPOCH, clock: None },
    )?;
    for number in 0..TOPICS {
        let topic = create(&mut store, &author, number)?;
        for entry in 0..entries / TOPICS {
            append(&mut store, &author, topic, entry)?;
        }
    }
    // The peak is counted from here.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS:")?;
    let image = store.image(1, 1).ok_or("an empty state")?;
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let start = std::time::Instant::now();
    let saved = store.compactor().save(image)?;
    let took = start.elapsed();
    let peak = resident("VmHWM:")?;
    writeln!(
        std::io::stdout(),
        "{entries} entries: state {:.0} MiB, saving takes {:.0} MiB above it and {:.1} s, file {:.0} MB",
        before - empty,
        peak - before,
        took.as_secs_f64(),
        saved.bytes as f64 / 1e6
    )?;
    Ok(())
}
