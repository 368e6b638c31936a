//! File systems and permissions that a data directory can have, and those that are refused.

mod harness;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::House;

/// The script that runs a command above a FUSE file system.
const FUSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuse.py");
/// The exit code of [`FUSE`] when this machine does not allow the mount.
const SKIPPED: i32 = 77;

/// Whether this machine allows `command`.
fn possible(command: &[&str]) -> bool {
    Command::new(command[0])
        .args(&command[1..])
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn a_data_directory_on_fuse_is_refused_without_unsafe_fs() {
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
    // This file system is also read-only, which is the next refusal.
    let (status, text) = run(&["--unsafe-fs"]);
    assert!(status == 1 && text.contains("Read-only file system"), "{status}: {text}");
    assert_eq!(fs::read_dir(house.path()).expect("read").count(), 0);
}

/// Every file and directory: path, permissions and content, except the content of `LOCK`.
fn contents(directory: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("read") {
        let path = entry.expect("entry").path();
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        if metadata.file_type().is_socket() {
            // That of a killed node, which a start replaces.
            continue;
        }
        let plain = metadata.is_file() && !path.ends_with("LOCK");
        let content = if plain { fs::read(&path).expect("read") } else { Vec::new() };
        if metadata.is_dir() {
            all.extend(contents(&path));
        }
        all.push((path, metadata.permissions().mode() & 0o777, content));
    }
    all.sort();
    all
}

/// A killed node with records in its log and in a snapshot.
fn house_with_history() -> House {
    let house = House::new();
    let daemon = house.start();
    house.get(&["topic", "create", "a"]);
    house.get(&["snapshot", "create"]);
    house.get(&["gossip", "publish", "a", "one"]);
    daemon.kill();
    house
}

#[test]
fn files_open_to_other_accounts_are_closed_and_reported() {
    let house = house_with_history();
    let open_to_all = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    let mut opened = 0;
    for (path, ..) in contents(house.path()) {
        if path.is_dir() || path.is_file() {
            open_to_all(&path, if path.is_dir() { 0o755 } else { 0o664 });
            opened += 1;
        }
    }
    open_to_all(house.path(), 0o755);
    let daemon = house.start();
    let told = daemon.log().matches("was open to other accounts").count();
    // The data directory itself counts too, and is not among its contents.
    assert_eq!(told, opened + 1, "{}", daemon.log());
    daemon.kill();
    let mode = fs::metadata(house.path()).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for (path, mode, _) in contents(house.path()) {
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    let daemon = house.start();
    assert!(!daemon.log().contains("open to other accounts"), "{}", daemon.log());
}

#[test]
fn new_files_are_closed_to_other_accounts_under_any_umask() {
    let house = House::new();
    let (status, text) = house.run_under(&["sh", "-c", "umask 0; exec \"$@\"", "sh"], &["init"]);
    assert_eq!(status, 0, "{text}");
    let all = contents(house.path());
    assert!(all.len() > 6, "{all:?}");
    for (path, mode, _) in all {
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_directory_without_write_permission_is_refused_and_stays_unchanged() {
    // Root may write everywhere: the node runs as another user then.
    let mine = tempfile::tempdir().expect("dir");
    let root = fs::metadata(mine.path()).expect("metadata").uid() == 0;
    let (uid, drop): (_, &[&str]) = if root {
        ("65534", &["setpriv", "--reuid=65534", "--clear-groups"])
    } else {
        ("", &["env"])
    };
    if !possible(&[drop, &[env!("CARGO_BIN_EXE_icnd"), "--version"]].concat()) {
        println!("skipped: icnd cannot be run as another user");
        return;
    }
    for part in ["", "wal"] {
        let house = house_with_history();
        let around = house.path().parent().expect("a parent");
        if root {
            let owned = possible(&["chown", "-R", uid, around.to_str().expect("UTF-8")]);
            assert!(owned, "chown");
        }
        fs::set_permissions(house.path().join(part), fs::Permissions::from_mode(0o500))
            .expect("set");
        let before = contents(house.path());
        let (status, text) = house.run_under(drop, &[]);
        assert_eq!(status, 1, "{text}");
        for told in ["Permission denied", part, "must be able to write"] {
            assert!(text.contains(told), "{told} in {text}");
        }
        assert!(contents(house.path()) == before, "{part}: something has changed");
        fs::set_permissions(house.path().join(part), fs::Permissions::from_mode(0o700))
            .expect("set");
    }
}

#[test]
fn a_read_only_mount_is_refused_and_stays_readable_offline() {
    const MOUNT: &str =
        "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    for part in ["", "wal"] {
        let house = house_with_history();
        let place = house.path().join(part);
        let under = ["unshare", "-rm", "sh", "-c", MOUNT, place.to_str().expect("UTF-8")];
        if !possible(&[&under[..], &["true"]].concat()) {
            println!("skipped: no mount namespace of its own");
            return;
        }
        let before = contents(house.path());
        let (status, text) = house.run_under(&under, &[]);
        assert_eq!(status, 1, "{text}");
        for told in ["Read-only file system", part, "must be able to write"] {
            assert!(text.contains(told), "{told} in {text}");
        }
        assert!(contents(house.path()) == before, "{part}: something has changed");
        let mut read = Command::new(under[0]);
        read.args(&under[1..]).arg(env!("CARGO_BIN_EXE_icnctl")).arg("--data-dir");
        read.arg(house.path()).args(["wal", "verify", "--offline"]);
        assert!(read.status().expect("icnctl").success());
    }
}

/// Whether this process runs the test `name` in a mount namespace of its own, whose mounts end with
/// it. If not, starts such a run where this machine allows it.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn alone(name: &str) -> bool {
    const MARK: &str = "ICN_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    // Only root may mount a disk file system; `unshare -r` does not suffice.
    if !possible(&["unshare", "-m", "true"]) {
        println!("skipped: no mount namespace of its own");
        return false;
    }
    let mut command = Command::new("unshare");
    command.arg("-m").arg(std::env::current_exe().expect("this program"));
    let status = command.args(["--exact", name, "--nocapture"]).env(MARK, "1").status();
    assert!(status.expect("unshare").success());
    false
}

#[test]
fn a_file_system_that_turns_read_only_ends_the_node_and_loses_nothing() {
    if !alone("a_file_system_that_turns_read_only_ends_the_node_and_loses_nothing") {
        return;
    }
    let house = House::at("mounted/data");
    let place = house.path().parent().expect("a parent");
    let image = place.with_extension("img");
    fs::create_dir(place).expect("create");
    fs::File::create(&image).expect("create").set_len(64 << 20).expect("grow");
    let image = image.to_str().expect("UTF-8");
    let place = place.to_str().expect("UTF-8");
    let mount = ["mount", "-o", "loop,errors=remount-ro", image, place];
    if !possible(&["mkfs.ext4", "-q", "-F", image]) || !possible(&mount) {
        println!("skipped: no ext4 in a file can be mounted here");
        return;
    }
    let device = Command::new("findmnt").args(["-no", "SOURCE", place]).output().expect("findmnt");
    let device = String::from_utf8(device.stdout).expect("UTF-8");
    let fault = Path::new("/sys/fs/ext4").join(device.trim().trim_start_matches("/dev/"));
    let mut daemon = house.start();
    house.get(&["topic", "create", "a"]);
    house.get(&["gossip", "publish", "a", "one"]);
    // As after an error in its own metadata, the file system refuses writes from here on.
    fs::write(fault.join("trigger_fs_error"), "1").expect("a fault");
    let (status, answer) = house.ask(&["gossip", "publish", "a", "two"]);
    assert_ne!(status, 0, "{answer}");
    assert_eq!(daemon.end(), Some(74), "{}", daemon.log());
    let (status, text) = house.run(&[]);
    assert!(status == 1 && text.contains("Read-only file system"), "{status}: {text}");
    assert!(possible(&["umount", place]));
    // Exit code 1: errors were corrected.
    let checked = Command::new("e2fsck").args(["-fy", image]).output().expect("e2fsck");
    assert!(checked.status.code().is_some_and(|code| code <= 1), "{checked:?}");
    assert!(possible(&mount));
    let daemon = house.start();
    let texts = house.texts("a");
    assert_eq!(texts.last().map(String::as_str), Some("one"), "{texts:?}");
    daemon.kill();
    assert!(possible(&["umount", place]));
}
