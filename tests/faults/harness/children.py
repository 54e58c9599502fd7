"""The processes of a run: forked from one that has everything imported, so that one is soon replaced.

They die with the run, whatever ends it (Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.faults.harness.readers import read
from tests.faults.harness.seams import SEAMS
from tests.faults.harness.setting import Setting, speak_into
from tests.faults.harness.tables import connect, declare
from tests.faults.harness.writers import write

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ENDS_S = 20.0

CRASHED = "a process ended by itself"


def schedule(setting: Setting, number: int) -> None:
    """A scheduler, whose relay applies what killed writers left."""
    from warmer.scheduler import run

    run(_with_its_database(setting))


def work(setting: Setting, number: int) -> None:
    """A Celery worker."""
    argv = ["--quiet", "worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "error"]
    argv += [
        "--hostname",
        f"worker{number}@%h",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]
    _with_its_database(setting).celery.worker_main(argv)


def _with_its_database(setting: Setting) -> Any:
    engine = connect(setting)
    races = declare(setting, engine).namespace
    races.track(engine)
    return races


ROLES: dict[str, Callable[[Setting, int], None]] = {
    "reader": read, "writer": write, "worker": work, "scheduler": schedule,
}  # fmt: skip


def _be(setting: Setting, role: str, number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    speak_into(setting.folder / f"{role}{number}.log")
    if setting.without:
        SEAMS[setting.without]()
    ROLES[role](setting, number)


class Children:
    """All of them, as the one that disturbs them sees them."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self._oracle = setting, setting.oracle
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "celery.bin.worker", "warmer.scheduler", "psycopg"])
        self._processes: dict[tuple[str, int], Any] = {}
        self._paused: dict[int, float] = {}
        self._awake_at = 0.0
        self.killed = 0

    def start(self) -> None:
        """Start all of them."""
        setting = self.setting
        count = {"reader": setting.readers, "writer": setting.writers, "worker": 1, "scheduler": 2}
        for role, n in count.items():
            for number in range(n):
                self._start(role, number)

    def _start(self, role: str, number: int) -> None:
        process = self._context.Process(target=_be, args=(self.setting, role, number), daemon=True)
        process.start()
        self._processes[role, number] = process

    def tend(self) -> None:
        """Wake who has been paused long enough, or has stopped by itself, and replace who has died."""
        now = time.monotonic()
        for pid, until in list(self._paused.items()):
            if now >= until:
                del self._paused[pid]
                _signal(pid, signal.SIGCONT)
        if now >= self._awake_at:
            self._awake_at = now + 1.0
            for (role, _), process in self._processes.items():
                if role == "writer" and process.pid not in self._paused:
                    _signal(process.pid, signal.SIGCONT)
        for (role, number), process in list(self._processes.items()):
            if process.exitcode is not None and not self._oracle.stopped:
                self._judge(role, number, process.exitcode)
                self._start(role, number)

    def _judge(self, role: str, number: int, code: int) -> None:
        if code != -signal.SIGKILL:
            self.setting.wrong(CRASHED, what=f"{role}{number}", exitcode=code)
        self.killed += 1

    def pause(self, dice: random.Random) -> None:
        """SIGSTOP to one of them, for up to three seconds."""
        pid = dice.choice(list(self._processes.values())).pid
        if pid not in self._paused:
            self._paused[pid] = time.monotonic() + 3 * dice.random() ** 2
            _signal(pid, signal.SIGSTOP)

    def kill(self, dice: random.Random) -> None:
        """kill -9 to one of them."""
        process = dice.choice(list(self._processes.values()))
        self._paused.pop(process.pid, None)
        _signal(process.pid, signal.SIGKILL)

    def wait(self, *roles: str) -> None:
        """Wait until those of these roles have ended, and see how; what does not end is killed, and noted."""
        for pid in [*self._paused, *(process.pid for process in self._processes.values())]:
            _signal(pid, signal.SIGCONT)
        self._paused.clear()
        until = time.monotonic() + _ENDS_S
        for (role, number), process in list(self._processes.items()):
            if role not in roles:
                continue
            while process.exitcode is None and time.monotonic() < until:
                _signal(process.pid, signal.SIGCONT)
                process.join(0.5)
            if process.exitcode is None:
                self.setting.wrong(CRASHED, what=f"{role}{number} does not end")
                process.kill()
            elif process.exitcode not in (0, -signal.SIGKILL, -signal.SIGTERM):
                self._judge(role, number, process.exitcode)
            del self._processes[role, number]

    def end(self, *roles: str) -> None:
        """SIGTERM to these roles, and wait."""
        for (role, _), process in self._processes.items():
            if role in roles:
                _signal(process.pid, signal.SIGTERM)
        self.wait(*roles)


@contextlib.contextmanager
def children(setting: Setting) -> Iterator[Children]:
    """They run until the block ends; then whatever is left of them is killed."""
    made = Children(setting)
    made.start()
    try:
        yield made
    finally:
        for process in made._processes.values():
            process.kill()
            process.join()


def _signal(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
