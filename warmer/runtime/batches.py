"""Batches: what one `get_many` misses, loaded by the query's batch loader in one call.

Only the run of the loader is shared. Each entry keeps what a load of its own has: its lease, asked for by its
own flight before the run begins; its heartbeat and its time limit; its commit, with its own check of the
fence. An entry that somebody else loads meanwhile is left to them.

All of it runs on the runtime's own event loop, but for the run itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from warmer.errors import BatchMismatch
from warmer.runtime.loads import Loaded, LoadThread, run_load

if TYPE_CHECKING:
    from warmer.runtime.contract import Loadable
    from warmer.runtime.process import Runtime

# The run begins when every entry's lease was granted or not. An entry of which nothing is heard (its reader
# has gone) holds the others up for so long after the last that was heard of.
GATHER_S = 0.1

#: What ends one entry's load: its value, or why there is none.
Work = Callable[[Loaded | BaseException], None]


class Batch:
    """The entries of one `get_many` that missed, until their run has begun."""

    def __init__(self, runtime: Runtime, query: Loadable, size: int) -> None:
        self._runtime, self._query = runtime, query
        self._undecided, self._granted = size, 0
        self._loads: list[tuple[Mapping[str, Any], Work]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.begun = False

    def decided(self, granted: bool) -> None:
        """One more of its readers has its entry's answer; granted: with a load that will be added."""
        self._undecided -= 1
        self._granted += granted
        self._go_on()

    def add(self, params: Mapping[str, Any], work: Work) -> bool:
        """A load that was granted: its work is called in the run's thread. False: that has begun without."""
        if self.begun:
            return False
        self._loads.append((params, work))
        self._go_on()
        return True

    def _go_on(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.begun or not self._loads:
            return
        if self._undecided <= 0 and len(self._loads) >= self._granted:
            self._begin()
        else:
            self._timer = self._runtime.loop.call_later(GATHER_S, self._begin)

    def _begin(self) -> None:
        self.begun = True
        task = self._runtime.loop.create_task(self._run())
        self._runtime.tasks.add(task)
        task.add_done_callback(self._runtime.tasks.discard)

    async def _run(self) -> None:
        """The run: it takes one of the process's places for loads."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            self._load()
            with contextlib.suppress(RuntimeError):  # the runtime was closed
                loop.call_soon_threadsafe(ended.set)

        async with self._runtime.slots:
            self._runtime.counts.add("batches")
            try:
                LoadThread(self._query.name, work).start()
            except RuntimeError as exc:  # the process may have no more threads
                await self._runtime.in_thread(self._end, exc)
                return
            await ended.wait()

    def _load(self) -> None:
        query, many = self._query, [params for params, _ in self._loads]
        try:
            loaded = run_load(
                lambda: query.call_many(many),
                self._runtime.around_load, self._runtime.load_loop, query.options.timeout_s,
            )  # fmt: skip
            values = loaded.value
            if not isinstance(values, (list, tuple)) or len(values) != len(many):
                raise BatchMismatch(query.name, len(many), _told(values))
        except BaseException as exc:  # noqa: BLE001 - whatever a loader raises is for those who waited
            self._end(exc)
            return
        share_us = max(1, loaded.cost_us // len(many))
        for (_, work), value in zip(self._loads, values, strict=True):
            failed = isinstance(value, Exception)
            work(value if failed else replace(loaded, value=value, cost_us=share_us))

    def _end(self, exc: BaseException) -> None:
        for _, work in self._loads:
            work(exc)


def _told(values: Any) -> str:
    """What a batch loader gave, without anything of what is in it."""
    kind = type(values).__name__
    return f"a {kind} of {len(values)}" if isinstance(values, (list, tuple)) else f"a {kind}"
