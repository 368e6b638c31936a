"""File systems on loop devices, whose power can be cut.

Their images lie on a tmpfs in a mount namespace of this process. The end of the process, by
`kill -9` too, ends the mounts, the loop devices and the images.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: _IOR('X', 125, u32). Flag 2 leaves the journal as it is
# on the disk; 0 would write everything out first, and 1 the journal.
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2
LIBC = ctypes.CDLL(None, use_errno=True)

# Longer than any wait of a passing round, in seconds.
DEADLINE = 60

# Type, MiB, options of mkfs, options of mount.
KINDS = {
    "ext4": ("ext4", 64, ("-q", "-F", "-m", "0"), "data=ordered"),
    "ext4-writeback": ("ext4", 64, ("-q", "-F", "-m", "0"), "data=writeback"),
    "xfs": ("xfs", 320, ("-q",), "defaults"),
}


class Skipped(Exception):
    """This machine does not allow the test."""


class Broken(Exception):
    """A promise is broken."""


def until(what, ready):
    """Polls until `ready` returns a true value, and returns it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        got = ready()
        if got:
            return got
        time.sleep(0.002)
    raise Broken(f"{what} did not happen within {DEADLINE} s")


def run(*command):
    """Runs a system command that must succeed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=DEADLINE
    )
    if done.returncode != 0:
        raise OSError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")


@contextlib.contextmanager
def own_mounts():
    """A directory for images, in a mount namespace of this process."""
    if sys.platform != "linux":
        raise Skipped("this needs Linux")
    if os.geteuid() != 0:
        raise Skipped("only root may mount")
    for tool in ("mount", "umount", "setpriv"):
        if shutil.which(tool) is None:
            raise Skipped(f"there is no {tool}")
    if LIBC.unshare(CLONE_NEWNS) or LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        raise Skipped(f"no mounts of our own: {os.strerror(ctypes.get_errno())}")
    work = tempfile.mkdtemp(prefix="icn-power-")
    try:
        try:
            run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", work)
        except OSError as error:
            raise Skipped(error)
        yield pathlib.Path(work)
    finally:
        LIBC.umount2(os.fsencode(work), MNT_DETACH)
        os.rmdir(work)


class Image:
    """A file system in a file."""

    def __init__(self, work, kind, mebibytes=None, options=None):
        self.type, size, self.mkfs, self.options = KINDS[kind]
        self.bytes = (mebibytes or size) << 20
        self.options = options or self.options
        self.file, self.path = work / f"{kind}.img", work / kind
        self.path.mkdir(exist_ok=True)
        if shutil.which(f"mkfs.{self.type}") is None:
            raise Skipped(f"there is no mkfs.{self.type}")

    def make(self):
        """Makes the file system, empty, and mounts it."""
        self.file.unlink(missing_ok=True)
        with open(self.file, "wb") as file:
            file.truncate(self.bytes)
        try:
            run(f"mkfs.{self.type}", *self.mkfs, self.file)
            self.mount()
        except OSError as error:
            raise Skipped(error)

    def mount(self, *options):
        """Mounts the file system, which replays its journal."""
        options = ",".join(("loop", self.options, *options))
        run("mount", "-t", self.type, "-o", options, self.file, self.path)

    def remount(self, *options):
        """Changes the options of the mount."""
        run("mount", "-o", ",".join(("remount", *options)), self.path)

    def cut(self):
        """Cuts the power: from now on no write reaches the disk, not even the journal."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        except OSError as error:
            raise Skipped(f"{self.type} cannot be shut down: {error}")
        finally:
            os.close(directory)

    def unmount(self):
        """Unmounts the file system and drops its caches; its users must have ended."""
        device = self.device()
        # A killed process drops its last references a moment after its end.
        until(f"the end of {self.path}", lambda: self.device() is None or self._let_go())
        loop = pathlib.Path(f"/sys/block/{device}/loop")
        until(f"the end of {device}", lambda: not loop.exists())

    def _let_go(self):
        try:
            run("umount", self.path)
        except OSError:
            return False
        return True

    def device(self):
        """The name of the loop device; `None` when the file system is not mounted."""
        # From the mount table: a look at a directory without power fails.
        with open("/proc/self/mountinfo") as mounts:
            for fields in map(str.split, mounts):
                if fields[4] == str(self.path):
                    return os.path.basename(fields[fields.index("-") + 2])
        return None


class Tmpfs(Image):
    """A file system in memory, which loses its data when it is unmounted."""

    def __init__(self, work, mebibytes):
        self.path, self.options = work / "tmpfs", f"size={mebibytes}m"
        self.path.mkdir()

    def make(self):
        run("mount", "-t", "tmpfs", "-o", self.options, "tmpfs", self.path)
