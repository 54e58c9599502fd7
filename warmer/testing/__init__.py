"""Tools for testing code that uses Warmer, and Warmer itself, against real servers.

The pytest plugin is `warmer.testing.plugin`, loaded by itself once Warmer is installed;
docs/howto/testing.md shows it at work. Importing this package starts nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmer.testing.assertions import NotInvalidated, assert_invalidates
    from warmer.testing.clock import Clock
    from warmer.testing.failures import ChildEnded, ExpectationFailed, NotReached
    from warmer.testing.namespaces import bypass, using_server
    from warmer.testing.postgres import PostgresServer
    from warmer.testing.processes import ChildProcess, python
    from warmer.testing.races import RaceLost, RaceReport, race
    from warmer.testing.servers import RedisServer, ValkeyServer
    from warmer.testing.wait import wait_until, wait_until_async

__all__ = [
    "ChildEnded",
    "ChildProcess",
    "Clock",
    "ExpectationFailed",
    "NotInvalidated",
    "NotReached",
    "PostgresServer",
    "RaceLost",
    "RaceReport",
    "RedisServer",
    "ValkeyServer",
    "assert_invalidates",
    "bypass",
    "python",
    "race",
    "using_server",
    "wait_until",
    "wait_until_async",
]

# Imported when first asked for: pytest imports this package for its plugin in every run of a project that has
# Warmer installed, whether its tests use Warmer or not.
_MODULES = {
    "assertions": ("NotInvalidated", "assert_invalidates"),
    "clock": ("Clock",),
    "failures": ("ChildEnded", "ExpectationFailed", "NotReached"),
    "namespaces": ("bypass", "using_server"),
    "postgres": ("PostgresServer",),
    "processes": ("ChildProcess", "python"),
    "races": ("RaceLost", "RaceReport", "race"),
    "servers": ("RedisServer", "ValkeyServer"),
    "wait": ("wait_until", "wait_until_async"),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
