"""Eight threads that read, against one that reads as much; and bare sockets in their place, for the floor.

Threads take turns at the interpreter's lock: each lets go of it to send and to wait, and must have it again
to go on. How often another takes it meanwhile is the interpreter's affair and the kernel's, and differs from
one second to the next. So the same loop runs beside it with nothing but a socket for each thread: send,
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
#: Microseconds a read, on the wall and of the processor.
Took = tuple[float, float]


def measure(url: str, read: Read, key: str) -> list[Record]:
    """The same number of reads by one thread, and by eight together. key: of the same value, stored bare."""
    readers: dict[str, Reader] = {
        "warmer": lambda: nullcontext(read),
        "bare sockets": partial(bare_socket, url, key),
    }
    rounds: dict[str, list[tuple[Took, Took]]] = {way: [] for way in readers}
    for _ in range(ROUNDS):
        for way, reader in readers.items():
            rounds[way].append((_together(reader, 1), _together(reader, THREADS)))
    return [record for way, pairs in rounds.items() for record in _records(way, pairs)]


def _records(way: str, pairs: list[tuple[Took, Took]]) -> list[Record]:
    """Of each way: one thread, then eight, with their ratio in the same round at the median."""
    group, (one, many) = "hit, 200 B, by threads", zip(*pairs, strict=True)
    ratio = statistics.median(eight[0] / alone[0] for alone, eight in pairs)
    records = []
    for name, took, against in (("one thread", one, 1.0), (f"{THREADS} threads", many, ratio)):
        wall_us, cpu_us = (round(statistics.median(times), 2) for times in zip(*took, strict=True))
        target = "<= 1.0" if way == "warmer" and took is many else ""
        records.append(Record(group, f"{way}, {name}", wall_us, "us", round(against, 2), target))
        records.append(Record(group, f"{way}, {name}: processor", cpu_us, "us"))
    return records


def _together(reader: Reader, threads: int) -> Took:
    def run() -> None:
        with reader() as read:
            for _ in range(READS // threads):
                read()

    running = [threading.Thread(target=run) for _ in range(threads)]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return (time.perf_counter() - began) / READS * 1e6, (time.process_time() - cpu) / READS * 1e6
