//! Compares the log with the raw disk and with its peers: `cd wal/benches && cargo bench`. Machines are
//! shared and noisy, so all sides take turns in every round. Only the medians of the rounds, and the
//! ratios inside them, are reported.
//!
//! What it prints is the body of `docs/BENCHMARKS.md`. `cargo bench -- writers` (or `bulk`, `tickets`,
//! `recovery`) measures one part of it.

mod disk;
mod engine;
mod load;
mod peers;
mod recovery;
mod rounds;

use std::error::Error;
use std::io::Write;

use crate::engine::{ENGINES, Engine, IcnWal};
use crate::load::{Kept, Latencies, bulk, commits};
use crate::rounds::Rounds;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 5;
const WRITERS: [usize; 4] = [1, 8, 64, 256];
const SMALL: usize = 256;
const LARGE: usize = 4096;
const BULK_BYTES: usize = 100 << 20;
const BATCH: usize = 1000;
const IN_FLIGHT: usize = 10_000;
const TICKETS: usize = 2_000_000;
const RECOVERED: usize = 1_000_000;
const LIMIT: &str = "raw disk";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, engine, path] = &arguments[..]
        && command == recovery::COMMAND
    {
        return recovery::print(engine, path.as_ref());
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut out = std::io::stdout();
    let mut engines = Vec::new();
    for (name, open) in ENGINES {
        engines.push((name, open(&directory.path().join(name))?));
    }
    let raw = directory.path().join("raw");
    let sections: Vec<_> = arguments[1..].iter().filter(|word| !word.starts_with('-')).collect();
    let wanted =
        |section: &str| sections.is_empty() || sections.iter().any(|word| *word == section);

    writeln!(out, "Medians of {ROUNDS} rounds in which all take turns.")?;
    if wanted("writers") {
        blocking_writers(&mut out, &engines, &raw)?;
    }
    if wanted("bulk") {
        in_bulk(&mut out, &engines, &raw, Kept::All)?;
        in_bulk(&mut out, &engines, &raw, Kept::Short)?;
    }
    drop(engines);
    if wanted("tickets") {
        without_threads(&mut out, directory.path())?;
    }
    if wanted("recovery") {
        recovered(&mut out, directory.path())?;
    }
    Ok(())
}

fn blocking_writers(
    out: &mut impl Write,
    engines: &[(&'static str, Box<dyn Engine>)],
    raw: &std::path::Path,
) -> Outcome<()> {
    let record = load::record(SMALL);
    let mut limit = Rounds::default();
    let mut rates = WRITERS.map(|_| Rounds::default());
    let mut latencies: [Vec<Latencies>; WRITERS.len()] = Default::default();
    let mut written = Rounds::default();
    for _ in 0..ROUNDS {
        limit.push(LIMIT, disk::durable_writes(raw, SMALL)?);
        for (at, writers) in WRITERS.into_iter().enumerate() {
            latencies[at].resize_with(engines.len(), Latencies::default);
            for ((name, engine), latencies) in engines.iter().zip(&mut latencies[at]) {
                let before = disk::written_bytes(raw);
                let run = commits(engine.as_ref(), writers, &record, latencies)?;
                rates[at].push(name, run.rate);
                if writers == 1
                    && let (Some(before), Some(after)) = (before, disk::written_bytes(raw))
                {
                    written.push(name, (after - before) as f64 / (run.count * SMALL) as f64);
                }
            }
        }
    }
    writeln!(out, "\n### Blocking writers, {SMALL} B, each commit durable before the next\n")?;
    writeln!(out, "One raw pwrite+fdatasync into a recycled file after the other: {:.0}/s.", {
        limit.median(LIMIT)
    })?;
    writeln!(out, "The limit is that rate times the number of writers.\n")?;
    writeln!(
        out,
        "| writers | log | commits/s | × limit | p50 | p99 | p99.9 µs | disk bytes/byte |"
    )?;
    writeln!(out, "|--:|---|--:|--:|--:|--:|--:|--:|")?;
    for (at, writers) in WRITERS.into_iter().enumerate() {
        for ((name, _), latencies) in engines.iter().zip(&mut latencies[at]) {
            let share = rates[at].ratio(name, &limit, LIMIT) / writers as f64;
            let [p50, p99, p999] = [500, 990, 999].map(|rank| latencies.per_mille(rank));
            let rate = rates[at].median(name);
            write!(
                out,
                "| {writers} | {name} | {rate:.0} | {share:.2} | {p50} | {p99} | {p999} |"
            )?;
            match written.any(name).filter(|_| writers == 1) {
                Some(bytes) => writeln!(out, " {bytes:.1} |")?,
                None => writeln!(out, " |")?,
            }
        }
    }
    Ok(())
}

fn in_bulk(
    out: &mut impl Write,
    engines: &[(&'static str, Box<dyn Engine>)],
    raw: &std::path::Path,
    kept: Kept,
) -> Outcome<()> {
    let small = load::record(SMALL);
    let large = load::record(LARGE);
    let mut limit = Rounds::default();
    let [mut one_sync, mut batches, mut large_batches] = [(); 3].map(|()| Rounds::default());
    if kept == Kept::Short {
        // Until there is something to use again.
        for (_, engine) in engines {
            load::batches(engine.as_ref(), &large, BATCH, 4 * BULK_BYTES, kept)?;
        }
    }
    for _ in 0..ROUNDS {
        limit.push(LIMIT, disk::bulk_writes(raw, BULK_BYTES)?);
        for (name, engine) in engines {
            let engine = engine.as_ref();
            if let Some(rate) = bulk(engine, &small, BULK_BYTES, kept)? {
                one_sync.push(name, rate);
            }
            batches.push(name, load::batches(engine, &small, BATCH, BULK_BYTES, kept)?);
            large_batches.push(name, load::batches(engine, &large, BATCH, BULK_BYTES, kept)?);
        }
    }
    let mib = |rate: f64| rate / f64::from(1 << 20);
    let what = match kept {
        Kept::All => "a log that only grows",
        Kept::Short => "a log that is kept short",
    };
    writeln!(out, "\n### In bulk, {what}\n")?;
    writeln!(out, "Raw 1 MiB writes into a recycled file and one fdatasync: {:.0} MiB/s.\n", {
        mib(limit.median(LIMIT))
    })?;
    writeln!(
        out,
        "| log | {SMALL} B, one sync at the end | {SMALL} B, durable batches of {BATCH} | {LARGE} B, durable batches of {BATCH} |"
    )?;
    writeln!(out, "|---|--:|--:|--:|")?;
    for (name, _) in engines {
        write!(out, "| {name} |")?;
        for rounds in [&one_sync, &batches, &large_batches] {
            match rounds.any(name) {
                Some(rate) => {
                    let ratio = rounds.ratio(name, &limit, LIMIT);
                    write!(out, " {:.0} MiB/s, {ratio:.2} × |", mib(rate))?;
                }
                None => write!(out, " not offered |")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn without_threads(out: &mut impl Write, directory: &std::path::Path) -> Outcome<()> {
    let record = load::record(SMALL);
    let engine = IcnWal::open(&directory.join("tickets"))?;
    let [mut in_order, mut tickets] = [(); 2].map(|()| Rounds::default());
    for _ in 0..ROUNDS {
        in_order.push(LIMIT, load::in_order(&engine, &record, IN_FLIGHT, TICKETS)?);
        engine.forget()?;
        tickets.push(LIMIT, load::tickets(&engine, &record, IN_FLIGHT, TICKETS)?);
        engine.forget()?;
    }
    writeln!(out, "\n### Without a thread for each commit, {IN_FLIGHT} in flight, {SMALL} B\n")?;
    writeln!(out, "| | commits/s |\n|---|--:|")?;
    writeln!(out, "| acknowledged in order by what is durable | {:.0} |", in_order.median(LIMIT))?;
    writeln!(out, "| each a task that awaits its ticket | {:.0} |", tickets.median(LIMIT))?;
    Ok(())
}

fn recovered(out: &mut impl Write, directory: &std::path::Path) -> Outcome<()> {
    let record = load::record(SMALL);
    let path = |name: &str| directory.join(format!("{name}-recovered"));
    for (name, open) in ENGINES {
        let engine = open(&path(name))?;
        load::batches(engine.as_ref(), &record, BATCH, RECOVERED * SMALL, Kept::All)?;
    }
    let mut rates = Rounds::default();
    let mut resident = Rounds::default();
    let ours = path(ENGINES[0].0);
    for _ in 0..ROUNDS {
        let limit = recovery::ask(LIMIT, &ours)?;
        rates.push(LIMIT, RECOVERED as f64 / limit.seconds);
        for (name, _) in ENGINES {
            let run = recovery::ask(name, &path(name))?;
            if run.records != RECOVERED as u64 {
                return Err(format!("{name} found {} of {RECOVERED} records", run.records).into());
            }
            rates.push(name, RECOVERED as f64 / run.seconds);
            resident.push(name, run.resident_mib);
        }
    }
    writeln!(out, "\n### Recovery of {RECOVERED} records of {SMALL} B, page cache warm\n")?;
    writeln!(out, "The limit is read() and crc32fast over the files of {}.\n", ENGINES[0].0)?;
    writeln!(out, "| log | records/s | × limit | resident MiB |")?;
    writeln!(out, "|---|--:|--:|--:|")?;
    writeln!(out, "| read()+CRC | {:.0} | 1 | |", rates.median(LIMIT))?;
    for (name, _) in ENGINES {
        let rate = rates.median(name);
        let ratio = rates.ratio(name, &rates, LIMIT);
        writeln!(out, "| {name} | {rate:.0} | {ratio:.2} | {:.0} |", resident.median(name))?;
    }
    Ok(())
}
