//! Planted bugs: built in on purpose, to check that the tests notice them.
//!
//! Only a build with `--cfg plant` has them. It shows the one that the environment variable
//! `ICN_PLANT` names. `cargo run -p icn-tests --bin plants` tries them all.

/// Whether this bug is switched on.
#[cfg(not(plant))]
#[inline(always)]
pub(crate) const fn planted(_: &str) -> bool {
    false
}

/// Whether this bug is switched on.
#[cfg(plant)]
pub(crate) fn planted(bug: &str) -> bool {
    static SHOWN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    SHOWN.get_or_init(|| std::env::var("ICN_PLANT").ok()).as_deref() == Some(bug)
}
