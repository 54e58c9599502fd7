"""The embedded server of a folder: Valkey with its data and its address under `.warmer/`."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from warmer.cli.children import Children
from warmer.errors import ServerNotStarted
from warmer.settings.embedded import ADDRESS
from warmer.testing.servers import ValkeyServer

# Sockets' paths are short by the kernel's rule (about 100 bytes); TCP on loopback has no such limit.
_FIRST_PORT = 16_380


def start_embedded(children: Children, room: Path, env: dict[str, str]) -> str:
    """Start it on a loopback port, wait until it answers, and write its address down. Raises ServerNotStarted."""
    data = (room / "data").resolve()
    data.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    argv = [
        str(ValkeyServer.find_binary()),
        "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data),
        "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning",
    ]  # fmt: skip
    child = children.start("valkey", argv, env)
    deadline = time.monotonic() + 20
    while not _answers(port):
        if child.process.poll() is not None or time.monotonic() > deadline:
            raise ServerNotStarted("the embedded Valkey", " ".join(child.tail) or "it said nothing")
        time.sleep(0.05)
    url = f"redis://127.0.0.1:{port}/0"
    address = room / ADDRESS
    fresh = address.with_suffix(f".{os.getpid()}")
    fresh.write_text(url + "\n", encoding="utf-8")
    fresh.replace(address)
    return url


def _free_port() -> int:
    for port in range(_FIRST_PORT, _FIRST_PORT + 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerNotStarted("the embedded Valkey", f"no free port from {_FIRST_PORT}")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
