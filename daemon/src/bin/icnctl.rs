//! Shows and controls an ICN node.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(icn_daemon::cli::main())
}
