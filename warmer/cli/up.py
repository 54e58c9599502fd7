"""`warmer up`: an embedded server, a worker, a scheduler and Flower as one foreground command."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console

from warmer import Warmer
from warmer.cli.children import Children
from warmer.cli.embedded import start_embedded
from warmer.errors import AlreadyRunning, PortInUse

ROOM = Path(".warmer")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to start. flower_port: 0 for none; its default moves on if it is taken."""

    app: str
    workers: int = 1
    concurrency: int = 4
    pool: str = "threads"
    flower_port: int = 5555
    port_chosen: bool = False


def up(namespace: Warmer, wanted: Wanted, console: Console) -> None:
    """Run until Ctrl-C or SIGTERM. Raises AlreadyRunning, PortInUse, ProcessEnded."""
    stop = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda *_: stop.set())
    with _held(ROOM) as room:
        port = _flower_port(wanted)
        children = Children(console)
        try:
            env = {**os.environ, "WARMER_APP": wanted.app, "PYTHONUNBUFFERED": "1"}
            if namespace.settings.redis_is_embedded:
                url = start_embedded(children, room, env)
                env |= {"WARMER_REDIS_URL": url}
                console.print(f"[bold]Valkey[/] at {url}, data in {room}/")
            else:
                console.print(f"[bold]Redis[/] at {namespace.settings.redis_url} (yours)")
            _start_rest(children, wanted, env, port, console)
            console.print("[bold green]up.[/] Ctrl-C stops everything.")
            children.wait(stop)
            console.print("stopping ...")
        finally:
            children.end()
    console.print("all stopped.")


def _start_rest(children: Children, wanted: Wanted, env: dict[str, str], port: int, console: Console) -> None:
    warmer = [sys.executable, "-m", "warmer"]
    for n in range(wanted.workers):
        name = "worker" if wanted.workers == 1 else f"worker-{n + 1}"
        options = ["--pool", wanted.pool, "--concurrency", str(wanted.concurrency), "--name", name]
        if port:
            options.append("--events")
        children.start(name, [*warmer, "worker", *options], env)
    children.start("scheduler", [*warmer, "scheduler"], env)
    if port:
        password = env.get("WARMER_FLOWER_PASSWORD") or secrets.token_urlsafe(9)
        env = env | {"WARMER_FLOWER_PASSWORD": password}
        children.start("flower", [*warmer, "flower", "--port", str(port)], env, quiet=_is_chatter)
        console.print(f"[bold]Flower[/] at http://127.0.0.1:{port}  user warmer, password {password}")


def _is_chatter(line: str) -> bool:
    return not any(word in line for word in ("ERROR", "WARNING", "Traceback", "Visit me"))


def _flower_port(wanted: Wanted) -> int:
    if not wanted.flower_port:
        return 0
    for port in range(wanted.flower_port, wanted.flower_port + (1 if wanted.port_chosen else 20)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise PortInUse("Flower", wanted.flower_port)


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
