//! A copy of the directory of a running store, made file by file while it commits, saves and starts again.

use std::collections::BTreeMap;

use icn_snapshot::{Error, PointInTime, Policy, StateMachine, Store, state_at};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde::{Deserialize, Serialize};

use crate::common::FLOOR_ONLY;

const POLICY: fn() -> Policy = || Policy { retention: FLOOR_ONLY, ..Policy::default() };

/// The number of records, and a hash over all of them in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Chain {
    records: u64,
    hash: u64,
}

impl StateMachine for Chain {
    type Mutation = u64;
    type Outcome = ();
    const SCHEMA: u32 = 0;

    fn encode(number: &u64, out: &mut Vec<u8>) {
        // Few of them fill a segment.
        out.resize(out.len() + 20_000, 7);
        out.extend_from_slice(&number.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<u64, String> {
        let (_, number) = bytes.split_last_chunk().ok_or("too short")?;
        Ok(u64::from_le_bytes(*number))
    }

    fn apply(&mut self, _: Lsn, number: u64) {
        self.records += 1;
        self.hash = self.hash.wrapping_mul(31).wrapping_add(number + 1);
    }
}

/// Numbers that look random, the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }
}

struct Original {
    disk: SimDisk,
    store: Option<Store<Chain, SimDisk>>,
    /// The hash at each LSN.
    hashes: Vec<u64>,
}

impl Original {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed).with_segment_bytes_max(1 << 20);
        let mut original = Self { disk, store: None, hashes: vec![0] };
        original.start();
        original
    }

    fn start(&mut self) {
        self.store = None;
        self.store = Some(Store::open(&self.disk, POLICY()).expect("open").0);
    }

    fn act(&mut self, dice: &mut Dice) {
        let store = self.store.as_mut().expect("a store");
        match dice.below(8) {
            0 | 1 => {
                if let Some(image) = store.image(1, 1) {
                    store.compactor().save(image).expect("save");
                }
            }
            2 => self.start(),
            _ => {
                for _ in 0..=dice.below(4) {
                    let (lsn, ()) = store.commit(1, store.lsn()).expect("commit");
                    store.wal().wait(lsn).expect("durable");
                    self.hashes.push(store.state().hash);
                }
            }
        }
    }

    /// Commits one record and saves, so that old segments are dropped and the newest one stays.
    fn act_calmly(&mut self) {
        let store = self.store.as_mut().expect("a store");
        let (lsn, ()) = store.commit(1, store.lsn()).expect("commit");
        store.wal().wait(lsn).expect("durable");
        self.hashes.push(store.state().hash);
        let image = store.image(1, 1).expect("an image");
        store.compactor().save(image).expect("save");
    }

    fn acknowledged(&self) -> u64 {
        self.hashes.len() as u64 - 1
    }
}

/// Copies the directory as `cp -r` does: it lists a directory and then copies each file in pieces. The
/// original goes on between two pieces. Returns what was acknowledged when the copy began.
fn copy(original: &mut Original, dice: &mut Dice, pace: usize, is_calm: bool) -> (SimDisk, u64) {
    let acknowledged = original.acknowledged();
    let copy = SimDisk::new(99).with_segment_bytes_max(1 << 20);
    let mut directories = ["wal/", "snapshots/"];
    if dice.below(2) == 0 {
        directories.reverse();
    }
    for directory in directories {
        let mut names = original.disk.files();
        names.retain(|name| name.starts_with(directory));
        for index in (1..names.len()).rev() {
            names.swap(index, dice.below(index + 1));
        }
        for name in names {
            let mut bytes = Vec::new();
            let pieces = 1 + dice.below(3);
            for piece in 1..=pieces {
                // A removed file is cut to nothing, also for who reads it.
                let now = original.disk.read_file(&name).unwrap_or_default();
                let until = if piece == pieces { now.len() } else { now.len() * piece / pieces };
                bytes.extend_from_slice(now.get(bytes.len()..until).unwrap_or_default());
                for _ in 0..dice.below(pace + 1) {
                    if is_calm { original.act_calmly() } else { original.act(dice) }
                }
            }
            copy.write_file(&name, &bytes);
        }
    }
    (copy, acknowledged)
}

fn kind(error: &Error) -> String {
    match error {
        Error::Log(icn_wal::Error::Corrupt(damage)) => format!("{:?}", damage.reason),
        Error::Log(icn_wal::Error::Missing { .. }) => "Missing".into(),
        Error::Log(icn_wal::Error::Behind { .. }) => "Behind".into(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_slow_copy_opens_or_is_refused_and_never_opens_with_less_than_was_acknowledged() {
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut original = Original::new(seed);
        let before = 5 + dice.below(40);
        (0..before).for_each(|_| original.act(&mut dice));
        let pace = 1 + dice.below(4);
        let (copy, acknowledged) = copy(&mut original, &mut dice, pace, seed % 2 == 0);
        let hash = copy.image_hash();
        match Store::<Chain, _>::open(&copy, POLICY()) {
            Ok((mut store, recovery)) => {
                let lsn = usize::try_from(store.lsn()).expect("small");
                assert_eq!(store.state().hash, original.hashes[lsn], "seed {seed}");
                assert!(store.lsn() >= acknowledged, "seed {seed}");
                let is_covered = recovery.log.missing_through > 0;
                let how = if is_covered { "opens without an old part" } else { "opens" };
                *verdicts.entry(how.into()).or_default() += 1;
                let (lsn, ()) = store.commit(1, 5).expect("commit");
                store.wal().wait(lsn).expect("durable");
                let state = store.state().clone();
                drop(store);
                let (store, _) = Store::<Chain, _>::open(&copy.kill(), POLICY()).expect("again");
                assert_eq!(store.state(), &state);
                // What the window promises can be read, once a scrub has found the snapshots that are cut.
                for kept in store.compactor().list() {
                    let _ = store.compactor().verify::<Chain>(kept.id);
                }
                for lsn in store.compactor().window().first..store.lsn() {
                    let at = PointInTime::Lsn(Lsn::new(lsn).expect("an LSN"));
                    let past = state_at::<Chain, _>(&copy.kill(), at).expect("in the window");
                    let index = usize::try_from(lsn).expect("small");
                    assert_eq!(past.state.hash, original.hashes[index], "seed {seed}");
                }
            }
            Err(error) => {
                assert_eq!(copy.image_hash(), hash, "a refusal changes nothing: {error}");
                *verdicts.entry(kind(&error)).or_default() += 1;
            }
        }
    }
    println!("{verdicts:#?}");
    assert!(verdicts["opens without an old part"] >= 1, "{verdicts:?}");
}
