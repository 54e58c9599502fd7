"""The project that a command is about, and the server behind it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import warmer
from warmer.errors import InvalidationUnconfirmed, RedisUnreachable, WarmerError

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.runtime.process import Runtime

_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")
_FOREIGN = (
    "<",
    f"{Path(warmer.__file__).parent}{os.sep}",
    *(sysconfig.get_paths()[room] for room in _INSTALLED),
)
_chosen: list[str] = []
_found: list[Warmer] = []


class ModuleFailed(Exception):
    """A module of the project raised when it was imported; the cause is what it raised."""


def choose(application: str) -> None:
    """Take this project unless a command names another: `warmer -A flights status`."""
    _chosen[:] = [application]


def project(application: str | None) -> Warmer:
    """The namespace of the project. What its modules print goes to stderr: stdout is for results.

    Raises WarmerError, with the place where it was raised if that is in the project, and ModuleFailed.
    """
    from warmer.project import find_project

    if application is None and _chosen:
        application = _chosen[0]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            namespace = find_project(application)
    except WarmerError as exc:
        place = _own_place(exc)
        if place:
            exc.add_note(f"  at {place}")
        raise
    except Exception as exc:
        raise ModuleFailed from exc
    _found[:] = [namespace]
    return namespace


def connected(namespace: Warmer) -> Runtime:
    """The process's runtime, once the server is known to be there. Raises ServerError."""
    from warmer.store.operations import Store

    # A command is no reader: what concerns it comes to it as an error, not as a warning.
    logging.getLogger("warmer").setLevel(logging.ERROR)
    probe = Store(namespace.namespace, namespace.settings)
    try:
        probe.command("PING")
    finally:
        probe.close()
    return namespace.runtime()


def advice(error: WarmerError) -> str:
    """What else to say where the server that `warmer up` brings is not there; "" otherwise."""
    from warmer.settings.embedded import embedded_address

    away = isinstance(error, RedisUnreachable | InvalidationUnconfirmed)
    if not away or not _found or not _found[0].settings.redis_is_embedded:
        return ""
    if embedded_address(Path.cwd()) is None:
        return "No server is named, and `warmer up` has not run here. Run it, or set WARMER_REDIS_URL."
    return (
        "That is the server of `warmer up`, as .warmer/redis.url says, and it does not run any more. "
        "Run `warmer up` again, or set WARMER_REDIS_URL."
    )


def _own_place(error: BaseException) -> str:
    """The last line of the project's own on the way to an error, as file:line; "" where there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_FOREIGN):
            return f"{frame.filename}:{frame.lineno}"
    return ""
