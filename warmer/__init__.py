"""Warmer keeps the results of expensive SQL queries in Redis warm and right."""

from __future__ import annotations

from warmer.declaration import PUBLIC
from warmer.dependencies import nullable
from warmer.entry import Entry
from warmer.errors import (
    CacheMiss,
    LoadFailed,
    LoadTimeout,
    ParamError,
    RedisUnreachable,
    TooManyLoads,
    WaitTimeout,
    WarmerError,
)
from warmer.errors.notices import WarmerWarning
from warmer.handle import Handle
from warmer.namespace import Warmer
from warmer.options import adaptive
from warmer.plans import cron, every
from warmer.query import AsyncQuery, Query

__all__ = [
    # declaring
    "PUBLIC",
    "Warmer",
    "adaptive",
    "cron",
    "every",
    "nullable",
    # what is held and read
    "AsyncQuery",
    "Entry",
    "Handle",
    "Query",
    # errors that callers handle; all are in warmer.errors
    "CacheMiss",
    "LoadFailed",
    "LoadTimeout",
    "ParamError",
    "RedisUnreachable",
    "TooManyLoads",
    "WaitTimeout",
    "WarmerError",
    "WarmerWarning",
]
