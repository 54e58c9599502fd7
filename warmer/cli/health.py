"""`warmer health`: whether the worker, scheduler or Flower of this host does its work, as containers ask it.

Each check asks for what only a working one can give. It exits with 0 or 1 within its time limit (a worker's:
and 3 s), whatever hangs, and says why in one line.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmer.cli.app import SERVE, App, app
from warmer.cli.finding import project
from warmer.cli.output import console, errors, one_line
from warmer.errors import BrokerUnreachable, WarmerError, mask

if TYPE_CHECKING:
    from warmer.namespace import Warmer

health = typer.Typer(
    help="Whether this host's worker, scheduler or Flower works: exit 0 or 1, and one line.",
    no_args_is_help=True,
)
app.add_typer(health, name="health", rich_help_panel=SERVE)

# A sweep waits this long for a broker or a server that hangs, and then the scheduler does not do its work.
_SWEPT_WITHIN_S = 5.0
_SWEEPS_MISSED = 5

# Who asks over the broker has a queue for the answers; it takes up to a second longer, and is then removed.
_TIDYING_S = 3.0

Timeout = Annotated[
    float, typer.Option(help="Seconds after which no answer is an answer, too.", min=0.1, max=600)
]


class _Unwell(Exception):
    """What was asked does not work; the message says what was seen."""


@health.command()
def worker(
    application: App = None,
    name: Annotated[str | None, typer.Option(help="As given to `warmer worker`; default: any here.")] = None,
    timeout: Timeout = 10.0,
) -> None:
    """A worker of this host answers over the broker, and takes from the queues of the project."""
    namespace = project(application)
    whom = f"{name or '*'}@{socket.gethostname()}"
    _report(lambda: _answering_worker(namespace, whom, timeout), f"worker {whom}", timeout, _TIDYING_S)


@health.command()
def scheduler(application: App = None, timeout: Timeout = 10.0) -> None:
    """A scheduler of this host has looked for what is due within the last seconds, in every shard."""
    namespace = project(application)
    _report(lambda: _sweeping_scheduler(namespace), mask(namespace.settings.redis_url), timeout)


@health.command()
def flower(
    port: Annotated[int, typer.Option(help="The port of the page.", min=1, max=65535)] = 5555,
    timeout: Timeout = 10.0,
) -> None:
    """Flower's page answers on this host."""
    _report(lambda: _answering_flower(port, timeout), f"Flower at 127.0.0.1:{port}", timeout)


def _report(check: Callable[[], str], whom: str, timeout_s: float, spare_s: float = 0.0) -> None:
    """Tell what the check found, and exit with 1 if that is bad or has not come in time from `whom`.

    spare_s: how much longer than its timeout a check may take that counts the time itself.
    """
    found: Future[str] = Future()

    def run() -> None:
        try:
            found.set_result(check())
        except BaseException as exc:  # noqa: BLE001 - raised again below, in the thread that can exit
            found.set_exception(exc)

    # A daemon: what hangs in it does not hold up the exit.
    threading.Thread(target=run, name="warmer-health", daemon=True).start()
    wait_for([found], timeout_s + spare_s)
    if not found.done():
        problem = _silence(whom, timeout_s)
    else:
        try:
            console.print(found.result(), soft_wrap=True)
        except (_Unwell, WarmerError) as exc:
            problem = one_line(str(exc), most=400)
        else:
            return
    errors.print(f"warmer: {problem}", soft_wrap=True)
    raise typer.Exit(1)


def _silence(whom: str, timeout_s: float) -> str:
    return f"no answer from {whom} within {timeout_s:g} s"


def _answering_worker(namespace: Warmer, whom: str, timeout_s: float) -> str:
    """The worker and its queues. Raises _Unwell and BrokerUnreachable."""
    wanted = _queues(namespace)
    for reply in _ask(namespace.celery, whom, timeout_s):
        for node, queues in reply.items():
            taken = {queue["name"] for queue in queues} if isinstance(queues, list) else set()
            if taken & wanted:
                return f"worker {node} takes from {_listed(taken)}"
            raise _Unwell(f"worker {node} takes from {_listed(taken)}, and not from {_listed(wanted)}")
    raise _Unwell(_silence(f"worker {whom}", timeout_s))


def _ask(celery: Any, whom: str, timeout_s: float) -> list[dict[str, Any]]:
    """What the first worker so named says that it takes from: no slower than a ping, and it says more."""
    from kombu.exceptions import KombuError

    with celery.connection_for_write() as connection:
        known = (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)
        try:
            # Without this, it would try to connect for ever.
            connection.ensure_connection(max_retries=1, interval_start=0, interval_max=0)
            replies: list[dict[str, Any]] = celery.control.broadcast(
                "active_queues", reply=True, timeout=timeout_s, limit=1, pattern=whom, matcher="glob",
                connection=connection,
            )  # fmt: skip
        except known as exc:
            raise BrokerUnreachable(connection.as_uri(), f"{type(exc).__name__}: {exc}") from exc
        return replies


def _queues(namespace: Warmer) -> set[str]:
    own = (reading.options.queue for reading in namespace.readings.values())
    return {namespace.settings.queue, *(queue for queue in own if queue)}


def _sweeping_scheduler(namespace: Warmer) -> str:
    """The scheduler that has swept last, and when. Raises _Unwell and ServerError."""
    from warmer.core.keys import keyspace
    from warmer.store.operations import Store

    host, settings = socket.gethostname(), namespace.settings
    within_s = max(_SWEPT_WITHIN_S, _SWEEPS_MISSED * settings.sweep_interval)
    found = []
    with closing(Store(namespace.namespace, settings)) as store:
        now_us = store.resync_now()
        for shard in range(settings.shards):
            key = keyspace(namespace.namespace, shard).schedulers
            age_s, name = _last_mark(store.command("ZRANGE", key, 0, -1, "WITHSCORES"), host, now_us)
            if age_s > within_s:
                seen = (
                    f"the last to do so was {name}, {age_s:.0f} s ago" if name else "none in the last minute"
                )
                raise _Unwell(f"no scheduler of {host} has swept shard {shard} in {within_s:g} s; {seen}")
            found.append((age_s, name))
    age_s, name = max(found)
    return f"scheduler {name} swept {max(0.0, age_s):.1f} s ago"


def _last_mark(marks: list[bytes], host: str, now_us: float) -> tuple[float, str]:
    """How long ago in seconds a scheduler of the host has swept a shard, and which; (inf, "") for none."""
    ages = [
        ((now_us - float(at)) / 1e6, name.decode())
        for name, at in zip(marks[::2], marks[1::2], strict=True)
        if name.startswith(f"{host}:".encode())
    ]
    return min(ages, default=(float("inf"), ""))


def _answering_flower(port: int, timeout_s: float) -> str:
    """That it answers. Raises _Unwell."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)) as connection:
        try:
            connection.request("GET", "/healthcheck")
            reply = connection.getresponse()
            said = reply.read(100).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as exc:
            raise _Unwell(f"nothing answers at 127.0.0.1:{port}: {type(exc).__name__}: {exc}") from exc
    if (reply.status, said) != (200, "OK"):
        raise _Unwell(f"what answers at 127.0.0.1:{port} is not a working Flower: {reply.status} {said!r}")
    return f"Flower answers at 127.0.0.1:{port}"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
