//! Every command with an output that cannot be written, and with an input that it does not expect.

mod harness;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::process::{Command, Output, Stdio};
use std::thread;

use harness::House;
use serde_json::Value;

/// What a command does when its reader has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// It ends quietly.
    Quiet,
    /// It says what was done.
    Says,
}
use When::{Quiet, Says};

/// The commands of `icnctl`. `{}` stands for the number of the run, `{topic}` for the id of a topic.
const COMMANDS: &[(When, &str)] = &[
    (Quiet, "status"),
    (Says, "topic create new-{}"),
    (Quiet, "topic list"),
    (Quiet, "topic list --offline"),
    (Quiet, "topic show a"),
    (Says, "topic join {topic}"),
    (Quiet, "topic candidates nothing"),
    (Says, "topic refetch a"),
    (Says, "topic delete old-{} --yes"),
    (Says, "gossip publish a hello"),
    (Says, "gossip subscribe b-{}"),
    (Says, "gossip unsubscribe b-{}"),
    (Quiet, "gossip subscriptions"),
    (Quiet, "gossip entries a"),
    (Quiet, "gossip entries a --offline"),
    (Says, "gossip cursor delete a c-{}"),
    (Quiet, "gossip subscribe a --follow --from-start"),
    (Says, "gossip subscribe a --follow --from-start --cursor d-{}"),
    (Quiet, "peer list"),
    (Says, "peer remove {did}"),
    (Says, "peer add {card}"),
    (Says, "snapshot create"),
    (Quiet, "snapshot list"),
    (Quiet, "snapshot show {snapshot}"),
    (Quiet, "snapshot verify {snapshot}"),
    (Quiet, "snapshot verify --all"),
    (Quiet, "snapshot diff {snapshot}"),
    (Quiet, "snapshot restore {snapshot} --dry-run"),
    (Says, "snapshot restore {snapshot} --yes"),
    (Says, "snapshot export"),
    (Says, "snapshot export --to {file}-{}"),
    (Quiet, "snapshot import {exported} --dry-run"),
    (Says, "snapshot import {exported}"),
    (Quiet, "snapshot prune --dry-run"),
    (Says, "snapshot prune"),
    (Says, "snapshot pin {snapshot}"),
    (Says, "snapshot unpin {snapshot}"),
    (Quiet, "wal list"),
    (Quiet, "wal dump"),
    (Quiet, "wal dump --follow"),
    (Quiet, "wal verify"),
    (Quiet, "state digest"),
    (Quiet, "clock show"),
    (Says, "clock confirm --yes"),
    (Quiet, "identity show"),
    (Quiet, "completions bash"),
    (Quiet, "completions zsh"),
    (Quiet, "completions fish"),
    (Quiet, "--help"),
    (Quiet, "--version"),
    (Quiet, "gossip publish --help"),
];

/// Where the output of a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// A pipe without a reader.
    Gone,
    /// A pipe whose reader ends after one line.
    OneLine,
    /// A device without space.
    Full,
    /// A pipe without a reader, and standard error as well.
    NoErrorsEither,
}

fn card(seed: u8) -> (String, String) {
    let keypair = icn_gossip::Keypair::from_seed([seed; 32]);
    let card = icn_gossip::KeyCard::sign(&keypair, [1; 32], 1);
    (keypair.did().to_string(), card.to_string())
}

/// A node with something of each kind, and the words that stand for it.
struct Furnished {
    house: House,
    _daemon: harness::Daemon,
    words: Vec<(&'static str, String)>,
    runs: usize,
}

impl Furnished {
    fn new() -> Self {
        let house = House::quick();
        let daemon = house.start();
        let topic = house.create("a", &[]);
        for text in ["one", "two", "three"] {
            house.get(&["gossip", "publish", "a", text]);
        }
        let (did, card) = card(1);
        house.get(&["peer", "add", &card]);
        let snapshot = house.get(&["snapshot", "create", "--pin"]);
        let snapshot = snapshot["id"].as_str().expect("an id").to_owned();
        let exported = house.around().join("exported").display().to_string();
        house.get(&["snapshot", "export", "--to", &exported]);
        let file = house.around().join("file").display().to_string();
        let words = vec![
            ("{topic}", topic),
            ("{did}", did),
            ("{card}", card),
            ("{snapshot}", snapshot),
            ("{exported}", exported),
            ("{file}", file),
        ];
        Self { house, _daemon: daemon, words, runs: 0 }
    }

    /// The command `text`, with what it needs.
    fn command(&mut self, text: &str) -> Command {
        self.runs += 1;
        let run = self.runs.to_string();
        let filled = text.replace("{}", &run);
        let word = |word: &str| {
            let fill = |word: String, (name, value): &(&str, String)| word.replace(name, value);
            self.words.iter().fold(word.to_owned(), fill)
        };
        let arguments: Vec<String> = filled.split(' ').map(word).collect();
        let house = &self.house;
        if text.starts_with("topic delete") {
            house.get(&["topic", "create", &format!("old-{run}")]);
        } else if text.starts_with("gossip unsubscribe") {
            house.get(&["gossip", "subscribe", &format!("b-{run}")]);
        } else if text.starts_with("gossip cursor") {
            let follow = ["gossip", "subscribe", "a", "--follow", "--from-start", "--json"];
            let mut child = house
                .icnctl(&[&follow[..], &["--cursor", &format!("c-{run}")]].concat())
                .stdout(Stdio::piped())
                .spawn()
                .expect("spawn icnctl");
            let mut line = String::new();
            let mut lines = BufReader::new(child.stdout.take().expect("stdout"));
            lines.read_line(&mut line).expect("a line");
            child.kill().expect("kill");
            child.wait().expect("wait");
        } else if text.starts_with("peer remove") {
            house.get(&["peer", "add", &card(1).1]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        house.icnctl(&arguments)
    }
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full")
}

/// Runs the command with this output. Returns its exit code, and what it wrote on standard error.
fn run(mut command: Command, sink: Sink) -> (Option<i32>, String) {
    command.stderr(Stdio::piped());
    let output = match sink {
        Sink::Gone | Sink::NoErrorsEither => {
            let (reader, writer) = pipe().expect("a pipe");
            drop(reader);
            if sink == Sink::NoErrorsEither {
                command.stderr(writer.try_clone().expect("a pipe"));
            }
            command.stdout(writer).output()
        }
        Sink::Full => command.stdout(full()).output(),
        Sink::OneLine => {
            let (reader, writer) = pipe().expect("a pipe");
            let child = command.stdout(writer).spawn().expect("spawn");
            // The command holds the other end.
            drop(command);
            let mut line = String::new();
            BufReader::with_capacity(1, reader).read_line(&mut line).expect("a line");
            child.wait_with_output()
        }
    };
    let Output { status, stderr, .. } = output.expect("run");
    (status.code(), String::from_utf8(stderr).expect("UTF-8"))
}

fn check(when: When, what: &str, sink: Sink, (code, errors): (Option<i32>, String)) {
    let what = format!("{what} to {sink:?}: {errors}");
    assert!(!errors.contains("panicked"), "{what}");
    let says = errors.contains("ICN-E0513") && errors.contains("exit 1");
    match (sink, when) {
        // The whole report may have been written before the reader went.
        (Sink::OneLine, Says) if code == Some(0) => assert_eq!(errors, "", "{what}"),
        (Sink::OneLine | Sink::Gone, Quiet) => {
            assert_eq!((code, errors.as_str()), (Some(0), ""), "{what}");
        }
        (Sink::NoErrorsEither, Quiet) => assert_eq!(code, Some(0), "{what}"),
        (Sink::NoErrorsEither, Says) => assert_eq!(code, Some(1), "{what}"),
        (Sink::OneLine | Sink::Gone, Says) | (Sink::Full, _) => {
            assert_eq!((code, says), (Some(1), true), "{what}");
        }
    }
}

#[test]
fn no_command_loses_its_output_silently() {
    let mut node = Furnished::new();
    for sink in [Sink::Gone, Sink::OneLine, Sink::Full, Sink::NoErrorsEither] {
        for (when, text) in COMMANDS {
            for more in [&[][..], &["--json"]] {
                if sink == Sink::OneLine && text.contains("export --to") {
                    continue;
                }
                let mut command = node.command(text);
                command.args(more);
                check(*when, &format!("icnctl {text} {more:?}"), sink, run(command, sink));
            }
        }
        for (when, text) in [(Quiet, "check-config"), (Says, "init"), (Quiet, "--help")] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_icnd"));
            command.arg("--data-dir").arg(node.house.path()).arg(text);
            check(when, &format!("icnd {text}"), sink, run(command, sink));
        }
    }
}

#[test]
fn a_failure_is_reported_where_it_can_be() {
    let house = House::quick();
    let missing = |sink| {
        run(
            {
                let mut command = house.icnctl(&["status", "--json"]);
                command.stdin(Stdio::null());
                command
            },
            sink,
        )
    };
    for sink in [Sink::Gone, Sink::Full] {
        let (code, errors) = missing(sink);
        assert_eq!(code, Some(10), "{errors}");
        assert!(errors.contains("ICN-E0106"), "{errors}");
    }
    assert_eq!(missing(Sink::NoErrorsEither).0, Some(10));
}

#[test]
fn a_slow_reader_gets_everything() {
    let house = House::quick();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let text = "x".repeat(1000);
    let lines = format!("{text}\n").repeat(3000);
    let mut child = house
        .icnctl(&["gossip", "publish", "a", "--lines"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn icnctl");
    let mut stdin = child.stdin.take().expect("stdin");
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()).expect("write"));
    let mut reports = Vec::new();
    let mut stdout = child.stdout.take().expect("stdout");
    let mut piece = [0; 64];
    loop {
        match stdout.read(&mut piece).expect("read") {
            0 => break,
            count => reports.extend_from_slice(&piece[..count]),
        }
        thread::yield_now();
    }
    writer.join().expect("join");
    assert!(child.wait().expect("wait").success());
    assert_eq!(String::from_utf8(reports).expect("UTF-8").lines().count(), 3000);
}

/// Publishes the lines that `input` writes, to `out`.
fn publish_lines(
    house: &House,
    out: impl Into<Stdio>,
    input: impl FnOnce(&mut dyn Write) + Send + 'static,
) -> (Option<i32>, String) {
    let mut child = house
        .icnctl(&["gossip", "publish", "a", "--lines"])
        .stdin(Stdio::piped())
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn icnctl");
    let mut stdin = child.stdin.take().expect("stdin");
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        input(&mut stdin);
        // The input stays open until the command has ended: it must not wait for more.
        let _ = end.recv();
    });
    let mut errors = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut errors).expect("read");
    let code = child.wait().expect("wait").code();
    drop(ended);
    writer.join().expect("join");
    (code, errors)
}

#[test]
fn lines_that_are_not_reported_are_counted() {
    let house = House::quick();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let (code, errors) = publish_lines(&house, writer, |input| {
        input.write_all(b"one\n").expect("write");
    });
    assert_eq!(code, Some(1), "{errors}");
    let counts = "1 lines were sent and 1 of them are durable; 0 were reported.";
    assert!(errors.contains(counts) && errors.contains("ICN-E0513"), "{errors}");
    assert_eq!(house.texts("a"), ["one"]);

    let (code, errors) = publish_lines(&house, full(), |input| {
        let lines: String = (0..100_000).map(|line| format!("{line}\n")).collect();
        // The command stops reading.
        let _ = input.write_all(lines.as_bytes());
    });
    assert_eq!(code, Some(1), "{errors}");
    let texts = house.texts("a");
    let published = texts.len() - 1;
    assert!(published < 100_000);
    let counts = format!(
        "{published} lines were sent and {published} of them are durable; 0 were reported."
    );
    assert!(errors.contains(&counts), "{counts} in {errors}");
    assert_eq!(texts.last(), Some(&(published - 1).to_string()), "no line was left out");
}

#[test]
fn a_line_is_published_while_the_next_one_is_incomplete() {
    let house = House::quick();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let mut child = house
        .icnctl(&["gossip", "publish", "a", "--lines"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn icnctl");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(b"one\ntw").expect("write");
    let mut reports = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    reports.read_line(&mut line).expect("a report");
    assert!(serde_json::from_str::<Value>(&line).expect("JSON")["lsn"].is_u64());
    drop(stdin);
    assert!(child.wait().expect("wait").success());
    assert_eq!(house.texts("a"), ["one", "tw"]);
}

#[test]
fn an_input_of_any_kind_is_published_or_refused() {
    let house = House::quick();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let huge = "x".repeat(3 << 20);
    let inputs: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("no text", b"\xff\xfe\x00".to_vec()),
        ("a huge line", huge.clone().into_bytes()),
        ("no end of a line", b"text".to_vec()),
    ];
    for (name, bytes) in &inputs {
        for arguments in [&["-"][..], &["--lines"]] {
            let mut child = house
                .icnctl(&[&["gossip", "publish", "a"], arguments].concat())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("spawn icnctl");
            let mut stdin = child.stdin.take().expect("stdin");
            let bytes = bytes.clone();
            let writer = thread::spawn(move || {
                let _ = stdin.write_all(&bytes);
            });
            let Output { status, stderr, .. } = child.wait_with_output().expect("wait");
            writer.join().expect("join");
            let errors = String::from_utf8(stderr).expect("UTF-8");
            let what = format!("{name} {arguments:?}: {errors}");
            assert!(!errors.contains("panicked"), "{what}");
            let expected = if *name == "a huge line" { (1, "ICN-E0307") } else { (0, "") };
            assert_eq!(status.code(), Some(expected.0), "{what}");
            assert!(errors.contains(expected.1), "{what}");
        }
    }
    // A closed input is an empty one; a directory cannot be read.
    for (arguments, input, expected) in [
        ("gossip publish a --lines", "<&-", 0),
        ("gossip publish a --lines", "< /", 1),
        ("gossip publish a -", "< /", 1),
        ("topic delete a", "<&-", 17),
        ("topic delete a", "< /dev/null", 17),
    ] {
        let script = format!("exec \"$0\" --data-dir \"$1\" {arguments} {input}");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_icnctl")])
            .arg(house.path())
            .output()
            .expect("run sh");
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(expected), "{arguments} {input}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}
