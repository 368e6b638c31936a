"""Mounts an empty, read-only FUSE file system on argv[1], runs argv[2:] and exits as it does.

To be run in a mount namespace of its own, which takes the mount away at the end. Exits with 77 when
this machine does not allow it.
"""

import ctypes
import errno
import os
import struct
import subprocess
import sys
import threading

SKIPPED = 77
LOOKUP, FORGET, GETATTR, MKNOD, MKDIR, STATFS, INIT = 1, 2, 3, 8, 9, 17, 26
OPENDIR, READDIR, RELEASEDIR, CREATE, BATCH_FORGET = 27, 28, 29, 35, 42
REFUSED = {LOOKUP: errno.ENOENT, MKNOD: errno.EROFS, MKDIR: errno.EROFS, CREATE: errno.EROFS}


def answer(opcode):
    """The error and the body of the answer, as <linux/fuse.h> has them."""
    if opcode == INIT:
        return 0, struct.pack("<4I2H2I2HI28x", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0)
    if opcode == GETATTR:
        attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40700, 2, 0, 0, 0, 4096, 0)
        return 0, struct.pack("<QII", 0, 0, 0) + attributes
    if opcode == STATFS:
        return 0, struct.pack("<5Q4I24x", 1000, 1000, 1000, 1000, 1000, 4096, 255, 4096, 0)
    if opcode == OPENDIR:
        return 0, struct.pack("<QII", 0, 0, 0)
    if opcode in (READDIR, RELEASEDIR):
        return 0, b""
    return -REFUSED.get(opcode, errno.ENOSYS), b""


def serve(device):
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError:
            return
        _, opcode, unique = struct.unpack_from("<IIQ", request)
        if opcode not in (FORGET, BATCH_FORGET):
            error, body = answer(opcode)
            os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def main():
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        print(error)
        return SKIPPED
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"empty", os.fsencode(sys.argv[1]), b"fuse.empty", 0, options) != 0:
        print(os.strerror(ctypes.get_errno()))
        return SKIPPED
    threading.Thread(target=serve, args=(device,), daemon=True).start()
    return subprocess.run(sys.argv[2:], check=False).returncode


sys.exit(main())
