"""A near copy against the quickest thing there is for it, a cachetools.TTLCache in the same process.

`python -m benchmarks.near [--json FILE]`. The look-up that it is compared with builds its key from the same
arguments (`hashkey`) and knows an expiry; it has no lock, no other process, and hands the same list to all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cachetools
import msgspec
from cachetools.keys import hashkey
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import interleaved, rows
from warmer import Query, Warmer
from warmer.testing import ValkeyServer, wait_until

CALLS, THREADS = 2000, 8
SIZES = {"200 B": 6, "5 KB": 150, "200 KB": 6000}


@dataclass(frozen=True)
class Frozen:
    """A row that readers may share."""

    number: int
    carrier: str
    delay: float


def measure(url: str) -> list[dict[str, object]]:
    """One record a size: microseconds of each way, and ours as a ratio of what it is compared with."""
    shop = Warmer("bench-near", redis_url=url)

    @shop.cached(ttl=600, near=600, name="shared", version="1")
    def shared(count: int, carrier: str) -> tuple[Frozen, ...]:
        return tuple(Frozen(n, f"carrier {n % 20:02}", n / 7) for n in range(count))

    @shop.cached(ttl=600, near=600, name="fresh", version="1")
    def fresh(count: int, carrier: str) -> list[Frozen]:
        return list(shared.fn(count, carrier))

    records = [_record(shop, label, count, shared, fresh) for label, count in SIZES.items()]
    records.append(_threads(shared))
    shop.close()
    return records


def _record(
    shop: Warmer,
    label: str,
    count: int,
    shared: Query[[int, str], tuple[Frozen, ...]],
    fresh: Query[[int, str], list[Frozen]],
) -> dict[str, object]:
    copies = {query.bind(count, "UA").key.encode() for query in (shared, fresh)}
    near = shop.runtime().near
    wait_until(lambda: shared(count, "UA") and fresh(count, "UA") and copies <= near.live.keys())
    raw, decode = msgspec.msgpack.encode(rows(count)), msgspec.msgpack.Decoder(list[Frozen]).decode
    other: cachetools.TTLCache[object, object] = cachetools.TTLCache(10_000, 600)
    other[hashkey(count, "UA")] = shared(count, "UA")

    def afresh() -> object:
        return fresh(count, "UA")

    quick: dict[str, Callable[[], object]] = {
        "TTLCache": lambda: other[hashkey(count, "UA")],
        "near": lambda: shared(count, "UA"),
    }
    slow: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(raw),
        "near, decoded afresh": afresh,
        "near": quick["near"],
    }
    took = interleaved(slow, max(10, CALLS // count))
    above = took["near, decoded afresh"] - took["near"]
    took |= interleaved(quick, CALLS)
    return {
        "what": f"near, {label}", "bytes": len(raw),
        **{f"{name} us": round(us, 2) for name, us in took.items()},
        "async near us": round(asyncio.run(_awaited(shared, count)), 2),
        "near / TTLCache": round(took["near"] / took["TTLCache"], 2),
        "above near / decode": round(above / took["decode"], 2),
    }  # fmt: skip


async def _awaited(query: Query[[int, str], tuple[Frozen, ...]], count: int) -> float:
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        for _ in range(CALLS):
            await query.aget(count, "UA")
        taken.append((time.perf_counter() - began) / CALLS * 1e6)
    return statistics.median(taken)


def _threads(query: Query[[int, str], tuple[Frozen, ...]]) -> dict[str, object]:
    """So many threads against one, by reads a second in total."""

    def read() -> None:
        for _ in range(CALLS):
            query(6, "UA")

    def together(count: int) -> float:
        threads = [threading.Thread(target=read) for _ in range(count)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.perf_counter() - began) / (count * CALLS) * 1e6

    rounds = [(together(1), together(THREADS)) for _ in range(15)]
    one, many = (statistics.median(taken) for taken in zip(*rounds, strict=True))
    return {
        "what": f"near, {THREADS} threads", "near us": round(many, 2), "one thread us": round(one, 2),
        "threads / one": round(many / one, 2),
    }  # fmt: skip


def show(records: list[dict[str, object]]) -> Table:
    """The records as a table, one line each."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    table = Table(*columns, box=None, header_style="bold")
    for record in records:
        table.add_row(*(str(record.get(name, "")) for name in columns))
    return table


def main() -> None:
    """Measure on a server of its own, and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the records to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(data_dir=Path(folder)) as server:
        records = measure(server.url)
    Console(width=200).print(show(records))
    if asked.json:
        asked.json.write_text(json.dumps(records, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
