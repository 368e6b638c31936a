//! The latency of commits while snapshots are saved concurrently.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use icn_snapshot::{Compactor, Image, Store};
use icn_wal::{FsDisk, Housekeeper};

use crate::measure::{clock, median, millis, per_mille};
use crate::state::{Accounts, Change, filled, key, value};
use crate::{BoxResult, KEYS};

const ROUNDS: usize = 5;
const ROUND_TIME: Duration = Duration::from_secs(5);
const BATCHES: [u32; 2] = [1, 100];
/// How long the control computes and rests, together.
const SLICE: Duration = Duration::from_millis(10);

/// The results of one run.
#[derive(Default)]
struct Run {
    /// The latencies of all commits, sorted.
    latencies: Vec<Duration>,
    snapshots: u32,
    /// The share of the time in which the concurrent thread computed.
    share: f64,
}

pub(crate) fn print(out: &mut impl Write, directory: &Path) -> BoxResult<()> {
    writeln!(out, "\n### Commits while snapshots are taken back to back\n")?;
    if !raise_this_thread()? {
        writeln!(
            out,
            "Without real-time priority: the writer waits for a processor like any other."
        )?;
    }
    writeln!(
        out,
        "Medians of {ROUNDS} rounds of {} s each. The control computes as much concurrently.\n",
        ROUND_TIME.as_secs()
    )?;
    writeln!(
        out,
        "| keys | records a commit | | commits | snapshots | p50 µs | p99 | p99.9 | max | p99.9 × control | max − control ms |"
    )?;
    writeln!(out, "|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for keys in KEYS {
        let path = directory.join(format!("stall-{keys}"));
        let mut store = filled(&path, keys)?;
        let _housekeeper = Housekeeper::start(Arc::clone(store.wal()))?;
        for batch in BATCHES {
            let mut with = Vec::new();
            let mut without = Vec::new();
            for _ in 0..ROUNDS {
                let run = with_snapshots(&mut store, keys, batch)?;
                without.push(with_control(&mut store, keys, batch, run.share)?);
                with.push(run);
            }
            table(out, keys, batch, &with, &without)?;
        }
        drop(store);
        std::fs::remove_dir_all(&path)?;
    }
    Ok(())
}

fn table(
    out: &mut impl Write,
    keys: u32,
    batch: u32,
    with: &[Run],
    without: &[Run],
) -> BoxResult<()> {
    let micros = |runs: &[Run], rank| {
        median(runs.iter().map(|run| millis(per_mille(&run.latencies, rank)) * 1000.0).collect())
    };
    let row = |runs: &[Run]| {
        let commits: usize = runs.iter().map(|run| run.latencies.len()).sum();
        let snapshots: u32 = runs.iter().map(|run| run.snapshots).sum();
        format!(
            "{commits} | {snapshots} | {:.0} | {:.0} | {:.0} | {:.0}",
            micros(runs, 500),
            micros(runs, 990),
            micros(runs, 999),
            micros(runs, 1000)
        )
    };
    // Compared pair by pair: a slow phase of the machine slows both runs of a round.
    let pairs = |rank, compare: fn(f64, f64) -> f64| {
        let figure = |run: &Run| millis(per_mille(&run.latencies, rank));
        median(
            with.iter()
                .zip(without)
                .map(|(run, control)| compare(figure(run), figure(control)))
                .collect(),
        )
    };
    let ratio = pairs(999, |run, control| run / control);
    let added = pairs(1000, |run, control| run - control);
    writeln!(out, "| {keys} | {batch} | control | {} | | |", row(without))?;
    writeln!(out, "| {keys} | {batch} | snapshots | {} | {ratio:.2} | {added:.1} |", row(with))?;
    out.flush()?;
    Ok(())
}

/// Commits while another thread saves one image after the other.
fn with_snapshots(store: &mut Store<Accounts, FsDisk>, keys: u32, batch: u32) -> BoxResult<Run> {
    let compactor = store.compactor().clone();
    // The channel holds no image: the next one is taken when the thread is ready for it.
    let (send, receive) = sync_channel::<Image<Accounts>>(0);
    std::thread::scope(|scope| {
        let saving = scope.spawn(move || save(&compactor, &receive));
        let latencies = commits(store, keys, batch, |store| {
            // The cost of the image counts as part of the commit that it delays.
            if let Some(image) = store.image(0, 0) {
                let _ = send.try_send(image);
            }
        });
        drop(send);
        let (snapshots, share) = saving.join().map_err(|_| "the compactor panicked")??;
        Ok(Run { latencies: latencies?, snapshots, share })
    })
}

fn save(
    compactor: &Compactor<FsDisk>,
    images: &Receiver<Image<Accounts>>,
) -> BoxResult<(u32, f64)> {
    let mut count = 0;
    let start = clock();
    let before = computed()?;
    for image in images {
        compactor.save(image)?;
        count += 1;
    }
    let share = (computed()? - before).as_secs_f64() / start.elapsed().as_secs_f64();
    Ok((count, share))
}

/// Commits while another thread computes for the given `share` of the time.
fn with_control(
    store: &mut Store<Accounts, FsDisk>,
    keys: u32,
    batch: u32,
    share: f64,
) -> BoxResult<Run> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = vec![0; 1 << 20];
            while !stop.load(Ordering::Relaxed) {
                let start = clock();
                while start.elapsed() < SLICE.mul_f64(share) {
                    let hash = blake3::hash(&bytes);
                    bytes[..32].copy_from_slice(hash.as_bytes());
                }
                std::thread::sleep(SLICE.saturating_sub(start.elapsed()));
            }
        });
        let latencies = commits(store, keys, batch, |_| ());
        stop.store(true, Ordering::Relaxed);
        Ok(Run { latencies: latencies?, snapshots: 0, share })
    })
}

/// Commits batches, each durable before the next. Returns the sorted latencies.
fn commits(
    store: &mut Store<Accounts, FsDisk>,
    keys: u32,
    batch: u32,
    mut before_each: impl FnMut(&mut Store<Accounts, FsDisk>),
) -> BoxResult<Vec<Duration>> {
    static SEED: AtomicU64 = AtomicU64::new(0);
    let mut latencies = Vec::new();
    let start = clock();
    while start.elapsed() < ROUND_TIME {
        let mut changes = Vec::new();
        for _ in 0..batch {
            let seed = SEED.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            let number = u32::try_from((seed >> 32) % u64::from(keys))?;
            changes.push(Change::Put(key(number), value(seed)));
        }
        let start = clock();
        before_each(store);
        let mut last = None;
        for change in changes {
            last = Some(store.commit(0, change)?.0);
        }
        store.wal().wait(last.ok_or("an empty batch")?)?;
        latencies.push(start.elapsed());
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// Gives this thread real-time priority; `false` when that is not permitted.
///
/// On a busy machine a thread waits longer for a processor than for the disk. Only the writer is raised: if
/// the concurrent thread were too, the kernel threads that a sync waits for would get no processor.
fn raise_this_thread() -> BoxResult<bool> {
    let thread = std::fs::read_link("/proc/thread-self")?;
    let thread = thread.file_name().ok_or("no thread")?;
    let mut chrt = Command::new("chrt");
    let chrt = chrt.args(["--reset-on-fork", "--rr", "--pid", "1"]).arg(thread);
    Ok(chrt.stderr(Stdio::null()).status().is_ok_and(|status| status.success()))
}

/// The processor time of this thread.
fn computed() -> BoxResult<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = schedstat.split_whitespace().next().ok_or("an empty schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
