//! Real nodes on hosts of their own, which find each other by multicast DNS over a network that
//! fails and recovers.
//!
//! Hosts are network namespaces: they need Linux, root and `ip` (iproute2).

#[cfg(target_os = "linux")]
mod cuts;
#[cfg(target_os = "linux")]
#[path = "../harness/mod.rs"]
mod harness;
#[cfg(target_os = "linux")]
mod lan;
#[cfg(target_os = "linux")]
mod moves;
#[cfg(target_os = "linux")]
mod site;

#[cfg(not(target_os = "linux"))]
#[test]
fn hosts_are_skipped_without_linux() {
    use std::io::Write as _;
    // Directly to stderr: the test harness hides the output of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: only Linux has network namespaces");
}
