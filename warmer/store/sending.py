"""Sending a command without letting go of the interpreter.

A socket's own `send` lets other threads have the interpreter for the few microseconds that it takes, and then
waits behind all of them, only to let go of it again for the reply. Where eight threads read, that is a third
of what a read costs. This one never waits: what the kernel does not take at once is sent in the usual way.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

Send = Callable[[int, bytes, int, int], int]

#: What is longer takes the kernel longer to copy than it is worth.
SHORT_BYTES = 4096
_AT_ONCE = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)


def _system_send() -> Send | None:
    """The system's `send`, called with the interpreter held; None where there is none that does not wait."""
    if not hasattr(socket, "MSG_DONTWAIT"):
        return None
    try:
        import ctypes  # Pythons can be built without it

        send = ctypes.PyDLL(None).send
    except (ImportError, OSError, TypeError, AttributeError):
        return None
    send.argtypes = ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
    send.restype = ctypes.c_ssize_t
    return send


_send = _system_send()


def send_all(sock: socket.socket, packed: bytes) -> None:
    """`sock.sendall(packed)`, of a socket without TLS."""
    size = len(packed)
    if _send is None or size > SHORT_BYTES:
        sock.sendall(packed)
        return
    sent = _send(sock.fileno(), packed, size, _AT_ONCE)
    if sent != size:  # the socket's own says what is wrong, if something is
        sock.sendall(packed[max(0, sent) :])
