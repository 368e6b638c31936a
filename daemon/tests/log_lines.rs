//! A standard error or standard output that takes no more: full pipes, closed pipes, a full disk.

mod harness;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, PipeReader, PipeWriter, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use harness::checks::Watched;
use harness::{Daemon, House, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const O_NONBLOCK: i32 = 0o4000;

/// A pipe that is full.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    // Opened again, because the flag of `writer` itself is shared with the process that inherits it.
    let mut again = OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", writer.as_raw_fd()))
        .expect("open");
    for size in [4096, 1] {
        while again.write(&vec![b'x'; size]).map_err(|error| error.kind())
            != Err(ErrorKind::WouldBlock)
        {}
    }
    (reader, writer)
}

/// Starts a node with this standard error.
fn start(house: &House, errors: impl Into<Stdio>) -> Daemon {
    let spawn = |mut command: std::process::Command| command.stderr(errors).spawn();
    house.start_by(spawn, &["--listen", "127.0.0.1:0", "--no-mdns"])
}

/// Has the node write a long line again and again, until the check `output` warns.
fn write_until_dropped(house: &House, daemon: &Daemon) {
    let long = format!("wrong = \"{}\"\n", "x".repeat(200_000));
    std::fs::write(house.path().join("icn.toml"), long).expect("write");
    let pid = Pid::from_raw(daemon.id().try_into().expect("a process id"));
    until("a dropped line", || {
        kill(pid, Signal::SIGHUP).expect("signal");
        let (_, metrics) = daemon.http("/metrics", "localhost");
        let dropped =
            metrics.lines().find_map(|line| line.strip_prefix("icn_log_lines_dropped_total "));
        (dropped.expect("the metric") != "0").then_some(())
    });
}

#[test]
fn a_log_that_is_not_read_stops_nothing_and_says_what_was_dropped() {
    let house = House::new();
    let (reader, writer) = full_pipe();
    let mut daemon = start(&house, writer);
    house.create("t", &[]);
    write_until_dropped(&house, &daemon);
    let watched = Watched { house: &house, daemon: &daemon, name: "output" };
    watched.is_seen("standard error takes no more");
    house.get(&["gossip", "publish", "t", "one"]);

    let lines = BufReader::new(reader).lines();
    let mut lines = lines.map(|line| line.expect("a line"));
    let dropped = lines.find(|line| line.contains("dropped here")).expect("a line");
    assert!(dropped.contains("WARN") && dropped.contains("log line"), "{dropped}");
    let rest = std::thread::spawn(move || lines.collect::<Vec<_>>());
    watched.is_well_again();
    assert_eq!(daemon.stop("TERM"), Some(0));
    let rest = rest.join().expect("the end of the log");
    assert!(rest.last().is_some_and(|last| last.ends_with("ICNd stopped")), "{:?}", rest.last());
}

#[test]
fn a_node_whose_log_is_not_read_stops_in_order() {
    let house = House::new();
    let (reader, writer) = full_pipe();
    let mut daemon = start(&house, writer);
    house.create("t", &[]);
    write_until_dropped(&house, &daemon);
    assert_eq!(daemon.stop("TERM"), Some(0));
    drop(reader);
    std::fs::remove_file(house.path().join("icn.toml")).expect("remove");
    let next = house.start();
    assert!(next.out().contains("ended with an orderly stop"), "{}", next.out());
}

#[test]
fn an_error_ends_the_node_with_its_code_also_when_standard_error_is_stuck() {
    let house = House::new();
    let _daemon = house.start();
    let (reader, writer) = full_pipe();
    let mut second = house.icnd(&[]);
    let mut second = second.args(["--http", "127.0.0.1:0"]).stderr(writer).spawn().expect("icnd");
    let ended = until("the end of the second", || second.try_wait().expect("wait"));
    assert_eq!(ended.code(), Some(11));
    drop(reader);
    let wrong = house.icnd(&[]).arg("--no-such-flag").stderr(full_pipe().1).status();
    assert_eq!(wrong.expect("icnd").code(), Some(2));
}

#[test]
fn a_closed_pipe_and_a_full_disk_under_the_log_end_and_delay_nothing() {
    let closed = || Stdio::from(pipe().expect("a pipe").1);
    let full_disk = || Stdio::from(File::options().write(true).open("/dev/full").expect("open"));
    for errors in [closed(), full_disk()] {
        let house = House::new();
        let mut daemon = start(&house, errors);
        house.create("t", &[]);
        write_until_dropped(&house, &daemon);
        Watched { house: &house, daemon: &daemon, name: "output" }
            .is_seen("standard error takes no more");
        house.get(&["gossip", "publish", "t", "one"]);
        assert_eq!(daemon.stop("TERM"), Some(0));
    }
}

#[test]
fn a_standard_output_that_is_not_read_stops_nothing() {
    let house = House::new();
    let (reader, writer) = full_pipe();
    let mut command = house.icnd(&[]);
    let mut child = command.args(["--http", "127.0.0.1:0"]).stdout(writer).spawn().expect("icnd");
    until("the control socket", || (house.ask(&["status"]).0 == 0).then_some(()));
    house.create("t", &[]);
    house.get(&["gossip", "publish", "t", "one"]);
    kill(Pid::from_raw(child.id().try_into().expect("a process id")), Signal::SIGTERM)
        .expect("signal");
    let ended = until("the end of icnd", || child.try_wait().expect("wait"));
    assert_eq!(ended.code(), Some(0));
    drop(reader);
}
