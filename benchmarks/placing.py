"""On which processors the server and its client run.

The kernel puts the two on one processor or on two, and moves them while they run. On two, each waits for the
other's processor to wake up, which takes a virtual machine as long as all the rest of a hit, or three times
that. On one there is nothing to wake up, and what is compared is what each way does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import redis

#: Not every system lets a program choose.
CAN_PLACE = hasattr(os, "sched_setaffinity")


@contextmanager
def on_one_processor(url: str) -> Iterator[None]:
    """The server, this thread, and the threads that it starts meanwhile."""
    with redis.Redis.from_url(url) as client:
        server = int(client.info("server")["process_id"])
    before = {process: os.sched_getaffinity(process) for process in (server, 0)}
    one = {max(before[0])}
    try:
        for process in before:
            os.sched_setaffinity(process, one)
        yield
    finally:
        for process, processors in before.items():
            os.sched_setaffinity(process, processors)
