"""Processes under one roof: their lines merged with a name in front, all ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from warmer.errors import ProcessEnded
from warmer.testing.tether import spawn

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_red")


@dataclass(slots=True)
class Child:
    """One process, the tail of what it said, and how it is asked to stop."""

    name: str
    process: subprocess.Popen[bytes]
    colour: str
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    stop_signal: int = signal.SIGTERM


class Children:
    """Starts processes that can't outlive this one, shows what they say, and ends them in reverse order."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._children: list[Child] = []
        self._readers: list[threading.Thread] = []
        self._stopping = False

    def start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        quiet: Callable[[str], bool] | None = None,
    ) -> Child:
        """Start one. quiet: lines for which it is true are kept for the tail only. Raises OSError."""
        read, write = os.pipe()
        with os.fdopen(write, "wb") as log:
            process = spawn(argv, log=log, env=env)
        child = Child(name, process, COLOURS[len(self._children) % len(COLOURS)])
        self._children.append(child)
        reader = threading.Thread(target=self._show, args=(child, read, quiet), daemon=True)
        reader.start()
        self._readers.append(reader)
        return child

    def wait(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises ProcessEnded when any of them ends by itself."""
        while not stop.wait(0.2):
            for child in self._children:
                code = child.process.poll()
                if code is not None:
                    last = next((line for line in reversed(child.tail) if line.strip()), "it said nothing")
                    raise ProcessEnded(child.name, code, last)

    def end(self, within_s: float = 15.0) -> None:
        """Stop all, the last started first; what has not ended in time is killed, with its descendants."""
        self._stopping = True
        deadline = time.monotonic() + within_s
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.send_signal(child.stop_signal)
                try:
                    child.process.wait(max(0.5, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self._console.print(f"[yellow]{child.name} did not stop in time and is killed[/]")
            _kill_group(child.process.pid)
            child.process.wait()
        for reader in self._readers:
            reader.join(1.0)

    def _show(self, child: Child, read: int, quiet: Callable[[str], bool] | None) -> None:
        with os.fdopen(read, "r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                text = line.rstrip()
                if not text:
                    continue
                child.tail.append(text)
                if quiet is None or not quiet(text):
                    self._console.print(
                        Text(f"{child.name:>9} ", style=child.colour) + Text("│ ", style="dim") + Text(text)
                    )


def _kill_group(pid: int) -> None:
    """Each child leads a session of its own: whatever it left behind goes with it."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
