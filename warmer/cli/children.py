"""Processes under one roof: their lines merged with a name in front, all ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from rich.text import Text

from warmer.cli.lines import ERROR, INFO, WARNING, Line, read_line
from warmer.errors import ProcessEnded
from warmer.testing.tether import spawn

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue")
_STYLES = {WARNING: "yellow", ERROR: "red"}
_TAIL_LINES = 20
_POLL_S = 0.1


@dataclass(slots=True)
class Child:
    """One process, the tail of what it said, and whether it has said that it is ready."""

    name: str
    process: subprocess.Popen[bytes]
    reader: threading.Thread | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    ready: threading.Event = field(default_factory=threading.Event)
    expected: bool = False  # whoever started it has said that it may end

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def last_lines(self) -> list[str]:
        """The last of what it said, once all of it has been read."""
        if self.ended and self.reader is not None:
            self.reader.join(1.0)  # until the end of its pipe, which a child of its own may hold open
        return list(self.tail)

    def death(self) -> ProcessEnded:
        """What to raise when it has ended by itself."""
        lines = self.last_lines()[-8:]
        ended = ProcessEnded(self.name, self.process.returncode, (lines or ["it said nothing"])[-1].strip())
        if len(lines) > 1:
            ended.add_note("\n  ".join([f"The last lines of {self.name}:", *lines]))
        return ended


class Children:
    """Starts processes that can't outlive this one, shows what they say, and ends them all.

    hurry: set, ending them does not wait for any.
    """

    def __init__(self, console: Console, hurry: threading.Event) -> None:
        self._console, self._hurry = console, hurry
        self._children: list[Child] = []
        self._printing = threading.Lock()
        self.mute = threading.Event()  # nobody reads what is written here any more

    def start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        ready: str = "",
        least: int = INFO,
        hidden: Callable[[str], bool] = lambda _: False,
    ) -> Child:
        """Start one. Raises OSError.

        ready: text of the line by which it says that it is up. least, hidden: lines of a lower level, and
        those for which it is true, are kept for the tail only.
        """
        read, write = os.pipe()
        with os.fdopen(write, "wb") as log:
            process = spawn(argv, log=log, env=env)
        child = Child(name, process)
        self._children.append(child)
        style = _COLOURS[len(self._children) % len(_COLOURS)]
        child.reader = threading.Thread(
            target=self._read, args=(child, read, ready, least, hidden, style), daemon=True
        )
        child.reader.start()
        return child

    def wait(self, stop: threading.Event, until: Callable[[], bool] = lambda: False) -> None:
        """Until `stop` is set or `until` is true. Raises ProcessEnded when any of them ends by itself."""
        while not until() and not stop.wait(_POLL_S):
            for child in self._children:
                if child.ended and not child.expected:
                    raise child.death()

    def all_ready(self) -> bool:
        """Whether each has said so, or has ended as it might."""
        return all(child.ready.is_set() or child.expected for child in self._children)

    def end(self, within_s: float = 20.0) -> None:
        """Stop all: the first one started last, since the others need it; what lingers is killed.

        Whatever they have started goes with them.
        """
        deadline = time.monotonic() + within_s
        for some in (self._children[1:], self._children[:1]):
            for child in some:
                if not child.ended:
                    child.process.send_signal(signal.SIGTERM)
            for child in some:
                self._await_end(child, deadline)
        for child in self._children:
            if child.reader is not None:
                child.reader.join(1.0)

    def say(self, text: Text | str, style: str = "") -> None:
        """A line of this process's own."""
        if self.mute.is_set():
            return
        try:
            with self._printing:
                self._console.print(text, style=style)
        except OSError:  # the terminal, or whoever read our output, has gone
            self.mute.set()

    def _await_end(self, child: Child, deadline: float) -> None:
        while not child.ended and time.monotonic() < deadline and not self._hurry.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(_POLL_S)
        if not child.ended:
            self.say(f"{child.name} did not stop in time and is killed", style="yellow")
        _kill_group(child.process.pid)
        child.process.wait()

    def _read(
        self, child: Child, read: int, ready: str, least: int, hidden: Callable[[str], bool], style: str
    ) -> None:
        line: Line | None = None
        shown = True
        with os.fdopen(read, "r", encoding="utf-8", errors="replace") as lines:
            for raw in lines:
                text = raw.rstrip()
                if not text:
                    continue
                line = read_line(text, line)
                child.tail.append(line.text)
                if line.continues:
                    shown = shown or line.text.startswith("Traceback")
                else:
                    shown = line.level >= least and not hidden(line.text)
                if shown:
                    self._show(child.name, line, style)
                if ready and ready in line.text:
                    child.ready.set()

    def _show(self, name: str, line: Line, style: str) -> None:
        at = line.time or f"{datetime.now().astimezone():%H:%M:%S}"
        before = Text.assemble((f"{at} ", "dim"), (f"{name:<9} ", style), ("│ ", "dim"))
        text = Text(line.text, style=_STYLES.get(line.level, ""))
        width = max(20, self._console.width - before.cell_len)
        parts = text.wrap(self._console, width) if self._console.is_terminal else [text]
        rest = Text.assemble((" " * 19, ""), ("│ ", "dim"))
        for nth, part in enumerate(parts):
            self.say((before if nth == 0 else rest) + part)


def _kill_group(pid: int) -> None:
    """Each child leads a session of its own: whatever it left behind goes with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
