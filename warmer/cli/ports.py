"""Starting something on the first free port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

from warmer.cli.children import Child
from warmer.errors import PortInUse, ServerNotStarted

_IN_USE: Final = "ddress already in use"
_START_S: Final = 60.0
_POLL_S: Final = 0.05


def start_on_free_port(
    what: str,
    ports: Iterable[int],
    start: Callable[[int], Child],
    answers: Callable[[int], bool],
    stop: threading.Event,
) -> tuple[Child, int]:
    """Start it on the first of these ports that nobody listens on, and wait until it answers there.

    A port that somebody else takes meanwhile is passed over. Raises PortInUse when all are taken,
    ProcessEnded when it ends for another reason, ServerNotStarted when it never answers, and
    InterruptedError when `stop` is set first.
    """
    tried = 0
    for port in ports:
        tried = tried or port
        if not _is_free(port):
            continue
        child = start(port)
        if _comes_up(what, child, port, answers, stop):
            return child, port
    raise PortInUse(what, tried)


def _comes_up(
    what: str, child: Child, port: int, answers: Callable[[int], bool], stop: threading.Event
) -> bool:
    """False: it has ended because the port was taken."""
    waited_s = 0.0
    while not stop.wait(_POLL_S):
        if child.ended:
            child.expected = any(_IN_USE in line for line in child.last_lines())
            if child.expected:
                return False
            raise child.death()
        if answers(port):
            child.ready.set()
            return True
        waited_s += _POLL_S
        if waited_s > _START_S:
            raise ServerNotStarted(what, f"it did not answer on port {port} within {_START_S:g} s")
    raise InterruptedError


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what lingers of closed connections does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
