//! The path of the control socket.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const NAME: &str = "control.sock";

/// The longest path that is used directly; a socket address holds 107 bytes.
const PATH_BYTES_MAX: usize = 100;

/// A path to the socket that fits into a socket address; valid while this value lives.
pub(crate) struct SocketPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl SocketPath {
    /// The path to the socket in `directory`. A path that is too long is replaced by one through the
    /// open directory.
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

/// The path of the socket as operators know it.
#[must_use]
pub(crate) fn shown(directory: &Path) -> PathBuf {
    directory.join(NAME)
}
