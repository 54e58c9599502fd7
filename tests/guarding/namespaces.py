"""A namespace that a failing test leaves open is closed, or its threads would disturb the tests after it."""

from __future__ import annotations

import os

from warmer.namespace import Warmer, _namespaces


def opened() -> frozenset[Warmer]:
    """The namespaces that this process has in use: those with a runtime."""
    return frozenset(
        one for one in list(_namespaces) if (used := one._runtime) is not None and used.pid == os.getpid()
    )


def close_left(before: frozenset[Warmer]) -> None:
    """Close those that were opened since `before`."""
    for namespace in opened() - before:
        namespace.close()
