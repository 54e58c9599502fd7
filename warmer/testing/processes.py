"""Real child processes for tests: started, watched, stopped, paused and killed, and never left behind."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack

from warmer.errors import ServerNotStarted
from warmer.testing.failures import ChildEnded
from warmer.testing.leftovers import remove, temporary_folder
from warmer.testing.tether import spawn
from warmer.testing.wait import wait_until

_TAIL_CHARS = 4000

_running: set[ChildProcess] = set()
_running_lock = threading.Lock()


class ChildProcess:
    """One program in a process group of its own, its output kept in a file.

    A context manager: entering starts it, leaving stops it and whatever it started. If this process dies
    (kill -9 included, on Linux), so does the child.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        name: str | None = None,
        log_path: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Describe the process; nothing is started.

        name: what messages call it, by default the program's. log_path: where stdout and stderr are appended,
        by default a temporary file that goes when the child has been closed. env: variables on top of this
        process's; None removes one. cwd: its working directory.
        """
        self.argv = [str(part) for part in argv]
        self.name = name or Path(self.argv[0]).name
        self.cwd = cwd
        self.env = _environment(env or {})
        self._own_folder: Path | None = None
        if log_path is None:
            self._own_folder = temporary_folder("warmer-log-")
            log_path = self._own_folder / f"{self.name}.log"
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._started_in = 0

    @property
    def pid(self) -> int:
        """The process id of the running (or last) process. Raises RuntimeError if it was never started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started, so it has no pid; call start() first.")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code (minus the signal's number if one ended it), or None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended (a paused process is running)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it. Raises RuntimeError if it runs already, ServerNotStarted if there is no such program."""
        if self.running:
            raise RuntimeError(f"{self.name} already runs as pid {self.pid}; nothing was started.")
        if shutil.which(self.argv[0]) is None:
            raise ServerNotStarted(self.argv[0], "no such program; install it, or put its folder on PATH")
        with self.log_path.open("ab") as log:
            self._process = spawn(self.argv, log=log, env=self.env, cwd=self.cwd)
        self._started_in = os.getpid()
        with _running_lock:
            _running.add(self)
        return self

    def wait(self, timeout_s: float = 10.0) -> int:
        """Wait until it ends and return its exit code. Raises NotReached after timeout_s seconds."""
        wait_until(
            lambda: not self.running,
            timeout_s=timeout_s,
            description=lambda: f"{self.name} (pid {self.pid}) to end. The end of its log:\n{self.tail()}",
        )
        self._forget()
        code = self.returncode
        assert code is not None
        return code

    def wait_for_line(self, pattern: str, *, timeout_s: float = 20.0, after: int = 0) -> re.Match[str]:
        """Wait until a line of its output matches the regular expression, and return the match.

        after: look only at what comes after this many characters of output (see `output`).
        Raises ChildEnded if it ends without such a line, NotReached after timeout_s seconds.
        """
        wanted = re.compile(pattern, re.MULTILINE)

        def seen() -> re.Match[str] | None:
            running = self.running  # looked at first: what it wrote before it ended is then in the file
            found = wanted.search(self.output(), after)
            if found is None and not running:
                raise ChildEnded(self.name, self.returncode or 0, f"writing /{pattern}/", self.tail())
            return found

        found = wait_until(
            seen,
            timeout_s=timeout_s,
            description=lambda: f"{self.name} to write /{pattern}/. The end of its log:\n{self.tail()}",
        )
        assert found is not None
        return found

    def output(self) -> str:
        """Everything it has written so far (stdout and stderr together)."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def tail(self) -> str:
        """The last 4000 characters of its output."""
        return self.output()[-_TAIL_CHARS:]

    def signal(self, number: int, *, pid: int | None = None) -> None:
        """Send a signal to the process, or to one of its descendants by pid."""
        if self.running:
            os.kill(self.pid if pid is None else pid, number)

    def terminate(self, timeout_s: float = 10.0) -> int:
        """Ask it to end (SIGTERM) and wait; returns its exit code. What it started is not touched."""
        self.resume()
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def interrupt(self, timeout_s: float = 10.0) -> int:
        """What Ctrl-C does in its terminal (SIGINT to its whole group), then wait for its exit code."""
        if self.running:
            os.killpg(self.pid, signal.SIGINT)
        return self.wait(timeout_s)

    def kill(self) -> int:
        """kill -9 of the process alone, as an out-of-memory killer does it; returns its exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def pause(self, *, pid: int | None = None) -> None:
        """SIGSTOP: it keeps its memory, sockets and locks, and does nothing until `resume`."""
        self.signal(signal.SIGSTOP, pid=pid)

    def resume(self, *, pid: int | None = None) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self.signal(signal.SIGCONT, pid=pid)

    def children(self) -> list[int]:
        """The pids of its living direct children, e.g. the pool of a prefork worker (Linux; else empty)."""
        pids: set[int] = set()
        for listing in Path(f"/proc/{self.pid}/task").glob("*/children"):
            pids.update(map(int, _read_gone(listing).split()))
        return sorted(pids)

    def stop(self, timeout_s: float = 10.0) -> None:
        """End it by any means: SIGTERM, SIGKILL after timeout_s, and SIGKILL to the rest of its group."""
        if self._process is None:
            return
        self.resume()
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        self._kill_group()
        self._process.wait()
        self._forget()

    def close(self) -> None:
        """`stop`, and remove the log unless its place was given."""
        self.stop()
        if self._own_folder is not None:
            remove(self._own_folder)

    def __enter__(self) -> Self:
        return self.start() if not self.running else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "not started" if self._process is None else f"pid {self.pid}, returncode {self.returncode}"
        return f"<{type(self).__name__} {self.name}: {state}>"

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # nobody of the group is left

    def _forget(self) -> None:
        with _running_lock:
            _running.discard(self)


class ChildOptions(TypedDict, total=False):
    """The keywords of `ChildProcess`."""

    name: str | None
    log_path: Path | None
    env: Mapping[str, str | None] | None
    cwd: Path | None


def python(*args: str | Path, **options: Unpack[ChildOptions]) -> ChildProcess:
    """A child that runs this interpreter, unbuffered: `python("-m", "celery", "-A", "tasks", "worker")`."""
    return ChildProcess([sys.executable, "-u", *args], **options)


def running_children() -> list[ChildProcess]:
    """Every child that this process has started through this module and that still runs."""
    with _running_lock:
        mine = [child for child in _running if child._started_in == os.getpid()]
    return [child for child in mine if child.running]


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    env = dict(os.environ)
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def _read_gone(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # the thread or process ended between the listing and the look


@atexit.register
def _end_all() -> None:
    for child in running_children():
        child.signal(signal.SIGCONT)
        child._kill_group()
