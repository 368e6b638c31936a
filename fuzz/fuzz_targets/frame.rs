//! Frames with right checksums and any content, as a faulty writer would make them: an error or
//! records, nothing else.
#![no_main]

use crc32fast::Hasher;
use icn_fuzz::{log, replay, segments};
use libfuzzer_sys::fuzz_target;

const SEGMENT_HEADER_BYTES: usize = 512;
const FRAME_HEADER_BYTES: usize = 64;

fuzz_target!(|input: &[u8]| {
    if input.len() < FRAME_HEADER_BYTES {
        return;
    }
    let disk = log();
    let name = segments(&disk).pop().expect("a segment");
    let mut segment = disk.read_file(&name).expect("its bytes");
    let salt: [u8; 16] = segment[88..104].try_into().expect("16 bytes");
    let seeded = |bytes: &[u8]| {
        let mut hasher = Hasher::new();
        hasher.update(&salt);
        hasher.update(&(SEGMENT_HEADER_BYTES as u64).to_le_bytes());
        hasher.update(bytes);
        hasher.finalize().to_le_bytes()
    };
    let written = segment.split_off(SEGMENT_HEADER_BYTES);
    let mut frame = input.to_vec();
    frame.resize(frame.len().next_multiple_of(8), 0);
    // A quarter of the inputs keep what is needed to come as far as the records.
    if input[0] % 4 == 0 {
        let body = (frame.len() - FRAME_HEADER_BYTES) as u32;
        frame[8..12].copy_from_slice(&body.to_le_bytes());
        frame[16..48].copy_from_slice(&written[16..48]);
        frame[52] = 1;
        frame[53..FRAME_HEADER_BYTES].fill(0);
    }
    frame[0..4].copy_from_slice(b"ICNf");
    let body_crc = seeded(&frame[FRAME_HEADER_BYTES..]);
    frame[48..52].copy_from_slice(&body_crc);
    let header_crc = seeded(&frame[8..FRAME_HEADER_BYTES]);
    frame[4..8].copy_from_slice(&header_crc);
    segment.extend_from_slice(&frame);
    segment.resize(segment.len() + 4096, 0);
    disk.write_file(&name, &segment);
    let _ = replay(&disk);
});
