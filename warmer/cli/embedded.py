"""The embedded server of a folder: Valkey with its data, its address and its password under `.warmer/`.

It listens on loopback only, and asks for a password: another user of this machine, or another project whose
server once had the same port, is not let in. Both stay the same over restarts, as far as the port is free.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from warmer.cli.children import Child, Children
from warmer.cli.lines import WARNING
from warmer.cli.ports import start_on_free_port
from warmer.settings.embedded import ADDRESS
from warmer.testing.servers import ValkeyServer

# The paths of socket files are short by the kernel's rule (about 100 bytes); a port has no such limit.
_PORTS: Final = range(16_380, 16_580)
_CONFIG: Final = """\
bind 127.0.0.1
port {port}
dir "{data}"
requirepass {password}
appendonly yes
save ""
maxmemory-policy noeviction
"""


def start_embedded(children: Children, room: Path, env: Mapping[str, str], stop: threading.Event) -> str:
    """Start it, wait until it answers, and write its address down; its URL, with the password.

    room: the folder `.warmer`. Raises what `start_on_free_port` raises.
    """
    data = (room / "data").resolve()
    data.mkdir(parents=True, exist_ok=True)
    earlier_port, password = _earlier(room)
    config = room / "valkey.conf"
    binary = str(ValkeyServer.find_binary())

    def start(port: int) -> Child:
        _write(config, _CONFIG.format(port=port, data=_quoted(data), password=password))
        return children.start("valkey", [binary, str(config)], env, least=WARNING, hidden=_is_small_talk)

    ports = itertools.chain((earlier_port,) if earlier_port else (), _PORTS)
    _, port = start_on_free_port(
        "the embedded Valkey", ports, start, lambda port: _answers(port, password), stop
    )
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    _write(room / ADDRESS, url + "\n")
    return url


def _earlier(room: Path) -> tuple[int, str]:
    """The port and the password that this folder's server had last; 0 and a new one if it had none."""
    try:
        parts = urlsplit((room / ADDRESS).read_text("utf-8").strip())
        port, password = parts.port, parts.password
    except (OSError, ValueError):
        port, password = None, None
    return port or 0, password if password and password.isalnum() else secrets.token_hex(16)


def _write(path: Path, text: str) -> None:
    """Replace a file at once; nobody but its owner may read it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def _answers(port: int, password: str) -> bool:
    """Whether our own server is there, and has read its data: another has another password."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(1024), b""))
    except OSError:
        return False
    return answer.startswith(b"+OK\r\n+PONG")


def _is_small_talk(line: str) -> bool:
    """What it warns of at every start and end: how the machine is set up, and that it was told to end."""
    return any(words in line for words in ("overcommit", "SIGTERM", "requested shutdown", "bye bye"))
