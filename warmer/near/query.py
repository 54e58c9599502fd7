"""Queries with `near=`: a call that finds a copy is over before anything else of a read has begun."""

from __future__ import annotations

from time import monotonic
from typing import ParamSpec, TypeVar

from warmer.near.copies import AFRESH
from warmer.near.reading import ABSENT, NearReading
from warmer.query import AsyncQuery, Query
from warmer.runtime.modes import past

P = ParamSpec("P")
R = TypeVar("R")

_past_of_context = past.get


class _Near(Query[P, R]):
    def __init__(self, reading: NearReading[R]) -> None:
        super().__init__(reading)
        self._near_reading = reading

    async def aget(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value, from asyncio."""
        value = self._near_reading.fast(self._key_from(args, kwargs)[0])
        return value if value is not ABSENT else await super().aget(*args, **kwargs)


class NearQuery(_Near[P, R]):
    """A public query whose hottest entries are kept in this process, too."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value: a near copy, else as any query."""
        # `NearReading.fast`, written out: the calls would be a quarter of what this takes.
        copy = self._near_reading.near.live.get(self._key_from(args, kwargs)[0])
        if copy is not None and monotonic() < copy.calm_until and _past_of_context() is None:
            copy.reads += 1
            value: R = copy.value
            if value is not AFRESH:
                return value
            try:
                return copy.make(copy.source)  # type: ignore[no-any-return]
            except Exception:  # noqa: BLE001 - see `NearReading.made`
                copy.until = copy.calm_until = 0.0
        return super().__call__(*args, **kwargs)


class NearAsyncQuery(_Near[P, R], AsyncQuery[P, R]):
    """The same of an `async def` function: calling it gives a coroutine."""
