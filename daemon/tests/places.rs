//! Where a node can live, and where not.

mod harness;

use std::fs;
use std::process::Command;

use harness::House;

/// The script that runs a command above a FUSE file system.
const FUSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuse.py");
/// What it exits with when this machine does not allow that.
const SKIPPED: i32 = 77;

/// Whether this machine allows it.
fn possible(command: &[&str]) -> bool {
    Command::new(command[0])
        .args(&command[1..])
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn a_node_does_not_live_on_fuse_unless_somebody_insists() {
    if !possible(&["unshare", "-rm", "python3", "-c", ""]) {
        println!("skipped: no mount namespace of its own, or no Python");
        return;
    }
    let house = House::new();
    fs::create_dir(house.path()).expect("create");
    let mount = house.path().to_str().expect("UTF-8");
    let run = |arguments: &[&str]| {
        house.run_under(&["unshare", "-rm", "python3", FUSE, mount], arguments)
    };
    let (status, text) = run(&[]);
    if status == SKIPPED {
        println!("skipped: no FUSE file system can be mounted here");
        return;
    }
    assert_eq!(status, 23, "{text}");
    for told in ["it is on FUSE", "--data-dir", "--unsafe-fs", "ICN-E0109 · exit 23"] {
        assert!(text.contains(told), "{told} in {text}");
    }
    // This one is also read-only, which is the next thing to be told.
    let (status, text) = run(&["--unsafe-fs"]);
    assert!(status == 1 && text.contains("Read-only file system"), "{status}: {text}");
    assert_eq!(fs::read_dir(house.path()).expect("read").count(), 0);
}
