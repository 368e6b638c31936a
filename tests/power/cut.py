#!/usr/bin/env python3
"""Cuts the power of a real node on real file systems and checks that it kept its promises.

Every round makes a file system and runs a node on it for a few lives. It shuts the file system down
during publications, snapshots and starts: data that has not reached the disk is lost.
Needs root, loop devices and mkfs.
"""

import argparse
import collections
import json
import random
import sys
import time

sys.dont_write_bytecode = True

from image import KINDS, Broken, Image, Skipped, own_mounts
from node import TOPIC, Node, Publisher, binaries, main


class Round:
    """A file system and the lives of a node on it, by seed."""

    def __init__(self, work, bins, image, seed, tally):
        self.dice = random.Random(seed)
        self.image, self.tally = image, tally
        records = self.dice.choice((300, 1000, 4000))
        self.node = Node(bins, image.path / "node", work, records)
        self.pad = self.dice.choice((1, 300, 2000))
        self.texts, self.arrival, self.saved = [], 0, 0
        self.identity = self.kept = None

    def play(self):
        """Plays the whole round."""
        self.image.make()
        try:
            if self.dice.random() < 0.4:
                self.cut_in_start()
            self.node.start()
            self.node.get("topic", "create", TOPIC, "--private")
            self.node.get("gossip", "subscribe", TOPIC)
            self.identity, self.kept = self.node.get("identity", "show"), self.state()
            for life in range(self.dice.randint(1, 3)):
                answers, digest = self.live(life)
                for _ in range(self.dice.choice((0, 0, 1, 2))):
                    self.cut_in_start()
                self.check(life, answers, digest)
            self.check_files()
        finally:
            self.node.kill()
            self.image.unmount()

    def state(self):
        """The topic's access rule and the subscriptions."""
        topic = self.node.get("topic", "show", TOPIC)["topic"]["access"]
        return topic, self.node.get("gossip", "subscriptions")

    def text(self, life, number):
        return f"{life}:{number} " + "x" * ((number * 7919 + life) % self.pad)

    def live(self, life):
        """Publishes until the power is cut; returns the acknowledgements and a digest."""
        publisher = Publisher(self.node, lambda number: self.text(life, number))
        enough = self.dice.choice((1, 50, 500, 2500))
        publisher.acknowledges(self.dice.randint(0, enough))
        digest = self.node.get("state", "digest") if self.dice.random() < 0.5 else None
        saving = None
        if self.dice.random() < 0.5:
            saving = self.node.icnctl("snapshot", "create", "--json")
        time.sleep(self.dice.random() * 0.03)
        halted = self.dice.random() < 0.5
        if halted:
            self.node.halt()
        # A sync in flight during the cut may return success for lost data, which is not the node's
        # fault. Of a node that runs on, only the acknowledgements before the cut count.
        count, saved = len(publisher.answers), saving is not None and saving.poll() == 0
        self.image.cut()
        if halted:
            self.node.kill()
        elif self.node.end() != 74:
            raise Broken(f"icnd ended with {self.node.end()} on a dead disk: {self.node.said()}")
        answers = publisher.finish()[: None if halted else count]
        if saving is not None:
            told = saving.communicate()[0]
            if saved:
                self.saved = json.loads(told)["data"]["lsn"]
        self.tally["acknowledged"] += len(answers)
        self.power_is_back()
        return answers, digest

    def cut_in_start(self):
        """Starts the node and cuts the power during the start or just after it."""
        self.node.begin()
        time.sleep(self.dice.random() * 0.06)
        ready = self.node.ready()
        self.image.cut()
        self.node.kill()
        self.power_is_back()
        if not ready:
            self.tally["inside a start"] += 1
        elif self.node.get("identity", "show", "--offline")["did"] not in self.node.out.read_text():
            raise Broken("it has another identity than it said")

    def power_is_back(self):
        self.tally["cuts"] += 1
        self.image.unmount()
        self.image.mount()

    def check(self, life, answers, digest):
        """Recovers three times; every acknowledged message must exist, once and in order."""
        recovered = self.node.get("state", "digest", "--offline")
        lost = sum(lsn > recovered["lsn"] for lsn, _ in answers)
        if lost:
            raise Broken(f"LOST {lost} of {len(answers)} acknowledged messages")
        for _ in range(2):
            self.node.kill()
            self.node.start()
            again = self.node.get("state", "digest")
            if again != recovered:
                raise Broken(f"one recovery ends in {recovered}, another one in {again}")
        page = self.node.get("gossip", "entries", TOPIC, "--after", str(self.arrival))
        entries = page["entries"]
        places = [(entry["lsn"], entry["seq"]) for entry in entries]
        found = sum(answer == place for answer, place in zip(answers, places))
        self.tally["found"] += found
        if found < len(answers):
            raise Broken(f"{len(answers) - found} messages are not where they were acknowledged")
        texts = [entry["text"] for entry in entries]
        if texts != [self.text(life, number) for number in range(len(texts))]:
            raise Broken("the messages are not those that were sent, in order and once")
        self.tally["more"] += len(texts) - found
        self.texts += texts
        self.arrival = page["last"] if entries else self.arrival
        if self.node.get("identity", "show") != self.identity:
            raise Broken("it has another identity")
        if self.state() != self.kept:
            raise Broken(f"topic and subscription were {self.kept}, are {self.state()}")
        if digest is not None:
            code, answer = self.node.ask("state", "digest", "--lsn", str(digest["lsn"]))
            # Exit code 21: the log no longer reaches back that far.
            if code != 21 and answer.get("data") != digest:
                raise Broken(f"the state of {digest} is {answer}")
        kept = [snapshot["lsn"] for snapshot in self.node.get("snapshot", "list")["snapshots"]]
        if self.saved > max(kept, default=0):
            raise Broken(f"a snapshot of #{self.saved} was saved, there are {kept}")

    def check_files(self):
        """Checks that log and snapshots are whole and every message exists."""
        if self.node.texts() != self.texts:
            raise Broken("the messages of an earlier life are not what they were")
        for snapshot in self.node.get("snapshot", "list")["snapshots"]:
            self.node.get("snapshot", "verify", snapshot["id"])
        verified = self.node.get("wal", "verify")["last_lsn"]
        if verified != self.node.get("status")["wal"]["last_lsn"]:
            raise Broken(f"read from its files, the log ends at #{verified}")


def play(work, kind, arguments):
    """Plays all rounds on one kind of file system; returns how many broke a promise."""
    tally, broken, begin = collections.Counter(), 0, time.monotonic()
    image = Image(work, kind)
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        try:
            Round(work, arguments.bin_dir, image, seed, tally).play()
        except (Broken, OSError) as error:
            broken += 1
            print(f"BROKEN --fs {kind} --seed {seed} --rounds 1: {error}", flush=True)
    lost = tally["acknowledged"] - tally["found"]
    print(
        f"{kind}: {arguments.rounds} rounds, {tally['cuts']} power cuts, "
        f"{tally['inside a start']} of them inside a start; "
        f"{tally['acknowledged']} messages acknowledged, {tally['found']} found, {lost} lost; "
        f"{tally['more']} more are there; {time.monotonic() - begin:.0f} s",
        flush=True,
    )
    return broken


def act():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="on each file system")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--fs", default=",".join(KINDS), help="some of them, with commas")
    binaries(parser)
    arguments = parser.parse_args()
    broken = 0
    with own_mounts() as work:
        for kind in arguments.fs.split(","):
            try:
                broken += play(work, kind, arguments)
            except Skipped as why:
                print(f"{kind}: skipped: {why}", flush=True)
    return broken


if __name__ == "__main__":
    main(act)
