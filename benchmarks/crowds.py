"""One process of readers for `benchmarks.stampede`: reads what it is told to on its standard input."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import redis

from warmer import Warmer

COUNTER = "stampede:loads"

#: How long a read took, and how old its value was, in seconds.
Answer: TypeAlias = tuple[float, float]


class Cached:
    """Reads of one entry through the cache."""

    def __init__(self, shop: Warmer, load: Callable[[float], int]) -> None:
        """load: takes as long as it is told to."""

        @shop.cached(ttl=600, name="slow", version="1")
        def slow(name: str, load_s: float) -> int:
            return load(load_s)

        self._slow = slow

    def reads(self, name: str, load_s: float) -> tuple[Callable[[], float], Callable[[], Awaitable[float]]]:
        """A read by a thread and one by a task: each gives the age of its value."""
        slow = self._slow

        async def by_task() -> float:
            return (await slow.aread(name, load_s)).age

        return lambda: slow.read(name, load_s).age, by_task


class Bare:
    """The floor: the process's first reader starts the load on a thread, and all only wait for its end.

    Nothing is looked up, asked for, stored or decoded, and no process hears of another.
    """

    def __init__(self, load: Callable[[float], int]) -> None:
        self._load = load

    def reads(self, _name: str, load_s: float) -> tuple[Callable[[], float], Callable[[], Awaitable[float]]]:
        """A wait by a thread and one by a task."""
        come, ended, told = threading.Lock(), threading.Event(), asyncio.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        def run() -> None:
            self._load(load_s)
            ended.set()
            for loop in loops:
                loop.call_soon_threadsafe(told.set)

        def arrive() -> None:
            if come.acquire(blocking=False):
                threading.Thread(target=run).start()

        def by_thread() -> float:
            arrive()
            ended.wait()
            return 0.0

        async def by_task() -> float:
            if not loops:
                loops.append(asyncio.get_running_loop())
            arrive()
            if not ended.is_set():
                await told.wait()
            return 0.0

        return by_thread, by_task


def read_here(ways: Cached | Bare, asked: dict[str, Any]) -> list[Answer]:
    """Read with threads and tasks, all at the time that was asked for."""
    answers: list[Answer] = []
    at = asked["at"]
    by_thread, by_task = ways.reads(asked["name"], asked["load_s"])

    def one() -> None:
        time.sleep(max(0.0, at - time.time()))
        began = time.perf_counter()
        age_s = by_thread()
        answers.append((time.perf_counter() - began, age_s))

    async def task() -> None:
        await asyncio.sleep(max(0.0, at - time.time()))
        began = time.perf_counter()
        age_s = await by_task()
        answers.append((time.perf_counter() - began, age_s))

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(asked["tasks"])))

    readers = [threading.Thread(target=one) for _ in range(asked["threads"])]
    for reader in readers:
        reader.start()
    if asked["tasks"]:
        asyncio.run(tasks())
    for reader in readers:
        reader.join()
    return answers


def main() -> None:
    """Read what is asked for, until nothing is."""
    shop, client = Warmer("stampede", redis_url=sys.argv[1]), redis.Redis.from_url(sys.argv[1])

    def load(load_s: float) -> int:
        time.sleep(load_s)
        client.incr(COUNTER)  # after it: a load of so long is one wait, with no other before it
        return 1

    ways: dict[str, Cached | Bare] = {"cached": Cached(shop, load), "bare": Bare(load)}
    ways["cached"].reads("warm-up", 0.0)[0]()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(read_here(ways[asked["way"]], asked)), flush=True)
    shop.close()
    client.close()


if __name__ == "__main__":
    main()
