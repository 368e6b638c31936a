//! A log with damage of any kind, some of it with right checksums: refused, or everything is there
//! but what nothing on the disk can prove.
#![no_main]

use icn_fuzz::{Edit, End, Log, edit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (End, Vec<Edit>)| {
    let (end, edits) = input;
    let log = Log::that_ended(end);
    let disk = log.disk();
    edit(&disk, &edits);
    log.check(&disk);
});
