//! `docs/FORMAT.md` alone suffices to read a log.
//!
//! A reader in another language, written from that page, finds the same records and the same
//! damage.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output};

use icn_tests::TestRng;
use icn_tests::workload::{Oracle, random_steps};
use icn_wal::disk::SimDisk;
use icn_wal::salvage::salvage;
use icn_wal::{Error, FsDisk, Lsn, ReplayFrom, Wal, read};
use serde_json::Value;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/reader/icn_wal.py");

/// Runs the reader; `None` without Python.
fn python(directory: &Path) -> Option<Output> {
    match Command::new("python3").arg(READER).arg(directory).output() {
        Ok(output) => Some(output),
        Err(error) => {
            let _ = writeln!(std::io::stdout(), "skipped, no python3: {error}");
            None
        }
    }
}

/// The records that the reader found, or the damage that it reported.
fn theirs(output: &Output) -> Result<Vec<(u64, String)>, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)
            .lines()
            .map(|line| {
                let record: Value = serde_json::from_str(line).expect("JSON");
                let hex = record["hex"].as_str().expect("hex").to_owned();
                (record["lsn"].as_u64().expect("an LSN"), hex)
            })
            .collect()),
        Some(1) if output.stderr.len() < 60 => Err(text(&output.stderr)),
        _ => panic!("the reader failed: {}", text(&output.stderr)),
    }
}

fn ours(directory: &Path) -> Result<Vec<(u64, String)>, String> {
    let mut found = Vec::new();
    let disk = FsDisk::read_only(directory).expect("a directory");
    let outcome = read(&disk, ReplayFrom::Oldest, |record| {
        let hex = record.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        found.push((record.lsn.get(), hex));
        ControlFlow::Continue(())
    });
    match outcome {
        Ok(_) => Ok(found),
        Err(Error::Corrupt(damage)) => Err(format!("{:?}", damage.reason)),
        Err(error) => panic!("{error}"),
    }
}

/// Writes the files of a simulated disk to `directory`.
fn lay_down(disk: &SimDisk, directory: &Path) {
    std::fs::create_dir_all(directory).expect("a directory");
    for name in disk.files() {
        std::fs::write(directory.join(&name), disk.read_file(&name).expect("bytes"))
            .expect("write");
    }
}

#[test]
fn an_independent_reader_finds_the_same_records_and_damage() {
    let around = tempfile::tempdir().expect("a directory");
    let mut whole = 0;
    let mut refused = 0;
    for seed in 0..24 {
        let disk = SimDisk::new(seed);
        let plan = random_steps(&mut TestRng::new(seed), 16, seed % 4 == 3);
        Oracle::default().run(&disk, &plan).expect("a life");
        let image = disk.power_loss(seed);
        if seed % 2 == 1 {
            // Damage one written byte, by seed.
            let mut files = image.files();
            files.retain(|name| !name.ends_with(".tmp"));
            let mut rng = TestRng::new(seed);
            let name = &files[usize::try_from(rng.below(files.len() as u64)).expect("an index")];
            let mut bytes = image.read_file(name).expect("bytes");
            let used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0) as u64 + 1;
            bytes[usize::try_from(rng.below(used)).expect("a place")] ^= 0x10;
            image.write_file(name, &bytes);
        }
        let directory = around.path().join(seed.to_string());
        lay_down(&image, &directory);
        let Some(output) = python(&directory) else { return };
        let ours = ours(&directory);
        assert_eq!(theirs(&output), ours, "seed {seed}, {plan:?}");
        if ours.is_ok() { whole += 1 } else { refused += 1 }
    }
    assert!(whole >= 10 && refused >= 4, "{whole} whole, {refused} refused");
}

#[test]
fn an_independent_reader_reads_a_log_of_a_real_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    for life in 0..3 {
        let disk = FsDisk::create(directory.path()).expect("a disk");
        let (wal, _) =
            Wal::open(disk, ReplayFrom::Oldest, |_| ControlFlow::Continue(())).expect("open");
        for number in 0..50 {
            wal.commit(life, &[format!("record {number} of life {life}")]).expect("commit");
        }
        if life == 1 {
            wal.close().expect("close");
        }
    }
    let Some(output) = python(directory.path()) else { return };
    let found = theirs(&output).expect("a whole log");
    assert_eq!(found.len(), 150);
    assert_eq!(Ok(&found), ours(directory.path()).as_ref());

    // The log salvaged after a hole is a log like any other.
    let around = tempfile::tempdir().expect("a directory");
    let salvaged = around.path().join("salvaged");
    let source = FsDisk::read_only(directory.path()).expect("a disk");
    std::fs::remove_file(directory.path().join(format!("{:020}.wal", 2))).expect("remove");
    let target = FsDisk::create(&salvaged).expect("a disk");
    let from = ReplayFrom::After(Lsn::new(120).expect("an LSN"));
    let report = salvage(&source, Some(&target), from).expect("salvages");
    assert_eq!(report.kept.map(|run| run.after), Some(100));
    let Some(output) = python(&salvaged) else { return };
    let kept = theirs(&output).expect("a whole log");
    assert_eq!(kept, found[100..]);
    assert_eq!(Ok(kept), ours(&salvaged));
}
