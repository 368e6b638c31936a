//! The disks that a power cut may leave: all legal ones, or some by seed.

use std::collections::BTreeMap;

use super::content::{BLOCK_BYTES, Content, SECTOR_BYTES, UnsyncedSector};
use super::names::Names;
use super::pages::Pages;
use super::rng::Rng;
use super::{DiskState, SimDisk};

/// The disks that a power cut at one moment may leave.
///
/// Each of these is decided independently:
/// - for every sector with pending writes: the synced bytes, the state after any of the writes, or
///   zeros or garbage in the bytes being written;
/// - for every file that grows or was cut: whether its new size is durable;
/// - on a disk that [garbles blocks](super::Faults::garbles_blocks), for every block with pending writes:
///   whether it is left so, or becomes zeros or garbage;
/// - for every change of a name: whether it is durable.
pub struct Losses {
    state: DiskState,
    disk: SimDisk,
    files: Vec<(usize, Vec<UnsyncedSector>)>,
    /// The number of outcomes of each decision, in a fixed order.
    outcomes: Vec<usize>,
}

/// How the decisions are made.
enum Choice<'a> {
    /// The outcomes, one for each decision.
    Digits(&'a [usize]),
    /// Nothing unsynced is durable.
    Nothing,
    /// Everything is durable.
    Everything,
    /// The writes to each file and the name changes of each directory are durable up to some point.
    Prefix(Rng),
    /// Each decision at random.
    Any(Rng),
}

impl Losses {
    pub(super) fn of(disk: &SimDisk) -> Self {
        let state = disk.state.lock().clone();
        let mut outcomes = Vec::new();
        for names in state.directories.values() {
            outcomes.extend(names.pending.iter().map(|_| 2));
        }
        let mut files = Vec::new();
        for (index, file) in state.files.iter().enumerate().filter(|(_, f)| f.is_dirty()) {
            let unsynced = file.unsynced();
            // The last two outcomes are zeros and garbage.
            outcomes.extend(unsynced.iter().map(|sector| sector.versions.len() + 2));
            outcomes.push(2);
            if state.faults.garbles_blocks {
                outcomes.extend(file.touched_blocks().iter().map(|_| 3));
            }
            files.push((index, unsynced));
        }
        Self { state, disk: disk.clone(), files, outcomes }
    }

    /// The number of disks; `None` if it exceeds `u64`.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.outcomes.iter().try_fold(1_u64, |count, &outcomes| count.checked_mul(outcomes as u64))
    }

    /// All of them, if they are at most `most`; else that many by seed, the extremes first.
    pub fn images(&self, most: u64, seed: u64) -> impl Iterator<Item = SimDisk> + '_ {
        let all = self.count().is_some_and(|count| count <= most);
        let count = if all { self.count().unwrap_or(most) } else { most };
        (0..count)
            .map(move |number| if all { self.nth(number) } else { self.seeded(seed + number) })
    }

    /// One of them by seed. Of four consecutive seeds, the first keeps nothing unsynced and the
    /// second everything. The third keeps an ordered prefix torn at a sector; the fourth decides
    /// every sector and name independently.
    #[must_use]
    pub fn seeded(&self, seed: u64) -> SimDisk {
        let rng = Rng { state: seed.wrapping_add(0x5EED) };
        self.image(match seed % 4 {
            0 => Choice::Nothing,
            1 => Choice::Everything,
            2 => Choice::Prefix(rng),
            _ => Choice::Any(rng),
        })
    }

    fn nth(&self, number: u64) -> SimDisk {
        let mut rest = usize::try_from(number).unwrap_or(usize::MAX);
        let digit = |&outcomes: &usize| {
            let digit = rest % outcomes;
            rest /= outcomes;
            digit
        };
        let digits: Vec<usize> = self.outcomes.iter().map(digit).collect();
        self.image(Choice::Digits(&digits))
    }

    fn image(&self, mut choice: Choice<'_>) -> SimDisk {
        let mut image = DiskState { operations: self.state.operations, ..DiskState::default() };
        image.syncs = self.state.syncs;
        image.random = self.state.random;
        for (directory, names) in &self.state.directories {
            let survived = choice.names(names);
            image.directories.insert(directory.clone(), Names::durable(survived));
        }
        image.files = self.state.files.iter().map(|f| Content::durable(f.synced.clone())).collect();
        for (index, unsynced) in &self.files {
            let file = &self.state.files[*index];
            let mut bytes = choice.content(file, unsynced);
            if self.state.faults.garbles_blocks {
                choice.garble(file, &mut bytes);
            }
            image.files[*index] = Content::durable(bytes);
        }
        self.disk.with(image)
    }
}

impl Choice<'_> {
    fn names(&mut self, names: &Names) -> BTreeMap<String, usize> {
        let mut survived = names.synced.clone();
        let prefix = match self {
            Choice::Prefix(rng) => rng.below(names.pending.len() + 1),
            _ => 0,
        };
        for (index, change) in names.pending.iter().enumerate() {
            let kept = match self {
                Choice::Prefix(_) => index < prefix,
                _ => self.pick(2) == 1,
            };
            if kept {
                change.apply(&mut survived);
            }
        }
        survived
    }

    fn content(&mut self, file: &Content, unsynced: &[UnsyncedSector]) -> Pages {
        let mut bytes = file.synced.clone();
        let end = file.pending_end();
        let (whole, torn) = match self {
            Choice::Prefix(rng) => {
                // The write in flight is durable up to some sector of the file.
                let whole = rng.below(file.pending.len() + 1);
                let (offset, write) =
                    file.pending.get(whole).map_or((0, 0), |(o, b)| (*o, b.len()));
                (whole, (offset + rng.below(write + 1)) / SECTOR_BYTES)
            }
            _ => (0, 0),
        };
        for UnsyncedSector { index, versions, touched } in unsynced {
            let outcome = match self {
                Choice::Prefix(_) => {
                    let through = if *index < torn { whole + 1 } else { whole };
                    versions.iter().rposition(|(write, _)| *write <= through).unwrap_or(0)
                }
                Choice::Everything => versions.len() - 1,
                _ => self.pick(versions.len() + 2),
            };
            let sector = versions.get(outcome).map_or_else(
                || {
                    let mut sector = versions[0].1;
                    match outcome - versions.len() {
                        0 => sector[touched.clone()].fill(0),
                        _ => self.fill_garbage(*index, &mut sector[touched.clone()]),
                    }
                    sector
                },
                |(_, sector)| *sector,
            );
            if outcome > 0 {
                let start = index * SECTOR_BYTES;
                let length = SECTOR_BYTES.min(end.saturating_sub(start));
                bytes.write(start, &sector[..length]);
            }
        }
        let resized = match self {
            Choice::Prefix(_) => whole == file.pending.len(),
            _ => self.pick(2) == 1,
        };
        match file.pending_cut {
            Some(len) if resized => bytes.cut(len),
            None if resized => bytes.grow(end),
            _ => {}
        }
        bytes
    }

    /// Decides about the blocks that pending writes touch as a whole.
    fn garble(&mut self, file: &Content, bytes: &mut Pages) {
        for block in file.touched_blocks() {
            let outcome = match self {
                Choice::Everything => 0,
                _ => self.pick(3),
            };
            let start = block * BLOCK_BYTES;
            let mut filling = vec![0; BLOCK_BYTES.min(bytes.len().saturating_sub(start))];
            if outcome == 2 {
                self.fill_garbage(block, &mut filling);
            }
            if outcome > 0 {
                bytes.write(start, &filling);
            }
        }
    }

    fn fill_garbage(&mut self, index: usize, bytes: &mut [u8]) {
        let mut rng = match self {
            Choice::Any(rng) => Rng { state: rng.below(usize::MAX) as u64 },
            _ => Rng { state: index as u64 },
        };
        bytes.iter_mut().for_each(|byte| *byte = rng.byte());
    }

    fn pick(&mut self, outcomes: usize) -> usize {
        match self {
            Choice::Digits(digits) => {
                let (first, rest) = digits.split_first().map_or((0, &[][..]), |(f, r)| (*f, r));
                *digits = rest;
                first
            }
            Choice::Nothing => 0,
            Choice::Everything => outcomes - 1,
            Choice::Prefix(rng) | Choice::Any(rng) => rng.below(outcomes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::disk::{Disk, DiskFile};

    #[test]
    fn every_legal_loss_is_generated_once() {
        let disk = SimDisk::new(1);
        let file = disk.create("a").unwrap();
        file.write_at(0, &[1; 512]).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
        file.write_at(100, &[2; 10]).unwrap();
        file.write_at(100, &[3; 10]).unwrap();
        file.write_at(512, &[4; 100]).unwrap();
        disk.rename("a", "b").unwrap();
        let losses = Losses::of(&disk);
        // A sector of three versions, one of two, each also zeros or garbage; the size; the name.
        assert_eq!(losses.count(), Some(5 * 4 * 2 * 2));
        let mut seen = BTreeSet::new();
        for image in losses.images(1000, 0) {
            let name = image.files()[0].clone();
            let bytes = image.read_file(&name).unwrap();
            assert!(bytes.len() == 512 || bytes.len() == 612);
            seen.insert((name, bytes));
        }
        // The size says nothing where the second sector is there in any form.
        assert_eq!(seen.len(), 5 * (3 + 2) * 2 - 5 * 2);
    }

    #[test]
    fn a_sampled_loss_is_a_legal_one() {
        let disk = SimDisk::new(1);
        let file = disk.create("a").unwrap();
        disk.sync_dir().unwrap();
        for sector in 0..3 {
            file.write_at(sector * 512, &[7; 512]).unwrap();
        }
        let losses = Losses::of(&disk);
        let legal: BTreeSet<_> = losses.images(1000, 0).map(|image| hash(&image)).collect();
        assert_eq!(losses.images(1000, 0).count(), 4 * 4 * 4 * 2);
        let mut different = BTreeSet::new();
        for seed in 0..40 {
            let image = losses.seeded(seed);
            different.insert(hash(&image));
            if seed % 4 != 3 {
                assert!(legal.contains(&hash(&image)), "seed {seed}");
            }
        }
        assert!(different.len() > 10, "{}", different.len());
    }

    fn hash(image: &SimDisk) -> Vec<u8> {
        image.read_file("a").unwrap()
    }
}
