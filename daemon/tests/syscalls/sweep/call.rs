//! The system calls that touch files.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::libc;

/// The effect of a call on the watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Opens an existing file and changes nothing.
    Open,
    /// Opens a file, and may create or truncate it.
    Create,
    /// Writes bytes.
    Write,
    /// Makes written data durable.
    Sync,
    /// Makes a directory.
    Directory,
    /// Renames or links.
    Rename,
    /// Any other change: removes, resizes, locks, sets permissions.
    Other,
}

/// A call on a file below the watched directory.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The name of the call in the manual.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The file, relative to the watched directory; of two files, the first.
    pub(crate) path: PathBuf,
}

impl Call {
    /// Whether the call can change the directory, or make a change durable.
    pub(crate) fn changes(&self) -> bool {
        self.kind != Kind::Open
    }

    /// Whether the call needs room on the disk.
    pub(crate) fn takes_room(&self) -> bool {
        use Kind::{Create, Directory, Rename, Write};
        matches!(self.kind, Create | Write | Directory | Rename)
    }

    /// Whether the call takes a new file descriptor.
    pub(crate) fn opens(&self) -> bool {
        matches!(self.kind, Kind::Open | Kind::Create)
    }

    /// Whether the call writes or syncs a segment of the log.
    pub(crate) fn is_on_segment(&self) -> bool {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        matches!(self.kind, Kind::Write | Kind::Sync) && name.ends_with(".wal")
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.name, self.path)
    }
}

/// The argument of a call that names its file.
#[derive(Clone, Copy)]
enum Target {
    /// The argument with the path.
    Name(usize),
    /// The argument with the directory; the path is in the next one.
    NameAt(usize),
    /// The argument with the file descriptor.
    Fd(usize),
}

use Target::{Fd, Name, NameAt};

/// A vectored write is no [`Kind::Write`]: its length is in memory, not in a register.
const CALLS: &[(libc::c_long, &str, Kind, Target)] = &[
    (libc::SYS_open, "open", Kind::Open, Name(0)),
    (libc::SYS_openat, "openat", Kind::Open, NameAt(0)),
    (libc::SYS_openat2, "openat2", Kind::Create, NameAt(0)),
    (libc::SYS_creat, "creat", Kind::Create, Name(0)),
    (libc::SYS_write, "write", Kind::Write, Fd(0)),
    (libc::SYS_pwrite64, "pwrite64", Kind::Write, Fd(0)),
    (libc::SYS_writev, "writev", Kind::Other, Fd(0)),
    (libc::SYS_pwritev, "pwritev", Kind::Other, Fd(0)),
    (libc::SYS_pwritev2, "pwritev2", Kind::Other, Fd(0)),
    (libc::SYS_sendfile, "sendfile", Kind::Other, Fd(0)),
    (libc::SYS_copy_file_range, "copy_file_range", Kind::Other, Fd(2)),
    (libc::SYS_splice, "splice", Kind::Other, Fd(2)),
    (libc::SYS_fsync, "fsync", Kind::Sync, Fd(0)),
    (libc::SYS_fdatasync, "fdatasync", Kind::Sync, Fd(0)),
    (libc::SYS_sync_file_range, "sync_file_range", Kind::Sync, Fd(0)),
    (libc::SYS_syncfs, "syncfs", Kind::Sync, Fd(0)),
    (libc::SYS_mkdir, "mkdir", Kind::Directory, Name(0)),
    (libc::SYS_mkdirat, "mkdirat", Kind::Directory, NameAt(0)),
    (libc::SYS_rename, "rename", Kind::Rename, Name(0)),
    (libc::SYS_renameat, "renameat", Kind::Rename, NameAt(0)),
    (libc::SYS_renameat2, "renameat2", Kind::Rename, NameAt(0)),
    (libc::SYS_link, "link", Kind::Rename, Name(1)),
    (libc::SYS_linkat, "linkat", Kind::Rename, NameAt(2)),
    (libc::SYS_symlink, "symlink", Kind::Rename, Name(1)),
    (libc::SYS_symlinkat, "symlinkat", Kind::Rename, NameAt(1)),
    (libc::SYS_mknod, "mknod", Kind::Rename, Name(0)),
    (libc::SYS_mknodat, "mknodat", Kind::Rename, NameAt(0)),
    (libc::SYS_unlink, "unlink", Kind::Other, Name(0)),
    (libc::SYS_unlinkat, "unlinkat", Kind::Other, NameAt(0)),
    (libc::SYS_rmdir, "rmdir", Kind::Other, Name(0)),
    (libc::SYS_truncate, "truncate", Kind::Other, Name(0)),
    (libc::SYS_ftruncate, "ftruncate", Kind::Other, Fd(0)),
    (libc::SYS_fallocate, "fallocate", Kind::Other, Fd(0)),
    (libc::SYS_flock, "flock", Kind::Other, Fd(0)),
    (libc::SYS_chmod, "chmod", Kind::Other, Name(0)),
    (libc::SYS_fchmod, "fchmod", Kind::Other, Fd(0)),
    (libc::SYS_fchmodat, "fchmodat", Kind::Other, NameAt(0)),
];

/// A stopped process, with its memory and its files.
pub(crate) struct Process {
    id: i32,
    memory: File,
}

impl Process {
    /// The process after its `execve`, which replaces the memory.
    pub(crate) fn new(id: i32) -> std::io::Result<Self> {
        Ok(Self { id, memory: File::open(format!("/proc/{id}/mem"))? })
    }

    /// Up to `limit` bytes of its memory; fewer where it ends.
    pub(crate) fn read(&self, address: u64, limit: usize) -> Vec<u8> {
        let mut bytes = vec![0; limit];
        let read = self.memory.read_at(&mut bytes, address).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    /// The target of a file descriptor: a path, or a text like `socket:[77]`.
    pub(crate) fn file(&self, fd: u64) -> PathBuf {
        let directory = format!("/proc/{}/fd/{}", self.id, fd.cast_signed());
        fs::read_link(directory).unwrap_or_default()
    }

    fn path(&self, address: u64) -> PathBuf {
        let mut bytes = self.read(address, 4096);
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(0));
        PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The call with this number and these arguments, if it touches a file below `root`.
    pub(crate) fn call(&self, root: &Path, number: u64, arguments: [u64; 4]) -> Option<Call> {
        let number = number.cast_signed();
        assert_ne!(number, libc::SYS_io_uring_setup, "its calls would not be seen");
        let &(_, name, kind, target) = CALLS.iter().find(|(known, ..)| *known == number)?;
        let path = match target {
            // The output and the log are not files of the directory.
            Fd(at) if arguments[at] <= 2 => return None,
            Fd(at) => self.file(arguments[at]),
            Name(at) => self.path(arguments[at]),
            NameAt(at) => {
                let path = self.path(arguments[at + 1]);
                if path.is_absolute() { path } else { self.file(arguments[at]).join(path) }
            }
        };
        let path = path.strip_prefix(root).ok()?.to_path_buf();
        let flags = match name {
            "open" => arguments[1],
            "openat" => arguments[2],
            _ => 0,
        };
        let creating = u64::from((libc::O_CREAT | libc::O_TRUNC).cast_unsigned());
        let kind = if flags & creating == 0 { kind } else { Kind::Create };
        Some(Call { name, kind, path })
    }
}
