//! Files that this account may not use: whose they are, and the command to run as that account.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::control::codes::{self, Code};
use crate::failure::Failure;
use crate::text::command::quoted;

/// The failure for a file of the node in `directory` that this account may not use.
pub(crate) fn denied(path: &Path, directory: &Path) -> Failure {
    denied_with(codes::NO_FILE_PERMISSION, path, directory)
}

/// The failure of kind `code` for `path`, a file of the node in `directory`.
pub(crate) fn denied_with(code: Code, path: &Path, directory: &Path) -> Failure {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let us = rustix::process::geteuid().as_raw();
    let what = format!("{} cannot be used: Permission denied.", path.display());
    // Where a directory on the way refuses this account, the file itself shows no owner.
    let shown = absolute.ancestors().find_map(|place| Some((place, fs::metadata(place).ok()?)));
    let Some((place, found)) = shown else { return Failure::new(code, what) };
    let owner = found.uid();
    let message = format!(
        "{what} This account is {}; the owner of {} is {}.",
        account(us),
        place.display(),
        account(owner),
    );
    if owner == us {
        // Its own account has closed it, which another account does not change.
        let place = quoted(place);
        let advice =
            format!("The account of icnd must be able to write to its files: chmod u+rwX {place}");
        return Failure::new(code, message).with_advice(advice);
    }
    let user = name_of(owner).unwrap_or_else(|| format!("#{owner}"));
    let command = again(directory);
    let advice = format!("Use that account: sudo -u {} {command}", quoted(user));
    Failure::new(code, message).with_advice(advice)
}

/// The command of this process for another account, whose default data directory is another.
fn again(directory: &Path) -> String {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "icnctl".into());
    let mut words = vec![quoted(program), "--data-dir".to_owned(), quoted(&directory)];
    while let Some(argument) = arguments.next() {
        if argument == "--data-dir" {
            arguments.next();
        } else if !starts_with(&argument, "--data-dir=") {
            words.push(quoted(argument));
        }
    }
    words.join(" ")
}

fn starts_with(argument: &OsStr, prefix: &str) -> bool {
    argument.as_encoded_bytes().starts_with(prefix.as_bytes())
}

/// The account of an id, with its name where the system's list has one.
fn account(id: u32) -> String {
    match name_of(id) {
        Some(name) => format!("{name}, uid {id}"),
        None => format!("uid {id}"),
    }
}

fn name_of(id: u32) -> Option<String> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}
