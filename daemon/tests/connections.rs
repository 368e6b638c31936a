//! A real node whose sockets are full of clients that do nothing, and which may open few files.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use harness::client::Client;
use harness::{Daemon, House, until};
use icn_daemon::files::{Budget, FILES_WANTED, HTTP_CONNECTIONS_MAX};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Starts a node that may have `files` files open at once.
fn start(house: &House, files: u64) -> Daemon {
    let limit = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    house.start_by(
        |_| house.icnd(&["sh", "-c", &limit]).args(["--http", "127.0.0.1:0"]).spawn(),
        &[],
    )
}

fn http(daemon: &Daemon) -> TcpStream {
    let out = daemon.out();
    let address = out.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
    TcpStream::connect(address.expect("an address")).expect("connect")
}

fn control(house: &House) -> UnixStream {
    UnixStream::connect(house.path().join("control.sock")).expect("connect")
}

fn metric(daemon: &Daemon, series: &str) -> f64 {
    let (_, text) = daemon.http("/metrics", "localhost");
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    let value = value.unwrap_or_else(|| panic!("{series} in {text}"));
    value.trim().parse().expect("a number")
}

/// Sets how many files a process may have open that was started with [`FILES_WANTED`].
fn limit(daemon: &Daemon, files: u64) {
    let id = Pid::from_raw(i32::try_from(daemon.id()).expect("an id"));
    let wanted = Rlimit { current: Some(files), maximum: Some(FILES_WANTED) };
    prlimit(id, Resource::Nofile, wanted).expect("a limit");
}

#[test]
fn clients_that_hold_every_connection_keep_no_other_client_out() {
    const FILES: u64 = 128;
    let house = House::quick();
    let mut daemon = start(&house, FILES);
    let Budget { http: most, control: control_most, streams, .. } = Budget::of(FILES);
    assert!(most < HTTP_CONNECTIONS_MAX);
    house.get(&["topic", "create", "a"]);

    // More than the process may have files open, each of another kind.
    let mut idle_http: Vec<TcpStream> = (0..FILES).map(|_| http(&daemon)).collect();
    for stream in idle_http.iter_mut().skip(1).step_by(2) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").expect("write");
    }
    let mut idle_control: Vec<UnixStream> = Vec::new();
    for at in 0..FILES {
        let mut stream = control(&house);
        if at % 2 == 1 {
            stream.write_all(b"{\"v\":1,\"cmd\":\"sta").expect("write");
        }
        idle_control.push(stream);
    }
    let mut consumers = Vec::new();
    for _ in 0..streams {
        let mut client = Client::connect(&house);
        client.send("{\"v\":1,\"cmd\":\"follow\",\"topic\":\"a\"}\n");
        assert_eq!(client.reply().expect("a reply")["ok"], true);
        consumers.push(client);
    }

    house.get(&["status"]);
    house.get(&["gossip", "publish", "a", "hello"]);
    house.get(&["snapshot", "create"]);
    assert_eq!(daemon.http("/healthz", "localhost").0, 200);
    for consumer in &mut consumers {
        assert_eq!(consumer.reply().expect("an entry")["text"], "hello");
    }

    let mut rest = String::new();
    idle_control[0].read_to_string(&mut rest).expect("read");
    assert!(rest.contains("ICN-E0516"), "{rest}");
    let _ = idle_http[0].read_to_string(&mut rest);
    for (socket, most) in [("http", most), ("control", control_most)] {
        let socket = |series: &str| format!("icn_connections_{series}{{socket=\"{socket}\"}} ");
        let open = metric(&daemon, &socket("open"));
        let bound = metric(&daemon, &socket("max"));
        assert_eq!(bound, f64::from(u32::try_from(most).expect("few")));
        assert!(open <= bound, "{open} of {bound}");
        assert!(metric(&daemon, &socket("replaced_total")) >= 64.0);
    }
    assert_eq!(metric(&daemon, "icn_files_max "), 128.0);
    assert!(metric(&daemon, "icn_files_open ") <= 128.0);
    let log = daemon.log();
    assert!(!log.contains("Too many open files"), "{log}");
    let status = house.icnctl(&["status"]).output().expect("run icnctl");
    let status = String::from_utf8(status.stdout).expect("UTF-8");
    assert!(status.contains("the process may have only 128 files open"), "{status}");
    assert!(status.contains(&format!("ulimit -n {FILES_WANTED}")), "{status}");
    assert_eq!(daemon.stop("TERM"), Some(0));
}

#[test]
fn a_client_that_stops_halfway_loses_its_connection() {
    let house = House::quick();
    let daemon = house.start();
    let mut request = http(&daemon);
    request.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").expect("write");
    let mut line = control(&house);
    line.write_all(b"{\"v\":1,\"cmd\":").expect("write");
    let mut idle = Client::connect(&house);
    let mut reply = String::new();
    line.read_to_string(&mut reply).expect("read");
    assert!(reply.contains("ICN-E0516"), "{reply}");
    let mut response = Vec::new();
    let _ = request.read_to_end(&mut response);
    assert!(response.is_empty());
    for socket in ["http", "control"] {
        let series = format!("icn_connections_slow_total{{socket=\"{socket}\"}} ");
        assert_eq!(metric(&daemon, &series), 1.0);
    }
    idle.send("{\"v\":1,\"cmd\":\"status\"}\n");
    assert_eq!(idle.reply().expect("a reply")["ok"], true, "an idle connection may wait");
}

#[test]
fn an_orderly_stop_waits_for_no_client_that_reads_no_reply() {
    let house = House::quick();
    let mut daemon = house.start();
    let mut unread = control(&house);
    unread.set_nonblocking(true).expect("a socket");
    // Until unread replies stop the node from reading.
    until("a connection that is full", || {
        unread.write_all(&b"{\"v\":1,\"cmd\":\"status\"}\n".repeat(64)).err()
    });
    assert_eq!(daemon.stop("TERM"), Some(0));
}

#[test]
fn a_node_that_may_open_too_few_files_says_so() {
    let house = House::quick();
    let (code, text) =
        house.run_under(&["sh", "-c", "ulimit -n 64 && exec \"$0\" \"$@\""], &["--no-mdns"]);
    assert_eq!(code, 1, "{text}");
    for word in ["ICN-E0113", "may have 64 files open", "ulimit -n 450", "LimitNOFILE=450"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!house.path().exists(), "nothing was made");
    // The account may raise the limit: a low one that is only a default lowers no bound.
    let raised = house.icnd(&["sh", "-c", "ulimit -Sn 64 && exec \"$0\" \"$@\""]);
    let hard = Command::new("sh").args(["-c", "ulimit -Hn"]).output().expect("run sh").stdout;
    let hard = String::from_utf8(hard).expect("UTF-8");
    let is_enough = hard.trim().parse().map_or(true, |files: u64| files >= FILES_WANTED);
    if !is_enough {
        println!("skipped: this account may open {hard} files");
        return;
    }
    let mut raised = raised;
    let _daemon = house.start_by(|_| raised.args(["--http", "127.0.0.1:0"]).spawn(), &[]);
    let status = house.get(&["status"]);
    let checks = status["checks"].as_array().expect("checks");
    let files = checks.iter().find(|check| check["name"] == "files").expect("the check");
    assert_eq!(files["level"], "ok", "{files}");
}

#[test]
fn a_lack_of_files_is_named_and_ends_nothing() {
    let house = House::quick();
    let mut daemon = start(&house, FILES_WANTED);
    house.get(&["topic", "create", "a"]);
    // Requests go over connections that are open already.
    let mut client = Client::connect(&house);
    let mut request = |line: &str| {
        client.send(&format!("{line}\n"));
        client.reply().expect("a reply")
    };
    assert_eq!(request(r#"{"v":1,"cmd":"status"}"#)["ok"], true);
    limit(&daemon, 1);
    let saved = request(r#"{"v":1,"cmd":"snapshot_create"}"#);
    let error = &saved["error"];
    assert_eq!(error["code"], "ICN-E0113", "{saved}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("open at once")), "{saved}");
    assert!(!error["advice"].as_str().is_some_and(|text| text.contains("disk")), "{saved}");
    // Until the log needs a segment for which no file can be opened.
    let text = "x".repeat(60_000);
    let publish = format!(r#"{{"v":1,"cmd":"publish","topic":"a","text":"{text}"}}"#);
    let mut published = 0;
    let refused = until("a refusal", || {
        let reply = request(&publish);
        published += usize::from(reply["ok"] == true);
        (reply["ok"] == false).then_some(reply)
    });
    assert_eq!(refused["error"]["code"], "ICN-E0113", "{refused}");
    assert_eq!(request(r#"{"v":1,"cmd":"status"}"#)["ok"], true, "reads go on");
    limit(&daemon, FILES_WANTED);
    until("a message", || (request(&publish)["ok"] == true).then_some(()));
    house.get(&["snapshot", "create"]);
    assert_eq!(house.texts("a").len(), published + 1);
    assert_eq!(daemon.stop("TERM"), Some(0));
    let _daemon = house.start();
    assert_eq!(house.texts("a").len(), published + 1);
}
