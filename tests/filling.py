"""Entries as commits would have stored them, without so many loads."""

from __future__ import annotations

from collections import defaultdict

import redis

from tests.board import Board
from warmer.core.header import Header
from warmer.core.keyspace import keyspace

FRESH_US = 6e8
TTL_MS = 3_600_000


def fill(client: redis.Redis, board: Board, count: int, **of: str) -> None:
    """Entries X0, X1, ... of the board, kept warm and under the tag "all".

    of: more tags for some, by the end of their number: `seven="7"`.
    """
    runtime = board.runtime
    life, now = runtime.store.get(b"x")[1], runtime.store.now_us()
    header = Header(0, life, 1.0, now, now + FRESH_US, now + 2 * FRESH_US, now + FRESH_US).pack()
    for first in range(0, count, 5000):
        listed: defaultdict[str, list[str]] = defaultdict(list)
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + 5000, count)):
                entry = board.departures._reading.entry((f"X{number}",))
                keys = keyspace(board.flights.namespace, entry.shard)
                pipe.set(entry.key, header + b"\x01", px=TTL_MS)
                listed[keys.index("departures")].append(entry.member)
                for tag in ("all", *(tag for tag, end in of.items() if str(number).endswith(end))):
                    listed[keys.members(f"g:{tag}")].append(entry.member)
            for key, members in listed.items():
                if ":index:" in key:
                    pipe.zadd(key, dict.fromkeys(members, now + FRESH_US))
                else:
                    pipe.sadd(key, *members)
            pipe.execute()


def stored(client: redis.Redis, board: Board) -> set[bytes]:
    """Keys of the entries that are there."""
    return set(client.scan_iter(f"w:{{{board.flights.namespace}:*}}:e:*", count=1000))
