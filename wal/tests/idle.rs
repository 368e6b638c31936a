//! What an idle log costs. A process of its own, because it inspects its threads.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "a test against the clock")]

use std::fs::{read_dir, read_to_string};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use icn_wal::disk::SimDisk;
use icn_wal::{Housekeeper, ReplayFrom, Wal};

/// The thread of the housekeeper, once it has its name.
fn task() -> Option<PathBuf> {
    let tasks = read_dir("/proc/self/task").ok()?.filter_map(|task| Some(task.ok()?.path()));
    let is = |task: &PathBuf| {
        read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "wal-housekeeper")
    };
    tasks.into_iter().find(is)
}

/// How often the thread has gone to sleep.
fn sleeps(task: &Path) -> u64 {
    let status = read_to_string(task.join("status")).expect("a thread");
    let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
    let count = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    count.expect("a count")
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never happens");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_housekeeper_of_an_idle_log_never_wakes() {
    let disk = SimDisk::new(1);
    let (wal, _) =
        Wal::open(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("open");
    let wal = Arc::new(wal);
    let _house = Housekeeper::start(Arc::clone(&wal)).expect("thread");
    let task = until(task);
    for turn in 1..4 {
        wal.commit(0, &["record"]).expect("commit");
        until(|| (wal.stats().frames == 2 * turn).then_some(()));
        // It makes its last checks.
        let mut before = sleeps(&task);
        until(|| {
            sleep(Duration::from_millis(100));
            let last = std::mem::replace(&mut before, sleeps(&task));
            (last == before).then_some(())
        });
        sleep(Duration::from_millis(300));
        assert_eq!(sleeps(&task), before);
    }
}
