//! Real nodes on hosts of their own, which find each other by multicast DNS, and a network between
//! them that goes and comes.
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
    // Past the test harness, which keeps to itself what a test prints that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: only Linux has network namespaces");
}
