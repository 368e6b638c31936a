//! Standard output and standard error of `icnd`.
//!
//! Invariant: no thread of the node waits for the process that reads a log line or the start report.

mod stream;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::process;
use std::sync::OnceLock;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

pub use self::stream::{BYTES_MAX, LINES_MAX, LineCounts};
use self::stream::{Descriptor, Stream};
use crate::clock::now_ms;
use crate::text;

/// How long the end of the process waits until the last lines are written.
const END_WAIT: Duration = Duration::from_secs(1);

static OUTPUT: OnceLock<Output> = OnceLock::new();

struct Output {
    log: Stream,
    report: Stream,
    level: Handle<LevelFilter, Registry>,
}

/// The least severe lines that the log shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Errors alone.
    Error,
    /// Warnings as well.
    Warn,
    /// What the node does as well.
    #[default]
    Info,
    /// Details for a developer as well.
    Debug,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// Starts the writers of both streams, and sends log lines and panics there. For the beginning of a process.
///
/// # Errors
/// When the system refuses a thread.
pub fn start() -> io::Result<()> {
    let log = Stream::start("log", Descriptor(io::stderr()), Some(dropped_line))?;
    let report = Stream::start("report", Descriptor(io::stdout()), None)?;
    let (filter, level) = reload::Layer::new(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(LogWriter)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // It would report an error on standard error itself, and wait there.
        .log_internal_errors(false);
    if OUTPUT.set(Output { log, report, level }).is_ok() {
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
        panic::set_hook(Box::new(report_panic));
    }
    Ok(())
}

/// Shows log lines from this level on.
pub(crate) fn set_level(level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    if let Some(output) = OUTPUT.get() {
        let _ = output.level.reload(filter);
    }
}

/// Prints to standard output.
pub fn print(text: &str) {
    match OUTPUT.get() {
        Some(output) => output.report.push(text.as_bytes().to_vec()),
        // A program that embeds a node.
        None => drop(io::stdout().write_all(text.as_bytes())),
    }
}

/// Prints the error that ends the process. It finds a place however many lines wait.
pub fn print_error(text: &str) {
    match OUTPUT.get() {
        Some(output) => output.log.push_last(format!("{text}\n").into_bytes()),
        None => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// How many lines of the log were dropped.
pub(crate) fn log_lines() -> LineCounts {
    OUTPUT.get().map(|output| output.log.counts()).unwrap_or_default()
}

/// Waits until all lines are written, for a second at most. A reader that is stuck delays no end.
pub fn finish() {
    if let Some(output) = OUTPUT.get() {
        output.log.flush(END_WAIT);
        output.report.flush(END_WAIT);
    }
}

/// Ends the process at once, with its last lines.
pub(crate) fn exit(code: u8) -> ! {
    finish();
    process::exit(code.into())
}

fn dropped_line(dropped: u64) -> String {
    let lines = text::counted(dropped, "log line");
    let were = if dropped == 1 { "was" } else { "were" };
    format!("{}  WARN {lines} {were} dropped here: standard error took no more\n", stamp())
}

fn report_panic(panicked: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let mut text = format!("{} ERROR Thread {name} {panicked}\n", stamp());
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("{backtrace}\n"));
    }
    if let Some(output) = OUTPUT.get() {
        output.log.push(text.into_bytes());
    }
}

/// The present time as at the beginning of other lines.
fn stamp() -> String {
    let ms = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// Takes each formatted line.
struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(output) = OUTPUT.get() {
            output.log.push(line.to_vec());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
