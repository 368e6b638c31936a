//! The data directory: its lock, its permissions, and the checks before a node uses it.

use std::io;
use std::path::Path;

use icn_wal::FsDisk;
use icn_wal::disk::Disk;

use crate::control::codes;
use crate::data::{access, keyfile};
use crate::failure::{Failure, is_full};
use crate::text::command::quoted;

/// Names that a directory may hold before it becomes a data directory.
const HARMLESS: [&str; 5] = ["LOCK", "control.sock", "icn.toml", "identity.key.tmp", "lost+found"];

/// A data directory, locked for as long as this value lives.
pub(crate) struct DataDir {
    disk: FsDisk,
    _lock: <FsDisk as Disk>::Lock,
}

impl DataDir {
    /// Creates the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// - `ICN-E0100`: the directory cannot be used.
    /// - `ICN-E0101`: another process has locked it.
    /// - `ICN-E0103`: it holds a node whose key is missing.
    /// - `ICN-E0104`: it holds other files.
    /// - `ICN-E0109`: its file system is unsuitable, and `anywhere` is not set.
    pub(crate) fn own(path: &Path, anywhere: bool) -> Result<Self, Failure> {
        let disk = if anywhere { FsDisk::create_anywhere(path) } else { FsDisk::create(path) };
        let disk = disk.map_err(|error| unusable(path, &error))?;
        check_contents(path)?;
        let lock = disk.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => in_use(path),
            _ => unusable(path, &error),
        })?;
        keep_private(&disk);
        for name in ["wal", "snapshots"] {
            if path.join(name).is_dir()
                && let Ok(inside) = disk.subdir(name)
            {
                keep_private(&inside);
            }
        }
        Ok(Self { disk, _lock: lock })
    }

    /// The directory as a disk.
    pub(crate) fn disk(&self) -> &FsDisk {
        &self.disk
    }
}

/// Restricts the files to their owner. Permissions that cannot be changed do not stop the start.
fn keep_private(disk: &FsDisk) {
    match disk.make_private() {
        Ok(changed) => {
            for path in changed {
                tracing::warn!(
                    "{} was open to other accounts; now only its owner has access",
                    path.display()
                );
            }
        }
        Err(error) => {
            let path = disk.path().display();
            tracing::warn!(
                "{path} may be open to other accounts, and that cannot be changed: {error}"
            );
        }
    }
}

/// The data directory of an existing node, opened read-only.
///
/// # Errors
/// `ICN-E0106` when there is none, `ICN-E0115` when this account may not read it.
pub(crate) fn read_only(path: &Path) -> Result<FsDisk, Failure> {
    if !keyfile::exists(path)? {
        return Err(no_node(path));
    }
    let disk = FsDisk::read_only(path).map_err(|error| unusable(path, &error))?;
    for part in ["", "wal", "snapshots"].map(|name| path.join(name)) {
        if std::fs::read_dir(&part).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
            return Err(access::denied(&part, path));
        }
    }
    Ok(disk)
}

/// The directory must hold a node already: a start must not make one.
///
/// # Errors
/// `ICN-E0106` when it holds none, `ICN-E0115` when this account may not look.
pub(crate) fn must_exist(path: &Path) -> Result<(), Failure> {
    // A store without a key is a node whose key is lost, which the start reports.
    if keyfile::exists(path)? || path.join("wal").exists() {
        return Ok(());
    }
    let advice = format!(
        "Nothing was changed. Is the disk of the data directory mounted? See: findmnt --target {place}\n  \
         If a new node is wanted there: icnd init --data-dir {place}",
        place = quoted(path)
    );
    Err(no_node(path).with_advice(advice))
}

/// The failure for a path that holds no node, with what it is.
pub(crate) fn no_node(path: &Path) -> Failure {
    let shown = path.display();
    let message = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            format!("There is no node in {shown}: the directory has no identity.key.")
        }
        Ok(_) => format!("There is no node in {shown}: it is not a directory."),
        Err(_) => format!("There is no node in {shown}: there is no such directory."),
    };
    Failure::new(codes::NO_NODE, message)
}

/// Refuses a directory that is not a node's and not empty. A key is made for a new node only: a store
/// without a key is a node whose key is lost.
fn check_contents(path: &Path) -> Result<(), Failure> {
    if keyfile::exists(path)? {
        return Ok(());
    }
    let mut others = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| unusable(path, &error))? {
        let name = entry.map_err(|error| unusable(path, &error))?.file_name();
        if name == "wal" || name == "snapshots" {
            return Err(Failure::new(
                codes::KEY_UNUSABLE,
                format!(
                    "The directory {} holds a node whose identity.key is missing.",
                    path.display()
                ),
            ));
        }
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            others.push(name.to_string_lossy().into_owned());
        }
    }
    for legacy in ["state.snapshot", "store/state.snapshot"] {
        let document = path.join(legacy);
        if document.is_file() {
            return Err(Failure::new(
                codes::LEGACY_STATE,
                format!("The earlier implementation left {}.", document.display()),
            )
            .with_advice(
                codes::LEGACY_STATE.advice.replace("FILE", &document.display().to_string()),
            ));
        }
    }
    match others.first() {
        None => Ok(()),
        Some(other) => Err(Failure::new(
            codes::NOT_EMPTY,
            format!(
                "The directory {} holds no node and is not empty: it has {other:?}.",
                path.display()
            ),
        )),
    }
}

pub(crate) fn in_use(path: &Path) -> Failure {
    // The owner writes its process id for operators; it may be stale for a moment.
    let pid = std::fs::read_to_string(path.join("LOCK")).unwrap_or_default();
    let owner = match pid.trim() {
        "" => "Another process".to_owned(),
        pid => format!("Process {pid}"),
    };
    Failure::new(codes::IN_USE, format!("{owner} is using {}.", path.display()))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return access::denied_with(codes::DIRECTORY_UNUSABLE, path, path);
    }
    let code = match error.kind() {
        _ if is_full(error) => codes::NO_SPACE,
        io::ErrorKind::Unsupported => codes::UNSUITABLE_FILE_SYSTEM,
        _ => codes::DIRECTORY_UNUSABLE,
    };
    let message = format!("The data directory {} cannot be used: {error}.", path.display());
    Failure::new(code, message)
}
