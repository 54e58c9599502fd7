"""Invalidating a tag with 100,000 entries: how long it takes, and how long another client waits meanwhile.

The other client is a process of its own that reads one key over and over: during the invalidation, beside
scripts that touch nothing and last as long as those that remove (the control), and while nothing happens.
What it waits includes its turns at the processor, and the server's: the control shows how much that is.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import redis

from benchmarks.rounds import Record
from warmer import Warmer
from warmer.core.header import Header
from warmer.core.keyspace import keyspace

ENTRIES = 100_000
PAUSE_S = 0.0005
#: A script of the control: about what removing a page of members takes.
SCRIPT_S = 0.001


def measure(url: str, entries: int = ENTRIES) -> list[Record]:
    """By tag on one shard and over 64, one part of a query, and a stamp in every shard."""
    records = []
    for shards in (1, 64):
        board = Warmer(f"bench{shards}", redis_url=url, shards=shards)
        number = board.cached(ttl=600, name="number", version="1", tags=("all",))(_number)
        over = "1 shard" if shards == 1 else f"{shards} shards"
        _fill(url, board, entries)
        what = f"{entries:,} entries by tag, {over}"
        records += _timed(url, what, board.invalidate_tags, "all")
        if shards == 1:
            _fill(url, board, entries)
            records += _timed(
                url, f"one of {entries:,} entries by part, {over}", number.invalidate_where, of=7
            )
        records += _stamps(board, f"a stamp in all of {over}")
        board.close()
    return records


def _number(of: int) -> int:
    return of


def _timed(url: str, what: str, call: Any, *args: Any, **some: Any) -> list[Record]:
    with _other_client(url) as quiet:
        time.sleep(1.0)
    with redis.Redis.from_url(url) as client:
        lasts_s = _script(client, 1)
        turns = max(1, round(SCRIPT_S / lasts_s))
        with _other_client(url) as control:
            until = time.monotonic() + 3.0
            while time.monotonic() < until:
                _script(client, turns)
        client.config_set("slowlog-log-slower-than", 500)
        client.config_set("slowlog-max-len", 20_000)
        client.slowlog_reset()
        with _other_client(url) as busy:
            began = time.perf_counter()
            removed = call(*args, **some)
            took_s = time.perf_counter() - began
        scripts_us = sorted(int(one["duration"]) for one in client.slowlog_get(20_000)) or [0]
    records = [
        Record(what, "took", round(took_s, 2), "s"),
        Record(what, "values that went", removed, ""),
        Record(what, "scripts over 0.5 ms: median", round(scripts_us[len(scripts_us) // 2] / 1000, 1), "ms"),
        Record(what, "longest script", round(scripts_us[-1] / 1000, 1), "ms"),
    ]
    ways = {"meanwhile": busy, "beside harmless scripts": control, "while nothing happens": quiet}
    for way, figures in ways.items():
        records += [Record(what, f"another client, {way}: {name}", of, "ms") for name, of in figures.items()]
    return records


def _script(client: redis.Redis, turns: int) -> float:
    """A script that keeps the server for a while and touches nothing; how long it took, in seconds."""
    began = time.perf_counter()
    client.eval("local n = 0 for i = 1, 5000 * ARGV[1] do n = n + i end return n", 0, str(turns))
    return time.perf_counter() - began


def _stamps(board: Warmer, what: str, rounds: int = 200) -> list[Record]:
    """What it takes to invalidate a tag that nothing has, in every shard: one trip."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        board.invalidate_tags("none")
        taken.append(time.perf_counter() - began)
    taken.sort()
    return [
        Record(what, "median", round(taken[rounds // 2] * 1000, 2), "ms"),
        Record(what, "99 of 100", round(taken[rounds * 99 // 100] * 1000, 2), "ms"),
    ]


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
    there.close()  # so that its end is noticed
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
    of_1000 = waited_s[len(waited_s) * 999 // 1000]
    pipe.send({"longest": round(waited_s[-1] * 1000, 1), "999 of 1,000 within": round(of_1000 * 1000, 1)})
