"""Asking sentinels where the primary of their service is, and connections that go where they say.

All sentinels are asked at once, and what most of those who are listed have answered counts: of their answers,
that of the newest configuration. One that is cut off with the primary that the others have left would name
that one for ever, and whoever is cut off with it must not follow it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from redis import Redis
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

#: A crowd that connects at once asks once. A failover takes longer than that by far.
REMEMBERED_S = 0.25
PORT = 26_379

Address = tuple[str, int]
#: Of a sentinel's answer: the epoch of the configuration, and the primary in it; or why there is none.
Said = tuple[int, Address] | Exception


class Sentinels:
    """The sentinels of one service. From any thread.

    addresses: of all sentinels; more than half must answer. options: of redis-py's connections to them.
    """

    #: What redis-py asks of what it takes for a pool of connections, by these names.
    is_master = True
    check_connection = False

    def __init__(self, addresses: Sequence[Address], service: str, options: Mapping[str, Any]) -> None:
        self.service_name = service
        self._clients = [Redis(host=host, port=port, **options) for host, port in addresses]
        self._needed = len(addresses) // 2 + 1
        self._lock = threading.Lock()
        self._known: Address | None = None
        self._known_until = 0.0

    def get_master_address(self) -> Address:
        """Where the primary is now. Raises redis-py's ConnectionError if too few sentinels say so."""
        with self._lock:
            if self._known is None or time.monotonic() >= self._known_until:
                self._known = self._ask()
                self._known_until = time.monotonic() + REMEMBERED_S
            return self._known

    def forget(self) -> None:
        """The primary was not where they said: ask anew."""
        with self._lock:
            self._known = None

    def _ask(self) -> Address:
        answers: SimpleQueue[Said] = SimpleQueue()
        for client in self._clients:
            threading.Thread(target=self._ask_one, args=(client, answers), daemon=True).start()
        said: list[tuple[int, Address]] = []
        failed: list[str] = []
        while len(said) < self._needed and len(said) + len(failed) < len(self._clients):
            answer = answers.get()
            if isinstance(answer, Exception):
                failed.append(f"{type(answer).__name__}: {answer}")
            else:
                said.append(answer)
        while len(said) < len(self._clients):  # who has answered meanwhile may know more
            try:
                answer = answers.get_nowait()
            except Empty:
                break
            if not isinstance(answer, Exception):
                said.append(answer)
        if len(said) < self._needed:
            raise Disconnected(
                f"{len(said)} of {len(self._clients)} sentinels say where the primary of "
                f"{self.service_name!r} is, and {self._needed} must; {'; '.join(failed)}"
            )
        return max(said)[1]

    def _ask_one(self, client: Redis, answers: SimpleQueue[Said]) -> None:
        try:
            state: Any = client.sentinel_master(self.service_name)
            answers.put((int(state["config-epoch"]), (str(state["ip"]), int(state["port"]))))
        except (RedisError, OSError, LookupError, ValueError, TypeError) as exc:
            answers.put(exc)


class _Following:
    """A connection to wherever the primary is when it is made. connection_pool: the Sentinels."""

    connection_pool: Sentinels

    def connect_to(self, address: Address) -> None:
        """Connect, and be told off by a replica as by a server that is not there: the failover goes on."""
        try:
            super().connect_to(address)  # type: ignore[misc]  # of redis-py's class beside this one
        except BaseException as exc:
            self.connection_pool.forget()
            if isinstance(exc, ReadOnlyError):
                raise Disconnected(f"{address[0]}:{address[1]} is no primary (any more): {exc}") from exc
            raise


class FollowingConnection(_Following, SentinelManagedConnection):
    """Over TCP."""


class FollowingSSLConnection(_Following, SentinelManagedSSLConnection):
    """Over TLS."""


def following(kind: type[Connection]) -> type[Connection]:
    """The class of connections that follow the primary, in place of one of redis-py's."""
    return FollowingSSLConnection if issubclass(kind, SSLConnection) else FollowingConnection
