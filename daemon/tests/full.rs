//! A real node on a disk that is full for a while.

mod harness;

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use harness::checks::Watched;
use harness::{House, until};

/// Runs a command above a file system of 24 MiB, which no other process sees.
const MOUNT: &str = "mount -t tmpfs -o size=24m tmpfs \"$0\" && exec \"$@\"";

#[test]
fn a_full_disk_is_seen_in_every_place_and_so_is_its_end() {
    let house = House::at("disk/data");
    let disk = house.around().join("disk");
    fs::create_dir(&disk).expect("create");
    let mount = disk.to_str().expect("UTF-8");
    let under = ["unshare", "-rm", "sh", "-c", MOUNT, mount];
    let is_possible = Command::new(under[0]).args(&under[1..]).arg("true").status();
    if !is_possible.is_ok_and(|status| status.success()) {
        println!("skipped: this machine mounts no file system for a process");
        return;
    }
    let spawn = |_| house.icnd(&under).args(["--http", "127.0.0.1:0"]).spawn();
    let mut daemon = house.start_by(spawn, &[]);
    let inside = format!("/proc/{}/root{mount}", daemon.id());
    let seen = House::at(&format!("{inside}/data"));
    let log = Watched { house: &seen, daemon: &daemon, name: "log" };
    let snapshot = Watched { house: &seen, daemon: &daemon, name: "snapshot" };
    seen.get(&["topic", "create", "a"]);
    let long = "x".repeat(60_000);
    seen.get(&["gossip", "publish", "a", &long]);

    let ballast = format!("{inside}/ballast");
    let mut file = File::create(&ballast).expect("create");
    while file.write_all(&[7; 64 << 10]).is_ok() {}
    let refused = until("a refusal", || {
        let (code, reply) = seen.ask(&["gossip", "publish", "a", &long]);
        (code != 0).then_some(reply)
    });
    assert_eq!(refused["error"]["code"], "ICN-E0203", "{refused}");
    log.warns("the disk is full");
    assert_eq!(seen.fails(&["snapshot", "create"]).1, "ICN-E0203");
    snapshot.warns("the last save failed");
    // Reads go on.
    assert!(seen.texts("a").iter().all(|text| *text == long));

    fs::remove_file(&ballast).expect("remove");
    drop(file);
    until("a publication", || (seen.ask(&["gossip", "publish", "a", "room"]).0 == 0).then_some(()));
    log.is_over();
    seen.get(&["snapshot", "create"]);
    snapshot.is_over();
    assert_eq!(daemon.stop("TERM"), Some(0));
}
