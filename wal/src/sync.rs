//! Every primitive by which threads of the log synchronise. A build with `--cfg shuttle` replaces
//! them and tries the threads in every order.

#[cfg(shuttle)]
pub(crate) use explored::{AtomicU64, Mutex, MutexGuard, SetOnce};
#[cfg(not(shuttle))]
pub(crate) use real::{AtomicU64, Mutex, MutexGuard, SetOnce};

/// What a [`SetOnce`] holds until it is set.
pub(crate) const UNSET: u32 = 0;

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::atomic::AtomicU64;
    use std::sync::atomic::{AtomicU32, Ordering};

    use atomic_wait::{wait, wake_all};
    pub(crate) use parking_lot::{Mutex, MutexGuard};

    use super::UNSET;

    /// Unset, and at least one thread waits.
    const HAS_WAITERS: u32 = u32::MAX;

    /// A number that is set once, and on which threads can wait: one futex.
    #[derive(Debug, Default)]
    pub(crate) struct SetOnce(AtomicU32);

    impl SetOnce {
        /// Blocks until the number is set; returns it.
        pub(crate) fn get(&self) -> u32 {
            loop {
                match self.0.load(Ordering::Acquire) {
                    HAS_WAITERS => wait(&self.0, HAS_WAITERS),
                    UNSET => {
                        // If another thread was faster, the next load shows what it stored.
                        let relaxed = Ordering::Relaxed;
                        let _ = self.0.compare_exchange(UNSET, HAS_WAITERS, relaxed, relaxed);
                    }
                    value => return value,
                }
            }
        }

        /// Sets the number and wakes all waiters; costs a system call only if there are any.
        pub(crate) fn set(&self, value: u32) {
            if self.0.swap(value, Ordering::Release) == HAS_WAITERS {
                wake_all(&self.0);
            }
        }
    }
}

#[cfg(shuttle)]
mod explored {
    use shuttle::sync::Condvar;
    pub(crate) use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::sync::atomic::AtomicU64;

    use super::UNSET;

    /// Like `parking_lot`'s, without poisoning.
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
    pub(crate) struct SetOnce {
        value: Mutex<u32>,
        set: Condvar,
    }

    impl SetOnce {
        pub(crate) fn get(&self) -> u32 {
            let mut value = self.value.lock();
            while *value == UNSET {
                value = self.set.wait(value).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            *value
        }

        pub(crate) fn set(&self, value: u32) {
            *self.value.lock() = value;
            self.set.notify_all();
        }
    }
}
