//! What a network costs: processors, wire, disk.

use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::rounds::median;

/// In what unit Linux tells the time that processes have taken.
const TICKS_PER_SECOND: f64 = 100.0;

const SYNCS: usize = 200;

pub(crate) fn clock() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    Instant::now()
}

/// What the processors have spent on a process, by its id or `self`.
pub(crate) fn cpu(process: &str) -> Outcome<Duration> {
    let stat = read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold spaces.
    let (_, rest) = stat.rsplit_once(')').ok_or("no stat of a process")?;
    let mut ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let mut next = || ticks.next().ok_or("no times in it");
    let user = next()??;
    let system = next()??;
    Ok(Duration::from_secs_f64((user + system) as f64 / TICKS_PER_SECOND))
}

/// What has passed the loopback device of this network namespace: each packet once, with its IP
/// and UDP headers. A batch that is handed to the kernel at once and cut up behind the device (GSO)
/// is one packet there.
#[derive(Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) bytes: f64,
    pub(crate) packets: f64,
}

impl Wire {
    pub(crate) fn now() -> Outcome<Self> {
        let devices = read_to_string("/proc/self/net/dev")?;
        let lo = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
        let mut figures = lo.ok_or("no loopback device")?.split_whitespace().map(str::parse);
        let mut next = || figures.next().ok_or("no counts of it");
        Ok(Self { bytes: next()??, packets: next()?? })
    }

    pub(crate) fn since(before: Self) -> Outcome<Self> {
        let now = Self::now()?;
        Ok(Self { bytes: now.bytes - before.bytes, packets: now.packets - before.packets })
    }
}

/// The median time, in ms, of small writes to so many files, each with its sync, all begun at once after
/// a rest, until the last is done.
pub(crate) fn sync_ms(directory: &Path, files: usize, rest: Duration) -> Outcome<f64> {
    let file = |index| File::create(directory.join(format!("synced-{index}")));
    let files: Vec<File> = (0..files).map(file).collect::<Result<_, _>>()?;
    let together = Barrier::new(files.len());
    let write = |file: &File| {
        let moments = (0..SYNCS).map(|_| {
            thread::sleep(rest);
            together.wait();
            let start = clock();
            file.write_all_at(&[1; 512], 0).and_then(|()| file.sync_data())?;
            Ok((start, clock()))
        });
        moments.collect::<Outcome<Vec<_>>>()
    };
    let moments: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = files.iter().map(|file| scope.spawn(|| write(file))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Outcome<_>>()
    })?;
    let time = |sync: usize| {
        let start = moments.iter().map(|file| file[sync].0).min();
        let end = moments.iter().map(|file| file[sync].1).max();
        start.zip(end).map_or(f64::NAN, |(start, end)| (end - start).as_secs_f64() * 1e3)
    };
    Ok(median((0..SYNCS).map(time).collect()))
}
