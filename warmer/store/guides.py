"""Asking where a primary is, and connections that go there: sentinels are asked, or the nodes of a cluster.

All who are listed are asked at once, and what most of them have answered counts: of their answers, that of
the newest configuration. One that is cut off with the primary that the others have left would name that one
for ever, and whoever is cut off with it must not follow it.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from redis import Redis
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

#: A crowd that connects at once asks once. A failover takes longer than that by far.
REMEMBERED_S = 0.25

Address = tuple[str, int]
#: What one of them says: the epoch of the configuration that it knows, and the primary in it.
Said = tuple[int, Address]


class Guides:
    """Who is asked where one primary is. From any thread.

    addresses: of all of them; more than half must answer. about: what it is the primary of, for errors. ask:
    asks one of them; raises LookupError if it knows of no primary. options: of redis-py's connections.
    """

    #: What redis-py asks of what it takes for a pool of connections, by these names.
    is_master = True
    check_connection = False

    def __init__(
        self,
        addresses: Sequence[Address],
        about: str,
        ask: Callable[[Redis], Said],
        options: Mapping[str, Any],
    ) -> None:
        self.service_name = about
        self._ask_one = ask
        self._clients = [Redis(host=host, port=port, **options) for host, port in addresses]
        self._needed = len(addresses) // 2 + 1
        self._lock = threading.Lock()
        self._known: Address | None = None
        self._known_until = 0.0

    def get_master_address(self) -> Address:
        """Where the primary is now. Raises redis-py's ConnectionError if too few say so."""
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
        answers: SimpleQueue[Said | Exception] = SimpleQueue()
        for client in self._clients:
            threading.Thread(target=self._answer, args=(client, answers), daemon=True).start()
        said: list[Said] = []
        failed: list[str] = []
        while len(said) + len(failed) < len(self._clients):
            try:
                # Who has answered by the time that most have may know more; for others nobody waits.
                answer = answers.get(block=len(said) < self._needed)
            except Empty:
                break
            if isinstance(answer, Exception):
                failed.append(f"{type(answer).__name__}: {answer}")
            else:
                said.append(answer)
        if len(said) < self._needed:
            raise Disconnected(
                f"{len(said)} of the {len(self._clients)} that are listed say where the primary of "
                f"{self.service_name} is, and {self._needed} must; {'; '.join(failed)}"
            )
        return max(said)[1]

    def _answer(self, client: Redis, answers: SimpleQueue[Said | Exception]) -> None:
        try:
            answers.put(self._ask_one(client))
        except (RedisError, OSError, LookupError, ValueError, TypeError) as exc:
            answers.put(exc)


def ask_sentinel(client: Redis, service: str) -> Said:
    """Where a sentinel says that the primary of its service is."""
    state: Any = client.sentinel_master(service)
    return int(state["config-epoch"]), (str(state["ip"]), int(state["port"]))


def ask_node(client: Redis, slot: int) -> Said:
    """Where a node of a cluster says that the primary is which has this slot.

    Of two that claim it, the one with the higher epoch has it: so do the nodes themselves decide.
    """
    nodes: Any = client.execute_command("CLUSTER NODES")
    claims: list[Said] = []
    for address, node in nodes.items():
        if "master" in node["flags"].split(",") and any(_has(part, slot) for part in node["slots"]):
            host, _, port = address.rpartition(":")
            # A node that has met no other does not know its own address: it is where it was asked.
            asked = client.connection_pool.connection_kwargs["host"]
            claims.append((int(node["epoch"]), (node["hostname"] or host or asked, int(port))))
    if not claims:
        raise LookupError(f"no node has slot {slot}")
    return max(claims)


def _has(part: Sequence[str], slot: int) -> bool:
    return int(part[0]) <= slot <= int(part[-1])


def sentinels(addresses: Sequence[Address], service: str, options: Mapping[str, Any]) -> Guides:
    """Those that watch a service."""
    return Guides(addresses, repr(service), functools.partial(ask_sentinel, service=service), options)


def nodes(addresses: Sequence[Address], slot: int, options: Mapping[str, Any]) -> Guides:
    """Nodes of a cluster, in which one slot is wanted."""
    return Guides(addresses, f"slot {slot}", functools.partial(ask_node, slot=slot), options)


class _Following:
    """A connection to wherever the primary is when it is made. connection_pool: the guides."""

    connection_pool: Guides

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
