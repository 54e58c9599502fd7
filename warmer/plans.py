"""Plans: warm-ups with a trigger. `cron` and `every` say when; a generator says what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from warmer.errors import InvalidOption, InvalidTrigger, show

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")


class Trigger(Protocol):
    """When a plan fires; equal on every scheduler, so that one firing is one run."""

    def __str__(self) -> str:
        """As it was written."""

    def last_before(self, now: datetime) -> datetime | None:
        """The newest time at or before `now` at which it fires; None: there was none in the last 8 days."""

    def next_after(self, now: datetime) -> datetime | None:
        """The first time after `now` at which it fires."""


@dataclass(frozen=True, slots=True)
class Every:
    """Fires at every multiple of `period_s` seconds since 1970, the same on every machine."""

    period_s: float

    def __str__(self) -> str:
        """As it was written."""
        return f"every {self.period_s:g} s"

    def last_before(self, now: datetime) -> datetime | None:
        """The newest multiple at or before `now`."""
        return datetime.fromtimestamp(now.timestamp() // self.period_s * self.period_s, UTC)

    def next_after(self, now: datetime) -> datetime | None:
        """The first multiple after `now`."""
        return datetime.fromtimestamp((now.timestamp() // self.period_s + 1) * self.period_s, UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """A crontab line: minute hour day month weekday; Sunday is 0 (and 7). UTC unless a zone is given."""

    line: str
    timezone: str = "UTC"

    def __str__(self) -> str:
        """As it was written."""
        return f"cron {self.line}" + ("" if self.timezone == "UTC" else f" {self.timezone}")

    def next_after(self, now: datetime) -> datetime | None:
        """The first time after `now`; a time that a change of clocks skips is taken where it lands."""
        fires: datetime | None = self._trigger().get_next_fire_time(None, now + timedelta(microseconds=1))
        return fires

    def last_before(self, now: datetime) -> datetime | None:
        """The newest time at or before `now`, of the last 8 days."""
        # Looking forward from ever further back: crontab lines have no cheap way backwards.
        trigger = self._trigger()
        for back in (timedelta(hours=1), timedelta(days=1), timedelta(days=8)):
            found: datetime | None = None
            at: datetime | None = trigger.get_next_fire_time(None, now - back)
            while at is not None and at <= now:
                found, at = at, trigger.get_next_fire_time(at, at + timedelta(microseconds=1))
            if found is not None:
                return found
        return None

    def _trigger(self) -> Any:
        from apscheduler.triggers.cron import CronTrigger

        fields = dict(zip(_FIELDS, self.line.split(), strict=True))
        fields["day_of_week"] = _weekdays(fields["day_of_week"])
        return CronTrigger(timezone=ZoneInfo(self.timezone), **fields)


def _weekdays(field: str) -> str:
    """Crontab's weekdays (0 and 7 are Sunday) by name: APScheduler counts from Monday."""
    if field == "*" or field.startswith("*/"):
        every_nth = int(field[2:]) if field.startswith("*/") else 1
        return ",".join(_DAYS[day] for day in range(0, 7, every_nth))
    days: list[str] = []
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        low = _weekday(first)
        high = _weekday(last) if dash else (6 if step else low)
        if high < low:
            high += 7
        days += [_DAYS[day % 7] for day in range(low, high + 1, int(step or 1))]
    return ",".join(dict.fromkeys(days))


def _weekday(text: str) -> int:
    return _DAYS.index(text) if text in _DAYS else int(text)


def cron(line: str, *, timezone: str = "UTC") -> Cron:
    """A trigger from a crontab line of five fields. Raises InvalidTrigger.

    timezone: an IANA name; its clock changes apply.
    """
    if not isinstance(line, str) or len(line.split()) != 5:
        raise InvalidTrigger(show(line), 'a crontab line has five fields, as in "0 5 * * *"')
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as exc:
        raise InvalidTrigger(show(timezone), 'a zone is an IANA name, as in "America/New_York"') from exc
    made = Cron(line, timezone)
    try:
        made._trigger()
    except (ValueError, IndexError) as exc:
        raise InvalidTrigger(show(line), str(exc)) from exc
    return made


def every(period: float | timedelta) -> Every:
    """A trigger that fires every so many seconds, aligned to the clock. Raises InvalidTrigger."""
    given = period.total_seconds() if isinstance(period, timedelta) else period
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0.1 <= given <= 366 * 86_400:
        raise InvalidTrigger(show(period), "a period is 0.1 s to a year")
    return Every(float(given))


@dataclass(frozen=True, slots=True)
class Plan:
    """A warm-up with a trigger. `entries` gives the handles to load, each time it is run."""

    name: str
    trigger: Trigger
    entries: Callable[[], Iterable[Any]]
    rate_per_s: float | None
    about: str


def read_rate(plan: str, rate: str | float | None) -> float | None:
    """Loads per second: 50, "50/s", "600/m", None for as fast as the workers go. Raises InvalidOption."""
    if rate is None:
        return None
    expected = 'loads per second: a number above 0, or a text such as "50/s" or "600/m"'
    if isinstance(rate, str):
        match = _RATE.fullmatch(rate.replace(" ", ""))
        if match is None:
            raise InvalidOption(plan, "rate", show(rate), expected)
        value = float(match[1]) / {"s": 1, "m": 60, "h": 3600}[match[2]]
    elif isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise InvalidOption(plan, "rate", show(rate), expected)
    else:
        value = float(rate)
    if not 0 < value < 1e6:
        raise InvalidOption(plan, "rate", show(rate), expected)
    return value
