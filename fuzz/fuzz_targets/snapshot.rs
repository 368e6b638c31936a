//! A snapshot with any damage is passed over, and the log after it makes the same state. With a
//! valid checksum of its chunk the damage reaches zstd and msgpack, and the hash of the file
//! detects it.
#![no_main]

use icn_fuzz::{Words, overwrite, repair, snapshot};
use icn_snapshot::{Policy, Store};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&mode, script)) = input.split_first() else { return };
    let (disk, name) = snapshot();
    let whole = disk.read_file(&name).expect("bytes");
    let mut bytes = whole.clone();
    overwrite(&mut bytes, script);
    if mode % 2 == 1 {
        repair(&mut bytes);
    }
    let changed = bytes != whole;
    disk.write_file(&name, &bytes);
    let Ok((store, recovery)) = Store::<Words, _>::open(&disk, Policy::default()) else {
        assert!(changed, "a sound snapshot was refused");
        return;
    };
    assert_eq!(recovery.snapshot.is_none(), changed, "damage was not noticed");
    // The log reaches back far enough: a damaged snapshot costs only time.
    assert_eq!(store.state().0.len(), 40);
});
