//! A frame with valid checksums and any content, as a faulty writer would write it: recovery judges
//! it as `docs/FORMAT.md` says.
#![no_main]

use icn_fuzz::{End, Forged, Log, replay};
use icn_wal::Error;
use icn_wal::damage::Reason;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let log = Log::that_ended(End::Kill);
    let disk = log.disk();
    let Some(frame) = Forged::new(&disk, input) else { return };
    frame.put(&disk);
    let verdict = match replay(&disk) {
        Ok(found) => Ok(found.into_iter().map(|record| record.bytes).collect()),
        Err(Error::Corrupt(damage)) => Err(damage.reason),
        Err(error) => panic!("{error}"),
    };
    let newest = log.records.last().expect("records").segment;
    let before = log.records.iter().filter(|record| record.segment < newest);
    let before: Vec<_> = before.map(|record| record.bytes.clone()).collect();
    let wanted = match frame.records() {
        _ if !frame.is_valid() => Ok(before),
        _ if !frame.continues() => Err(Reason::OutOfSequence),
        None => Err(Reason::RecordsMalformed),
        Some(records) => Ok([before, records].concat()),
    };
    assert_eq!(verdict, wanted);
});
