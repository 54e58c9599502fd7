"""Queries with `near=`: a call that finds a copy is over before anything else of a read has begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from warmer.near.reading import ABSENT, NearReading
from warmer.query import AsyncQuery, Query
from warmer.reading import Args

P = ParamSpec("P")
R = TypeVar("R")


class _Near(Query[P, R]):
    _fast: Callable[[bytes, Args], R]

    def __init__(self, reading: NearReading[R]) -> None:
        super().__init__(reading)
        # Whose read of a scoped query it is must be looked at each time, so it takes the long way.
        self._fast = reading.fast if reading.dependencies.scope is None else _absent

    async def aget(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value, from asyncio."""
        value = self._fast(*self._key_from(args, kwargs))
        return value if value is not ABSENT else await super().aget(*args, **kwargs)


class NearQuery(_Near[P, R]):
    """A query whose hottest entries are kept in this process, too."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value: a near copy, else as any query."""
        value = self._fast(*self._key_from(args, kwargs))
        return value if value is not ABSENT else super().__call__(*args, **kwargs)


class NearAsyncQuery(_Near[P, R], AsyncQuery[P, R]):
    """The same of an `async def` function: calling it gives a coroutine."""


def _absent(key: bytes, args: Args) -> Any:
    return ABSENT
