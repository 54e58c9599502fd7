"""A cold key and 1,000 readers in four processes; how soon waiters hear of a commit; and an expiry."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis

from benchmarks.rounds import Record
from warmer import Query, Warmer

PROCESSES, THREADS, TASKS = 4, 125, 125
LOAD_S, COUNTER, WAKE_ROUNDS = 0.3, "stampede:loads", 30


def query_on(shop: Warmer, client: redis.Redis) -> Query[[str, float], int]:
    """A query that takes as long as it is told to, and counts its loads on the server."""

    @shop.cached(ttl=600, name="slow", version="1")
    def slow(name: str, load_s: float) -> int:
        client.incr(COUNTER)
        time.sleep(load_s)
        return 1

    return slow


def measure(url: str) -> list[Record]:
    """The stampede and the wake-ups."""
    client = redis.Redis.from_url(url)
    with ExitStack() as stack:
        children = [stack.enter_context(_child(url)) for _ in range(PROCESSES)]
        client.delete(COUNTER)
        reads = _read_all(children, "cold", LOAD_S, THREADS, TASKS)
        loads = int(client.get(COUNTER) or 0)
        wakes: list[float] = []
        for number in range(WAKE_ROUNDS):
            answers = _read_all(children, f"wake{number}", 0.05, 1, 0)
            wakes += sorted(age_s for _, age_s in answers)[1:]  # the first is who loaded it
    client.close()
    took = sorted(took_s for took_s, _ in reads)
    group = f"{len(reads)} readers of a cold key, {LOAD_S * 1000:.0f} ms load, {PROCESSES} processes"
    waking = "commit to waiter, across processes"
    return [
        Record(group, "loads", loads, "", target="1"),
        Record(group, "median", round(statistics.median(took) * 1e3), "ms"),
        Record(group, "slowest", round(took[-1] * 1e3), "ms", round(took[-1] / LOAD_S, 2), "<= 1.2"),
        Record(waking, "median", round(statistics.median(wakes) * 1e3, 2), "ms", target="<= 10"),
        Record(waking, "9 of 10", round(sorted(wakes)[len(wakes) * 9 // 10] * 1e3, 2), "ms"),
        *_expiry(url),
    ]


def _expiry(url: str) -> list[Record]:
    """Four threads read through five expiries, with no scheduler and no worker; loads take 100 ms."""
    shop = Warmer("expiring", redis_url=url)

    @shop.cached(ttl=1, grace=60, name="brief", version="1")
    def brief(n: int) -> int:
        time.sleep(0.1)
        return n

    brief(1)
    took: list[float] = []

    def read(until: float) -> None:
        while time.monotonic() < until:
            began = time.perf_counter()
            brief(1)
            took.append(time.perf_counter() - began)
            time.sleep(0.001)

    readers = [threading.Thread(target=read, args=(time.monotonic() + 6,)) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    shop.close()
    group = "reads over 5 expiries, 100 ms load"
    slow = sum(took_s > 0.02 for took_s in took)
    return [
        Record(group, "reads", len(took), ""),
        Record(group, "slower than 20 ms", slow, "", target="0"),
    ]


@contextmanager
def _child(url: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stampede", url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()  # it is ready
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(20)
        child.stdout.close()


def _read_all(
    children: list[subprocess.Popen[str]], name: str, load_s: float, threads: int, tasks: int
) -> list[tuple[float, float]]:
    """Have all of them read at one moment: how long each read took, and how old its value was, in seconds."""
    asked = {"name": name, "load_s": load_s, "threads": threads, "tasks": tasks, "at": time.time() + 0.5}
    for child in children:
        assert child.stdin is not None
        child.stdin.write(json.dumps(asked) + "\n")
    answers: list[tuple[float, float]] = []
    for child in children:
        assert child.stdout is not None
        answers += [(took_s, age_s) for took_s, age_s in json.loads(child.stdout.readline())]
    return answers


def read_here(slow: Query[[str, float], int], asked: dict[str, Any]) -> list[tuple[float, float]]:
    """Read with threads and tasks, all at the time that was asked for."""
    answers: list[tuple[float, float]] = []
    name, load_s, at = asked["name"], asked["load_s"], asked["at"]

    def one() -> None:
        time.sleep(max(0.0, at - time.time()))
        began = time.perf_counter()
        entry = slow.read(name, load_s)
        answers.append((time.perf_counter() - began, entry.age))

    async def task() -> None:
        await asyncio.sleep(max(0.0, at - time.time()))
        began = time.perf_counter()
        entry = await slow.aread(name, load_s)
        answers.append((time.perf_counter() - began, entry.age))

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
    """One process of readers."""
    shop, client = Warmer("stampede", redis_url=sys.argv[1]), redis.Redis.from_url(sys.argv[1])
    slow = query_on(shop, client)
    slow("warm-up", 0.0)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(read_here(slow, json.loads(line))), flush=True)
    shop.close()
    client.close()


if __name__ == "__main__":
    main()
