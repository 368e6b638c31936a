//! A real `icnd` in a directory of its own, and `icnctl` to talk to it.

#![allow(dead_code, reason = "every test binary uses a part of it")]

pub(crate) mod checks;
pub(crate) mod client;
pub(crate) mod shifted;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than any wait of a passing test.
const DEADLINE: Duration = Duration::from_secs(30);

/// Polls until `ready` returns a value; panics after [`DEADLINE`].
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "a deadline against real processes")]
    let now = Instant::now;
    let start = now();
    loop {
        if let Some(got) = ready() {
            return got;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A data directory and the commands on it.
pub(crate) struct House {
    around: tempfile::TempDir,
    data: PathBuf,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::at("data")
    }

    /// A data directory at `path` inside a temporary directory.
    pub(crate) fn at(path: &str) -> Self {
        Self::inside(tempfile::tempdir().expect("a directory"), path)
    }

    /// A data directory in memory where the machine has `/dev/shm`, for many short lives. Writes of
    /// a killed process stay there as they do on a disk.
    pub(crate) fn quick() -> Self {
        let around = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::inside(around.expect("a directory"), "data")
    }

    /// A copy of the data directory.
    pub(crate) fn copy(&self) -> Self {
        let house = Self::quick();
        copy_files(self.path(), house.path());
        house
    }

    fn inside(around: tempfile::TempDir, path: &str) -> Self {
        let data = around.path().join(path);
        Self { around, data }
    }

    /// A data directory whose node takes a snapshot every `records` records.
    pub(crate) fn with_snapshot_every(records: u64) -> Self {
        let house = Self::new();
        house.configure(&format!("[snapshot]\nrecords = {records}\n"));
        house
    }

    /// Makes the data directory with `config` in it.
    pub(crate) fn configure(&self, config: &str) {
        std::fs::create_dir(self.path()).expect("create");
        std::fs::write(self.path().join("icn.toml"), config).expect("write");
    }

    pub(crate) fn path(&self) -> &Path {
        &self.data
    }

    /// A command of `icnctl` as hints print it.
    pub(crate) fn hint(&self, command: &str) -> String {
        format!("icnctl --data-dir {} {command}", self.path().display())
    }

    /// The directory that holds the data directory.
    pub(crate) fn around(&self) -> &Path {
        self.around.path()
    }

    /// The command that runs `icnd` here: by itself, or under the program `under` when not empty.
    pub(crate) fn icnd(&self, under: &[&str]) -> Command {
        let icnd = env!("CARGO_BIN_EXE_icnd");
        let mut command = match under {
            [] => Command::new(icnd),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(icnd);
                command
            }
        };
        command.arg("--data-dir").arg(self.path());
        command.env_remove("ICN_DATA_DIR").env_remove("ICN_CONFIG").stdin(Stdio::null());
        // Only nodes of the same test find each other.
        command.env("ICN_LISTEN", "127.0.0.1:0").env("ICN_NO_MDNS", "1");
        command.stderr(File::create(self.log_path()).expect("create"));
        command.stdout(File::create(self.out_path()).expect("create"));
        command
    }

    /// The file that `icnd` logs to.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.around.path().join("icnd.log")
    }

    /// The file that `icnd` prints to.
    pub(crate) fn out_path(&self) -> PathBuf {
        self.around.path().join("icnd.out")
    }

    /// Starts `icnd` and waits until it takes requests.
    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// Starts `icnd` with the arguments `more` and waits until it takes requests.
    pub(crate) fn start_with(&self, more: &[&str]) -> Daemon {
        let mut daemon = self.spawn(&[&["--http", "127.0.0.1:0"], more].concat());
        daemon.ready();
        daemon
    }

    /// Starts `icnd` by `spawn`, which may use another host. There it listens and announces itself
    /// by its defaults.
    pub(crate) fn start_by(
        &self,
        spawn: impl FnOnce(Command) -> io::Result<Child>,
        more: &[&str],
    ) -> Daemon {
        let mut command = self.icnd(&[]);
        command.env_remove("ICN_LISTEN").env_remove("ICN_NO_MDNS");
        command.args(["--http", "127.0.0.1:0"]).args(more);
        let child = spawn(command).expect("spawn icnd");
        let mut daemon = Daemon { child, log: self.log_path(), out: self.out_path() };
        daemon.ready();
        daemon
    }

    /// Runs `icnd` until it ends by itself, and returns its exit code and its log.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let arguments = if arguments.is_empty() { &["--http", "127.0.0.1:0"] } else { arguments };
        let mut daemon = self.spawn(arguments);
        let status = until("the end of icnd", || daemon.child.try_wait().expect("wait"));
        (status.code().unwrap_or(-1), daemon.log())
    }

    /// Runs `icnd` to its end under the command `under`, and returns its exit code and its log.
    pub(crate) fn run_under(&self, under: &[&str], arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(under[0]);
        command
            .args(&under[1..])
            .arg(env!("CARGO_BIN_EXE_icnd"))
            .arg("--data-dir")
            .arg(self.path());
        command.args(["--http", "127.0.0.1:0"]).args(arguments).stdin(Stdio::null());
        command.env_remove("ICN_DATA_DIR").env_remove("ICN_CONFIG");
        let output = command.output().expect("run icnd");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), text)
    }

    /// Starts `icnd` and does not wait.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Daemon {
        self.spawn_by(self.icnd(&[]).args(arguments))
    }

    /// Runs a command of [`icnd`](Self::icnd).
    pub(crate) fn spawn_by(&self, command: &mut Command) -> Daemon {
        let child = command.spawn().expect("spawn icnd");
        Daemon { child, log: self.log_path(), out: self.out_path() }
    }

    /// The command that runs `icnctl` here.
    pub(crate) fn icnctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_icnctl"));
        command.arg("--data-dir").arg(self.path()).args(arguments);
        command.env_remove("ICN_DATA_DIR").stdin(Stdio::null());
        command
    }

    /// Runs `icnctl --json` and returns its exit code and its document.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.icnctl(arguments).arg("--json").output().expect("run icnctl");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let document = serde_json::from_str(&text).unwrap_or_else(|error| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("icnctl {arguments:?}: {error} in {text:?}; {errors}")
        });
        (output.status.code().unwrap_or(-1), document)
    }

    /// The data of a reply to a request that must succeed.
    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let (code, mut document) = self.ask(arguments);
        assert_eq!(code, 0, "{arguments:?}: {document}");
        assert_eq!(&document["ok"], &Value::Bool(true), "{arguments:?}: {document}");
        document["data"].take()
    }

    /// The exit code and error code of a request that must fail.
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let (code, document) = self.ask(arguments);
        assert_eq!(document["ok"], Value::Bool(false), "{arguments:?}: {document}");
        let error = &document["error"];
        assert_eq!(error["exit"], code, "{document}");
        assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{document}");
        (code, error["code"].as_str().expect("a code").to_owned())
    }

    /// The DID of the node.
    pub(crate) fn did(&self) -> String {
        self.get(&["identity", "show", "--offline"])["did"].as_str().expect("a DID").to_owned()
    }

    /// Makes a topic with the arguments `more`, joins it, and returns its id.
    pub(crate) fn create(&self, name: &str, more: &[&str]) -> String {
        let created = self.get(&[&["topic", "create", name][..], more].concat());
        let id = created["topic"]["id"].as_str().expect("an id").to_owned();
        self.get(&["topic", "join", &id]);
        id
    }

    /// Joins a topic by its id, and waits until a peer has offered it.
    pub(crate) fn join(&self, id: &str) {
        until("the joined topic", || {
            (self.get(&["topic", "join", id])["pending"] == false).then_some(())
        });
    }

    /// The texts of the entries of `topic`, in order of delivery.
    pub(crate) fn texts(&self, topic: &str) -> Vec<String> {
        let entries = self.get(&["gossip", "entries", topic]);
        let text = |entry: &Value| entry["text"].as_str().expect("text").to_owned();
        entries["entries"].as_array().expect("entries").iter().map(text).collect()
    }

    /// The LSNs that `icnctl wal dump` shows.
    pub(crate) fn dumped(&self, filter: &[&str]) -> Vec<u64> {
        let mut command = self.icnctl(&["wal", "dump", "--json"]);
        let output = command.args(filter).output().expect("run icnctl");
        assert!(output.status.success(), "{filter:?}: {output:?}");
        let lsn = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["lsn"].as_u64();
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().map(|line| lsn(line).expect("an LSN")).collect()
    }

    /// Makes the node's identity without running the node, and returns its DID.
    pub(crate) fn init(&self) -> String {
        let status = self.icnd(&[]).arg("init").status().expect("run icnd");
        assert!(status.success(), "icnd init");
        self.did()
    }

    /// Publishes `lines` and returns the output of `icnctl`.
    pub(crate) fn publish_lines(&self, topic: &str, lines: &str) -> Output {
        let mut command = self.icnctl(&["gossip", "publish", topic, "--lines"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn icnctl");
        let mut stdin = child.stdin.take().expect("stdin");
        let lines = lines.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(lines.as_bytes());
        });
        let output = child.wait_with_output().expect("wait");
        writer.join().expect("join");
        output
    }
}

/// Copies directories and plain files.
fn copy_files(source: &Path, target: &Path) {
    std::fs::create_dir(target).expect("create");
    for entry in std::fs::read_dir(source).expect("read") {
        let entry = entry.expect("entry");
        let kind = entry.file_type().expect("a type");
        let target = target.join(entry.file_name());
        if kind.is_dir() {
            copy_files(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// A running `icnd`; dropping the value kills it.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    out: PathBuf,
}

impl Daemon {
    /// Waits until `icnd` takes requests.
    pub(crate) fn ready(&mut self) {
        until("the start of icnd", || {
            if let Some(status) = self.child.try_wait().expect("wait") {
                panic!("icnd ended with {status}: {}", self.log());
            }
            // The last word that `icnd` prints once it takes requests.
            self.out().contains("Ctrl-C").then_some(())
        });
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("read")
    }

    /// The printed output so far.
    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(&self.out).expect("read")
    }

    /// The address at which peers reach the node.
    pub(crate) fn peers(&self) -> String {
        let out = self.out();
        let address = out.split("udp ").nth(1).and_then(|rest| rest.split_whitespace().next());
        address.expect("an address").to_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Sends SIGTERM or SIGINT, waits for the end and returns the exit code.
    pub(crate) fn stop(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        self.end()
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        until("the end of icnd", || self.child.try_wait().expect("wait")).code()
    }

    /// The reply to a GET with the given Host, as status and whole text.
    pub(crate) fn http(&self, path: &str, host: &str) -> (u16, String) {
        let out = self.out();
        let address = out.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let mut stream = TcpStream::connect(address.expect("an address")).expect("connect");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .expect("write");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), text)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Repeatable random numbers: the same seed gives the same moments.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
