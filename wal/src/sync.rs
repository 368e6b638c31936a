//! Everything by which threads meet in the log, so that a build with `--cfg shuttle` can try their
//! meetings in every order.

#[cfg(not(shuttle))]
pub(crate) use real::{AtomicU64, Mutex, MutexGuard, Word};
#[cfg(shuttle)]
pub(crate) use tried::{AtomicU64, Mutex, MutexGuard, Word};

/// What a [`Word`] says until somebody sets it.
pub(crate) const UNSET: u32 = 0;

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::atomic::AtomicU64;
    use std::sync::atomic::{AtomicU32, Ordering};

    use atomic_wait::{wait, wake_all};
    pub(crate) use parking_lot::{Mutex, MutexGuard};

    use super::UNSET;

    /// Unset, and somebody waits.
    const AWAITED: u32 = u32::MAX;

    /// A number that is set once, and threads that wait for that: one futex.
    #[derive(Debug, Default)]
    pub(crate) struct Word(AtomicU32);

    impl Word {
        /// Blocks until the word is set; returns what it says.
        pub(crate) fn get(&self) -> u32 {
            loop {
                match self.0.load(Ordering::Acquire) {
                    AWAITED => wait(&self.0, AWAITED),
                    UNSET => {
                        // Lost to whoever sets it or waits too: the next look shows to whom.
                        let relaxed = Ordering::Relaxed;
                        let _ = self.0.compare_exchange(UNSET, AWAITED, relaxed, relaxed);
                    }
                    said => return said,
                }
            }
        }

        /// Sets the word and wakes all who wait, which costs a system call only if somebody does.
        pub(crate) fn set(&self, said: u32) {
            if self.0.swap(said, Ordering::Release) == AWAITED {
                wake_all(&self.0);
            }
        }
    }
}

#[cfg(shuttle)]
mod tried {
    use shuttle::sync::Condvar;
    pub(crate) use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::sync::atomic::AtomicU64;

    use super::UNSET;

    /// As that of `parking_lot`, which knows no poisoning.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Word {
        said: Mutex<u32>,
        set: Condvar,
    }

    impl Word {
        pub(crate) fn get(&self) -> u32 {
            let mut said = self.said.lock();
            while *said == UNSET {
                said = self.set.wait(said).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            *said
        }

        pub(crate) fn set(&self, said: u32) {
            *self.said.lock() = said;
            self.set.notify_all();
        }
    }
}
