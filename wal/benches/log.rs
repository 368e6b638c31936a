//! The log beside the raw disk: `cargo bench -p icn-wal`. Every figure is the median of rounds in
//! which both sides take turns, because machines are shared and noisy; the ratios are what counts.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use icn_wal::{From, FsDisk, Housekeeper, Wal};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RECORD: [u8; 256] = [0x5A; 256];
/// What one record takes in the log when it is a frame of its own.
const FRAME_BYTES: usize = 328;
const ROUNDS: usize = 5;
const DURABLE: usize = 1_000;
const WRITERS: usize = 64;
const BULK: usize = 200_000;
const RECOVERED: usize = 1_000_000;

fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn open(path: &Path) -> Outcome<(Arc<Wal<FsDisk>>, u64)> {
    let mut records = 0;
    let (wal, _) = Wal::open(FsDisk::create(path)?, From::Beginning, |_| {
        records += 1;
        ControlFlow::Continue(())
    })?;
    Ok((Arc::new(wal), records))
}

/// A file whose blocks are written and synced, as a segment's are before it is used.
fn prepared(path: &Path, bytes: usize) -> Outcome<File> {
    let file = File::create(path)?;
    file.write_all_at(&vec![0; bytes], 0)?;
    file.sync_all()?;
    Ok(file)
}

fn commits(wal: &Wal<FsDisk>, count: usize) -> Outcome<()> {
    for _ in 0..count {
        let lsns = wal.append(0, &[RECORD])?;
        wal.wait(*lsns.end())?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut out = std::io::stdout();
    let rate = |count: usize, took: Duration| count as f64 / took.as_secs_f64();

    let (wal, _) = open(&directory.path().join("log"))?;
    let housekeeper = Housekeeper::start(Arc::clone(&wal));
    let (mut raw, mut one, mut many, mut raw_bulk, mut bulk) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let file = prepared(&directory.path().join("raw"), DURABLE * FRAME_BYTES)?;
        raw.push(rate(
            DURABLE,
            timed(|| {
                for number in 0..DURABLE {
                    file.write_all_at(&[1; FRAME_BYTES], (number * FRAME_BYTES) as u64)?;
                    file.sync_data()?;
                }
                Ok(())
            })?,
        ));
        one.push(rate(DURABLE, timed(|| commits(&wal, DURABLE))?));
        let each = DURABLE * 4 / WRITERS;
        let took = timed(|| {
            std::thread::scope(|scope| {
                let work = || commits(&wal, each).map_err(|error| error.to_string());
                let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(work)).collect();
                for writer in writers {
                    writer.join().map_err(|_| "a writer panicked")??;
                }
                Ok(())
            })
        })?;
        many.push(rate(each * WRITERS, took));

        let bytes = BULK * RECORD.len();
        let file = prepared(&directory.path().join("raw"), bytes)?;
        raw_bulk.push(rate(
            BULK,
            timed(|| {
                let block = vec![1; 1 << 20];
                for start in (0..bytes).step_by(block.len()) {
                    let length = block.len().min(bytes - start);
                    file.write_all_at(&block[..length], start as u64)?;
                }
                Ok(file.sync_data()?)
            })?,
        ));
        bulk.push(rate(
            BULK,
            timed(|| {
                let mut last = None;
                for _ in 0..BULK {
                    last = Some(*wal.append(0, &[RECORD])?.end());
                }
                Ok(last.map_or(Ok(()), |last| wal.wait(last))?)
            })?,
        ));
    }
    drop(housekeeper);
    drop(wal);

    let path = directory.path().join("recovered");
    let (wal, _) = open(&path)?;
    let housekeeper = Housekeeper::start(Arc::clone(&wal));
    let batch = vec![RECORD; 1000];
    for _ in 0..RECOVERED / batch.len() {
        wal.append(0, &batch)?;
    }
    wal.wait(wal.last().ok_or("nothing was appended")?)?;
    drop(housekeeper);
    drop(wal);
    let (mut read, mut recovered) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        read.push(rate(
            RECOVERED,
            timed(|| {
                let mut buffer = vec![0; 1 << 20];
                for entry in std::fs::read_dir(&path)? {
                    let mut file = File::open(entry?.path())?;
                    let mut hasher = crc32fast::Hasher::new();
                    loop {
                        let count = file.read(&mut buffer)?;
                        if count == 0 {
                            break;
                        }
                        hasher.update(&buffer[..count]);
                    }
                    std::hint::black_box(hasher.finalize());
                }
                Ok(())
            })?,
        ));
        recovered.push(rate(
            RECOVERED,
            timed(|| {
                let (_, records) = open(&path)?;
                if records == RECOVERED as u64 { Ok(()) } else { Err("records are missing".into()) }
            })?,
        ));
    }

    writeln!(out, "256-byte records, medians of {ROUNDS} interleaved rounds")?;
    let mut line = |what: &str, ours: f64, theirs: f64, beside: &str| {
        writeln!(
            out,
            "{what:<44} {ours:>12.0}/s  {:>6.2} × {beside} ({theirs:.0}/s)",
            ours / theirs
        )
    };
    let (raw, raw_bulk, read) = (median(raw), median(raw_bulk), median(read));
    line("1 writer, each commit durable", median(one), raw, "raw pwrite+fdatasync")?;
    line("64 writers, each commit durable", median(many), raw, "raw pwrite+fdatasync")?;
    line("bulk, one sync at the end", median(bulk), raw_bulk, "raw 1 MiB writes")?;
    line("recovery of 1 000 000 records", median(recovered), read, "read()+CRC-32")?;
    Ok(())
}
