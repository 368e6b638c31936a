#!/usr/bin/env python3
"""Real file systems that are read-only, full or already in use, under a real node.

Needs root, loop devices and mkfs.ext4.
"""

import argparse
import hashlib
import sys

sys.dont_write_bytecode = True

from image import Broken, Image, Skipped, Tmpfs, own_mounts, until
from node import TOPIC, Node, Publisher, binaries, main

# Exit code of `icnctl` and error code for a full disk.
FULL = (18, "ICN-E0203")


def expect(what, got, wanted):
    """Checks a promise by a comparison."""
    if got != wanted:
        raise Broken(f"{what}: {got!r} instead of {wanted!r}")


def begin(work, bins, image):
    """Starts a node with a topic on a new file system."""
    image.make()
    node = Node(bins, image.path / "node", work)
    node.start()
    node.get("topic", "create", TOPIC, "--private")
    node.get("gossip", "subscribe", TOPIC)
    return node


def refused(node, exit_code, code):
    """Starts a node that must end by itself with this exit code and error code."""
    node.begin()
    until("the end of icnd", lambda: node.process.poll() is not None or node.ready())
    node.kill()
    expect("the exit code of icnd", node.process.returncode, exit_code)
    if code not in node.log.read_text():
        raise Broken(f"icnd does not say {code}: {node.said()}")


def contents(directory):
    """Name and hash of every file, except prepared ones and `LOCK`, which names its last holder."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    files = [path for path in files if path.name != "LOCK" and path.suffix != ".tmp"]
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def read_only(work, bins):
    """The file system turns read-only under the node, and is read-only at a start."""
    image = Image(work, "ext4", options="errors=remount-ro")
    node = begin(work, bins, image)
    try:
        try:
            image.remount("ro")
        except OSError:
            # The kernel refuses to remount read-only under an open log; the node goes on.
            node.get("gossip", "publish", TOPIC, "0")
        else:
            raise Broken("the file system lets itself be remounted under an open log")
        publisher = Publisher(node, lambda number: str(number + 1))
        publisher.acknowledges(100)
        # The kernel does the same by itself on a disk error.
        with open(f"/sys/fs/ext4/{image.device()}/trigger_fs_error", "w") as trigger:
            trigger.write("1")
        expect("the exit code of icnd on a read-only disk", node.end(), 74)
        acknowledged = [str(number) for number in range(len(publisher.finish()) + 1)]
        image.unmount()

        # First writable, then read-only: the journal has to be replayed before.
        image.mount()
        image.remount("ro")
        before = contents(node.directory)
        refused(node, 1, "ICN-E0100")
        expect("files of a read-only disk", contents(node.directory), before)
        texts = node.texts("--offline")
        node.get("wal", "verify", "--offline")
        image.remount("rw")
        node.start()
        expect("messages", node.texts(), texts)
        expect("acknowledged messages", texts[: len(acknowledged)], acknowledged)
        node.get("gossip", "publish", TOPIC, "afterwards")
        return f"{len(acknowledged)} messages acknowledged, all there"
    finally:
        node.kill()
        image.unmount()


def fill(node):
    """Publishes until the log has no room; returns the acknowledged texts."""
    texts = []
    while True:
        texts.append(f"{len(texts)} " + "x" * 60_000)
        code, answer = node.ask("gossip", "publish", TOPIC, texts[-1])
        if code != 0:
            expect("the refusal of a full disk", (code, answer["error"]["code"]), FULL)
            return texts[:-1]


def publish_again(node, texts):
    """Publishes once the node has found room, until the disk is full again."""
    until("room", lambda: node.ask("gossip", "publish", TOPIC, "room again")[0] == 0)
    return texts + ["room again"] + fill(node)


def take_the_rest(path):
    """Fills the file system to the last byte."""
    with open(path, "ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while filler.write(b"x" * size) == size:
                    pass
            except OSError:
                pass


def full(work, bins):
    """The log fills the file system, and another file takes the rest, to the last byte."""
    told = []
    for image in (Image(work, "ext4", mebibytes=12), Tmpfs(work, 12)):
        node = begin(work, bins, image)
        filler = image.path / "filler"
        # Each file is larger than a segment.
        ballast = [image.path / name for name in ("ballast", "more")]
        try:
            for path in ballast:
                path.write_bytes(bytes(2 << 20))
            texts = fill(node)
            node.kill()
            node.start()
            expect("messages after kill -9 on a full disk", node.texts(), texts)
            texts += fill(node)
            take_the_rest(filler)
            expect("what can be published", fill(node), [])
            expect("messages on a full disk", node.texts(), texts)
            ballast.pop().unlink()
            texts = publish_again(node, texts)
            take_the_rest(filler)
            digest = node.get("state", "digest")
            expect("the end of a node in order", node.stop(), 0)
            # An orderly start leaves no file whose removal could make room for the next start.
            take_the_rest(filler)
            before = contents(node.directory)
            for _ in range(2):
                node.start()
                expect("what can be published", fill(node), [])
                expect("messages", node.texts(), texts)
                expect("the state", node.get("state", "digest"), digest)
                until("the health of a full disk", lambda: node.health() == "warn")
                node.kill()
            expect("files after starts without room", contents(node.directory), before)
            node.start()
            ballast.pop().unlink()
            texts = publish_again(node, texts)
            until("the health", lambda: node.health() == "ok")
            told.append(f"{len(texts)} messages on {image.path.name}")
        finally:
            node.kill()
            image.unmount()
    return f"{', '.join(told)}, all there"


def owners(work, bins):
    """A second node on the same directory is refused and the first one goes on."""
    image = Image(work, "ext4")
    node = begin(work, bins, image)
    try:
        (work / "second").mkdir()
        second = Node(bins, node.directory, work / "second")
        refused(second, 11, "ICN-E0101")
        node.get("gossip", "publish", TOPIC, "still here")
        node.kill()
        second.start()
        expect("messages", second.texts(), ["still here"])
        second.kill()
        return "the second is refused until the first has ended"
    finally:
        node.kill()
        image.unmount()


FAULTS = {"read-only": read_only, "full": full, "owners": owners}


def act():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fault", nargs="*", help=f"all of them, or some of {', '.join(FAULTS)}")
    binaries(parser)
    arguments = parser.parse_args()
    broken = 0
    with own_mounts() as work:
        for name in arguments.fault or FAULTS:
            try:
                print(f"{name}: {FAULTS[name](work, arguments.bin_dir)}", flush=True)
            except Skipped as why:
                print(f"{name}: skipped: {why}", flush=True)
            except (Broken, OSError) as error:
                broken += 1
                print(f"BROKEN {name}: {error}", flush=True)
    return broken


if __name__ == "__main__":
    main(act)
