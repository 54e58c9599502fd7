"""Sending without letting go of the interpreter: all of it arrives, or the socket says what is wrong."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator

import pytest

from warmer.store.sending import SHORT_BYTES, send_at_once, sender_of, sending_with, system_send

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def _receive(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        got += sock.recv(65536)
    return got


@pytest.mark.parametrize("size", [1, 40, SHORT_BYTES, SHORT_BYTES + 1, 1_000_000])
def test_all_of_it_arrives(pair: Pair, size: int) -> None:
    """Whatever is in it, zeros too; short or long."""
    ours, theirs = pair
    packed = bytes(n % 251 for n in range(size))
    sender = threading.Thread(target=send_at_once, args=(ours, packed))
    sender.start()
    assert _receive(theirs, size) == packed
    sender.join()


def test_what_the_kernel_does_not_take_at_once_is_sent_as_it_does(pair: Pair) -> None:
    """A full buffer makes the sender wait, as ever, and nothing is lost or sent twice."""
    ours, theirs = pair
    ours.setblocking(False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += ours.send(b"x" * 1000)
    ours.setblocking(True)
    # One that waited would keep the interpreter from everybody, this test among them.
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 5, 0))
    packed = bytes(n % 251 for n in range(SHORT_BYTES))
    sender = threading.Thread(target=send_at_once, args=(ours, packed))
    sender.start()
    assert _receive(theirs, filled + SHORT_BYTES)[filled:] == packed
    sender.join()


@pytest.mark.parametrize("taken", [-1, 0, 7])
def test_the_rest_is_sent_by_the_socket(pair: Pair, taken: int) -> None:
    """However much of it was taken."""
    ours, theirs = pair

    def some(_fd: int, packed: bytes, _size: int, flags: int) -> int:
        assert flags & socket.MSG_DONTWAIT
        if taken > 0:
            ours.sendall(packed[:taken])
        return taken

    sending_with(some)(ours, b"GET a key of mine")
    assert _receive(theirs, 17) == b"GET a key of mine"


def test_an_error_is_the_sockets(pair: Pair) -> None:
    """A closed socket, or one whose other end is gone: no signal, and the error that `sendall` raises."""
    ours, theirs = pair
    theirs.close()
    with pytest.raises(OSError, match="Broken pipe"):
        send_at_once(ours, b"PING")
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        send_at_once(ours, b"PING")


def test_the_socket_sends_where_a_python_can_not_call_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor has every system a send that does not wait."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert system_send() is None
    monkeypatch.undo()
    monkeypatch.delattr(socket, "MSG_DONTWAIT")
    assert system_send() is None


@pytest.fixture
def processors() -> Iterator[set[int]]:
    """Those that this thread may run on, and may again after the test."""
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


def test_on_one_processor_the_socket_sends(processors: set[int]) -> None:
    """The server could not answer while the interpreter is kept."""
    with socket.socket() as plain:
        if len(processors) > 1:
            assert sender_of(plain) is send_at_once
        os.sched_setaffinity(0, {min(processors)})
        assert sender_of(plain) is socket.socket.sendall


def test_tls_sends_by_itself() -> None:
    """What it sends is not what it is given; where the tests run, nothing else does."""
    assert system_send() is not None
    tls = ssl.create_default_context()
    with socket.socket() as plain, tls.wrap_socket(plain, server_hostname="localhost") as sealed:
        assert sender_of(sealed) is ssl.SSLSocket.sendall
