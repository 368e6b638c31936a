//! A real `icnd`: durable publishes through `icnctl … --lines`, and the time from exec to ready.
//! `cargo bench -p icn-daemon`.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use icn_gossip::{KeyCard, Keypair};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 5;
const MESSAGES: usize = 50_000;
const TOPICS: usize = 10;
const PEERS: u8 = 100;

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    Instant::now()
}

/// Starts `icnd` and waits for the line it prints once it takes requests.
fn start(data: &Path) -> Outcome<(Child, Duration)> {
    let started = now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_icnd"))
        .arg("--data-dir")
        .arg(data)
        .args(["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--no-mdns"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    for line in BufReader::new(out).lines() {
        if line?.contains("Ctrl-C") {
            return Ok((child, started.elapsed()));
        }
    }
    Err("icnd ended before it was ready".into())
}

fn icnctl(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icnctl"));
    command.arg("--data-dir").arg(data).args(arguments).stdout(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Outcome<()> {
    let status = icnctl(data, arguments).status()?;
    if status.success() { Ok(()) } else { Err(format!("{arguments:?}: {status}").into()) }
}

/// Publishes `count` messages of 256 bytes; returns how long it took until the last line.
fn publish(data: &Path, count: usize) -> Outcome<Duration> {
    let message = [&[b'm'; 256][..], b"\n"].concat().repeat(count);
    let started = now();
    let mut child =
        icnctl(data, &["gossip", "publish", "bench", "--lines"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(&message)?;
    if !child.wait()?.success() {
        return Err("icnctl failed".into());
    }
    Ok(started.elapsed())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Outcome<()> {
    let around = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut out = std::io::stdout();

    let data = around.path().join("publishing");
    let (mut daemon, _) = start(&data)?;
    run(&data, &["topic", "create", "bench"])?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(MESSAGES as f64 / publish(&data, MESSAGES)?.as_secs_f64());
    }
    daemon.kill()?;
    daemon.wait()?;
    writeln!(out, "durable publishes of 256 bytes through icnctl: {:.0}/s", median(rates))?;

    let data = around.path().join("starting");
    let (mut daemon, _) = start(&data)?;
    for number in 0..TOPICS {
        let name = format!("topic-{number}");
        run(&data, &["topic", "create", &name, "--private"])?;
        run(&data, &["gossip", "subscribe", &name])?;
    }
    for number in 0..PEERS {
        let card = KeyCard::sign(&Keypair::from_seed([number; 32]), [number; 32], 1);
        run(&data, &["peer", "add", &card.to_string()])?;
    }
    run(&data, &["snapshot", "create"])?;
    run(&data, &["topic", "create", "bench"])?;
    publish(&data, 100)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        daemon.kill()?;
        daemon.wait()?;
        let (next, took) = start(&data)?;
        daemon = next;
        times.push(took.as_secs_f64() * 1000.0);
    }
    daemon.kill()?;
    daemon.wait()?;
    writeln!(
        out,
        "exec to ready after kill -9 ({TOPICS} topics and subscriptions, {PEERS} peer keys): {:.1} ms",
        median(times)
    )?;
    Ok(())
}
