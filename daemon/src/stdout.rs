//! Standard output, and what it means when a command cannot write to it.
//!
//! | command | its reader has gone | any other error |
//! |---|---|---|
//! | [only reads](Kind::Query) | a quiet end with exit code 0: the reader had enough | exit code 1 |
//! | [changes something](Kind::Change) | exit code 1: it was done and is not reported | exit code 1 |
//! | [must be complete](Kind::Whole) | exit code 1: the rest is missing | exit code 1 |

use std::io::{self, Write};

use clap::Parser;

use crate::control::codes;
use crate::exit;
use crate::failure::Failure;

/// What the output of a command stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer to a question, which can be asked again.
    Query,
    /// The report of a change that was made.
    Change,
    /// A document of which no part may be missing.
    Whole,
}

/// The arguments of this process, or the exit code after it has printed a help text or an error.
///
/// # Errors
/// 0 after a help text; 1 when that cannot be written; 2 for wrong arguments.
pub fn parse<C: Parser>() -> Result<C, u8> {
    let answer = match C::try_parse() {
        Ok(arguments) => return Ok(arguments),
        Err(answer) => answer,
    };
    let printed = answer.print().and_then(|()| io::stdout().flush());
    if answer.use_stderr() {
        return Err(exit::USAGE);
    }
    match printed {
        Ok(()) => Err(exit::OK),
        Err(error) => Err(report(&unwritable(Kind::Query, &error))),
    }
}

/// Prints `text` to standard output.
///
/// # Errors
/// As the table of this module says.
pub fn print(kind: Kind, text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text).and_then(|()| out.flush());
    written.map_err(|error| unwritable(kind, &error))
}

/// Reports a failure on standard error and returns its exit code.
pub fn report(failure: &Failure) -> u8 {
    if !failure.is_silent() {
        // If standard error fails too, only the exit code is left.
        let _ = writeln!(io::stderr(), "{failure}");
    }
    failure.exit
}

/// The failure of a command that cannot write its output.
#[must_use]
pub fn unwritable(kind: Kind, error: &io::Error) -> Failure {
    let failed = |message| Failure::new(codes::OUTPUT_NOT_WRITTEN, message);
    match kind {
        Kind::Query if error.kind() == io::ErrorKind::BrokenPipe => Failure::silent(exit::OK),
        Kind::Query => failed(format!("The output cannot be written: {error}.")),
        Kind::Change => {
            failed(format!("The command was done, and its report cannot be written: {error}."))
                .with_advice("Look before you repeat it: icnctl status")
        }
        Kind::Whole => failed(format!("The output is not complete: {error}."))
            .with_advice("Check where it goes, and repeat the command."),
    }
}
