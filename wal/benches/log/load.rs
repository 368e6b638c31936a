//! The workloads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::engine::{Engine, IcnWal};

const A_WHILE: Duration = Duration::from_secs(1);

pub(crate) fn clock() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    Instant::now()
}

/// Bytes that do not compress.
pub(crate) fn record(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

/// How often `work` was done in a second, tried for a while.
pub(crate) fn rate_for_a_while(mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let start = clock();
    let mut count = 0;
    while start.elapsed() < A_WHILE {
        work()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// How long commits took, in microseconds.
#[derive(Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn per_mille(&mut self, rank: usize) -> u32 {
        self.0.sort_unstable();
        self.0.get(self.0.len() * rank / 1000).copied().unwrap_or(0)
    }
}

pub(crate) struct Run {
    pub(crate) count: usize,
    pub(crate) rate: f64,
}

/// Threads that commit one record after the other, for a while.
pub(crate) fn commits(
    engine: &dyn Engine,
    writers: usize,
    record: &[u8],
    latencies: &mut Latencies,
) -> Outcome<Run> {
    let stop = AtomicBool::new(false);
    let work = |writer: usize| -> Outcome<Vec<u32>> {
        let mut latencies = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let start = clock();
            engine.commit(writer, record, 1)?;
            latencies.push(u32::try_from(start.elapsed().as_micros())?);
        }
        Ok(latencies)
    };
    let start = clock();
    let found = std::thread::scope(|scope| -> Outcome<Vec<Vec<u32>>> {
        let work = &work;
        let writers: Vec<_> = (0..writers).map(|at| scope.spawn(move || work(at))).collect();
        std::thread::sleep(A_WHILE);
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().map_err(|_| "a writer panicked")?).collect()
    })?;
    let took = start.elapsed().as_secs_f64();
    let count = found.iter().map(Vec::len).sum();
    latencies.0.extend(found.into_iter().flatten());
    Ok(Run { count, rate: count as f64 / took })
}

/// How a log grows while it is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing is dropped.
    All,
    /// Everything is dropped now and then, as compaction does.
    Short,
}

/// After so many bytes a log that is kept short drops what it has.
const SLICE_BYTES: usize = 25 << 20;

/// Bytes per second, in slices.
fn sliced(
    engine: &dyn Engine,
    bytes: usize,
    kept: Kept,
    mut slice: impl FnMut(usize) -> Outcome<()>,
) -> Outcome<f64> {
    let size = if kept == Kept::Short { SLICE_BYTES } else { bytes };
    let start = clock();
    for _ in 0..bytes / size {
        slice(size)?;
        if kept == Kept::Short {
            engine.forget()?;
        }
    }
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

/// Bytes per second of records one by one with one sync for each slice.
pub(crate) fn bulk(
    engine: &dyn Engine,
    record: &[u8],
    bytes: usize,
    kept: Kept,
) -> Outcome<Option<f64>> {
    if engine.bulk(record, 1).is_none() {
        return Ok(None);
    }
    let slice = |size: usize| engine.bulk(record, size / record.len()).unwrap_or(Ok(()));
    sliced(engine, bytes, kept, slice).map(Some)
}

/// Bytes per second of batches, each durable before the next.
pub(crate) fn batches(
    engine: &dyn Engine,
    record: &[u8],
    count: usize,
    bytes: usize,
    kept: Kept,
) -> Outcome<f64> {
    sliced(engine, bytes, kept, |size| {
        let batches = size / record.len() / count;
        (0..batches).try_for_each(|_| engine.commit(0, record, count))
    })
}

/// Commits per second that one thread starts and acknowledges in order by what is durable, at most
/// `in_flight` of them not yet durable.
pub(crate) fn in_order(
    engine: &IcnWal,
    record: &[u8],
    in_flight: usize,
    count: usize,
) -> Outcome<f64> {
    let wal = &engine.wal;
    let mut waiting = VecDeque::with_capacity(in_flight);
    let start = clock();
    for _ in 0..count {
        if waiting.len() == in_flight {
            wal.wait(waiting[0])?;
            let durable = wal.durable();
            while waiting.front().is_some_and(|&lsn| Some(lsn) <= durable) {
                waiting.pop_front();
            }
        }
        waiting.push_back(*wal.append(0, &[record])?.end());
    }
    if let Some(&last) = waiting.back() {
        wal.wait(last)?;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Commits per second of `tasks` tasks on one thread, each of which awaits its ticket before it
/// commits again.
pub(crate) fn tickets(engine: &IcnWal, record: &[u8], tasks: usize, count: usize) -> Outcome<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let start = clock();
    runtime.block_on(async {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let wal = Arc::clone(&engine.wal);
            let record = record.to_vec();
            set.spawn(async move {
                for _ in 0..count / tasks {
                    wal.ticket(*wal.append(0, &[&record])?.end()).await?;
                }
                Ok::<_, icn_wal::Error>(())
            });
        }
        while let Some(done) = set.join_next().await {
            done??;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    Ok((count / tasks * tasks) as f64 / start.elapsed().as_secs_f64())
}
