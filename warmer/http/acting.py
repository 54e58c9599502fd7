"""Whom a request acts for, found when a scoped query is first read and not before.

Looking at a session has a price: frameworks then say `Vary: Cookie`, and no shared cache keeps the page.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping

from warmer.runtime.modes import identity


class Acting(Mapping[str, object]):
    """Identities by scope; each is looked for once, when it's asked for."""

    def __init__(self, outer: Mapping[str, object], find: Mapping[str, Callable[[], object]]) -> None:
        self._outer = outer
        self._find = {scope: functools.cache(look) for scope, look in find.items()}

    def __getitem__(self, scope: str) -> object:
        return self._find[scope]() if scope in self._find else self._outer[scope]

    def __contains__(self, scope: object) -> bool:
        return scope in self._find or scope in self._outer

    def __iter__(self) -> Iterator[str]:
        return iter({**self._outer, **self._find})

    def __len__(self) -> int:
        return len({**self._outer, **self._find})


@contextlib.contextmanager
def acting(find: Mapping[str, Callable[[], object]]) -> Iterator[None]:
    """`Warmer.identity`, with functions in place of identities."""
    token = identity.set(Acting(identity.get() or {}, find))
    try:
        yield
    finally:
        identity.reset(token)
