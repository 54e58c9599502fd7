"""Sending a command without letting go of the interpreter, where that pays.

A socket's own `send` lets other threads have the interpreter for the few microseconds that it takes, and
then waits behind all of them, only to let go of it again for the reply. With eight threads on two
processors that is a tenth to a sixth of what a read costs. This one never waits: what the kernel does not
take at once is sent in the usual way.

On one processor it is the other way round: the server runs as soon as it has a command, so whom it answers is
woken while the interpreter is kept, and goes back to sleep. Reads of eight threads take 1.4 times as long.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

#: The system's call: a descriptor, bytes, their number, flags; how many it took, or -1.
SystemSend = Callable[[int, bytes, int, int], int]
SendAll = Callable[[socket.socket, bytes], None]

#: What is longer takes the kernel longer to copy than it is worth.
SHORT_BYTES: Final = 4096


def sender_of(sock: socket.socket) -> SendAll:
    """What sends all of a command on sockets of this kind, from here. TLS sends by itself."""
    plain = type(sock) is socket.socket
    return send_at_once if plain and _processors() > 1 else type(sock).sendall


def sending_with(send: SystemSend) -> SendAll:
    """`socket.sendall`, by this call as far as it takes what it is given."""
    at_once = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)  # Python ignores the signal, too

    def send_all(sock: socket.socket, packed: bytes) -> None:
        size = len(packed)
        sent = send(sock.fileno(), packed, size, at_once) if size <= SHORT_BYTES else 0
        if sent != size:  # the socket's own says what is wrong, if something is
            sock.sendall(packed[max(0, sent) :])

    return send_all


def system_send() -> SystemSend | None:
    """The system's call, made with the interpreter held; None where there is none that does not wait."""
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


def _processors() -> int:
    """How many this thread may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_system_send = system_send()
send_at_once: Final[SendAll] = sending_with(_system_send) if _system_send else socket.socket.sendall
