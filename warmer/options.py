"""The options of a query, checked where it is declared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from warmer.core.adaptive import LEAST_STALE, MOST_STALE, Adaptive
from warmer.errors import InvalidOption, show

Seconds = float | timedelta
Keep = Literal["never", "always", "while_read"]
Miss = Literal["load", "wait", "raise"]

MISSES = ("load", "wait", "raise")


@dataclass(frozen=True, slots=True)
class Options:
    """How an entry is kept: times in seconds as given by the user; see `Warmer.cached` for their meaning."""

    ttl_s: float
    grace_s: float
    keep: Keep = "while_read"
    idle_s: float = 0.0
    max_kept: int = 10_000
    consistency: Literal["eventual", "strict"] = "eventual"
    stale_after_write_s: float = 0.0
    min_interval_s: float = 0.0
    miss: Miss = "load"
    wait_s: float = 5.0
    timeout_s: float = 30.0
    soft_s: float = 0.0
    adaptive: Adaptive | None = None
    grace_as_ttl: bool = False
    early: float = 1.0
    near_s: float = 0.0
    source_lag_s: float = 0.0
    sensitive: bool = False
    browser_max_age_s: float = 0.0
    queue: str | None = None
    priority: int | None = None

    @property
    def ttl_us(self) -> int:
        """How long an entry is fresh, in microseconds."""
        return round(self.ttl_s * 1e6)

    @property
    def grace_us(self) -> int:
        """How long after that it may be served stale, in microseconds."""
        return round(self.grace_s * 1e6)

    @property
    def idle_us(self) -> int:
        """How long an unread entry is kept warm, in microseconds."""
        return round(self.idle_s * 1e6)

    @property
    def timeout_us(self) -> int:
        """How long a load may take, in microseconds."""
        return round(self.timeout_s * 1e6)

    @property
    def stale_us(self) -> int:
        """How long an invalidated value may still be served, in microseconds."""
        return round(self.stale_after_write_s * 1e6)

    @property
    def lag_us(self) -> int:
        """By how much what its loads read from may be behind, in microseconds."""
        return round(self.source_lag_s * 1e6)

    @property
    def interval_us(self) -> int:
        """The least time between two loads, in microseconds."""
        return round(self.min_interval_s * 1e6)


def seconds(where: str, option: str, value: object, *, above: bool = False) -> float:
    """A duration in seconds, 0 or more (`above`: above 0). Raises InvalidOption for everything else."""
    expected = f"a number of seconds (or a timedelta) {'above 0' if above else 'of 0 or more'}"
    if isinstance(value, timedelta):
        given = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        given = float(value)
    else:
        raise InvalidOption(where, option, show(value), expected)
    # A century bounds what microsecond doubles and Redis' own expiry can hold.
    if not math.isfinite(given) or given < 0 or (above and given == 0) or given > 3.2e9:
        raise InvalidOption(where, option, show(value), expected)
    return given


@dataclass(frozen=True, slots=True)
class AdaptiveTtl:
    """A ttl that is learned for each entry; made by `adaptive`."""

    least: Seconds
    most: Seconds
    stale: float


def adaptive(least: Seconds, most: Seconds, *, stale: float = 0.1) -> AdaptiveTtl:
    """A ttl that grows while an entry's loads find the same result, and shrinks when they find another.

    It stays from `least` to `most`, and is aimed at `stale`: the probability that a read at a random moment
    is given what has changed in the database already, without anybody having said so. See
    docs/howto/learn-the-ttl.md.
    """
    return AdaptiveTtl(least, most, stale)


def read_ttl(query: str, value: object, sensitive: bool) -> tuple[float, Adaptive | None]:
    """A ttl in seconds (of an adaptive one, the least), and what it is learned by. Raises InvalidOption."""
    if not isinstance(value, AdaptiveTtl):
        return seconds(query, "ttl", value, above=True), None
    if sensitive:
        raise InvalidOption(query, "ttl", show(value), "a fixed one: sensitive results have no digest")
    least_s = seconds(query, "ttl=adaptive(least)", value.least, above=True)
    most_s = seconds(query, "ttl=adaptive(most)", value.most, above=True)
    if most_s < least_s:
        raise InvalidOption(query, "ttl=adaptive(most)", show(value.most), f"at least least={least_s:g}")
    stale = value.stale
    if (
        isinstance(stale, bool)
        or not isinstance(stale, (int, float))
        or not LEAST_STALE <= stale <= MOST_STALE
    ):
        expected = f"a probability from {LEAST_STALE} to {MOST_STALE}"
        raise InvalidOption(query, "ttl=adaptive(stale)", show(stale), expected)
    return least_s, Adaptive(round(least_s * 1e6), round(most_s * 1e6), float(stale))


def read_soft_timeout(query: str, value: object, wait_s: float, timeout_s: float, grace_s: float) -> float:
    """Seconds that the reader of a stale entry waits. Raises InvalidOption where they can't be meant."""
    soft_s = seconds(query, "soft_timeout", value)
    if soft_s and not grace_s:
        expected = "0 with grace=0: there is never a stale value to serve instead"
        raise InvalidOption(query, "soft_timeout", show(value), expected)
    for option, limit_s in (("timeout", timeout_s), ("wait", wait_s)):
        if soft_s and soft_s >= limit_s:
            expected = f"below {option}={limit_s:g}, which ends the reader's wait before it"
            raise InvalidOption(query, "soft_timeout", show(value), expected)
    return soft_s


def one_of(where: str, option: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raises InvalidOption unless `value` is one of `allowed`."""
    if not any(value is each or (type(value) is type(each) and value == each) for each in allowed):
        raise InvalidOption(where, option, show(value), " or ".join(repr(each) for each in allowed))


def whole(where: str, option: str, value: object, least: int) -> int:
    """A whole number of `least` or more, else InvalidOption."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidOption(where, option, show(value), f"a whole number of {least} or more")
    return value
