"""A cold key and 1,000 readers in four processes; how soon waiters hear of a commit; and an expiry."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis

from benchmarks.crowds import COUNTER, Answer
from benchmarks.rounds import Record
from warmer import Warmer

PROCESSES, THREADS, TASKS = 4, 125, 125
LOAD_S, ROUNDS, WAKE_ROUNDS = 0.3, 7, 30


def measure(url: str) -> list[Record]:
    """The stampede beside its floor, and the wake-ups."""
    client = redis.Redis.from_url(url)
    loads: list[int] = []
    took: dict[str, list[list[float]]] = {"cached": [], "bare": []}
    wakes: list[float] = []
    with ExitStack() as stack:
        children = [stack.enter_context(_child(url)) for _ in range(PROCESSES)]
        for number in range(ROUNDS):
            client.delete(COUNTER)
            answers = _read_all(children, "cached", f"cold{number}", LOAD_S, THREADS, TASKS)
            loads.append(int(client.get(COUNTER) or 0))
            took["cached"].append(sorted(took_s for took_s, _ in answers))
            answers = _read_all(children, "bare", "", LOAD_S, THREADS, TASKS)
            took["bare"].append(sorted(took_s for took_s, _ in answers))
        for number in range(WAKE_ROUNDS):
            answers = _read_all(children, "cached", f"wake{number}", 0.05, 1, 0)
            wakes += sorted(age_s for _, age_s in answers)[1:]  # the first is who loaded it
    client.close()
    waking = "commit to waiter, across processes"
    return [
        *_crowd(took["cached"], took["bare"], max(loads)),
        Record(waking, "median", round(statistics.median(wakes) * 1e3, 2), "ms", target="<= 10"),
        Record(waking, "9 of 10", round(sorted(wakes)[len(wakes) * 9 // 10] * 1e3, 2), "ms"),
        *_expiry(url),
    ]


def _crowd(cached: list[list[float]], bare: list[list[float]], loads: int) -> list[Record]:
    """Medians of the rounds, of sorted times in seconds; ratios to the load.

    bare: the floor, what readers take on this machine that do nothing but wait for the load.
    """
    readers = PROCESSES * (THREADS + TASKS)
    group = f"{readers:,} readers of a cold key, {LOAD_S * 1000:.0f} ms load, {PROCESSES} processes"

    def one(way: str, took_s: list[float], target: str = "") -> Record:
        middle_s = statistics.median(took_s)
        return Record(group, way, round(middle_s * 1e3), "ms", round(middle_s / LOAD_S, 2), target)

    slowest, floor = [took_s[-1] for took_s in cached], [took_s[-1] for took_s in bare]
    above = statistics.median(slowest) / statistics.median(floor)
    return [
        Record(group, "loads, most in a round", loads, "", target="1"),
        one("median", [statistics.median(took_s) for took_s in cached]),
        one("slowest", slowest, "<= 1.2"),
        one("slowest in the first round, of new processes", slowest[:1]),
        one("slowest of as many that only wait for the load", floor),
        Record(group, "slowest / slowest that only waits", round(above, 2), ""),
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
        [sys.executable, "-m", "benchmarks.crowds", url],
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
    children: list[subprocess.Popen[str]], way: str, name: str, load_s: float, threads: int, tasks: int
) -> list[Answer]:
    """Have all of them read at one moment."""
    asked = {"way": way, "name": name, "load_s": load_s, "threads": threads, "tasks": tasks}
    asked["at"] = time.time() + 0.5
    for child in children:
        assert child.stdin is not None
        child.stdin.write(json.dumps(asked) + "\n")
    answers: list[Answer] = []
    for child in children:
        assert child.stdout is not None
        answers += [(took_s, age_s) for took_s, age_s in json.loads(child.stdout.readline())]
    return answers
