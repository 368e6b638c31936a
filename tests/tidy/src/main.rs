//! `icn-tidy CHECK [PATH…]`: prints what one check finds, below the given paths from the root.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use icn_tidy::{CHECKS, Tree};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((_, check)) = CHECKS.iter().find(|(known, _)| *known == name) else {
        let names = CHECKS.map(|(name, _)| name).join("|");
        return Err(format!("usage: icn-tidy {names} [PATH…]").into());
    };
    let root = Tree::root_above(&std::env::current_dir()?).ok_or("not in a work tree")?;
    let paths: Vec<_> = arguments.collect();
    if let Some(missing) = paths.iter().find(|path| !root.join(path).exists()) {
        return Err(format!("no {missing} in {}", root.display()).into());
    }
    let mut findings = check(&Tree::read(&root)?);
    let in_paths = |file: &Path| paths.iter().any(|path| file.starts_with(path));
    findings.retain(|finding| paths.is_empty() || in_paths(Path::new(&finding.file)));
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{name}: {} findings", findings.len())?;
    Ok(ExitCode::FAILURE)
}
