"""A miss, a hundred at once, an invalidation; and what an entry costs in the server's memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
import redis

from benchmarks.rounds import SIZES, Record, Row, compared, encoded, interleaved, rows
from warmer import Warmer

#: The server's tables grow by doubling: what an entry takes of them hangs on how many there are.
ENTRIES = 10_000


def measure(url: str) -> list[Record]:
    """What is not a hit."""
    shop, numbers = Warmer("bench", redis_url=url), itertools.count()

    @shop.cached(ttl=600, name="many", version="1", tags=("all:{count}",))
    def cached(count: int, number: int) -> list[Row]:
        return rows(count)

    client, decode = redis.Redis.from_url(url), msgspec.msgpack.Decoder(list[Row]).decode
    count, hundred = SIZES["200 B"], [(SIZES["200 B"], -number) for number in range(1, 101)]
    bare_keys = [f"bare:{number}" for number in range(100)]
    client.mset(dict.fromkeys(bare_keys, encoded(count)))
    cached.get_many(hundred)

    def bare_miss() -> None:
        key = f"bare:{next(numbers)}:miss"
        if client.get(key) is None:
            client.set(key, msgspec.msgpack.encode(rows(count)), ex=600)

    def invalidated() -> None:
        cached(count, 0)
        cached.invalidate(count, 0)

    many: dict[str, Callable[[], object]] = {
        "redis-py mget + decode": lambda: [decode(raw or b"") for raw in client.mget(bare_keys)],  # type: ignore[arg-type]
        "warmer get_many": lambda: cached.get_many(hundred),
    }
    misses: dict[str, Callable[[], object]] = {
        "redis-py get + set": bare_miss,
        "warmer miss": lambda: cached(count, next(numbers)),
        "warmer miss + invalidate": invalidated,
    }
    records = compared("100 at once, 200 B each", interleaved(many, 10))
    records += compared("miss, 200 B", interleaved(misses, 50))
    shop.close()
    client.close()
    return records


def memory(url: str) -> list[Record]:
    """Bytes above the value's own, for a kept-warm entry with one tag and a key of 40 bytes: by key."""
    shop = Warmer("bench-m", redis_url=url, tally_interval=60)

    @shop.cached(ttl=600, name="kept", version="1", tags=("month:{month}",), keep_warm=True)
    def kept(month: int, text: str) -> list[Row]:
        return rows(SIZES["200 B"])

    client = redis.Redis.from_url(url)
    for number in range(100):
        kept(0, str(number))
    shop.runtime().tallies.flush()
    stem, value = len(kept.bind(3, "").key), len(encoded(SIZES["200 B"]))
    calls = [(3, f"{number:0{40 - stem}}") for number in range(ENTRIES)]
    assert len(kept.bind(*calls[0]).key) == 40
    before = _used(client)
    for call in calls:
        kept(*call)
    stored = (_used(client) - before) / ENTRIES - value
    shop.runtime().tallies.flush()
    read = (_used(client) - before) / ENTRIES - value
    group = "memory of an entry above its value"
    records = [Record(group, "kept warm", round(stored), "bytes", target="<= 350")]
    records.append(Record(group, "kept warm, and its reads told", round(read), "bytes", target="<= 350"))
    own = {kept.bind(*call).key.encode() for call in calls}
    some = list(own)[:200]
    sizes = {
        "the entry itself": sum(client.memory_usage(key, samples=0) or 0 for key in some) / len(some) - value
    }
    for key in sorted(set(client.keys("*")) - own):
        sizes[_shown(key)] = (client.memory_usage(key, samples=0) or 0) / ENTRIES
    sizes["the server's tables of keys and ends"] = read - sum(sizes.values())
    for what, size in sizes.items():
        if size >= 1:
            records.append(Record(group, f"of which {what}", round(size), "bytes"))
    shop.close()
    client.close()
    return records


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _shown(key: bytes | str) -> str:
    return str(key, "utf-8").partition("}:")[2] if isinstance(key, bytes) else key
