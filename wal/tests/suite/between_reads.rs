//! A reader without the lock changes nothing. Whatever a writer does between two of its reads, it
//! sees a prefix of the log and never damage.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use icn_wal::damage::Reason;
use icn_wal::disk::SimDisk;
use icn_wal::{Error, ReplayFrom, read};

use crate::common::{Life, live, open, record};
use crate::watched::{Operation, Watched};

fn large(number: u64) -> Vec<u8> {
    vec![number.to_le_bytes()[0]; 200_000]
}

#[test]
fn a_write_between_two_reads_is_never_seen_as_damage() {
    let mut grown = 0;
    for at in 1.. {
        let disk = SimDisk::new(1);
        let wal = Arc::new(open(&disk));
        let mut before = 0;
        while wal.stats().segments < 3 {
            before += 1;
            wal.commit(0, &[large(before)]).expect("commit");
        }
        let reads = Arc::new(AtomicU64::new(0));
        let writer = Arc::clone(&wal);
        let counted = Arc::clone(&reads);
        // More than the reader buffers, so that it sees a part of it.
        let between = move |look| {
            if look == Operation::Read && counted.fetch_add(1, Ordering::Relaxed) + 1 == at {
                for number in before + 1..before + 9 {
                    writer.commit(0, &[large(number)]).expect("commit");
                }
            }
        };
        let mut found = 0;
        let report = read(&Watched::new(disk, between), ReplayFrom::Beginning, |record| {
            found += 1;
            assert_eq!(record.lsn.get(), found);
            assert!(record.bytes == large(found), "record {found}");
            ControlFlow::Continue(())
        });
        report.unwrap_or_else(|error| panic!("written before read {at}: {error}"));
        assert!(found >= before, "written before read {at}: {found} of {before}");
        grown += u64::from(found > before);
        if reads.load(Ordering::Relaxed) < at {
            break;
        }
    }
    assert!(grown > 2, "the reader never saw anything new");
}

#[test]
fn a_reader_changes_nothing_and_never_syncs() {
    let disk = SimDisk::new(1);
    let mut life = Life::default();
    live(&disk, &mut life).expect("a life");
    let hash = disk.image_hash();
    let operations = disk.operations();
    let report = read(&disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("read");
    assert_eq!(report.replayed, life.appended.len() as u64);
    assert_eq!(disk.image_hash(), hash);
    assert_eq!(disk.operations(), operations);
}

#[test]
fn a_reader_without_the_lock_reports_damage() {
    let disk = SimDisk::new(1);
    let wal = open(&disk);
    for number in 1..4 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    let name = disk.files().into_iter().find(|name| name.ends_with(".wal")).expect("a segment");
    let mut bytes = disk.read_file(&name).expect("bytes");
    bytes[4096 + 66] ^= 1;
    disk.write_file(&name, &bytes);
    match read(&disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())) {
        Err(Error::Corrupt(damage)) => {
            assert_eq!(damage.reason, Reason::DamagedBeforeDurableMark);
        }
        other => panic!("{other:?}"),
    }
}
