//! The segments that are left of a log, in order.

use std::collections::BTreeMap;

use super::Skipped;
use super::lossy_reader::LossyReader;
use crate::damage::{Damage, Reason};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::limits::{SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use crate::manifest::Manifest;
use crate::reader::FrameReader;
use crate::segment::{FORMAT, HeaderFault, SegmentHeader, StoreId, segment_name, segment_number};

/// A file that may be a segment of the log.
pub(super) struct Candidate {
    /// The file. After a mishap its name is not always that of its segment number.
    pub(super) name: String,
    /// The header; its fields as they are when it is damaged.
    pub(super) header: SegmentHeader,
    /// Whether the header's checksum is valid. If not, frames have confirmed the salt, and no other
    /// field is relied on.
    pub(super) header_valid: bool,
    pub(super) size: u64,
}

impl Candidate {
    pub(super) fn reader<D: Disk>(
        &self,
        disk: &D,
        end: u64,
    ) -> Result<FrameReader<LossyReader<D::File>>, Error> {
        let name = disk.describe(&self.name);
        let file = disk.open(&self.name).on("open", || name.clone())?;
        Ok(FrameReader::new(LossyReader(file), name, self.header.salt, end))
    }

    pub(super) fn skipped<D: Disk>(
        &self,
        disk: &D,
        offset: u64,
        bytes: u64,
        reason: Reason,
    ) -> Skipped {
        let file = disk.describe(&self.name);
        let segment = self.number_in_name();
        Skipped { damage: Damage { file, segment, offset, reason }, bytes }
    }

    /// The segment number in the name of the file.
    fn number_in_name(&self) -> u64 {
        segment_number(&self.name).unwrap_or(0)
    }
}

/// The usable segments of a log directory, and what else was found.
#[derive(Default)]
pub(super) struct SegmentSet {
    pub(super) manifest: Option<Manifest>,
    pub(super) store: Option<StoreId>,
    /// From the oldest to the newest.
    pub(super) segments: Vec<Candidate>,
    /// Files that should be or could be in `segments` and are not.
    pub(super) skipped: Vec<Skipped>,
    /// A lower bound of the first LSN that was never given out, from manifest and headers.
    pub(super) next_lsn: u64,
    /// The highest numbers in the manifest or any header.
    pub(super) highest_segment: u64,
    pub(super) highest_incarnation: u64,
    /// Segments before the first one are lost. Without a manifest they may also have been dropped.
    pub(super) lost_before: bool,
    /// How many segments after the last one are lost; `None`, without a manifest, for an unknown
    /// number.
    pub(super) lost_after: Option<u64>,
}

impl SegmentSet {
    /// Reads the directory of a log.
    pub(super) fn read<D: Disk>(disk: &D) -> Result<Self, Error> {
        let found = candidates_in(disk)?;
        let known = match Manifest::read(disk) {
            Err(error @ Error::Format { .. }) => return Err(error),
            other => other.ok().flatten(),
        };
        // A manifest that knows none of the segments is that of another log.
        let mut valid = found.iter().filter(|candidate| candidate.header_valid).peekable();
        let known = known.filter(|manifest| {
            valid.peek().is_none()
                || valid.any(|candidate| candidate.header.store == manifest.store)
        });
        let manifest = known.unwrap_or_default();
        let mut set = Self {
            manifest: known,
            next_lsn: manifest.next_lsn.max(manifest.clean.lsn.saturating_add(1)),
            highest_segment: manifest.newest,
            highest_incarnation: manifest.incarnation,
            ..Self::default()
        };
        set.store = set.manifest.map(|manifest| manifest.store).or_else(|| majority_store(&found));
        let mut candidates = set.select(disk, found, manifest.oldest)?;
        set.refuse_forks(disk, &mut candidates)?;
        set.link_chain(disk, &mut candidates);
        for candidate in candidates.into_values() {
            // A segment without frames outside the chain was prepared and never used.
            let mut reader = candidate.reader(disk, candidate.size)?;
            let first_frame = if candidate.header_valid { candidate.header.first_frame } else { 0 };
            let tail = reader.inspect_tail(SEGMENT_HEADER_BYTES, first_frame)?;
            if tail.frames > 0 {
                set.next_lsn = set.next_lsn.max(tail.next_lsn);
                let skipped = candidate.skipped(disk, 0, candidate.size, Reason::SegmentUnlinked);
                set.skipped.push(skipped);
            }
        }
        if set.manifest.is_none() && !(set.segments.is_empty() && set.skipped.is_empty()) {
            set.skipped.push(missing_file(disk, Manifest::NAME, 0, Reason::ManifestDamaged));
        }
        Ok(set)
    }

    /// Leaves out files that are not of this log or cannot be checked.
    fn select<D: Disk>(
        &mut self,
        disk: &D,
        found: Vec<Candidate>,
        oldest: u64,
    ) -> Result<BTreeMap<u64, Candidate>, Error> {
        let mut candidates = BTreeMap::<u64, Candidate>::new();
        for candidate in found {
            let header = &candidate.header;
            let named = candidate.number_in_name();
            let number = if candidate.header_valid { header.number } else { named };
            if number < oldest {
                // It was dropped; a power loss brought its name back.
                continue;
            }
            let ours = Some(header.store) == self.store;
            let fault = if candidate.header_valid {
                (!ours).then_some(Reason::SegmentForeign)
            } else {
                let plausible = ours && header.number == named;
                let checked =
                    plausible && candidate.reader(disk, candidate.size)?.seek()?.is_some();
                (!checked).then_some(Reason::SegmentHeaderDamaged)
            };
            if let Some(reason) = fault {
                self.skipped.push(candidate.skipped(disk, 0, candidate.size, reason));
                continue;
            }
            if candidate.header_valid {
                let before = header.previous.lsn.saturating_add(1);
                self.next_lsn = self.next_lsn.max(header.first_lsn).max(before);
                self.highest_incarnation = self.highest_incarnation.max(header.incarnation);
                if candidate.size > header.bytes {
                    let bytes = candidate.size - header.bytes;
                    let reason = Reason::SegmentResized;
                    self.skipped.push(candidate.skipped(disk, header.bytes, bytes, reason));
                }
            } else {
                let reason = Reason::SegmentHeaderDamaged;
                let bytes = SEGMENT_HEADER_BYTES;
                self.skipped.push(candidate.skipped(disk, 0, bytes, reason));
            }
            self.highest_segment = self.highest_segment.max(number);
            // Of two files for one segment, the one with its name counts.
            if number == named || !candidates.contains_key(&number) {
                candidates.insert(number, candidate);
            }
        }
        Ok(candidates)
    }

    /// Leaves out segments newer than the manifest that contradict a known one. The known one holds
    /// records after the end that they state, and those were written first.
    fn refuse_forks<D: Disk>(
        &mut self,
        disk: &D,
        candidates: &mut BTreeMap<u64, Candidate>,
    ) -> Result<(), Error> {
        let Some(manifest) = self.manifest else { return Ok(()) };
        let newer = candidates.split_off(&manifest.newest.saturating_add(1));
        let mut fork = false;
        for link in newer
            .values()
            .filter(|candidate| candidate.header_valid)
            .map(|candidate| candidate.header.previous)
        {
            if let Some(known) = candidates.get(&link.segment) {
                let mut reader = known.reader(disk, known.size)?;
                reader.rewind(link.end);
                fork |= reader.next_frame()?.is_ok();
            }
        }
        if !fork {
            candidates.extend(newer);
            return Ok(());
        }
        for candidate in newer.values() {
            let reason = Reason::SegmentNewerThanManifest;
            self.skipped.push(candidate.skipped(disk, 0, candidate.size, reason));
        }
        Ok(())
    }

    /// Moves the candidates that lead to one another, from the newest down, into the set.
    fn link_chain<D: Disk>(&mut self, disk: &D, candidates: &mut BTreeMap<u64, Candidate>) {
        let manifest = self.manifest.unwrap_or_default();
        let newest = candidates.keys().next_back().copied();
        self.lost_after = self.manifest.map(|manifest| {
            manifest.newest.saturating_sub(newest.unwrap_or(manifest.oldest.saturating_sub(1)))
        });
        if self.lost_after.is_some_and(|lost| lost > 0) {
            self.report_missing(disk, manifest.newest);
        }
        let below = |candidates: &BTreeMap<u64, Candidate>, number: u64| {
            candidates.range(..number).next_back().map(|(number, _)| *number)
        };
        let mut next = newest;
        while let Some(candidate) = next.and_then(|number| candidates.remove(&number)) {
            let number = candidate.header.number;
            let previous = candidate.header.previous.segment;
            next = if !candidate.header_valid {
                below(candidates, number)
            } else if previous == 0 || previous < manifest.oldest {
                None
            } else if previous < number && candidates.contains_key(&previous) {
                Some(previous)
            } else {
                let next = below(candidates, previous.min(number));
                // Without a manifest the segment may also have been dropped.
                if next.is_some() || self.manifest.is_some() {
                    self.report_missing(disk, previous);
                }
                next
            };
            self.lost_before = next.is_none() && number > manifest.oldest;
            self.segments.push(candidate);
        }
        if self.lost_before && self.manifest.is_some() {
            self.report_missing(disk, manifest.oldest);
        }
        self.segments.reverse();
    }

    /// Reports a missing segment, unless its file exists and has been reported.
    fn report_missing<D: Disk>(&mut self, disk: &D, number: u64) {
        if self.skipped.iter().all(|skipped| skipped.damage.segment != number) {
            let name = segment_name(number);
            self.skipped.push(missing_file(disk, &name, number, Reason::SegmentMissing));
        }
    }
}

fn missing_file<D: Disk>(disk: &D, name: &str, segment: u64, reason: Reason) -> Skipped {
    let file = disk.describe(name);
    Skipped { damage: Damage { file, segment, offset: 0, reason }, bytes: 0 }
}

/// All files that are named like segments.
fn candidates_in<D: Disk>(disk: &D) -> Result<Vec<Candidate>, Error> {
    let entries = disk.list().on("list", || disk.describe(""))?;
    let files = entries.into_iter().filter(|entry| entry.not_regular.is_none());
    let mut names: Vec<_> = files.map(|entry| entry.name).collect();
    names.retain(|name| segment_number(name).is_some());
    names.sort_unstable();
    names.into_iter().map(|name| candidate(disk, name)).collect()
}

fn candidate<D: Disk>(disk: &D, name: String) -> Result<Candidate, Error> {
    let file = LossyReader(disk.open(&name).on("open", || disk.describe(&name))?);
    let size = file.size().on("read", || disk.describe(&name))?;
    let mut sector = [0; SECTOR_BYTES];
    file.read_at(0, &mut sector).on("read", || disk.describe(&name))?;
    match SegmentHeader::decode(&sector) {
        Ok(header) => Ok(Candidate { name, header, header_valid: true, size }),
        Err(HeaderFault::Damaged) => {
            let header = SegmentHeader::decode_unchecked(&sector);
            Ok(Candidate { name, header, header_valid: false, size })
        }
        Err(HeaderFault::Format(format)) => {
            Err(Error::Format { file: disk.describe(&name), format, known: FORMAT })
        }
    }
}

/// The store of most segments; of several, the one whose segment comes first.
fn majority_store(found: &[Candidate]) -> Option<StoreId> {
    let mut votes: Vec<(StoreId, usize)> = Vec::new();
    for candidate in found.iter().filter(|candidate| candidate.header_valid) {
        match votes.iter_mut().find(|(store, _)| *store == candidate.header.store) {
            Some((_, count)) => *count += 1,
            None => votes.push((candidate.header.store, 1)),
        }
    }
    let most = votes.iter().map(|(_, count)| *count).max()?;
    votes.into_iter().find(|(_, count)| *count == most).map(|(store, _)| store)
}
