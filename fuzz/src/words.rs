//! A store with a snapshot, and damage to it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use icn_snapshot::{Policy, StateMachine, Store};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde::{Deserialize, Serialize};

const HEADER_BYTES: usize = 96;
const CHUNK_HEADER_BYTES: usize = 12;

/// A state whose values are easy to recognise.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Words(pub BTreeMap<u8, String>);

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

/// A store of 40 words with a snapshot of them, and the name of the snapshot.
pub fn snapshot() -> (SimDisk, String) {
    static DISK: LazyLock<SimDisk> = LazyLock::new(|| {
        let disk = SimDisk::new(1);
        let (mut store, _) = Store::<Words, _>::open(&disk, Policy::default()).expect("open");
        for number in 0..40 {
            store.commit(1, number).expect("commit");
        }
        let image = store.image(1, 1).expect("an image");
        store.compactor().save(image).expect("save");
        drop(store);
        disk.fork()
    });
    let name = DISK.files().into_iter().find(|name| name.ends_with(".snap")).expect("a snapshot");
    (DISK.fork(), name)
}

/// Changes `bytes` as `script` says, in steps of four bytes: an offset (3) and the new byte (1).
/// The offset 0xFFFFFF truncates the end.
pub fn overwrite(bytes: &mut Vec<u8>, script: &[u8]) {
    for step in script.chunks_exact(4) {
        if bytes.is_empty() {
            return;
        }
        let place = u32::from_le_bytes([step[0], step[1], step[2], 0]) as usize;
        if place == 0xFF_FFFF {
            bytes.truncate(usize::from(step[3]) * bytes.len() / 256);
        } else {
            let place = place % bytes.len();
            bytes[place] = step[3];
        }
    }
}

/// Writes valid checksums into the header and the first chunk.
pub fn repair(bytes: &mut [u8]) {
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
