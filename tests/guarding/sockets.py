"""Unit and property tests open no connection: they would depend on a server, and on its state."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from unittest import mock


class ConnectionOpened(AssertionError):
    """A test that must do without any server tried to reach one."""


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Every attempt to connect a socket raises ConnectionOpened, saying where it wanted to go."""

    def refuse(_socket: socket.socket, address: object) -> None:
        raise ConnectionOpened(
            f"this test tried to connect to {address!r}; tests in unit/ and property/ must not. "
            "Move it to integration/, or leave the connection out."
        )

    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
    ):
        yield
