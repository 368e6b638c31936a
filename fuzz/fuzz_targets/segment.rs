//! A log with any damage, some of it with valid checksums: recovery refuses it, or loses only
//! records that nothing on the disk proves durable.
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
