"""How everything here is measured: ways take turns, so that what else the machine does falls on all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

ROUNDS = 11


@dataclass(frozen=True)
class Row:
    """A row as queries return it."""

    number: int
    carrier: str
    delay: float


@dataclass(frozen=True)
class Record:
    """One figure. ratio: to the first way of its group; target: what it may be, where that is promised."""

    group: str
    way: str
    figure: float
    unit: str
    ratio: float | None = None
    target: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


#: Rows in a value, by what they take in MessagePack.
SIZES = {"200 B": 5, "5 KB": 116, "200 KB": 4500}


decode = msgspec.msgpack.Decoder(list[Row]).decode


def rows(count: int) -> list[Row]:
    """Rows whose MessagePack takes 43 to 45 bytes each."""
    return [Row(n, f"carrier {n % 20:02}", n / 7) for n in range(count)]


def encoded(count: int) -> bytes:
    """The same, as MessagePack."""
    return msgspec.msgpack.encode(rows(count))


def calls_for(count: int) -> int:
    """How many calls of a value of so many rows make a round."""
    return 200 if count < 1000 else 15


def interleaved(
    ways: Mapping[str, Callable[[], object]], calls: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The median over rounds of each way's microseconds a call.

    clock: `time.thread_time` for what waits for nobody; what else the machine does counts for less then.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, call in ways.items():
            began = clock()
            for _ in range(calls):
                call()
            taken[name].append((clock() - began) / calls * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


async def ainterleaved(ways: Mapping[str, Callable[[], Awaitable[object]]], calls: int) -> dict[str, float]:
    """The same, one awaited call after another."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, call in ways.items():
            began = time.perf_counter()
            for _ in range(calls):
                await call()
            taken[name].append((time.perf_counter() - began) / calls * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def compared(
    group: str, medians: Mapping[str, float], targets: Mapping[str, str] | None = None
) -> list[Record]:
    """Records of ways, each with its ratio to the first."""
    first = next(iter(medians.values()))
    return [
        Record(group, way, round(us, 2), "us", round(us / first, 2), (targets or {}).get(way, ""))
        for way, us in medians.items()
    ]
