//! The control socket's place in the file system.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const NAME: &str = "control.sock";

/// What a socket address can hold, with a byte to spare.
const PATH_BYTES_MAX: usize = 100;

/// A path that names the socket and fits into a socket address. It is valid while this lives.
pub(crate) struct SocketPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl SocketPath {
    /// The socket in `directory`. A path too long for a socket address goes through the open
    /// directory instead.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _directory: None });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }

    /// The path to bind or connect to.
    #[must_use]
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// The path a person knows the socket by.
#[must_use]
pub(crate) fn shown(directory: &Path) -> PathBuf {
    directory.join(NAME)
}
