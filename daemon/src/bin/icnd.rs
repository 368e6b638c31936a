//! The ICN node.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use icn_daemon::config::{Config, Flags};
use icn_daemon::failure::Failure;
use icn_daemon::run;

/// Runs an ICN node in the foreground until SIGTERM or Ctrl-C.
#[derive(Parser)]
#[command(name = "icnd", version)]
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    match act(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If standard error fails too, only the exit code is left.
            let _ = writeln!(io::stderr(), "{failure}");
            ExitCode::from(failure.exit)
        }
    }
}

fn act(cli: &Cli) -> Result<(), Failure> {
    let config = Config::load(&cli.flags)?;
    let mut out = io::stdout();
    match cli.command {
        None | Some(Command::Run) => run::run(&config)?,
        Some(Command::Init) => {
            let (did, created) = run::init(&config)?;
            let what = if created { "A new node" } else { "Already a node" };
            let _ = writeln!(out, "{what} in {}: {did}", config.data_dir.display());
        }
        Some(Command::CheckConfig) => {
            let _ =
                writeln!(out, "The configuration is valid; data in {}", config.data_dir.display());
        }
    }
    Ok(())
}
