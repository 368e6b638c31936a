//! How far back a node can go, and what shortens it.

mod harness;

use harness::House;
use harness::checks::Watched;

fn shown(house: &House, arguments: &[&str]) -> String {
    let output = house.icnctl(arguments).output().expect("run icnctl");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn snapshots_by_hand_stops_and_kills_do_not_shorten_the_window() {
    // In memory, where a tenth of the file system is less than 10 GiB.
    let house = House::quick();
    let mut daemon = house.start();
    let disk = rustix::fs::statvfs(house.path()).expect("a file system");
    let tenth = (disk.f_frsize * disk.f_blocks / 10).min(10 << 30);
    assert_eq!(house.get(&["snapshot", "list"])["window"]["bytes_max"], tenth);
    house.create("a", &[]);
    let early = house.get(&["gossip", "publish", "a", "early"])["lsn"].as_u64().expect("an LSN");
    let digest = house.get(&["state", "digest"]);
    let lines: String = (0..2000).map(|line| format!("line {line}\n")).collect();
    assert!(house.publish_lines("a", &lines).status.success());
    let check_window = || {
        let listed = house.get(&["snapshot", "list"]);
        let window = &listed["window"];
        assert_eq!((&window["first"], &window["shortened"]), (&1.into(), &false.into()));
        let created = house.get(&["snapshot", "list", "--offline"])["window"]["since"].take();
        assert!(created.as_u64().is_some_and(|since| since > 0) && window["since"] == created);
        assert_eq!(house.get(&["state", "digest", "--lsn", &early.to_string()]), digest);
    };
    for _ in 0..4 {
        house.get(&["snapshot", "create"]);
    }
    check_window();
    for _ in 0..3 {
        house.get(&["gossip", "publish", "a", "one more"]);
        assert_eq!(daemon.stop("TERM"), Some(0));
        daemon = house.start();
    }
    check_window();
    daemon.kill();
    let _daemon = house.start();
    check_window();
    let text = shown(&house, &["snapshot", "list"]);
    assert!(!shown(&house, &["status"]).contains("! window"));
    assert!(text.contains("You can go back to 20") && text.contains(" ago, #1)"), "{text}");
    assert!(text.contains("above that it shortens") && text.contains("keep_hours"), "{text}");
    let restore = ["snapshot", "restore", "--lsn", &early.to_string(), "--yes"];
    assert_eq!(house.get(&restore)["restored_lsn"], early);
    assert_eq!(house.texts("a"), ["early"]);
}

#[test]
fn a_window_that_has_no_room_shortens_and_health_status_and_log_say_so() {
    let house = House::new();
    house.configure("[snapshot]\nkeep_mib = 6\n");
    let mut daemon = house.start();
    house.create("a", &[]);
    let early = house.get(&["gossip", "publish", "a", "early"])["lsn"].as_u64().expect("an LSN");
    let line = format!("{}\n", "x".repeat(1000));
    // The segments of the log have 1, 2 and 4 MiB.
    assert!(house.publish_lines("a", &line.repeat(3500)).status.success());
    Watched { house: &house, daemon: &daemon, name: "window" }
        .warns("of 6.0 MiB; above that it shortens");
    assert_eq!(house.get(&["state", "digest", "--lsn", &early.to_string()])["lsn"], early);
    for _ in 0..4 {
        house.get(&["snapshot", "create"]);
    }
    let listed = house.get(&["snapshot", "list"])["window"].take();
    assert_eq!(listed["shortened"], true, "{listed}");
    assert!(listed["first"].as_u64() > Some(early), "{listed}");
    let outside = house.fails(&["snapshot", "restore", "--lsn", &early.to_string(), "--yes"]);
    assert_eq!(outside, (21, "ICN-E0214".into()));
    let said = "was shortened to less than 24 h, since it may take 6.0 MiB";
    Watched { house: &house, daemon: &daemon, name: "window" }.warns(said);
    let text = shown(&house, &["snapshot", "list"]);
    assert!(text.contains(said) && text.contains("keep_mib in icn.toml"), "{text}");
    assert_eq!(daemon.stop("TERM"), Some(0));
    let daemon = house.start();
    Watched { house: &house, daemon: &daemon, name: "window" }.warns(said);
}
