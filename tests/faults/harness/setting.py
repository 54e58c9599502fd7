"""What one run is made of, and where its processes write down what they see."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.harness.oracle import Oracle, Shape

#: Where a process writes what it found wrong, and how long its commits took.
WRONG, WINDOWS = "wrong.jsonl", "windows.txt"


@dataclass(frozen=True)
class Setting:
    """One run. folder: its files; pace_s: a writer's pause; load_s: the longest pause of a load.

    calm: nothing is paused or killed, so that times are the code's own. trust: all goes through the outbox,
    and entries are served again after the server was set back.
    """

    folder: Path
    redis_url: str
    broker_url: str
    database_url: str
    seed: int
    readers: int = 3
    threads: int = 2
    writers: int = 3
    pace_s: float = 0.1
    load_s: float = 0.05
    without: str = ""
    calm: bool = False
    shards: int = 1
    trust: bool = False
    namespace: str = "race"

    @property
    def oracle(self) -> Oracle:
        """The shared numbers. The last slot is that of whoever looks at the outbox."""
        return Oracle(self.folder / "oracle", Shape(self.writers + 1, self.readers * self.threads))

    def dice(self, *who: object) -> random.Random:
        """Random numbers of one process of this run."""
        return random.Random(" ".join(map(str, (self.seed, *who, os.getpid()))))

    def wrong(self, assertion: str, **what: object) -> None:
        """Write down that an assertion did not hold."""
        _append(self.folder / WRONG, json.dumps({"assertion": assertion, **what, "at": time.time()}))

    def took(self, sent_s: float, answered_s: float) -> None:
        """Write down how long ago the COMMIT was sent, and answered, that is confirmed now."""
        _append(self.folder / WINDOWS, f"{sent_s:.6f} {answered_s:.6f}")

    def found_wrong(self) -> list[dict[str, object]]:
        """What has been written down as wrong."""
        path = self.folder / WRONG
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def speak_into(path: Path) -> None:
    """Have this process write its output, and its log, to the end of a file."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.basicConfig(level="WARNING", format=f"%(asctime)s {os.getpid()} %(levelname)s %(message)s")


def _append(path: Path, line: str) -> None:
    """One write, which does not mix with that of another process."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)
