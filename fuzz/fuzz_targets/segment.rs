//! A log with damage of any kind in one segment: an error, or a beginning of what was written.
#![no_main]

use icn_fuzz::{edit, log, records, replay, segments};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&which, script)) = input.split_first() else { return };
    let disk = log();
    let names = segments(&disk);
    let name = &names[usize::from(which) % names.len()];
    let mut bytes = disk.read_file(name).expect("a segment");
    edit(&mut bytes, script);
    disk.write_file(name, &bytes);
    if let Ok(found) = replay(&disk) {
        assert!(
            records().starts_with(&found),
            "{} records, not those that were written",
            found.len()
        );
        assert_eq!(replay(&disk).expect("a second recovery"), found);
    }
});
