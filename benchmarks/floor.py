"""The floor under every hit: a socket that asks for the value, and the decode. Whoever asks needs as much."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.rounds import decode

Read = Callable[[], object]


@contextmanager
def bare_socket(url: str, key: str) -> Iterator[Read]:
    """What reads the rows stored bare under this key."""
    at, packed, buffer = urlsplit(url), f"GET {key}\r\n".encode(), bytearray(1 << 18)
    view = memoryview(buffer)
    with socket.create_connection((at.hostname, at.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def read() -> object:
            sock.sendall(packed)
            taken = sock.recv_into(buffer)
            start = buffer.index(b"\n") + 1
            end = start + int(buffer[1 : start - 2])
            while taken < end + 2:
                taken += sock.recv_into(view[taken:])
            return decode(view[start:end])

        yield read
