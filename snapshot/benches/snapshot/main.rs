//! The cost of a snapshot, and its effect on the writer: `cargo bench -p icn-snapshot`.
//!
//! The results are in `docs/BENCHMARKS.md`. `cargo bench -p icn-snapshot -- sizes` (or `stall`, `node`,
//! `replay`) measures one section.

mod measure;
mod memory;
mod node;
mod replay;
mod sizes;
mod stall;
mod state;

use std::error::Error;

type BoxResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The number of keys in the measured states.
const KEYS: [u32; 3] = [10_000, 100_000, 1_000_000];

fn main() -> BoxResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, keys] = &arguments[..]
        && command == memory::COMMAND
    {
        return memory::print_resident(keys.parse()?);
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let sections: Vec<_> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let wanted =
        |section: &str| sections.is_empty() || sections.iter().any(|word| *word == section);
    let mut out = std::io::stdout();
    if wanted("sizes") {
        sizes::print(&mut out, directory.path())?;
    }
    if wanted("stall") {
        stall::print(&mut out, directory.path())?;
    }
    if wanted("node") {
        node::print(&mut out, directory.path())?;
    }
    if wanted("replay") {
        replay::print(&mut out, directory.path())?;
    }
    Ok(())
}
