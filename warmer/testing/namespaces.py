"""What the testing tools need of a namespace that its users do not: the one place that looks inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from warmer.handle import Handle
from warmer.namespace import Warmer
from warmer.query import Query
from warmer.reading import Reading
from warmer.runtime.modes import Past, past
from warmer.runtime.process import Runtime


def reading_of(query: Query[Any, Any] | Handle[Any]) -> Reading[Any]:
    """How a query was declared."""
    return query._reading


def namespace_of(query: Query[Any, Any] | Handle[Any]) -> Warmer:
    """The namespace that a query belongs to."""
    return cast("Warmer", cast("Any", reading_of(query).runtime_of).__self__)


def running(namespace: Warmer) -> Runtime | None:
    """This process's runtime of a namespace, if it has been used; it is not made for the asking."""
    return namespace._runtime


@contextlib.contextmanager
def using_server(namespace: Warmer, redis_url: str) -> Iterator[Warmer]:
    """Within it, the namespace keeps its entries on another server (or logical database) than it is set to.

    For a namespace that is made where the project's tasks are imported, before any fixture runs:
    `with using_server(flights, warmer_redis_url): ...`. What this process holds is given back before and
    after. Other processes are told by their environment (WARMER_REDIS_URL); a Celery application that exists
    already keeps its broker.
    """
    before = namespace.settings
    namespace.close()
    namespace.settings = replace(before, redis_url=redis_url)
    try:
        yield namespace
    finally:
        namespace.close()
        namespace.settings = before


@contextlib.contextmanager
def bypass() -> Iterator[None]:
    """Within it, queries go straight to their functions: nothing is read from the cache or stored in it.

    Holds for this context: this thread, or this asyncio task and those it starts; not for threads started
    inside. Invalidations work as ever. To see what the cache says beside the function, read outside of it.
    """
    token = past.set(Past(loading=False))
    try:
        yield
    finally:
        past.reset(token)
