//! A snapshot with damage of any kind is passed over, and the log behind it makes the same state.
//! With its chunk's checksum made right the damage reaches zstd and msgpack, and the hash of the
//! file stops it.
#![no_main]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use icn_fuzz::edit;
use icn_snapshot::{Due, StateMachine, Store};
use icn_wal::{Lsn, SimDisk};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

const HEADER_BYTES: usize = 96;
const CHUNK_HEADER_BYTES: usize = 12;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Words(BTreeMap<u8, String>);

impl StateMachine for Words {
    type Mutation = u8;
    type Outcome = ();
    const SCHEMA: u32 = 0;

    fn encode(mutation: &u8, out: &mut Vec<u8>) {
        out.push(*mutation);
    }

    fn decode(bytes: &[u8]) -> Result<u8, String> {
        bytes.first().copied().ok_or_else(|| "empty".into())
    }

    fn apply(&mut self, _: Lsn, number: u8) {
        self.0.insert(number, format!("{number} bottles").repeat(usize::from(number)));
    }
}

fn stored() -> (SimDisk, String) {
    static DISK: OnceLock<SimDisk> = OnceLock::new();
    let disk = DISK.get_or_init(|| {
        let disk = SimDisk::new(1);
        let (mut store, _) = Store::<Words, _>::open(&disk, Due::default()).expect("open");
        for number in 0..40 {
            store.commit(1, number).expect("commit");
        }
        let image = store.image(1).expect("an image");
        store.compactor().save(image).expect("save");
        drop(store);
        disk.fork()
    });
    let name = disk.files().into_iter().find(|name| name.ends_with(".snap")).expect("a snapshot");
    (disk.fork(), name)
}

fn repair(bytes: &mut [u8]) {
    let Some((header, rest)) = bytes.split_at_mut_checked(HEADER_BYTES) else { return };
    let crc = crc32fast::hash(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    let Some((chunk, rest)) = rest.split_at_mut_checked(CHUNK_HEADER_BYTES) else { return };
    let packed = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]) as usize;
    let Some(packed) = rest.get(..packed) else { return };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(packed);
    hasher.update(&0_u64.to_le_bytes());
    chunk[8..12].copy_from_slice(&hasher.finalize().to_le_bytes());
}

fuzz_target!(|input: &[u8]| {
    let Some((&mode, script)) = input.split_first() else { return };
    let (disk, name) = stored();
    let whole = disk.read_file(&name).expect("bytes");
    let mut bytes = whole.clone();
    edit(&mut bytes, script);
    if mode % 2 == 1 {
        repair(&mut bytes);
    }
    let changed = bytes != whole;
    disk.write_file(&name, &bytes);
    let Ok((store, recovery)) = Store::<Words, _>::open(&disk, Due::default()) else {
        assert!(changed, "a sound snapshot was refused");
        return;
    };
    assert_eq!(recovery.snapshot.is_none(), changed, "damage was not noticed");
    // The log reaches back: a damaged snapshot costs time and nothing else.
    assert_eq!(store.state().0.len(), 40);
});
