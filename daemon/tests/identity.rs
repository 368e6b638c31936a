//! The identity of a node: damage of its key, a start without its disk, another account, and a second process.

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use harness::checks::Watched;
use harness::{House, until};

const OTHER_ACCOUNT: [&str; 3] = ["setpriv", "--reuid=65534", "--clear-groups"];

#[test]
fn a_damaged_key_is_replaced_by_its_copy_and_the_operator_is_notified() {
    let house = House::new();
    let did = house.init();
    let key = house.path().join("identity.key");
    let whole = fs::read(&key).expect("read");
    for name in ["identity.key", "identity.key.copy"] {
        let mut damaged = whole.clone();
        damaged[100] ^= 1;
        fs::write(house.path().join(name), &damaged).expect("write");
        let daemon = house.start();
        assert_eq!(house.did(), did);
        let check = Watched { house: &house, daemon: &daemon, name: "identity" };
        check.warns(&format!("{name} was damaged"));
        assert!(daemon.out().contains(&format!("{name} was damaged")), "{}", daemon.out());
        daemon.kill();
        assert_eq!(fs::read(house.path().join(name)).expect("read"), whole);
    }
    let daemon = house.start();
    let status = house.get(&["status"]);
    let mut checks = status["checks"].as_array().expect("checks").iter();
    assert!(checks.any(|check| check["name"] == "identity" && check["level"] == "ok"), "{status}");
    assert!(!daemon.log().contains("was damaged"));
}

#[test]
fn two_damaged_keys_are_refused_and_nothing_is_changed() {
    let house = House::new();
    house.init();
    for name in ["identity.key", "identity.key.copy"] {
        let path = house.path().join(name);
        let mut damaged = fs::read(&path).expect("read");
        damaged[100] ^= 1;
        fs::write(&path, &damaged).expect("write");
    }
    let before = fs::read(house.path().join("identity.key")).expect("read");
    for arguments in [&[][..], &["init"]] {
        let (status, text) = house.run(arguments);
        assert_eq!(status, 5, "{text}");
        assert!(text.contains("ICN-E0114 · exit 5") && text.contains("from a backup"), "{text}");
    }
    assert_eq!(house.fails(&["identity", "show", "--offline"]), (5, "ICN-E0114".into()));
    assert_eq!(fs::read(house.path().join("identity.key")).expect("read"), before);
}

#[test]
fn a_service_whose_disk_is_not_mounted_makes_no_new_node() {
    let house = House::at("mount/data");
    for made in [false, true] {
        if made {
            // The empty directory under a mount point.
            fs::create_dir_all(house.path()).expect("create");
        }
        let (status, text) = house.run(&["--must-exist"]);
        assert_eq!(status, 10, "{text}");
        let shown = house.path().display().to_string();
        for part in
            ["mounted?", &format!("findmnt --target {shown}"), "icnd init", "ICN-E0106 · exit 10"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        let left = fs::read_dir(house.path()).map_or(0, Iterator::count);
        assert_eq!((house.path().exists(), left), (made, 0), "something was made");
    }
    // By a configuration that lies elsewhere, too.
    let config = house.path().with_extension("toml");
    fs::write(&config, "must_exist = true\n").expect("write");
    let config = ["--config", config.to_str().expect("UTF-8")];
    assert_eq!(house.run(&config).0, 10);
    assert_eq!(house.run(&[&config[..], &["init"]].concat()).0, 0);
    house.start_with(&config).kill();
    house.start_with(&["--must-exist"]).kill();
}

#[test]
fn a_start_that_makes_a_new_identity_says_so_where_it_cannot_be_overlooked() {
    let house = House::new();
    let daemon = house.start();
    for text in [daemon.log(), daemon.out()] {
        assert!(text.contains("NEW IDENTITY") && text.contains("--must-exist"), "{text}");
    }
    daemon.kill();
    let daemon = house.start();
    assert!(!daemon.log().contains("NEW IDENTITY") && !daemon.out().contains("NEW IDENTITY"));
}

/// Whether a test can run programs under another account.
fn other_account(directory: &Path) -> bool {
    let root = fs::metadata(directory).expect("metadata").uid() == 0;
    let [program, arguments @ ..] = OTHER_ACCOUNT;
    let version = Command::new(program)
        .args(arguments)
        .args([env!("CARGO_BIN_EXE_icnctl"), "--version"])
        .output();
    root && version.is_ok_and(|output| output.status.success())
}

/// Runs `icnctl` under another account, and returns its exit code and errors.
fn as_other(house: &House, arguments: &[&str]) -> (i32, String) {
    let [program, under @ ..] = OTHER_ACCOUNT;
    let mut command = Command::new(program);
    command.args(under).arg(env!("CARGO_BIN_EXE_icnctl")).arg("--data-dir").arg(house.path());
    let output = command.args(arguments).env_remove("ICN_DATA_DIR").output().expect("run");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn a_missing_permission_names_the_owner_and_the_command_to_run() {
    let house = House::at("its data");
    let around = house.path().parent().expect("a parent").to_owned();
    if !other_account(&around) {
        println!("skipped: programs cannot be run as another user");
        return;
    }
    let daemon = house.start();
    house.get(&["snapshot", "create"]);
    let open = |path: &Path, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, permissions).expect("set");
    };
    let directory = format!("'{}'", house.path().display());
    let again = |text: &str, arguments: &str| {
        assert!(text.contains("root, uid 0") && text.contains("uid 65534"), "{text}");
        let command = format!("--data-dir {directory} {arguments}");
        assert!(text.contains("sudo -u root ") && text.contains(&command), "{command} in {text}");
    };
    // A parent, the data directory, then each part of it.
    for (closed, mode) in [(around.clone(), 0o755), (house.path().to_owned(), 0o755)] {
        let (status, text) = as_other(&house, &["status"]);
        assert_eq!(status, 14, "{text}");
        again(&text, "status");
        let (status, text) = as_other(&house, &["topic", "list", "--offline"]);
        assert!(status == 1 && text.contains("ICN-E0115"), "{text}");
        again(&text, "topic list --offline");
        let (status, text) = house.run_under(&OTHER_ACCOUNT, &["check-config"]);
        assert!(status == 1 && text.contains("icn.toml") && text.contains("ICN-E0115"), "{text}");
        again(&text, "");
        open(&closed, mode);
    }
    let (status, text) = as_other(&house, &["status"]);
    assert!(status == 14 && text.contains("control.sock"), "{text}");
    again(&text, "status");
    let (status, text) = as_other(&house, &["identity", "show", "--offline"]);
    assert!(status == 1 && text.contains("wal"), "{text}");
    daemon.kill();
    open(&house.path().join("wal"), 0o755);
    let (status, text) = as_other(&house, &["wal", "list"]);
    assert!(status == 1 && text.contains("snapshots") && text.contains("ICN-E0115"), "{text}");
    open(&house.path().join("snapshots"), 0o755);
    let (status, text) = as_other(&house, &["identity", "show", "--offline"]);
    assert!(status == 1 && text.contains("identity.key"), "{text}");
    again(&text, "identity show --offline");
    fs::write(house.path().join("icn.toml"), "").expect("write");
    open(&house.path().join("icn.toml"), 0o600);
    let (status, text) = house.run_under(&OTHER_ACCOUNT, &[]);
    assert!(status == 1 && text.contains("icn.toml") && !text.contains("invalid"), "{text}");
}

#[test]
fn a_path_without_a_node_is_named_for_what_it_is() {
    let house = House::new();
    let wrong = |expected: &str| {
        for arguments in [&["status"][..], &["topic", "list", "--offline"]] {
            let (code, document) = house.ask(arguments);
            let error = &document["error"];
            assert_eq!((code, &error["code"]), (10, &"ICN-E0106".into()), "{document}");
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains(expected), "{message}");
        }
    };
    wrong("there is no such directory");
    fs::create_dir(house.path()).expect("create");
    wrong("has no identity.key");
    fs::remove_dir(house.path()).expect("remove");
    fs::write(house.path(), "").expect("write");
    wrong("not a directory");
}

#[test]
fn hints_name_a_data_directory_that_is_not_the_default_one() {
    let house = House::at("it's here");
    house.init();
    let directory = house.path().display().to_string().replace('\'', r"'\''");
    let expected = format!("icnd --data-dir '{directory}'");
    let (code, document) = house.ask(&["status"]);
    assert_eq!(code, 13);
    let advice = document["error"]["advice"].as_str().expect("an advice");
    assert!(advice.contains(&expected), "{expected} in {advice}");
    let mut usual = house.icnctl(&["status"]);
    let output = usual.env("ICN_DATA_DIR", house.path()).output().expect("run");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(text.contains("Start it: icnd.") && !text.contains("--data-dir"), "{text}");
    let daemon = house.start();
    let command = format!("icnctl --data-dir '{directory}' snapshot create");
    let shown = house.icnctl(&["snapshot", "list"]).output().expect("run").stdout;
    let shown = String::from_utf8(shown).expect("UTF-8");
    assert!(shown.contains(&command), "{command} in {shown}");
    assert!(daemon.out().contains(&format!("--data-dir '{directory}'")), "{}", daemon.out());
    let output = house.icnctl(&["topic", "delete", "a b"]).output().expect("run");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(text.contains(&format!("--data-dir '{directory}' topic delete 'a b' --yes")), "{text}");
}

#[test]
fn a_copied_data_directory_that_runs_twice_is_shown_at_each_end() {
    let house = House::quick();
    house.init();
    let copy = house.copy();
    let peer = House::quick();
    let peer_daemon = peer.start();
    let place = format!("{}@{}", peer.did(), peer_daemon.peers());
    let one = house.start_with(&["--peer", &place]);
    let other = copy.start_with(&["--peer", &place]);
    let at_peer = Watched { house: &peer, daemon: &peer_daemon, name: "identity" };
    at_peer.warns("two processes run with the identity");
    at_peer.warns(&house.did());
    for daemon in [&one, &other] {
        at_peer.warns(&daemon.peers());
    }
    // The process that is declined is notified by the peer.
    until("a warning of one of the processes", || {
        [&house, &copy]
            .iter()
            .any(|house| {
                let status = house.get(&["status"]);
                let mut checks = status["checks"].as_array().expect("checks").iter();
                let check = checks.find(|check| check["name"] == "identity").expect("the check");
                let text = check["text"].as_str().expect("a text");
                check["level"] == "warn" && text.contains("another process runs with this identity")
            })
            .then_some(())
    });
}
