"""One connection, read without redis-py's command layer.

redis-py connects: addresses, TLS, AUTH, the database, the client's name. Then its socket is written to and
read from here, in two system calls a command: a socket with a Python timeout makes a third and a fourth, to
wait until it is ready, so a plain one gets the kernel's timeouts instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import hiredis
from redis._parsers.helpers import parse_info
from redis.connection import Connection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from warmer.store.sending import SendAll, send_at_once, sender_of

MORE = object()  # the reader's word for: the rest of this reply has not come yet
# One read takes a value of 200 KB whole, if it is there.
READ_BYTES = 262_144


class Link:
    """One connection, with the life of the server it is connected to. One thread uses it at a time.

    sock: None while it is not connected. round: see `Connections.look_again`.
    """

    __slots__ = (
        "__weakref__",
        "buffer",
        "connection",
        "life",
        "reader",
        "round",
        "send_all",
        "server",
        "sock",
        "timeout_s",
    )

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        """connection: not connected yet. timeout_s: how long a reply may take."""
        self.connection = connection
        self.timeout_s = timeout_s
        self.life = bytes(8)
        self.server = b""  # what the life is a digest of
        self.round = -1
        self.sock: socket.socket | None = None
        self.send_all: SendAll = send_at_once
        self.buffer = bytearray(READ_BYTES)
        self.reader: Any = None
        connection.redis_connect_func = partial(_greet, weakref.ref(self))
        # A link that is dropped, in whatever order the collector likes, closes its socket.
        weakref.finalize(self, connection.disconnect).atexit = False

    def call(self, packed: bytes) -> Any:
        """Send one packed command and read its reply; an error reply is returned, not raised.

        Raises redis-py's ConnectionError or TimeoutError, and is disconnected then.
        """
        sock, reader, buffer = self.sock, self.reader, self.buffer
        if sock is None:
            raise Disconnected("the connection is closed")
        try:
            self.send_all(sock, packed)
            reply = MORE
            while reply is MORE:
                taken = sock.recv_into(buffer)
                if not taken:
                    raise Disconnected("the server closed the connection")
                reader.feed(buffer, 0, taken)
                reply = reader.gets(False)
        except BaseException as exc:
            self.disconnect()
            fault = fault_of(exc)
            if fault is None:
                raise
            raise fault from exc
        if isinstance(reply, Disconnected):  # it is loading its data, or has lost its primary
            self.disconnect()
            raise reply
        return reply

    def call_all(self, packed: Sequence[bytes]) -> list[Any]:
        """Send packed commands at once; their replies, in order. As `call` for each of them."""
        if not packed:
            return []
        replies = [self.call(b"".join(packed))]
        while len(replies) < len(packed):
            replies.append(self._next())
        return replies

    def _next(self) -> Any:
        """The next reply to what was sent already."""
        sock, reader = self.sock, self.reader
        assert sock is not None
        try:
            while (reply := reader.gets(False)) is MORE:
                taken = sock.recv_into(self.buffer)
                if not taken:
                    raise Disconnected("the server closed the connection")
                reader.feed(self.buffer, 0, taken)
        except BaseException as exc:
            self.disconnect()
            fault = fault_of(exc)
            if fault is None:
                raise
            raise fault from exc
        if isinstance(reply, Disconnected):
            self.disconnect()
            raise reply
        return reply

    def attach(self) -> None:
        """Go on with the socket that redis-py has connected."""
        sock: Any = self.connection._sock
        self.sock = sock
        parse_error = self.connection._parser.parse_error
        self.reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=parse_error, notEnoughData=MORE
        )
        sock.settimeout(self.timeout_s)
        self.send_all = sender_of(sock)
        if type(sock) is not socket.socket:
            return  # TLS waits by itself, and would never stop
        whole = int(self.timeout_s)
        limit = struct.pack("ll", whole, int((self.timeout_s - whole) * 1e6))
        with contextlib.suppress(OSError):  # a kernel without them: Python's timeout stays
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            sock.setblocking(True)

    def learn_life(self) -> None:
        """Ask the server for its life. Raises ResponseError where an ACL forbids INFO."""
        self.server, self.life = server_from(self._ask)

    def _ask(self, command: bytes, about: bytes) -> Any:
        parts = len(command), command, len(about), about
        reply = self.call(b"*2\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % parts)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def connect(self) -> None:
        """(Re)connect now; `redis_connect_func` attaches and learns the life on the way."""
        self.disconnect()
        self.connection.connect()

    def disconnect(self) -> None:
        """Close it."""
        self.sock = None
        self.connection.disconnect()


def server_from(ask: Callable[[bytes, bytes], Any]) -> tuple[bytes, bytes]:
    """(server, life): who it is, and 8 ASCII bytes that change with a restart and with a failover.

    Who it is: the run id, which changes with a restart, and the replication id, which changes with a
    failover. On a node of a cluster a life changes with its epoch, too, which is another one whenever a slot
    has come back to it: what has happened to that elsewhere, nobody here has seen. ask: gives the server's
    reply to a command of two words. Raises ReadOnlyError for a replica: what was invalidated may be there.
    """
    info: dict[str, Any] = {}
    for section in (b"server", b"replication"):
        info.update(parse_info(ask(b"INFO", section)))
    if info["role"] != "master":
        raise ReadOnlyError("it is a replica, and reads and scripts go to the primary")
    server = f"{info['run_id']} {info['master_replid']}".encode()
    of_life = server
    if "cluster" in (info.get("redis_mode"), info.get("server_mode")):  # Redis's word for it, and Valkey's
        of_life += f" {parse_info(ask(b'CLUSTER', b'INFO'))['cluster_my_epoch']}".encode()
    return server, hashlib.blake2b(of_life, digest_size=4).hexdigest().encode()


def _greet(held: weakref.ref[Link], connection: Any) -> None:
    link = held()
    assert link is not None
    connection.on_connect()
    link.attach()
    link.learn_life()


def fault_of(exc: BaseException) -> Exception | None:
    """redis-py's error for what went wrong on a socket; None: it did not go wrong there."""
    match exc:
        case TimeoutError() | BlockingIOError():
            return TimedOut("no reply in time")
        case OSError() | InvalidResponse():
            return Disconnected(f"{type(exc).__name__}: {exc}")
        case Disconnected() | TimedOut():
            return exc
    return None
