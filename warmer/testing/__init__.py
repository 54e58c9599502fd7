"""Tools for testing code that uses Warmer, and Warmer itself, against real servers.

The pytest plugin is `warmer.testing.plugin`, loaded by itself once Warmer is installed;
docs/howto/testing.md shows it at work. Importing this package starts nothing.
"""

from __future__ import annotations

from warmer.testing.failures import ChildEnded, ExpectationFailed, NotReached
from warmer.testing.processes import ChildProcess, python
from warmer.testing.servers import RedisServer, ValkeyServer
from warmer.testing.wait import wait_until, wait_until_async

__all__ = [
    "ChildEnded",
    "ChildProcess",
    "ExpectationFailed",
    "NotReached",
    "RedisServer",
    "ValkeyServer",
    "python",
    "wait_until",
    "wait_until_async",
]
