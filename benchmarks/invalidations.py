"""Invalidating a tag with 100,000 entries: how long it takes, and how long another client waits meanwhile.

The other client is a process of its own that reads one key over and over: while nothing else happens (quiet),
while this process does nothing but GET (crowded), and during the invalidation. What it waits includes its
turns at the processor, as quiet and crowded show; `longest script` is the server's own account. Run it with
`python -m benchmarks.invalidations`.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import redis

from warmer import Warmer
from warmer.core.header import Header
from warmer.core.keyspace import keyspace
from warmer.testing import ValkeyServer

ENTRIES = 100_000
PAUSE_S = 0.0005


def measure(url: str, entries: int = ENTRIES) -> list[dict[str, object]]:
    """One record a way: by tag on one shard and over 64, a stamp over 64 shards, one part of a query."""
    records = []
    for shards in (1, 64):
        board = Warmer(f"bench{shards}", redis_url=url, shards=shards)
        number = board.cached(ttl=600, name="number", version="1", tags=("all",))(_number)
        records.append(_timed(url, board, f"tag, {shards} shard(s)", entries, board.invalidate_tags, "all"))
        if shards == 1:
            _fill(url, board, entries)
            records.append(_timed(url, board, "part of a query", 0, number.invalidate_where, of=7))
        records.append(_stamps(board, shards))
        board.close()
    return records


def _number(of: int) -> int:
    return of


def _timed(
    url: str, board: Warmer, what: str, entries: int, call: Any, *args: Any, **some: Any
) -> dict[str, object]:
    if entries:
        _fill(url, board, entries)
    with _other_client(url) as quiet:
        time.sleep(1.0)
    with redis.Redis.from_url(url) as client, _other_client(url) as crowded:
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            client.get("another key")
    with redis.Redis.from_url(url) as client, _other_client(url) as busy:
        client.config_set("slowlog-log-slower-than", 1000)
        client.config_set("slowlog-max-len", 20_000)
        client.slowlog_reset()
        began = time.perf_counter()
        removed = call(*args, **some)
        took_s = time.perf_counter() - began
        scripts_us = [int(one["duration"]) for one in client.slowlog_get(20_000)]
    return {
        "what": what, "removed": removed, "took s": round(took_s, 2),
        "other client: longest ms": busy["longest ms"], "p99.9 ms": busy["p99.9 ms"], "reads": busy["reads"],
        "quiet: longest ms": quiet["longest ms"], "quiet p99.9 ms": quiet["p99.9 ms"],
        "crowded: longest ms": crowded["longest ms"], "crowded p99.9 ms": crowded["p99.9 ms"],
        "longest script ms": round(max(scripts_us, default=0) / 1000, 1),
    }  # fmt: skip


def _stamps(board: Warmer, shards: int, rounds: int = 200) -> dict[str, object]:
    """What a stamp of one name in every shard takes: one trip."""
    store, taken = board.runtime().store, []
    for _ in range(rounds):
        began = time.perf_counter()
        store.stamp_names(["g:none"])
        taken.append(time.perf_counter() - began)
    taken.sort()
    return {
        "what": f"stamp, {shards} shard(s)",
        "median ms": round(taken[rounds // 2] * 1000, 2),
        "p99 ms": round(taken[rounds * 99 // 100] * 1000, 2),
    }


def _fill(url: str, board: Warmer, entries: int) -> None:
    """Entries as commits would have stored them, without so many loads."""
    store = board.runtime().store
    life, now = store.get(b"x")[1], store.now_us()
    header = Header(0, life, 1.0, now, now + 6e8, now + 12e8, now + 6e8).pack()
    with redis.Redis.from_url(url) as client:
        for first in range(0, entries, 2000):
            with client.pipeline(transaction=False) as pipe:
                for of in range(first, min(first + 2000, entries)):
                    keys, member = keyspace(board.namespace, of % store.settings.shards), f"number@1:{of}"
                    pipe.set(keys.entry(member), header + bytes(200), px=3_600_000)
                    pipe.sadd(keys.members("g:all"), member)
                    pipe.zadd(keys.index("number"), {member: now + 6e8})
                pipe.execute()


@contextmanager
def _other_client(url: str) -> Iterator[dict[str, float]]:
    """Figures of a process that reads meanwhile; they are there at the end."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_read_on, args=(url, there), daemon=True)
    process.start()
    here.recv()
    figures: dict[str, float] = {}
    try:
        yield figures
    finally:
        here.send("stop")
        figures.update(here.recv())
        process.join()


def _read_on(url: str, pipe: Connection) -> None:
    client, waited_s = redis.Redis.from_url(url), list[float]()
    client.get("another key")
    pipe.send("ready")
    while not pipe.poll():
        began = time.perf_counter()
        client.get("another key")
        waited_s.append(time.perf_counter() - began)
        time.sleep(PAUSE_S)
    waited_s.sort()
    pipe.send(
        {
            "reads": len(waited_s),
            "longest ms": round(waited_s[-1] * 1000, 1),
            "p99.9 ms": round(waited_s[len(waited_s) * 999 // 1000] * 1000, 1),
        }
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(data_dir=Path(folder)) as server:
        for record in measure(server.url):
            sys.stdout.write(json.dumps(record) + "\n")
