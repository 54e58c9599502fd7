"""Connections to the server, and which life of the server each of them knows.

redis-py connects, authenticates, speaks TLS and reconnects; what is left out is its pool, whose lock and
bookkeeping cost more than the round trip itself. Idle connections wait in a deque, whose `append` and `pop`
need no lock, so threads that hit share nothing.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis._parsers.helpers import parse_info
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from warmer.errors import RedisRefused, RedisUnreachable, TooManyConnections, WrongRedisUrl, mask
from warmer.settings import Settings

NO_LIFE = b"\0" * 8


def server_life(info: dict[str, Any]) -> bytes:
    """8 ASCII bytes that change with a restart (run id) and with a failover (replication id)."""
    text = f"{info['run_id']} {info['master_replid']}"
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest().encode()


class Link:
    """One connection, with the life of the server it is connected to."""

    __slots__ = ("connection", "life", "round")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.life = NO_LIFE
        self.round = 0

    def call(self, packed: Sequence[bytes]) -> Any:
        """Send one packed command and read its reply; an error reply is returned, not raised."""
        self.connection.send_packed_command(packed, check_health=False)
        try:
            return self.connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return error

    def connect(self) -> None:
        """(Re)connect now; `redis_connect_func` learns the life on the way."""
        self.connection.disconnect()
        self.connection.connect()


class Connections:
    """At most `max_connections` of them, handed out last in, first out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._options = _read_url(settings.redis_url)
        self._class = self._options.pop("connection_class", Connection)
        self._options.update(
            protocol=2,
            socket_timeout=settings.command_timeout,
            socket_connect_timeout=settings.connect_timeout,
            socket_read_size=262_144,
            retry=Retry(NoBackoff(), 0),
            client_name="warmer",
        )
        self._idle: deque[Link] = deque()
        self._opened = 0
        self._freed = threading.Condition()
        self._waiting = 0
        self._round = 0  # raised when a life has changed: every link looks again before its next use
        self._away_until = 0.0

    def take(self) -> Link:
        """A connected link. Raises RedisUnreachable, or TooManyConnections if none comes free in time."""
        try:
            link = self._idle.pop()
        except IndexError:
            link = self._open()
        if link.round != self._round or not link.connection.is_connected:
            try:
                self.reconnect(link)
            except BaseException:
                self.give(link)
                raise
        return link

    def give(self, link: Link) -> None:
        """Put a link back; one whose reply was not read must have been disconnected."""
        self._idle.append(link)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def get(self, packed: Sequence[bytes]) -> tuple[Any, bytes]:
        """One read-only command that may be repeated: its reply, and the life it was read in.

        A connection that was cut between two reads is opened again unseen.
        """
        link = self.take()
        try:
            try:
                return link.call(packed), link.life
            except Disconnected:
                self.reconnect(link)
                return link.call(packed), link.life
        except (Disconnected, TimedOut) as exc:
            raise self.unreachable(exc) from exc
        except BaseException:
            link.connection.disconnect()
            raise
        finally:
            self.give(link)

    def dedicated(self, **options: Any) -> Connection:
        """A connection of the caller's own, outside the bound: for listening. Raises RedisUnreachable."""
        connection: Connection = self._class(**{**self._options, **options})
        try:
            connection.connect()
        except (Disconnected, TimedOut, OSError) as exc:
            raise self.unreachable(exc) from exc
        except ResponseError as exc:
            connection.disconnect()
            raise self._refused(exc) from exc
        return connection

    def recheck_life(self) -> bool:
        """Ask the server for its life; whether it has changed. Raises RedisUnreachable."""
        link = self.take()
        known = link.life
        try:
            self._greet(link.connection, link, on_connect=False)
        except (Disconnected, TimedOut) as exc:
            link.connection.disconnect()
            raise self.unreachable(exc) from exc
        except ResponseError as exc:
            link.connection.disconnect()
            raise self._refused(exc) from exc
        finally:
            self.give(link)
        if link.life != known:
            self.look_again()
        return link.life != known

    def look_again(self) -> None:
        """Have every link learn the server's life anew before its next use."""
        self._round += 1

    def close(self) -> None:
        """Disconnect what is idle."""
        while self._idle:
            self._idle.pop().connection.disconnect()

    def _open(self) -> Link:
        deadline = time.monotonic() + self._settings.command_timeout
        with self._freed:
            while True:
                if self._idle:
                    return self._idle.pop()
                if self._opened < self._settings.max_connections:
                    self._opened += 1
                    break
                self._waiting += 1
                try:
                    left = deadline - time.monotonic()
                    if left <= 0 or (not self._freed.wait(min(left, 0.05)) and time.monotonic() >= deadline):
                        raise TooManyConnections(
                            self._settings.max_connections, self._settings.command_timeout
                        )
                finally:
                    self._waiting -= 1
        connection = self._class(**self._options)
        link = Link(connection)
        connection.redis_connect_func = lambda conn: self._greet(conn, link)
        return link

    def _greet(self, connection: Any, link: Link, on_connect: bool = True) -> None:
        if on_connect:
            connection.on_connect()
        link.life = self.life_of(connection)
        link.round = self._round

    def life_of(self, connection: Any) -> bytes:
        """Ask the server at the other end of a connection for its life. Raises the driver's errors."""
        info: dict[str, Any] = {}
        for section in ("server", "replication"):
            connection.send_command("INFO", section, check_health=False)
            info.update(parse_info(connection.read_response()))
        return server_life(info)

    def reconnect(self, link: Link) -> None:
        """Open the link's connection anew; it stays the caller's. Raises RedisUnreachable, RedisRefused."""
        # While the server is away, one connection attempt in half a second finds out; the rest fail at once.
        if time.monotonic() < self._away_until:
            raise RedisUnreachable(mask(self._settings.redis_url), "it did not answer a moment ago")
        try:
            link.connect()
        except (Disconnected, TimedOut, OSError) as exc:
            self._away_until = time.monotonic() + 0.5
            raise self.unreachable(exc) from exc
        except ResponseError as exc:
            link.connection.disconnect()
            raise self._refused(exc) from exc
        except BaseException:
            link.connection.disconnect()
            raise

    def unreachable(self, exc: BaseException) -> RedisUnreachable:
        """The error that readers see for a driver's."""
        return RedisUnreachable(mask(self._settings.redis_url), mask(f"{type(exc).__name__}: {exc}"))

    def _refused(self, exc: ResponseError) -> RedisRefused:
        """The error for a server that speaks, and lets nobody in: protected mode, an ACL without INFO."""
        return RedisRefused(mask(self._settings.redis_url), "the connection", mask(str(exc)))


def _read_url(url: str) -> dict[str, Any]:
    """What redis-py makes of a URL, and what it would pass over in silence or stumble on later."""
    try:
        options: dict[str, Any] = dict(parse_url(url))
        parts = urlsplit(url)
        if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
            raise WrongRedisUrl(url, f"{parts.path!r} is not the number of a database")
        made = dict(options)
        made.pop("connection_class", Connection)(**made)  # it connects later
    except (ValueError, TypeError) as exc:
        raise WrongRedisUrl(url, str(exc)) from exc
    return options
