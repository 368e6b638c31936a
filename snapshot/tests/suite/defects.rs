//! State machines with a defect: a panic, or something that is not read back. No acknowledged record may be
//! one that no later open survives.

use std::cell::Cell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use icn_snapshot::{Error, Integrity, PointInTime, Policy, StateMachine, Store, state_at};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde::{Deserialize, Serialize, Serializer};

/// The defect that the state machine has at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    ApplyPanics,
    EncodePanics,
    RestorePanics,
    EncodeLoses,
    DecodeRefuses,
    SerializeLoses,
}

thread_local! {
    static DEFECT: Cell<Defect> = const { Cell::new(Defect::None) };
}

fn with<T>(defect: Defect, work: impl FnOnce() -> T) -> T {
    DEFECT.set(defect);
    let done = work();
    DEFECT.set(Defect::None);
    done
}

fn has(defect: Defect) -> bool {
    DEFECT.get() == defect
}

fn serialize<S: Serializer>(sum: &u64, to: S) -> Result<S::Ok, S::Error> {
    // Another number at each attempt, as with the order of a hash map.
    if has(Defect::SerializeLoses) { to.serialize_u64(sum + 1) } else { to.serialize_u64(*sum) }
}

/// A list of numbers and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    numbers: Vec<u8>,
    #[serde(serialize_with = "serialize")]
    sum: u64,
}

impl StateMachine for Sum {
    type Mutation = (u8, u8);
    type Outcome = ();
    const SCHEMA: u32 = 4;

    fn encode(&(first, second): &(u8, u8), out: &mut Vec<u8>) {
        assert!(!has(Defect::EncodePanics), "a defect of encode");
        out.push(first);
        out.push(if has(Defect::EncodeLoses) { 0 } else { second });
    }

    fn decode(bytes: &[u8]) -> Result<(u8, u8), String> {
        match bytes {
            [first, second, ..] if !has(Defect::DecodeRefuses) => {
                // What `encode` has left out is filled in.
                let filled = if has(Defect::EncodeLoses) { 1 } else { 0 };
                Ok((first.wrapping_add(filled), *second))
            }
            _ => Err("a defect of decode".into()),
        }
    }

    fn apply(&mut self, _: Lsn, (first, second): (u8, u8)) {
        self.numbers.push(first);
        assert!(!has(Defect::ApplyPanics), "a defect of apply");
        self.numbers.push(second);
        self.sum += u64::from(first) + u64::from(second);
    }

    fn restore(&self, image: Self, _: u64) -> Self {
        assert!(!has(Defect::RestorePanics), "a defect of restore");
        image
    }
}

type SumStore = Store<Sum, SimDisk>;

fn open(disk: &SimDisk) -> Result<SumStore, Error> {
    Ok(Store::open(disk, Policy::default())?.0)
}

fn put(store: &mut SumStore, number: u8) {
    let (lsn, ()) = store.commit(1, (number, number)).expect("commit");
    store.wal().wait(lsn).expect("durable");
}

#[test]
fn a_panic_in_a_commit_fails_the_store_and_leaves_no_record() {
    for defect in [Defect::ApplyPanics, Defect::EncodePanics] {
        let disk = SimDisk::new(1);
        let mut store = open(&disk).expect("open");
        put(&mut store, 1);
        let before = store.state().clone();
        // Not waited for: the group that a waiter writes next.
        store.commit(1, (2, 2)).expect("commit");
        let after = store.state().clone();
        with(defect, || {
            catch_unwind(AssertUnwindSafe(|| store.commit(1, (3, 3)))).expect_err("a panic");
        });

        // Nothing of the half-applied state gets out.
        let refused = store.commit(1, (4, 4)).expect_err("the store has failed");
        assert!(matches!(refused, Error::Failed { lsn: 3, .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains("Sum panicked before record 3"), "{text}");
        assert!(store.image(1, 1).is_none());
        assert!(matches!(store.check(), Err(Error::Failed { .. })));
        catch_unwind(AssertUnwindSafe(|| drop(store.state().clone()))).expect_err("no read");
        let wal = std::sync::Arc::clone(store.wal());
        assert!(matches!(store.close(), Err(Error::Failed { .. })));

        // Whatever the log still writes, the record is not in it.
        wal.wait(Lsn::new(2).expect("an LSN")).expect("the record before is durable");
        let failed = wal.wait(Lsn::new(3).expect("an LSN"));
        assert!(matches!(failed, Err(icn_wal::Error::NotAppended { .. })), "{failed:?}");
        wal.close().expect("close");
        drop(wal);
        // The defect is still there: only a new mutation meets it.
        let mut store = with(defect, || open(&disk.kill())).unwrap_or_else(|error| {
            assert_eq!(defect, Defect::ApplyPanics);
            assert!(matches!(error, Error::Apply { lsn: 1, .. }), "{error}");
            open(&disk.kill()).expect("opens")
        });
        assert_ne!(store.state(), &before);
        assert_eq!(store.state(), &after, "{defect:?}");
        put(&mut store, 5);
        assert_eq!(store.lsn(), 3);
    }
}

#[test]
fn a_panic_in_a_restore_fails_the_store_and_leaves_no_record() {
    let disk = SimDisk::new(2);
    let mut store = open(&disk).expect("open");
    (1..4).for_each(|number| put(&mut store, number));
    let state = store.state().clone();
    let present = store.image(1, 1).expect("an image");
    let at = PointInTime::Lsn(Lsn::FIRST);
    let target = store.compactor().prepare_restore(at, present).expect("a target");
    with(Defect::RestorePanics, || {
        catch_unwind(AssertUnwindSafe(|| store.restore(1, target, 1))).expect_err("a panic");
    });
    assert!(matches!(store.commit(1, (4, 4)), Err(Error::Failed { lsn: 4, .. })));
    store.wal().close().expect("close");
    drop(store);
    let store = with(Defect::RestorePanics, || open(&disk.kill())).expect("no RESTORE record");
    assert_eq!((store.state(), store.timeline()), (&state, 0));
}

#[test]
fn an_image_taken_before_a_panic_can_be_saved() {
    let disk = SimDisk::new(3);
    let mut store = open(&disk).expect("open");
    put(&mut store, 1);
    let image = store.image(1, 1).expect("an image");
    with(Defect::ApplyPanics, || {
        catch_unwind(AssertUnwindSafe(|| store.commit(1, (2, 2)))).expect_err("a panic");
    });
    let saved = store.compactor().save(image).expect("its records are durable");
    let state = state_at::<Sum, _>(&disk, PointInTime::Snapshot(saved.id)).expect("a state").state;
    assert_eq!(state, Sum { numbers: vec![1, 1], sum: 2 });
}

#[test]
fn a_panic_of_apply_at_a_start_names_the_record_and_changes_nothing() {
    let disk = SimDisk::new(4);
    let mut store = open(&disk).expect("open");
    put(&mut store, 1);
    let image = store.image(1, 1).expect("an image");
    store.compactor().save(image).expect("save");
    put(&mut store, 2);
    put(&mut store, 3);
    let state = store.state().clone();
    drop(store);
    let disk = disk.kill();
    let before = disk.image_hash();
    for _ in 0..2 {
        let refused = with(Defect::ApplyPanics, || open(&disk)).map(drop).expect_err("a panic");
        let text = refused.to_string();
        assert!(matches!(refused, Error::Apply { lsn: 2, .. }), "{text}");
        assert!(text.contains("record 2") && text.contains("a defect of apply"), "{text}");
        let read = with(Defect::ApplyPanics, || state_at::<Sum, _>(&disk, PointInTime::Latest));
        assert!(matches!(read, Err(Error::Apply { lsn: 2, .. })), "{:?}", read.err());
    }
    assert_eq!(disk.image_hash(), before);
    assert_eq!(open(&disk).expect("a build without the defect").state(), &state);
}

#[test]
fn a_mutation_that_is_not_read_back_is_refused_before_it_is_appended() {
    for (defect, function) in [
        (Defect::EncodeLoses, "`encode` writes other bytes"),
        (Defect::DecodeRefuses, "`decode` refuses"),
    ] {
        let disk = SimDisk::new(5);
        let mut store = open(&disk).expect("open");
        put(&mut store, 1);
        let state = store.state().clone();
        let refused = with(defect, || store.commit(1, (2, 2))).expect_err("it is lossy");
        let text = refused.to_string();
        assert!(matches!(refused, Error::Lossy { .. }), "{text}");
        assert!(text.contains("Sum") && text.contains(function), "{text}");
        assert_eq!((store.state(), store.lsn()), (&state, 1), "{defect:?}");
        put(&mut store, 3);
        drop(store);
        assert_eq!(open(&disk.kill()).expect("opens").state().sum, 8);
    }
}

#[test]
fn a_state_that_is_not_read_back_is_not_saved() {
    let disk = SimDisk::new(6);
    let mut store = open(&disk).expect("open");
    put(&mut store, 1);
    let image = store.image(1, 1).expect("an image");
    let refused = with(Defect::SerializeLoses, || store.compactor().save(image)).map(drop);
    let text = refused.expect_err("it is lossy").to_string();
    assert!(text.contains("Sum") && text.contains("`Serialize` writes other bytes"), "{text}");
    assert!(store.compactor().list().is_empty() && store.changed());
    let image = store.image(1, 1).expect("an image");
    store.compactor().save(image).expect("save");
}

/// The state of a build that has changed the layout and forgotten a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Forgetful {
    sum: u64,
}

impl StateMachine for Forgetful {
    type Mutation = (u8, u8);
    type Outcome = ();
    const SCHEMA: u32 = 9;

    fn encode(mutation: &(u8, u8), out: &mut Vec<u8>) {
        Sum::encode(mutation, out);
    }

    fn decode(bytes: &[u8]) -> Result<(u8, u8), String> {
        Sum::decode(bytes)
    }

    fn apply(&mut self, _: Lsn, (first, second): (u8, u8)) {
        self.sum += u64::from(first) + u64::from(second);
    }

    fn migrate(schema: u32, state: &mut dyn Read) -> Result<Self, String> {
        // As if only a part was read, before it is found that there is no such step.
        let mut some = [0; 2];
        state.read_exact(&mut some).map_err(|error| error.to_string())?;
        Err(format!("there is no step from {schema}"))
    }
}

#[test]
fn a_forgotten_migration_is_named_whether_or_not_the_log_is_whole() {
    for saves in [1, 6] {
        let disk = SimDisk::new(7);
        let retention = crate::common::FLOOR_ONLY;
        let policy = Policy { retention, ..Policy::default() };
        for number in 0..saves {
            // Each life begins a segment, so that a save can drop log.
            let mut store = Store::<Sum, _>::open(&disk, policy).expect("open").0;
            put(&mut store, number);
            let image = store.image(1, 1).expect("an image");
            store.compactor().save(image).expect("save");
            drop(store);
        }
        let disk = disk.kill();
        let before = disk.image_hash();
        let refused = Store::<Forgetful, _>::open(&disk, policy).map(drop).expect_err("no step");
        let text = refused.to_string();
        assert!(
            matches!(refused, Error::Migration { found: 4, wanted: 9, .. }),
            "{saves} saves: {text}"
        );
        for part in ["schema 4", "schema 9", "`migrate`", "Forgetful", "there is no step from 4"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(disk.image_hash(), before, "nothing was changed");
        let store = Store::<Sum, _>::open(&disk, policy).expect("the older build").0;
        let listed = store.compactor().list();
        assert!(listed.iter().all(|kept| kept.integrity == Integrity::Whole), "{listed:?}");
        let verified = store.compactor().verify::<Forgetful>(listed[0].id);
        assert!(matches!(verified, Err(Error::Migration { .. })), "{verified:?}");
        assert_eq!(store.compactor().list()[0].integrity, Integrity::Whole);
    }
}

#[test]
fn damage_to_a_snapshot_of_an_older_schema_is_not_called_a_missing_migration() {
    let disk = SimDisk::new(8);
    let mut store = open(&disk).expect("open");
    (0..200).for_each(|number| put(&mut store, number));
    let sum = store.state().sum;
    let image = store.image(1, 1).expect("an image");
    store.compactor().save(image).expect("save");
    drop(store);
    let disk = disk.kill();
    let name = disk.files().into_iter().find(|name| name.ends_with(".snap")).expect("one");
    let mut bytes = disk.read_file(&name).expect("bytes");
    let last = bytes.len() - 70;
    bytes[last] ^= 1;
    disk.write_file(&name, &bytes);
    let (store, recovery) =
        Store::<Forgetful, _>::open(&disk, Policy::default()).expect("the log replaces it");
    assert_eq!((store.state().sum, recovery.passed_over.len()), (sum, 1));
}
