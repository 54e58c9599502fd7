"""Eight threads that read, against one that reads as much; and bare sockets in their place, for the floor.

Threads take turns at the interpreter's lock: each lets go of it to send and to wait, and must have it again
to go on. How often another takes it meanwhile is the interpreter's affair and the kernel's, and differs by
what processors there are. So the same loop runs beside it with nothing but a socket for each thread: send,
receive, decode.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from benchmarks.floor import Read, bare_socket
from benchmarks.rounds import ROUNDS, Record

THREADS, READS = 8, 4000
#: Of a thread, until its end.
Reader = Callable[[], AbstractContextManager[Read]]


def measure(url: str, read: Read, key: str, where: str) -> list[Record]:
    """The same number of reads by one thread, and by eight together. key: of the same value, stored bare."""
    readers: dict[str, Reader] = {
        "warmer": lambda: nullcontext(read),
        "bare sockets": partial(bare_socket, url, key),
    }
    rounds: dict[str, list[tuple[float, float]]] = {way: [] for way in readers}
    for _ in range(ROUNDS):
        for way, reader in readers.items():
            rounds[way].append((_together(reader, 1), _together(reader, THREADS)))
    group = f"hit, 200 B, by threads{where}"
    return [record for way, pairs in rounds.items() for record in _records(group, way, pairs)]


def _records(group: str, way: str, pairs: list[tuple[float, float]]) -> list[Record]:
    """Of each way: one thread, then eight, in microseconds a read, with their ratio in the same round."""
    one, many = (round(statistics.median(took_us), 2) for took_us in zip(*pairs, strict=True))
    ratio = round(statistics.median(eight / alone for alone, eight in pairs), 2)
    return [
        Record(group, f"{way}, one thread", one, "us", 1.0),
        Record(group, f"{way}, {THREADS} threads", many, "us", ratio, "<= 1.0" if way == "warmer" else ""),
    ]


def _together(reader: Reader, threads: int) -> float:
    def run() -> None:
        with reader() as read:
            for _ in range(READS // threads):
                read()

    running = [threading.Thread(target=run) for _ in range(threads)]
    began = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return (time.perf_counter() - began) / READS * 1e6
