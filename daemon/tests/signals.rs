//! Signals at every moment of a life: while the node starts, runs and stops.

mod harness;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::client::Client;
use harness::{Daemon, House, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// Records that a replay visits before it looks at a stop for the first time.
const WATCHED_RECORDS: usize = 1024;

/// A node that starts and is held before it reads its key.
struct Held {
    daemon: Daemon,
    hold: Hold,
}

impl Held {
    fn start(house: &House) -> Self {
        let hold = Hold::new(house);
        let daemon =
            house.spawn_by(hold.holds(&mut house.icnd(&[])).args(["--http", "127.0.0.1:0"]));
        until("the control socket", || (house.ask(&["status"]).0 == 24).then_some(()));
        Self { daemon, hold }
    }

    /// Lets the node have its key.
    fn release(self) -> Daemon {
        self.hold.end();
        self.daemon
    }
}

/// What holds a start back.
struct Hold {
    shim: PathBuf,
    file: PathBuf,
}

impl Hold {
    fn new(house: &House) -> Self {
        let (shim, file) = (house.around().join("holdshim.so"), house.around().join("hold"));
        fs::write(&file, "").expect("write");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/holdshim.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
        assert!(compile.status().expect("a C compiler").success());
        Self { shim, file }
    }

    fn holds<'a>(&self, icnd: &'a mut Command) -> &'a mut Command {
        icnd.env("LD_PRELOAD", &self.shim).env("HOLD_FILE", &self.file)
    }

    fn end(&self) {
        fs::remove_file(&self.file).expect("remove");
    }
}

/// A node with a log to replay, which ended without an orderly stop.
fn killed() -> House {
    let house = House::new();
    let daemon = house.start();
    house.create("t", &[]);
    let lines = "x\n".repeat(2 * WATCHED_RECORDS);
    assert!(house.publish_lines("t", &lines).status.success());
    daemon.kill();
    house
}

fn send(daemon: &Daemon, signal: Signal) {
    kill(Pid::from_raw(daemon.id().try_into().expect("a process id")), signal).expect("signal");
}

fn logs(daemon: &Daemon, text: &str) {
    until(text, || daemon.log().contains(text).then_some(()));
}

/// Names and contents of all files but the lock, which holds a process id.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("read") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if path.is_file() && !path.ends_with("LOCK") {
            files.push((path.clone(), fs::read(&path).expect("read")));
        }
    }
    files.sort();
    files
}

#[test]
fn a_stop_during_the_recovery_breaks_it_off_and_changes_nothing() {
    let house = killed();
    fs::remove_file(house.path().join("control.sock")).expect("a stale socket");
    let before = contents(house.path());
    let digest = house.get(&["state", "digest", "--offline"]);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let held = Held::start(&house);
        send(&held.daemon, signal);
        logs(&held.daemon, "shutting down gracefully");
        let mut daemon = held.release();
        assert_eq!(daemon.end(), Some(0), "{signal}: {}", daemon.log());
        assert!(daemon.log().contains("stopped while it was starting"), "{}", daemon.log());
        assert!(contents(house.path()) == before, "{signal}: the files are as they were");
    }
    assert_eq!(house.fails(&["status"]), (13, "ICN-E0140".into()));
    let _daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
}

#[test]
fn a_second_signal_ends_a_start_at_once() {
    let house = killed();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGQUIT, 131)] {
        let mut held = Held::start(&house);
        send(&held.daemon, signal);
        logs(&held.daemon, "shutting down gracefully");
        send(&held.daemon, signal);
        assert_eq!(held.daemon.end(), Some(code));
        assert!(held.daemon.log().contains("stopping at once"), "{}", held.daemon.log());
        held.hold.end();
    }
}

#[test]
fn a_second_signal_cuts_the_last_save_short_and_loses_nothing() {
    let house = killed();
    let mut daemon = house.start();
    let digest = house.get(&["state", "digest"]);
    send(&daemon, Signal::SIGTERM);
    logs(&daemon, "Saving state snapshot");
    send(&daemon, Signal::SIGTERM);
    // The save may have ended before.
    let code = daemon.end();
    assert!(matches!(code, Some(0 | 143)), "{code:?}");
    let _daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
    let snapshots = fs::read_dir(house.path().join("snapshots")).expect("read");
    let mut names = snapshots.map(|entry| entry.expect("entry").file_name());
    assert!(names.all(|name| !name.to_string_lossy().ends_with(".tmp")));
}

#[test]
fn a_starting_node_answers_that_it_starts() {
    let house = killed();
    let held = Held::start(&house);
    assert_eq!(house.fails(&["status"]), (24, "ICN-E0146".into()));
    assert_eq!(house.fails(&["gossip", "publish", "t", "one"]), (24, "ICN-E0146".into()));
    let mut client = Client::connect(&house);
    let requests = vec![json!({ "cmd": "status" }); 3];
    for reply in client.replies(&requests) {
        let text = reply["error"]["message"].as_str().expect("a message");
        assert!(text.contains("it has replayed 0 records"), "{reply}");
    }
    let output = house.icnctl(&["gossip", "subscribe", "t", "--follow"]).output().expect("icnctl");
    assert_eq!(output.status.code(), Some(24));
    let mut daemon = held.release();
    daemon.ready();
    house.get(&["status"]);
}

#[test]
fn no_other_signal_ends_a_node_while_it_starts_or_runs() {
    let house = killed();
    let held = Held::start(&house);
    let others = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGPIPE];
    others.iter().for_each(|signal| send(&held.daemon, *signal));
    logs(&held.daemon, "Received SIGUSR2");
    let mut daemon = held.release();
    daemon.ready();
    logs(&daemon, "Received SIGHUP, and nothing was changed: there is no configuration file");
    others.iter().for_each(|signal| send(&daemon, *signal));
    until("a second reload", || {
        (daemon.log().matches("there is no configuration file").count() == 2).then_some(())
    });
    house.get(&["status"]);
    assert_eq!(daemon.stop("QUIT"), Some(0));
}

#[test]
fn a_hang_up_applies_what_it_can_and_names_what_needs_a_restart() {
    let house = House::new();
    let friend = House::new();
    let friend = (friend.start(), friend);
    house.configure("log = \"info\"\n");
    let daemon = house.start();
    let config = |text: &str| {
        fs::write(house.path().join("icn.toml"), text).expect("write");
        send(&daemon, Signal::SIGHUP);
    };
    let peers = friend.0.peers();
    config(&format!(
        "log = \"debug\"\nmdns = false\nsilence_seconds = 9\npeers = [\"{peers}\"]\n\
         [snapshot]\nrecords = 3\n"
    ));
    logs(&daemon, &format!("the log level is debug; [snapshot] is changed; {peers} is dialled"));
    logs(&daemon, "`silence_seconds` in ");
    assert_eq!(daemon.log().matches("needs a restart").count(), 1, "{}", daemon.log());
    logs(&daemon, "DEBUG");
    until("the link", || (house.get(&["status"])["peers"]["connected"] == 1).then_some(()));
    house.create("t", &[]);
    house.get(&["gossip", "publish", "t", "one"]);
    until("a snapshot", || house.get(&["status"])["snapshot"]["id"].as_str().map(str::to_owned));

    config("log = \"warn\"\nsilence_seconds = 9\n");
    logs(&daemon, &format!("the log level is warn; [snapshot] is changed; {peers} is not dialled"));

    // Too little for this level.
    send(&daemon, Signal::SIGUSR1);
    // A bad file changes nothing, and is reported as `check-config` reports it.
    config("log = \"loud\"\n");
    let checked = house.icnd(&[]).arg("check-config").stderr(Stdio::piped()).output();
    let checked = checked.expect("icnd");
    assert_eq!(checked.status.code(), Some(6));
    let text = String::from_utf8(checked.stderr).expect("UTF-8");
    assert!(text.contains("unknown variant `loud`"), "{text}");
    let message = text.split("\n  Nothing was started").next().expect("a message");
    logs(&daemon, &format!("Received SIGHUP, and nothing was changed. {message}"));
    assert!(!daemon.log().contains("SIGUSR1"), "{}", daemon.log());
    house.get(&["status"]);
}

#[test]
fn a_first_start_that_was_killed_before_it_had_a_key_can_be_repeated() {
    let house = House::new();
    fs::create_dir(house.path()).expect("create");
    // What such a start leaves.
    drop(UnixListener::bind(house.path().join("control.sock")).expect("bind"));
    let _daemon = house.start();
}

#[test]
fn a_log_level_is_checked_and_hides_what_is_less_severe() {
    let house = House::new();
    let mut daemon = house.start_with(&["--log", "error"]);
    assert_eq!(daemon.stop("TERM"), Some(0));
    assert_eq!(daemon.log(), "");
    let wrong = house.icnd(&[]).args(["check-config", "--log", "loud"]).status();
    assert_eq!(wrong.expect("icnd").code(), Some(2));
}

#[test]
fn as_process_1_a_node_heeds_a_stop_while_it_starts() {
    let house = killed();
    let unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let allowed = Command::new(unshare[0]).args(&unshare[1..]).arg("true").status();
    if !allowed.is_ok_and(|status| status.success()) {
        return;
    }
    let hold = Hold::new(&house);
    let mut command = house.icnd(&unshare);
    let held = hold.holds(&mut command).args(["--http", "127.0.0.1:0"]);
    let mut around = held.spawn().expect("unshare");
    until("the control socket", || (house.ask(&["status"]).0 == 24).then_some(()));
    let children = format!("/proc/{0}/task/{0}/children", around.id());
    let inside = fs::read_to_string(children).expect("children");
    let inside = inside.trim().parse().expect("a process id");
    kill(Pid::from_raw(inside), Signal::SIGTERM).expect("signal");
    let log = || fs::read_to_string(house.log_path()).expect("read");
    until("the signal", || log().contains("Received SIGTERM").then_some(()));
    hold.end();
    let ended = until("the end of icnd", || around.try_wait().expect("wait"));
    assert_eq!(ended.code(), Some(0), "{}", log());
    assert!(log().contains("stopped while it was starting"), "{}", log());
}
