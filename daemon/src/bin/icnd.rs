//! The ICN node.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use icn_daemon::config::{Config, Flags, name_in_texts};
use icn_daemon::exit;
use icn_daemon::failure::Failure;
use icn_daemon::output;
use icn_daemon::run;
use icn_daemon::stdout::{self, Kind};

const SIGNALS: &str = "\
Signals:
  SIGTERM, SIGINT and SIGQUIT stop the node in order, also while it starts. The second one ends it at once.
  SIGHUP has it read its configuration again. `log`, `peers` and [snapshot] apply at once, and the log names keys \
that need a restart.
  SIGUSR1 and SIGUSR2 write a line into the log.";

/// Runs an ICN node in the foreground until SIGTERM or Ctrl-C.
#[derive(Parser)]
#[command(name = "icnd", version, after_help = SIGNALS)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Run the node; the default without a command.
    Run,
    /// Make the directory and the identity of a node without running it.
    Init,
    /// Check the configuration and start nothing.
    CheckConfig,
}

/// Writes the last lines, also when the main thread panics.
struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        output::finish();
    }
}

fn main() -> ExitCode {
    if let Err(error) = output::start() {
        // If standard error fails too, only the exit code is left.
        let _ = writeln!(io::stderr(), "The system refuses a thread for the log: {error}.");
        return ExitCode::from(exit::FAILED);
    }
    let last_lines = LastLines;
    let code = match parse() {
        Ok(cli) => {
            name_in_texts(cli.flags.data_dir.as_deref());
            match act(&cli) {
                Ok(()) => exit::OK,
                Err(failure) => {
                    if !failure.is_silent() {
                        output::print_error(&failure.clone().located().to_string());
                    }
                    failure.exit
                }
            }
        }
        Err(code) => code,
    };
    drop(last_lines);
    ExitCode::from(code)
}

/// The arguments, or the exit code. An error in them is printed as every other one is, without waiting.
fn parse() -> Result<Cli, u8> {
    match Cli::try_parse() {
        Err(error) if error.use_stderr() => {
            let text = error.render();
            let text =
                if io::stderr().is_terminal() { text.ansi().to_string() } else { text.to_string() };
            output::print_error(text.trim_end());
            Err(exit::USAGE)
        }
        _ => stdout::parse(),
    }
}

fn act(cli: &Cli) -> Result<(), Failure> {
    match cli.command {
        None | Some(Command::Run) => run::run(&cli.flags)?,
        Some(Command::Init) => {
            let config = Config::load(&cli.flags)?;
            let (did, created) = run::init(&config)?;
            let what = if created { "A new node" } else { "Already a node" };
            let text = format!("{what} in {}: {did}\n", config.data_dir.display());
            stdout::print(Kind::Change, text.as_bytes())?;
        }
        Some(Command::CheckConfig) => {
            let data_dir = Config::load(&cli.flags)?.data_dir;
            let text = format!("The configuration is valid; data in {}\n", data_dir.display());
            stdout::print(Kind::Query, text.as_bytes())?;
        }
    }
    Ok(())
}
