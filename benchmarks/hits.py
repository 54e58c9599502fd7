"""A warm hit against a bare redis-py GET with a msgspec decode of the same value, at three sizes.

Rounds are interleaved and medians compared, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import redis

from warmer import Warmer

ROUNDS, CALLS = 15, 200


@dataclass(frozen=True)
class Row:
    """A row as queries return it."""

    number: int
    carrier: str
    delay: float


SIZES = {"200 B": 6, "5 KB": 150, "200 KB": 6000}


def rows(count: int) -> list[Row]:
    """Rows whose MessagePack takes about 35 bytes each."""
    return [Row(n, f"carrier {n % 20:02}", n / 7) for n in range(count)]


def measure(url: str) -> list[dict[str, object]]:
    """One record a size: microseconds a call of each way, and ours as a ratio of the bare one."""
    shop = Warmer("bench", redis_url=url, compress_over=1 << 29)

    @shop.cached(ttl=600, name="rows", version="1")
    def cached(count: int, carrier: str) -> list[Row]:
        return rows(count)

    client, decoder = redis.Redis.from_url(url), msgspec.msgpack.Decoder(list[Row])
    records: list[dict[str, object]] = []
    for label, count in SIZES.items():
        raw = msgspec.msgpack.encode(rows(count))
        client.set(f"bare:{count}:UA", raw)
        cached(count, "UA")

        def bare(count: int = count) -> object:
            return decoder.decode(client.get(f"bare:{count}:UA"))  # type: ignore[arg-type]  # sync client

        def ours(count: int = count) -> object:
            return cached(count, "UA")

        calls = CALLS if count < 1000 else CALLS // 10
        ways: dict[str, Callable[[], object]] = {"redis-py get + decode": bare, "warmer hit": ours}
        medians = interleaved(ways, calls)
        records.append(
            {"what": f"hit, {label}", "bytes": len(raw),
             **{f"{name} us": round(median, 1) for name, median in medians.items()},
             "ratio": round(medians["warmer hit"] / medians["redis-py get + decode"], 2)}
        )  # fmt: skip
    shop.close()
    client.close()
    return records


def interleaved(ways: dict[str, Callable[[], object]], calls: int) -> dict[str, float]:
    """The median over rounds of each way's microseconds a call; the ways take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, call in ways.items():
            began = time.perf_counter()
            for _ in range(calls):
                call()
            taken[name].append((time.perf_counter() - began) / calls * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}
