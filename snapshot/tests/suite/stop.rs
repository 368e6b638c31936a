//! Opening a store that its caller breaks off.

use std::ops::ControlFlow;

use icn_snapshot::{Due, Error, Policy, Store};
use icn_wal::disk::SimDisk;

use crate::common::{FLOOR_ONLY, Map, open, save};

fn contents(disk: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let files = disk.files().into_iter();
    files.map(|name| (name.clone(), disk.read_file(&name))).collect()
}

#[test]
fn an_open_that_is_broken_off_at_any_call_changes_nothing() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk).expect("open");
    for record in 0..5000 {
        store.commit(1, (1, record)).expect("commit");
        if record == 1000 {
            save(&mut store);
        }
    }
    store.close().expect("close");
    let disk = disk.kill();
    let policy = Policy { due: Due::default(), retention: FLOOR_ONLY };
    let open_until = |disk: &SimDisk, last: usize| {
        let mut calls = Vec::new();
        let opened = Store::<Map, _>::open_watched(disk, policy, |records| {
            calls.push(records);
            if calls.len() > last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (opened.map(|(store, _)| store), calls)
    };
    let (whole, calls) = open_until(&disk.fork(), usize::MAX);
    let whole = whole.expect("open");
    assert_eq!(calls, [0, 0, 1024, 2048, 3072], "two chunks of the snapshot, then the log");
    for last in 0..calls.len() {
        let disk = disk.fork();
        let before = contents(&disk);
        let (broken, _) = open_until(&disk, last);
        let error = broken.err().expect("broken off");
        assert!(matches!(error, Error::Log(icn_wal::Error::Stopped { .. })), "{error}");
        assert!(contents(&disk) == before, "call {last}");
        assert!(open(&disk).expect("open").0.state() == whole.state());
    }
}
