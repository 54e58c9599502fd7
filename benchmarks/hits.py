"""A hit against redis-py's own GET and the decode of the same value, against other caches, and the floor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import redis
import redis.asyncio

from benchmarks import kinds, threads
from benchmarks.floor import bare_socket
from benchmarks.others import async_ways, sync_ways
from benchmarks.placing import CAN_PLACE, on_one_processor
from benchmarks.rounds import (
    ROUNDS,
    SIZES,
    Record,
    Row,
    ainterleaved,
    calls_for,
    compared,
    decode,
    encoded,
    interleaved,
    rows,
)
from warmer import Query, Warmer

TARGETS = {"200 B": "<= 0.6", "5 KB": "<= 0.75", "200 KB": "<= 1.0"}
TASKS = 50


def query_on(shop: Warmer) -> Query[[int, str], list[Row]]:
    """The query that is read here."""

    @shop.cached(ttl=600, name="rows", version="1")
    def cached(count: int, carrier: str) -> list[Row]:
        return rows(count)

    return cached


def measure(url: str) -> list[Record]:
    """Hits from threads: where the kernel puts them, and all on one processor."""
    return _in_both_places(_hits, url)


def _hits(url: str, where: str) -> list[Record]:
    # What is compared is the path: compressing saves memory, and costs the reader of 5 KB a few microseconds.
    shop = Warmer("bench", redis_url=url, compress_over=1 << 29)
    cached, others, client = query_on(shop), sync_ways(url), redis.Redis.from_url(url)
    records: list[Record] = []
    for size, count in SIZES.items():
        client.set(key := f"bare:{count}:UA", encoded(count))
        with bare_socket(url, key) as floor:
            ways: dict[str, Callable[[], object]] = {
                "redis-py get + decode": partial(_bare, client, count),
                "warmer": partial(cached, count, "UA"),
                "bare socket + decode": floor,
            }
            ways |= {name: partial(call, count, "UA") for name, call in others.items()}
            for call in ways.values():
                call()
            medians = interleaved(ways, calls_for(count))
            records += compared(f"hit, {size}{where}", medians, {"warmer": TARGETS[size]})
    records += kinds.measure(shop, client, where, TARGETS["5 KB"])
    small = SIZES["200 B"]
    records += threads.measure(url, partial(cached, small, "UA"), f"bare:{small}:UA", where)
    shop.close()
    client.close()
    return records


def _bare(client: redis.Redis, count: int) -> list[Row]:
    return decode(client.get(f"bare:{count}:UA"))  # type: ignore[arg-type]  # a sync client gives no awaitable


def measure_async(url: str) -> list[Record]:
    """Hits from tasks, one after another and 50 at once: where the kernel puts them, and on one processor."""
    return _in_both_places(_async_hits, url)


def _async_hits(url: str, where: str) -> list[Record]:
    records = asyncio.run(_async(url, f"asyncio{where}"))
    try:
        import uvloop
    except ImportError:
        return records
    return records + uvloop.run(_async(url, f"uvloop{where}", ("200 B",)))


async def _async(url: str, loop: str, sizes: tuple[str, ...] = tuple(SIZES)) -> list[Record]:
    shop = Warmer("bench", redis_url=url, compress_over=1 << 29)
    cached, client = query_on(shop), redis.asyncio.Redis.from_url(url)
    records: list[Record] = []

    async def bare(count: int, carrier: str) -> list[Row]:
        return decode(await client.get(f"bare:{count}:{carrier}"))  # type: ignore[arg-type]

    with async_ways(url) as others:
        calls: dict[str, Callable[[int, str], Awaitable[list[Row]]]] = {
            "redis.asyncio get + decode": bare, "warmer": cached.aget, **others
        }  # fmt: skip
        for size in sizes:
            count = SIZES[size]
            for carrier in _carriers():
                await client.set(f"bare:{count}:{carrier}", encoded(count))
                for call in calls.values():
                    await call(count, carrier)
            ways = {name: partial(call, count, "C0") for name, call in calls.items()}
            medians = await ainterleaved(ways, calls_for(count))
            records += compared(f"async hit, {size}, {loop}", medians, {"warmer": "<= 0.8"})
        at_once = {name: partial(_together, call) for name, call in calls.items()}
        medians = await ainterleaved(at_once, ROUNDS)
        a_read = {way: us / TASKS for way, us in medians.items()}
        records += compared(f"async hit, 200 B, {TASKS} at once, {loop}", a_read, {"warmer": "<= 0.25"})
    shop.close()
    await client.aclose()
    return records


def _in_both_places(hits: Callable[[str, str], list[Record]], url: str) -> list[Record]:
    records = hits(url, "")
    if CAN_PLACE:
        with on_one_processor(url):
            records += hits(url, ", one processor")
    return records


async def _together(call: Callable[[int, str], Awaitable[list[Row]]]) -> None:
    await asyncio.gather(*(call(SIZES["200 B"], carrier) for carrier in _carriers()))


def _carriers() -> list[str]:
    return [f"C{number}" for number in range(TASKS)]
