//! The segments that are still there, in the order of history.

use std::collections::BTreeMap;

use super::Skipped;
use super::patient::Patient;
use crate::damage::{Damage, Reason};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::limits::{SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use crate::manifest::Manifest;
use crate::reader::FrameReader;
use crate::segment::{FORMAT, HeaderFault, SegmentHeader, StoreId, segment_name, segment_number};

/// A segment whose frames can be checked.
pub(super) struct Bone {
    /// The file that holds it: after a mishap not always the one of its number.
    pub(super) name: String,
    /// As the header says, or as it stands when that is damaged.
    pub(super) header: SegmentHeader,
    /// Whether the header's own checksum is right. Otherwise the frames have shown that the salt
    /// is, and nothing else of it is believed.
    pub(super) trusted: bool,
    pub(super) size: u64,
}

impl Bone {
    pub(super) fn reader<D: Disk>(
        &self,
        disk: &D,
        end: u64,
    ) -> Result<FrameReader<Patient<D::File>>, Error> {
        let name = disk.describe(&self.name);
        let file = disk.open(&self.name).on("open", || name.clone())?;
        Ok(FrameReader::new(Patient(file), name, self.header.salt, end))
    }

    pub(super) fn skipped<D: Disk>(
        &self,
        disk: &D,
        offset: u64,
        bytes: u64,
        reason: Reason,
    ) -> Skipped {
        let (file, segment) = (disk.describe(&self.name), self.named());
        Skipped { damage: Damage { file, segment, offset, reason }, bytes }
    }

    /// The number in the name of the file.
    fn named(&self) -> u64 {
        segment_number(&self.name).unwrap_or(0)
    }
}

/// What is left of a log directory.
#[derive(Default)]
pub(super) struct Spine {
    pub(super) manifest: Option<Manifest>,
    pub(super) store: Option<StoreId>,
    /// From the oldest to the newest.
    pub(super) bones: Vec<Bone>,
    /// Everything that is not in `bones` and should or could be.
    pub(super) skipped: Vec<Skipped>,
    /// No LSN below was never given out, as far as anything here tells.
    pub(super) next_lsn: u64,
    /// The highest numbers any header tells.
    pub(super) segment: u64,
    pub(super) incarnation: u64,
    /// Segments before the first bone are lost; without a manifest they may also have been dropped.
    pub(super) lost_before: bool,
    /// How many segments behind the last bone are lost; without a manifest nobody knows.
    pub(super) lost_behind: Option<u64>,
}

impl Spine {
    pub(super) fn read<D: Disk>(disk: &D) -> Result<Self, Error> {
        let found = files(disk)?;
        let known = match Manifest::read(disk) {
            Err(error @ Error::Format { .. }) => return Err(error),
            other => other.ok().flatten(),
        };
        // One that knows none of the segments has come from elsewhere.
        let mut trusted = found.iter().filter(|bone| bone.trusted).peekable();
        let known = known.filter(|manifest| {
            trusted.peek().is_none() || trusted.any(|bone| bone.header.store == manifest.store)
        });
        let manifest = known.unwrap_or_default();
        let mut spine = Self {
            manifest: known,
            next_lsn: manifest.next_lsn.max(manifest.clean.lsn.saturating_add(1)),
            segment: manifest.newest,
            incarnation: manifest.incarnation,
            ..Self::default()
        };
        spine.store = spine.manifest.map(|manifest| manifest.store).or_else(|| majority(&found));
        let mut bones = spine.sort(disk, found, manifest.oldest)?;
        spine.refuse_forks(disk, &mut bones)?;
        spine.link(disk, &mut bones);
        for bone in bones.into_values() {
            // Segments without frames that nobody leads to are what a start leaves behind.
            let mut reader = bone.reader(disk, bone.size)?;
            let first_frame = if bone.trusted { bone.header.first_frame } else { 0 };
            let beyond = reader.survey(SEGMENT_HEADER_BYTES, first_frame)?;
            if beyond.frames > 0 {
                spine.next_lsn = spine.next_lsn.max(beyond.next_lsn);
                let skipped = bone.skipped(disk, 0, bone.size, Reason::SegmentUnlinked);
                spine.skipped.push(skipped);
            }
        }
        if spine.manifest.is_none() && !(spine.bones.is_empty() && spine.skipped.is_empty()) {
            spine.skipped.push(absent(disk, Manifest::NAME, 0, Reason::ManifestDamaged));
        }
        Ok(spine)
    }

    /// Takes out what is not of this log or cannot be checked.
    fn sort<D: Disk>(
        &mut self,
        disk: &D,
        found: Vec<Bone>,
        oldest: u64,
    ) -> Result<BTreeMap<u64, Bone>, Error> {
        let mut bones = BTreeMap::<u64, Bone>::new();
        for bone in found {
            let header = &bone.header;
            let named = bone.named();
            let number = if bone.trusted { header.number } else { named };
            if number < oldest {
                // It was dropped, and only its name has come back.
                continue;
            }
            let ours = Some(header.store) == self.store;
            let fault = if bone.trusted {
                (!ours).then_some(Reason::SegmentForeign)
            } else {
                let told = ours && header.number == named;
                let checked = told && bone.reader(disk, bone.size)?.seek()?.is_some();
                (!checked).then_some(Reason::SegmentHeaderDamaged)
            };
            if let Some(reason) = fault {
                self.skipped.push(bone.skipped(disk, 0, bone.size, reason));
                continue;
            }
            if bone.trusted {
                let before = header.previous.lsn.saturating_add(1);
                self.next_lsn = self.next_lsn.max(header.first_lsn).max(before);
                self.incarnation = self.incarnation.max(header.incarnation);
                if header.bytes != bone.size {
                    let (offset, bytes) =
                        (bone.size.min(header.bytes), bone.size.abs_diff(header.bytes));
                    let reason = Reason::SegmentResized;
                    self.skipped.push(bone.skipped(disk, offset, bytes, reason));
                }
            } else {
                let reason = Reason::SegmentHeaderDamaged;
                let bytes = SEGMENT_HEADER_BYTES;
                self.skipped.push(bone.skipped(disk, 0, bytes, reason));
            }
            self.segment = self.segment.max(number);
            // Of two files with one segment the one with the right name counts.
            if number == named || !bones.contains_key(&number) {
                bones.insert(number, bone);
            }
        }
        Ok(bones)
    }

    /// Puts aside segments that the manifest does not know and that contradict one it does know: it
    /// holds records behind the end that they state, and those were there first.
    fn refuse_forks<D: Disk>(
        &mut self,
        disk: &D,
        bones: &mut BTreeMap<u64, Bone>,
    ) -> Result<(), Error> {
        let Some(manifest) = self.manifest else { return Ok(()) };
        let newer = bones.split_off(&manifest.newest.saturating_add(1));
        let mut fork = false;
        for link in newer.values().filter(|bone| bone.trusted).map(|bone| bone.header.previous) {
            if let Some(known) = bones.get(&link.segment) {
                let mut reader = known.reader(disk, known.size)?;
                reader.rewind(link.end);
                fork |= reader.next_frame()?.is_ok();
            }
        }
        if !fork {
            bones.extend(newer);
            return Ok(());
        }
        for bone in newer.values() {
            let reason = Reason::SegmentNewerThanManifest;
            self.skipped.push(bone.skipped(disk, 0, bone.size, reason));
        }
        Ok(())
    }

    /// Moves the bones that lead to one another from the newest down into the spine.
    fn link<D: Disk>(&mut self, disk: &D, bones: &mut BTreeMap<u64, Bone>) {
        let manifest = self.manifest.unwrap_or_default();
        let newest = bones.keys().next_back().copied();
        self.lost_behind = self.manifest.map(|manifest| {
            manifest.newest.saturating_sub(newest.unwrap_or(manifest.oldest.saturating_sub(1)))
        });
        if self.lost_behind.is_some_and(|lost| lost > 0) {
            self.miss(disk, manifest.newest);
        }
        let below = |bones: &BTreeMap<u64, Bone>, number: u64| {
            bones.range(..number).next_back().map(|(number, _)| *number)
        };
        let mut next = newest;
        while let Some(bone) = next.and_then(|number| bones.remove(&number)) {
            let (number, previous) = (bone.header.number, bone.header.previous.segment);
            next = if !bone.trusted {
                below(bones, number)
            } else if previous == 0 || previous < manifest.oldest {
                None
            } else if previous < number && bones.contains_key(&previous) {
                Some(previous)
            } else {
                let next = below(bones, previous.min(number));
                // Without a manifest it may just as well have been dropped.
                if next.is_some() || self.manifest.is_some() {
                    self.miss(disk, previous);
                }
                next
            };
            self.lost_before = next.is_none() && number > manifest.oldest;
            self.bones.push(bone);
        }
        if self.lost_before && self.manifest.is_some() {
            self.miss(disk, manifest.oldest);
        }
        self.bones.reverse();
    }

    /// Says that a segment is not there, unless its file is and has been told about.
    fn miss<D: Disk>(&mut self, disk: &D, number: u64) {
        if self.skipped.iter().all(|skipped| skipped.damage.segment != number) {
            let name = segment_name(number);
            self.skipped.push(absent(disk, &name, number, Reason::SegmentMissing));
        }
    }
}

fn absent<D: Disk>(disk: &D, name: &str, segment: u64, reason: Reason) -> Skipped {
    let file = disk.describe(name);
    Skipped { damage: Damage { file, segment, offset: 0, reason }, bytes: 0 }
}

/// All files that are named like segments.
fn files<D: Disk>(disk: &D) -> Result<Vec<Bone>, Error> {
    let entries = disk.list().on("list", || disk.describe(""))?;
    let files = entries.into_iter().filter(|entry| entry.stranger.is_none());
    let mut names: Vec<_> = files.map(|entry| entry.name).collect();
    names.retain(|name| segment_number(name).is_some());
    names.sort_unstable();
    names.into_iter().map(|name| file(disk, name)).collect()
}

fn file<D: Disk>(disk: &D, name: String) -> Result<Bone, Error> {
    let file = Patient(disk.open(&name).on("open", || disk.describe(&name))?);
    let size = file.size().on("read", || disk.describe(&name))?;
    let mut sector = [0; SECTOR_BYTES];
    file.read_at(0, &mut sector).on("read", || disk.describe(&name))?;
    match SegmentHeader::decode(&sector) {
        Ok(header) => Ok(Bone { name, header, trusted: true, size }),
        Err(HeaderFault::Damaged) => {
            let header = SegmentHeader::as_it_stands(&sector);
            Ok(Bone { name, header, trusted: false, size })
        }
        Err(HeaderFault::Format(format)) => {
            Err(Error::Format { file: disk.describe(&name), format, known: FORMAT })
        }
    }
}

/// The store that most segments belong to; of two the one whose segment comes first.
fn majority(found: &[Bone]) -> Option<StoreId> {
    let mut votes: Vec<(StoreId, usize)> = Vec::new();
    for bone in found.iter().filter(|bone| bone.trusted) {
        match votes.iter_mut().find(|(store, _)| *store == bone.header.store) {
            Some((_, count)) => *count += 1,
            None => votes.push((bone.header.store, 1)),
        }
    }
    let most = votes.iter().map(|(_, count)| *count).max()?;
    votes.into_iter().find(|(_, count)| *count == most).map(|(store, _)| store)
}
