"""A near copy against the quickest thing there is for it, a cachetools.TTLCache in the same process.

`python -m benchmarks.near [--json FILE]`. The look-up that it is compared with builds its key from the same
arguments (`hashkey`) and knows an expiry; it has no lock, no other process, and hands the same list to all.
Where nothing is waited for, what counts is the processor's time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cachetools
import msgspec
from cachetools.keys import hashkey
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import SIZES, encoded, interleaved
from warmer import Query, Warmer
from warmer.testing import ValkeyServer, wait_until

CALLS, THREADS = 2000, 8


@dataclass(frozen=True)
class Frozen:
    """A row that readers may share."""

    number: int
    carrier: str
    delay: float


@dataclass
class Loose:
    """One that they may not."""

    number: int
    carrier: str
    delay: float


@dataclass
class Coded(Loose):
    """The same with code of its own, which runs for every reader."""

    def __post_init__(self) -> None:
        pass


@dataclass(kw_only=True)
class Keyed:
    """One that nothing but decoding makes as quickly."""

    number: int
    carrier: str
    delay: float


#: By what is made for each reader: what the list holds, and the query.
Afresh: TypeAlias = dict[str, tuple[type[Any], Query[[int, str], Any]]]


def measure(url: str) -> list[dict[str, object]]:
    """One record a size: microseconds of each way, and ours as a ratio of what it is compared with."""
    shop = Warmer("bench-near", redis_url=url)

    @shop.cached(ttl=600, near=600, name="shared", version="1")
    def shared(count: int, carrier: str) -> tuple[Frozen, ...]:
        return tuple(Frozen(n, f"carrier {n % 20:02}", n / 7) for n in range(count))

    @shop.cached(ttl=600, near=600, name="listed", version="1")
    def listed(count: int, carrier: str) -> list[Frozen]:
        return list(shared.fn(count, carrier))

    @shop.cached(ttl=600, near=600, name="loose", version="1")
    def loose(count: int, carrier: str) -> list[Loose]:
        return [Loose(row.number, row.carrier, row.delay) for row in shared.fn(count, carrier)]

    @shop.cached(ttl=600, near=600, name="coded", version="1")
    def coded(count: int, carrier: str) -> list[Coded]:
        return [Coded(row.number, row.carrier, row.delay) for row in shared.fn(count, carrier)]

    @shop.cached(ttl=600, near=600, name="keyed", version="1")
    def keyed(count: int, carrier: str) -> list[Keyed]:
        return [
            Keyed(number=row.number, carrier=row.carrier, delay=row.delay)
            for row in shared.fn(count, carrier)
        ]

    others: Afresh = {
        "a list": (Frozen, listed), "its rows": (Loose, loose), "with code": (Coded, coded),
        "decoded": (Keyed, keyed),
    }  # fmt: skip
    records = [_record(shop, label, count, shared, others) for label, count in SIZES.items()]
    records += [_refreshed(shop, shared), _threads(shared)]
    shop.close()
    return records


def _record(
    shop: Warmer,
    label: str,
    count: int,
    shared: Query[[int, str], tuple[Frozen, ...]],
    others: Afresh,
) -> dict[str, object]:
    queries: list[Query[[int, str], Any]] = [shared, *(query for _, query in others.values())]
    copies = {query.bind(count, "UA").key.encode() for query in queries}
    near_by = shop.runtime().near
    wait_until(lambda: all(query(count, "UA") for query in queries) and copies <= near_by.live.keys())
    raw, other = encoded(count), cachetools.TTLCache[object, object](10_000, 600)
    other[hashkey(count, "UA")] = shared(count, "UA")

    quick: dict[str, Callable[[], object]] = {
        "TTLCache": lambda: other[hashkey(count, "UA")],
        "near": lambda: shared(count, "UA"),
    }
    record: dict[str, object] = {"what": f"near, {label}", "bytes": len(raw)}
    for what, (row, query) in others.items():
        slow = _slow(raw, count, row, query, quick["near"])
        took = interleaved(slow, max(10, CALLS // count), time.thread_time)
        # Between decodes a look-up finds less in the processor's caches than one look-up after another does.
        near_us = took["both"] - took["decode"] if what == "decoded" else took["near"]
        record[f"{what} us"] = round(took["afresh"], 2)
        record[f"above near / decode, {what}"] = round((took["afresh"] - near_us) / took["decode"], 2)
    took = interleaved(quick, CALLS, time.thread_time)
    return record | {
        **{f"{name} us": round(us, 2) for name, us in took.items()},
        "async near us": round(asyncio.run(_awaited(shared, count)), 2),
        "near / TTLCache": round(took["near"] / took["TTLCache"], 2),
    }


def _slow(
    raw: bytes, count: int, row: type[Any], query: Query[[int, str], Any], near: Callable[[], object]
) -> dict[str, Callable[[], object]]:
    decode = msgspec.msgpack.Decoder(types.GenericAlias(list, row)).decode
    return {
        "decode": lambda: decode(raw),
        "afresh": lambda: query(count, "UA"),
        "near": near,
        "both": lambda: (near(), decode(raw)),
    }


def _refreshed(shop: Warmer, query: Query[[int, str], tuple[Frozen, ...]]) -> dict[str, object]:
    """The read after a message of a refresh that found the same, against one that reads the entry anew."""
    count, near = SIZES["200 KB"], shop.runtime().near
    key = query.bind(count, "UA").key.encode()

    def asked() -> None:
        near.changed((key,))
        query(count, "UA")

    def anew() -> None:
        near.drop((key,))
        query(count, "UA")

    took = interleaved({"asked": asked, "anew": anew}, 10)
    front, blob = near.live[key].front, shop.runtime().store.get(key)[0]
    return {
        "what": "near, after an unchanged refresh of 200 KB",
        "bytes": len(blob or b""), "asked bytes": len(front),
        **{f"{name} us": round(us, 2) for name, us in took.items()},
        "asked / anew": round(took["asked"] / took["anew"], 3),
    }  # fmt: skip


async def _awaited(query: Query[[int, str], tuple[Frozen, ...]], count: int) -> float:
    taken = []
    for _ in range(15):
        began = time.thread_time()
        for _ in range(CALLS):
            await query.aget(count, "UA")
        taken.append((time.thread_time() - began) / CALLS * 1e6)
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
