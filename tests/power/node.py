"""A real `icnd`, and `icnctl` to send it requests."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import urllib.request

from image import DEADLINE, Broken, Skipped, until

TOPIC = "coop:ledger"
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("ICN_DATA_DIR", "ICN_CONFIG")
} | {"ICN_LISTEN": "127.0.0.1:0", "ICN_NO_MDNS": "1"}


class Node:
    """A data directory and the `icnd` that runs on it."""

    def __init__(self, bins, directory, work, records=100_000):
        """The node takes a snapshot every `records` records."""
        self.bins, self.directory = bins, directory
        self.out, self.log, self.config = work / "icnd.out", work / "icnd.log", work / "icn.toml"
        # On another file system than the data, with which it would be lost.
        self.config.write_text(f"[snapshot]\nrecords = {records}\n")
        self.process = None

    def begin(self):
        """Starts `icnd` and does not wait for it."""
        with open(self.out, "wb") as out, open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                # `icnd` does not outlive this process, however that ends.
                ["setpriv", "--pdeathsig", "KILL", self.bins / "icnd", "--http", "127.0.0.1:0"]
                + ["--data-dir", self.directory, "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=ENVIRONMENT,
            )

    def stop(self):
        """Stops `icnd` by SIGTERM; returns its exit code."""
        self.process.terminate()
        return self.end()

    def health(self):
        """The level of the health check on the log."""
        page = self.out.read_text().split("http://")[1].split()[0].strip("/")
        with urllib.request.urlopen(f"http://{page}/healthz", timeout=DEADLINE) as answer:
            checks = json.load(answer)["checks"]
        return next(check["level"] for check in checks if check["name"] == "log")

    def ready(self):
        """Whether `icnd` has reported that it takes requests."""
        return "Ctrl-C" in self.out.read_text()

    def start(self):
        """Starts `icnd` and waits until it takes requests."""
        self.begin()
        until("the start of icnd", lambda: self.process.poll() is not None or self.ready())
        if self.process.poll() is not None:
            raise Broken(f"icnd ended with {self.process.returncode}: {self.said()}")

    def end(self):
        """Waits until `icnd` ends, and returns its exit code."""
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise Broken(f"icnd goes on: {self.said()}")

    def said(self):
        """The end of the log, in one line."""
        return " ".join(self.log.read_text().split())[-600:]

    def halt(self):
        """Stops every thread outside of system calls: a sync in flight during a power cut may
        return success for lost data."""
        self.process.send_signal(signal.SIGSTOP)
        until("a halt of icnd", lambda: self.process.poll() is not None or self._halted())
        if self.process.poll() is not None:
            raise Broken(f"icnd ended with {self.process.returncode}: {self.said()}")

    def _halted(self):
        states = []
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                stat = open(f"/proc/{self.process.pid}/task/{task}/stat").read()
            except (FileNotFoundError, ProcessLookupError):
                # This thread has just ended; the next poll sees whether others began.
                return False
            states.append(stat.rpartition(")")[2].split()[0])
        return all(state == "T" for state in states)

    def kill(self):
        """`kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.end()

    def icnctl(self, *arguments, **how):
        """Starts `icnctl`."""
        how = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **how}
        return subprocess.Popen(
            [self.bins / "icnctl", "--data-dir", self.directory, *arguments],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            **how,
        )

    def ask(self, *arguments):
        """The exit code and the document of `icnctl --json`."""
        process = self.icnctl(*arguments, "--json")
        try:
            answer = json.loads(process.communicate(timeout=DEADLINE)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            raise Broken(f"icnctl {arguments} does not end")
        except ValueError:
            raise Broken(f"icnctl {arguments} ends with {process.returncode} and no answer")
        return process.returncode, answer

    def get(self, *arguments):
        """The data of a reply to a request that must succeed."""
        code, answer = self.ask(*arguments)
        if code != 0:
            raise Broken(f"icnctl {' '.join(arguments)}: exit {code}, {answer['error']['message']}")
        return answer["data"]

    def texts(self, *arguments):
        """The texts of the entries, in order of delivery."""
        entries = self.get("gossip", "entries", TOPIC, *arguments)["entries"]
        return [entry["text"] for entry in entries]


class Publisher:
    """`icnctl gossip publish --lines`, fed until it ends."""

    def __init__(self, node, text):
        """Publishes `text(0)`, `text(1)`, …"""
        self.process = node.icnctl("gossip", "publish", TOPIC, "--lines", stdin=subprocess.PIPE)
        self.text, self.answers, self.errors = text, [], []
        self.threads = [threading.Thread(target=work) for work in (self._feed, self._listen)]
        for thread in self.threads:
            thread.daemon = True
            thread.start()

    def _feed(self):
        number = 0
        try:
            while True:
                self.process.stdin.write(f"{self.text(number)}\n".encode())
                number += 1
        except (BrokenPipeError, ValueError):
            pass

    def _listen(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            if "lsn" in answer:
                self.answers.append((answer["lsn"], answer["seq"]))
            else:
                self.errors.append(answer["error"])

    def acknowledges(self, count):
        """Waits for `count` acknowledgements."""
        ended = lambda: self.process.poll() is not None
        until("an acknowledgement", lambda: len(self.answers) >= count or ended())
        if ended() and len(self.answers) < count:
            raise Broken(f"icnctl ended with {self.process.returncode}: {self.errors[:1]}")

    def finish(self):
        """Waits for the end; returns LSN and seq of every acknowledgement."""
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Broken("icnctl does not end though icnd has")
        for thread in self.threads:
            thread.join(DEADLINE)
        return self.answers


def binaries(parser):
    """Adds the option for the directory of `icnd` and `icnctl`."""
    release = pathlib.Path(__file__).resolve().parents[2] / "target" / "release"
    parser.add_argument("--bin-dir", type=_bin_dir, default=str(release), help="of icnd and icnctl")


def _bin_dir(text):
    for path in (pathlib.Path(text, name) for name in ("icnd", "icnctl")):
        if not path.exists():
            raise Skipped(f"there is no {path}")
    return pathlib.Path(text)


def main(act):
    """Runs `act` and exits: 0 when it returns 0 or raises `Skipped`, else 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(1 if act() else 0)
    except Skipped as why:
        print(f"skipped: {why}")
    except KeyboardInterrupt:
        sys.exit(130)
