"""`warmer up`: an embedded server, workers, a scheduler and Flower as one foreground command."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.text import Text

from warmer.cli.children import Child, Children
from warmer.cli.embedded import start_embedded
from warmer.cli.lines import WARNING
from warmer.cli.ports import start_on_free_port
from warmer.cli.services import FLOWER_USER
from warmer.errors import AlreadyRunning, mask
from warmer.namespace import Warmer

ROOM = Path(".warmer")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to start. app: as it was named, if it was. flower_ports: the first free one; none: no Flower."""

    app: str | None
    workers: int = 1
    concurrency: int = 4
    pool: str = "threads"
    flower_ports: tuple[int, ...] = ()


class Up:
    """Everything that a namespace needs, from its start to its end."""

    def __init__(self, namespace: Warmer, wanted: Wanted, console: Console) -> None:
        self._settings, self._wanted, self._console = namespace.settings, wanted, console
        self._stop, self._hurry = threading.Event(), threading.Event()
        self._children = Children(console, self._hurry)
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def run(self) -> None:
        """Run until Ctrl-C or SIGTERM, which once more ends everything at once.

        Raises AlreadyRunning, PortInUse, ServerNotStarted, ProcessEnded; whatever was started is ended.
        """
        with _held(ROOM) as room:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self._heed)
            try:
                with contextlib.suppress(InterruptedError):
                    self._start_all(room)
                    self._children.wait(self._stop)
                self._children.say("stopping ...")
            finally:
                self._children.end()
        self._children.say("all stopped.")

    def _heed(self, *_: object) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _start_all(self, room: Path) -> None:
        if self._settings.redis_is_embedded:
            url = start_embedded(self._children, room, self._env, self._stop)
            self._env["WARMER_REDIS_URL"] = url
            self._told("Valkey", f"{mask(url)}, data in {room}/")
        else:
            self._told("Redis", mask(self._settings.redis_url))
        for nth in range(self._wanted.workers):
            self._start_worker("worker" if self._wanted.workers == 1 else f"worker-{nth + 1}")
        self._children.start("scheduler", self._warmer("scheduler"), self._env, ready=" queries, ")
        if self._wanted.flower_ports:
            self._start_flower()
        self._children.wait(self._stop, self._children.all_ready)
        if not self._stop.is_set():
            self._children.say("up. Ctrl-C stops everything.", "bold green")

    def _start_worker(self, name: str) -> None:
        wanted = self._wanted
        options = ["--pool", wanted.pool, "--concurrency", str(wanted.concurrency), "--name", name, "--brief"]
        events = ["--events"] if wanted.flower_ports else []
        self._children.start(
            name, self._warmer("worker", *options, *events), self._env, ready=" ready.", hidden=_is_greeting
        )

    def _start_flower(self) -> None:
        password = self._settings.flower_password
        env = dict(self._env)
        if password is None:
            # In the environment: arguments are on show to everybody on the machine.
            password = env["WARMER_FLOWER_PASSWORD"] = secrets.token_urlsafe(9)

        def start(port: int) -> Child:
            argv = self._warmer("flower", "--port", str(port))
            return self._children.start("flower", argv, env, least=WARNING, hidden=_is_impatience)

        _, port = start_on_free_port(
            "Flower", self._wanted.flower_ports, start, lambda port: _lets_in(port, password), self._stop
        )
        shown = "as you have set it" if self._settings.flower_password else password
        self._told("Flower", f"http://127.0.0.1:{port}  user {FLOWER_USER}, password {shown}")

    def _warmer(self, command: str, *options: str) -> list[str]:
        app = [] if self._wanted.app is None else ["--app", self._wanted.app]
        return [sys.executable, "-m", "warmer", command, *app, *options]

    def _told(self, what: str, where: str) -> None:
        self._children.say(Text.assemble((what, "bold"), f" at {where}"))


def _is_greeting(line: str) -> bool:
    """What a worker says before it is ready."""
    return line.startswith(("Connected to ", "mingle: ", "celery@", "pidbox:"))


def _is_impatience(line: str) -> bool:
    """What Flower says while the worker is not there yet; it asks again."""
    return line.startswith("Inspect method")


def _lets_in(port: int, password: str) -> bool:
    """Whether our own Flower answers there: another has another password."""
    token = base64.b64encode(f"{FLOWER_USER}:{password}".encode()).decode()
    page = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Authorization": f"Basic {token}"})
    # Not through a proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(page, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def _held(room: Path) -> Iterator[Path]:
    """The folder, for this process alone; the kernel gives it back however the process ends."""
    room.mkdir(exist_ok=True)
    with open(room / "up.lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise AlreadyRunning("warmer up", _pid_in(lock), str(room.resolve())) from exc
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield room


def _pid_in(lock: IO[str]) -> int:
    lock.seek(0)
    text = lock.read().strip()
    return int(text) if text.isdigit() else 0
