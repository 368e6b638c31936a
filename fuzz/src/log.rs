//! The logs to damage, and the promises that their recovery must keep.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use icn_wal::disk::SimDisk;
use icn_wal::{Error, ReplayFrom, Wal};

use crate::layout::{SEGMENT_HEADER_BYTES, headers, is_sound, used};

/// How the last incarnation of a log ended.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a kill.
    Kill,
    /// By a kill after a NOTE had proven every record durable.
    Note,
    /// By a close.
    Close,
}

/// A log of three incarnations in three segments.
pub struct Log {
    disk: SimDisk,
    /// The records of the log, from LSN 1.
    pub records: Vec<Replayed>,
    end: End,
}

/// One record, and the segment and the frame it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The LSN of the record.
    pub lsn: u64,
    /// The number of the record's segment.
    pub segment: u64,
    /// The offset of the record's frame.
    pub offset: u64,
    /// The bytes of the record.
    pub bytes: Vec<u8>,
}

impl Log {
    /// The log whose last incarnation ended in this way.
    pub fn that_ended(end: End) -> &'static Self {
        static LOGS: LazyLock<[Log; 3]> =
            LazyLock::new(|| [End::Kill, End::Note, End::Close].map(Log::new));
        &LOGS[end as usize]
    }

    fn new(end: End) -> Self {
        let mut disk = SimDisk::new(1);
        for (life, end) in [End::Close, End::Kill, end].into_iter().enumerate() {
            let (wal, _) =
                Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))
                    .expect("open");
            for turn in 0..6_u8 {
                let record = |at: u8| vec![b'a' + turn; usize::from(at * turn) * 9];
                let records: Vec<_> = (0..=turn % 3).map(record).collect();
                wal.commit(life as u64 * 10 + u64::from(turn), &records).expect("commit");
            }
            match end {
                End::Kill => {}
                End::Note => wal.note().expect("note"),
                End::Close => wal.close().expect("close"),
            }
            drop(wal);
            disk = disk.kill();
        }
        let records = replay(&disk.fork()).expect("sound");
        Self { disk, records, end }
    }

    /// A copy of the disk of the log.
    pub fn disk(&self) -> SimDisk {
        self.disk.fork()
    }

    /// Recovers `disk`, a damaged copy of this log, appends to it, and checks the promises of the
    /// recovery.
    ///
    /// # Panics
    /// If a promise is broken.
    pub fn check(&self, disk: &SimDisk) {
        let before = disk.fork();
        let mut read = Vec::new();
        let beside = icn_wal::read(&before, ReplayFrom::Beginning, |record| {
            read.push(record.bytes.to_vec());
            ControlFlow::Continue(())
        });
        let Ok(found) = replay(disk) else {
            assert!(disk.image_hash() == before.image_hash(), "a refused log has changed");
            return;
        };
        beside.expect("refused beside a writer, but not alone");
        assert!(read.iter().eq(found.iter().map(|record| &record.bytes)), "two verdicts");
        assert!(self.records.starts_with(&found), "other records than were written");
        if let Some(lost) = self.records.get(found.len()) {
            assert!(self.excuses(&before, lost), "silent loss from {lost:?} on");
        }
        assert_eq!(replay(disk).expect("a second recovery"), found);
        let wal = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()));
        let lsns = wal.expect("a third").0.commit(99, &["afterwards"]).expect("commit");
        assert!(lsns.end().get() > found.len() as u64, "an LSN assigned twice");
        let mut after = replay(&disk.power_loss(0)).expect("a fourth");
        assert_eq!(after.pop().expect("what was committed").bytes, b"afterwards");
        assert_eq!(after, found);
    }

    /// True iff nothing on the disk proves that `lost` or a later record was durable.
    fn excuses(&self, disk: &SimDisk, lost: &Replayed) -> bool {
        let segments = segments(disk);
        if !manifest_stands(disk) {
            // Without a manifest a log is new, unless a segment has a frame.
            return segments.iter().all(|name| {
                let bytes = disk.read_file(name).expect("a segment");
                if is_sound(&bytes) { headers(&bytes).is_empty() } else { used(&bytes) <= SEGMENT_HEADER_BYTES }
            });
        }
        let newest = self.records.last().expect("records").segment;
        let Some(name) = segments.iter().find(|name| **name == format!("{newest:020}.wal")) else {
            return false;
        };
        let valid = headers(&disk.read_file(name).expect("a segment"));
        // A frame that claims to be the end is believed: no fault of a disk makes one.
        let sealed = valid
            .iter()
            .any(|frame| frame.kind == 3 && frame.whole && frame.offset < lost.offset as usize);
        let proven = valid.iter().any(|frame| frame.durable > lost.offset);
        lost.segment == newest && (sealed || self.end != End::Close && !proven)
    }
}

fn manifest_stands(disk: &SimDisk) -> bool {
    let Some(bytes) = disk.read_file("MANIFEST") else { return false };
    let stands = |copy: &[u8]| copy.len() == 92 && crc32fast::hash(&copy[..88]) == crc_at(copy);
    bytes.chunks(92).take(2).any(stands) || stands(&bytes[bytes.len() / 2..])
}

fn crc_at(copy: &[u8]) -> u32 {
    copy[88..].try_into().map_or(0, u32::from_le_bytes)
}

/// The segments of a log, oldest first.
pub fn segments(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().filter(|name| name.ends_with(".wal")).collect()
}

/// The records that a recovery replays.
pub fn replay(disk: &SimDisk) -> Result<Vec<Replayed>, Error> {
    let mut found = Vec::new();
    Wal::open(disk.clone(), ReplayFrom::Beginning, |record| {
        found.push(Replayed {
            lsn: record.lsn.get(),
            segment: record.segment,
            offset: record.frame_offset,
            bytes: record.bytes.to_vec(),
        });
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
