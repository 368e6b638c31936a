//! Disks that damage whole blocks of 4 KiB: by a power loss during a write, or at rest.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::common::{Life, check, live, open, record};
use icn_wal::disk::{Faults, SimDisk};
use icn_wal::limits::BLOCK_BYTES;
use icn_wal::{Error, Recovery, ReplayFrom, Wal};

const BLOCK: usize = 4096;
const _: () = assert!(BLOCK as u64 == BLOCK_BYTES);

#[test]
fn no_power_loss_that_garbles_the_blocks_being_written_takes_a_durable_record() {
    let whole = SimDisk::new(1);
    live(&whole, &mut Life::default()).expect("no faults");
    let mut distinct = HashSet::new();
    for at in 1..=whole.operations() {
        let disk = SimDisk::new(1);
        let power_loss_at = Some(at);
        disk.set_faults(Faults { power_loss_at, garbles_blocks: true, ..Faults::default() });
        let mut life = Life::default();
        live(&disk, &mut life).expect_err("the power goes before the end");
        for image in disk.losses().images(512, 0) {
            if distinct.insert((image.image_hash(), life.acknowledged)) {
                check(&image, &life, &format!("operation {at}"));
            }
        }
    }
    // The figures of this file stand in docs/GUARANTEES.md.
    assert_eq!(distinct.len(), 782);
}

type Found = Vec<(u64, Vec<u8>)>;

/// A log of two lives that was killed in the second one, and its records.
struct Killed {
    disk: SimDisk,
    records: Found,
    /// Records of the last commit.
    last: usize,
}

/// Logs of several lengths, killed at rest or right after their last commit.
fn killed(at_rest: bool) -> impl Iterator<Item = Killed> {
    (1..=6).map(move |commits| {
        let disk = SimDisk::new(commits);
        let wal = open(&disk);
        wal.commit(0, &[record(0)]).expect("commit");
        wal.note().expect("note");
        drop(wal);
        let wal = open(&disk);
        let mut last = 0;
        for commit in 0..commits {
            // Groups within a block and over several, also directly after a note.
            let sizes = [20, 1500, 5000, 9000];
            let count = 1 + usize::try_from(commit % 3).expect("small");
            let bytes = sizes[usize::try_from((commit + commits) % 4).expect("small")];
            let group = vec![vec![b'x'; bytes]; count];
            wal.commit(0, &group).expect("commit");
            last = group.len();
            if commit % 2 == 1 {
                wal.note().expect("note");
            }
        }
        if at_rest {
            wal.note().expect("note");
        } else {
            wal.commit(0, &vec![vec![b'z'; 3000]; 2]).expect("commit");
            last = 2;
        }
        drop(wal);
        let disk = disk.kill();
        for name in disk.files().iter().filter(|name| name.ends_with(".tmp")) {
            disk.remove_file(name);
        }
        let records = recover(&disk.fork()).expect("recovers").1;
        Killed { disk, records, last }
    })
}

fn recover(disk: &SimDisk) -> Result<(Recovery, Found), Error> {
    let mut found = Vec::new();
    let (_, recovery) = Wal::open(disk.clone(), ReplayFrom::Beginning, |record| {
        found.push((record.lsn.get(), record.bytes.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok((recovery, found))
}

/// The disk with each block of each file damaged in each way, one at a time.
fn damaged(disk: &SimDisk) -> Vec<(String, SimDisk)> {
    let mut out = Vec::new();
    for name in disk.files() {
        let whole = disk.read_file(&name).expect("bytes");
        let used = whole.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for start in (0..used).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(whole.len());
            let mut add = |how: &str, change: &dyn Fn(&mut Vec<u8>)| {
                let probe = disk.fork();
                let mut bytes = whole.clone();
                change(&mut bytes);
                probe.write_file(&name, &bytes);
                out.push((format!("{name}, block at {start} {how}"), probe));
            };
            for at in [0, 7, 50, 64, 70, block.len() - 1].map(|at| start + at) {
                if at < whole.len() {
                    add("with a flipped bit", &|bytes| bytes[at] ^= 0x10);
                }
            }
            add("zeroed", &|bytes| bytes[block.clone()].fill(0));
            add("of ones", &|bytes| bytes[block.clone()].fill(0xFF));
            add("of another place", &|bytes| bytes.copy_within(..block.len(), start));
            add("dropped", &|bytes| drop(bytes.drain(block.clone())));
            add("cut off", &|bytes| bytes.truncate(start));
        }
    }
    out
}

#[test]
fn every_damaged_block_of_a_log_killed_at_rest_is_detected_or_harmless() {
    let mut refused = 0;
    let mut harmless = 0;
    for Killed { disk, records, .. } in killed(true) {
        for (what, probe) in damaged(&disk) {
            match recover(&probe) {
                Err(Error::Corrupt(_) | Error::Format { .. }) => refused += 1,
                Err(error) => panic!("{what}: {error}"),
                Ok((_, found)) => {
                    assert!(found == records, "{what}: records are missing");
                    harmless += 1;
                }
            }
        }
    }
    assert_eq!((refused, harmless), (872, 129));
}

#[test]
fn a_damaged_block_of_a_log_killed_under_load_takes_at_most_the_last_commit() {
    let mut refused = 0;
    let mut harmless = 0;
    let mut lost = 0;
    for Killed { disk, records, last } in killed(false) {
        for (what, probe) in damaged(&disk) {
            match recover(&probe) {
                Err(Error::Corrupt(_) | Error::Format { .. }) => refused += 1,
                Err(error) => panic!("{what}: {error}"),
                Ok((_, found)) if found == records => harmless += 1,
                Ok((recovery, found)) => {
                    assert!(found == records[..records.len() - last], "{what}");
                    assert!(!recovery.end_proven, "{what}: it is called whole");
                    lost += 1;
                }
            }
        }
    }
    assert_eq!((refused, harmless, lost), (884, 84, 99));
}
