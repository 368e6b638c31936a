//! A real `icnd` struck at every one of its file-system calls: killed before, within and after it,
//! or given an error instead. Then it starts again, and must have every acknowledged request.
//!
//! `cargo test` takes a sample. `ICN_SWEEP=all cargo test -p icn-daemon --test syscalls -- --nocapture`
//! takes every call.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../harness/mod.rs"]
mod harness;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod sweep;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[test]
fn system_calls_are_skipped_off_linux_on_x86_64() {
    println!("skipped: only the system calls of Linux on x86_64 are known");
}
