"""Connections to the server, and which life of the server each of them knows.

redis-py connects, authenticates and speaks TLS; what is left out is its pool, whose lock and bookkeeping cost
more than the round trip itself. Idle connections wait in a deque, whose `append` and `pop` need no lock, so
threads that hit share nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import AuthenticationError, AuthorizationError, MaxConnectionsError, ResponseError
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from warmer.errors import RedisRefused, RedisUnreachable, TooManyConnections, mask
from warmer.settings import Settings
from warmer.store.addresses import connecting
from warmer.store.breaker import Breaker
from warmer.store.guides import Guides
from warmer.store.links import Link, server_from

# The server speaks, and lets nobody new in: what is connected may well go on.
_NOT_AWAY = (AuthenticationError, AuthorizationError, MaxConnectionsError)

# A crowd of readers in a new process is served by the first few connections long before each had its own: a
# handshake costs more than a hundred reads.
CONNECTING = 4
# So many are opened as soon as they are wanted; for the others one waits a little for one that comes free.
AT_ONCE = 4
PATIENCE_S = 0.02


class Crowded(Exception):
    """No connection is free now, to who would rather do something else than wait for one."""


class Connections:
    """At most `max_connections` of them, handed out last in, first out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._class, self._options = connecting(settings)
        self._guides: Guides | None = self._options.get("connection_pool")
        #: Whether the primary is the one that has the namespace's slot: it moves, and the nodes say so.
        self.in_cluster = "+cluster:" in settings.redis_url
        self._options.update(
            protocol=2,
            socket_read_size=4096,  # of the handshake: what comes later, the link reads itself
            retry=Retry(NoBackoff(), 0),
            client_name="warmer",
        )
        self._idle: deque[Link] = deque()
        self._opened = self._connecting = 0
        self._freed = threading.Condition()
        self._waiting = 0
        self.round = 0  # raised when a life has changed: every link looks again before its next use
        self._refused_until = 0.0
        self.breaker = Breaker(self._probe)
        self._life = self._told = b""  # as the newest connection knows it, and as recheck_life last said
        self._closed = False

    def take(self, hasty: bool = False) -> Link:
        """A connected link. Raises RedisUnreachable, or TooManyConnections if none comes free in time.

        hasty: raises Crowded instead of waiting for one.
        """
        if self.breaker.open:
            raise self.breaker.refusal()
        try:
            link = self._idle.pop()
        except IndexError:
            if hasty and self._opened >= AT_ONCE:
                raise Crowded from None
            link = self._open()
        if link.round != self.round or link.sock is None:
            try:
                self.reconnect(link)
            except BaseException:
                self.give(link)
                raise
        return link

    def give(self, link: Link) -> None:
        """Put a link back; one whose reply was not read must have been disconnected."""
        self._idle.append(link)
        if self._closed:
            self.close()
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def get(
        self, packed: bytes, hasty: bool = False, before: Callable[[], None] | None = None
    ) -> tuple[Any, bytes]:
        """One read-only command that may be repeated: its reply, and the life it was read in.

        A connection that was cut between two reads is opened again unseen. hasty: see `take`. before: called
        once there is a connection, and nothing has been sent.
        """
        link = self.take(hasty)
        try:
            if before is not None:
                before()
            try:
                return link.call(packed), link.life
            except Disconnected:
                self.reconnect(link)
                return link.call(packed), link.life
        except (Disconnected, TimedOut) as exc:
            raise self.unreachable(exc) from exc
        finally:
            self.give(link)

    def dedicated(self, **options: Any) -> Connection:
        """A connection of the caller's own, outside the bound: for listening. Raises RedisUnreachable."""
        connection: Connection = self._class(**{**self._options, **options})
        try:
            connection.connect()
        except (Disconnected, TimedOut, OSError) as exc:
            raise self.lost(exc) from exc  # no reader waits for it: it is tried again and again anyway
        except ResponseError as exc:
            connection.disconnect()
            raise self._refused(exc) from exc
        return connection

    def recheck_life(self) -> bool:
        """Ask the server for its life; whether it is another than the last time. Raises ServerError.

        On a new connection: behind an address that now leads to another server, the old one may still answer.
        """
        link = self.take()
        try:
            self.reconnect(link)
            known, self._told = self._told, link.life
        finally:
            self.give(link)
        return known not in (self._told, b"")

    @property
    def life(self) -> bytes:
        """The server's life, as the newest connection knows it; empty before the first."""
        return self._life

    def look_again(self) -> None:
        """Have every link learn the server's life anew before its next use."""
        self.round += 1
        if self._guides is not None:
            self._guides.forget()

    def close(self) -> None:
        """Disconnect what is idle, and what is in use once it is given back."""
        self._closed = True
        self.breaker.stop()
        while self._idle:
            self._idle.pop().disconnect()

    def _open(self) -> Link:
        began = time.monotonic()
        deadline = began + self._settings.command_timeout
        with self._freed:
            while True:
                if self._idle:
                    return self._idle.pop()
                waits = self._opened >= AT_ONCE and time.monotonic() < began + PATIENCE_S
                room = self._opened < self._settings.max_connections and self._connecting < CONNECTING
                if room and not waits:
                    self._opened += 1
                    self._connecting += 1
                    break
                if self.breaker.open:
                    raise self.breaker.refusal()
                self._waiting += 1
                try:
                    left = deadline - time.monotonic()
                    if left <= 0 or (
                        not self._freed.wait(min(left, PATIENCE_S if waits else 0.05))
                        and time.monotonic() >= deadline
                    ):
                        raise TooManyConnections(
                            self._settings.max_connections, self._settings.command_timeout
                        )
                finally:
                    self._waiting -= 1
        link = Link(self._class(**self._options), self._settings.command_timeout)
        try:
            self.reconnect(link)
        except BaseException:
            self.give(link)
            raise
        finally:
            with self._freed:
                self._connecting -= 1
                self._freed.notify()
        return link

    def life_of(self, connection: Any) -> bytes:
        """Ask the server at the other end of a connection for its life. Raises the driver's errors."""

        def ask(command: bytes, about: bytes) -> Any:
            connection.send_command(command, about, check_health=False)
            return connection.read_response()

        return server_from(ask)[1]

    def reconnect(self, link: Link) -> None:
        """Open the link's connection anew; it stays the caller's. Raises RedisUnreachable, RedisRefused."""
        if self.breaker.open:
            raise self.breaker.refusal()
        # While the server lets nobody in, one attempt in half a second finds out; the rest fail at once.
        if time.monotonic() < self._refused_until:
            raise RedisUnreachable(mask(self._settings.redis_url), "it refused a connection a moment ago")
        at = self.round
        try:
            link.connect()
        except (Disconnected, TimedOut, OSError) as exc:
            if isinstance(exc, _NOT_AWAY):
                self._refused_until = time.monotonic() + 0.5
            raise self.unreachable(exc) from exc
        except ResponseError as exc:
            link.disconnect()
            raise self._refused(exc) from exc
        except BaseException:
            link.disconnect()
            raise
        link.round = at
        if link.life != self._life:
            if self._life:
                self.look_again()
            self._life = link.life

    def unreachable(self, exc: BaseException) -> RedisUnreachable:
        """The error that readers see for a driver's. Opens the breaker: who comes next fails at once."""
        error = self.lost(exc)
        if not isinstance(exc, _NOT_AWAY):
            self.breaker.trip(error)
        return error

    def _probe(self) -> None:
        """Whether the server lets a new connection in and answers it. Raises RedisUnreachable."""
        link = Link(self._class(**self._options), self._settings.command_timeout)
        try:
            link.connect()
            link.call(b"*1\r\n$4\r\nPING\r\n")
        except ResponseError:
            return  # it speaks: what it says is for those who ask
        except (Disconnected, TimedOut, OSError) as exc:
            raise self.lost(exc) from exc
        finally:
            link.disconnect()

    def lost(self, exc: BaseException) -> RedisUnreachable:
        """The same error for a connection that says nothing about the server."""
        return RedisUnreachable(mask(self._settings.redis_url), mask(f"{type(exc).__name__}: {exc}"))

    def _refused(self, exc: ResponseError) -> RedisRefused:
        """The error for a server that speaks, and lets nobody in: protected mode, an ACL without INFO."""
        return RedisRefused(mask(self._settings.redis_url), "the connection", mask(str(exc)))
