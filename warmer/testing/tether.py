"""Start a process that cannot outlive this one.

On Linux the kernel kills it when this process dies, kill -9 included (PR_SET_PDEATHSIG). Two traps of that
call are dealt with here:

- the kernel watches the *thread* that started the child, so every child is started by one thread that lives
  as long as the process;
- setting it between fork and exec from a threaded Python may deadlock, so a tiny second Python sets it and
  then becomes the program.

Elsewhere, and after a clean exit, `warmer.testing.processes` ends what is left at exit.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

THREAD_NAME = "warmer-tether"

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LAUNCHER = f"""
import ctypes, os, sys
parent, signal, user = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if user:
    import pwd
    known = pwd.getpwnam(user)
    os.initgroups(user, known.pw_gid)
    os.setgid(known.pw_gid)
    os.setuid(known.pw_uid)  # before prctl: the kernel forgets its setting when the user changes
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal, 0, 0, 0)
if os.getppid() != parent:
    os._exit(0)  # the parent died before the call above
os.execvp(sys.argv[4], sys.argv[4:])
"""

_Job = tuple["Future[subprocess.Popen[bytes]]", Callable[[], "subprocess.Popen[bytes]"]]


def spawn(
    argv: Sequence[str],
    *,
    log: IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session (process group) of its own, its stdout and stderr going to `log`.

    user: the name of the user to run it as (needs root; Linux). death_signal: what it gets when this process
    dies. Raises OSError if nothing could be started. A program that is not there is reported in the log by
    the launcher (exit code 1), so callers look it up first.
    """
    if sys.platform == "linux":
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER]
        argv = [*launcher, str(os.getpid()), str(int(death_signal)), user or "", *argv]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )

    started: Future[subprocess.Popen[bytes]] = Future()
    _jobs_of_this_process().put((started, start))
    return started.result()


def adopt_orphans() -> None:
    """Become, instead of init, the parent of descendants whose own parent ends (Linux; else no effect)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class _Starter:
    """The thread that starts everything, made again in a forked child."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=THREAD_NAME, daemon=True).start()

    def _run(self) -> None:
        while True:
            started, start = self.jobs.get()
            try:
                started.set_result(start())
            except BaseException as exc:  # noqa: BLE001 - handed to the thread that waits for it
                started.set_exception(exc)


_starter: _Starter | None = None
_starter_lock = threading.Lock()


def _jobs_of_this_process() -> queue.SimpleQueue[_Job]:
    global _starter
    with _starter_lock:
        if _starter is None or _starter.pid != os.getpid():
            _starter = _Starter()
        return _starter.jobs
