"""A bell for a thread that sleeps on a socket: another thread can wake it."""

from __future__ import annotations

import contextlib
import selectors
import socket


class Bell:
    """Rung from any thread, heard by one. Takes two file descriptors until it is closed."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)

    def ring(self) -> None:
        """Wake the thread, now or when it next listens."""
        with contextlib.suppress(OSError):  # full: it will hear; closed: nobody listens any more
            self._there.send(b"\0")

    def listen(self, line: socket.socket, timeout_s: float) -> bool:
        """Sleep until `line` can be read or the bell rings; whether it has rung."""
        # Not select(): it refuses descriptors above 1023, which a busy process has.
        with selectors.DefaultSelector() as selector:
            selector.register(line, selectors.EVENT_READ)
            selector.register(self._here, selectors.EVENT_READ)
            selector.select(timeout_s)
        try:
            return bool(self._here.recv(4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Give the descriptors back."""
        self._here.close()
        self._there.close()
