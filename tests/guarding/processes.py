"""A test leaves no process behind, not even one that has detached itself."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

# Python's own helpers of multiprocessing: they live as long as the process, on purpose.
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
# What ends by itself may be waiting for a machine, or for a server, that has too much to do.
ENDING_S = float(os.environ.get("WARMER_TEST_ENDING_S", "15"))


def children() -> frozenset[int]:
    """The living direct children of this process (Linux; else none)."""
    pids: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        pids.update(map(int, _text_of(listing).split()))
    return frozenset(pid for pid in pids if alive(pid) and not any(name in command(pid) for name in _HELPERS))


def alive(pid: int) -> bool:
    """Whether the process exists and has not ended (one that nobody has waited for yet has)."""
    # "pid (name) S ...": the name may hold anything, even a parenthesis.
    state = _text_of(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] not in {"Z", "X"}


def command(pid: int) -> str:
    """The command line of a process, empty if it has gone."""
    return _text_of(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()


def left_behind(before: frozenset[int]) -> list[str]:
    """End what was started since `before` and does not end by itself soon; the command lines of these."""
    deadline = time.monotonic() + ENDING_S
    while (left := children() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    commands = [f"{pid}: {command(pid)}" for pid in sorted(left)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return commands


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has gone since it was listed
