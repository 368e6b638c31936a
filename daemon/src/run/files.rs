//! The files that the process may have open: as many as its account allows, and enough.

use crate::control::codes;
use crate::failure::Failure;
use crate::files::{self, Budget, FILES_MIN};

/// Raises the limit, and returns what connections may have of it.
///
/// # Errors
/// `ICN-E0113` when there are too few for the log, the snapshots and any connection.
pub(super) fn claim() -> Result<Budget, Failure> {
    files::raise();
    let budget = Budget::of_process();
    if budget.files >= FILES_MIN {
        return Ok(budget);
    }
    let most = budget.files;
    let message =
        format!("This process may have {most} files open at once, and a node needs {FILES_MIN}.");
    let advice = format!("Nothing was started. {}", files::how_to_raise());
    Err(Failure::new(codes::NO_FILES, message).with_advice(advice))
}
