"""Plans: warm-ups with a trigger. `cron` and `every` say when; a generator says what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from warmer.errors import InvalidOption, InvalidTrigger, show

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = ("minute", "hour", "day", "month", "day_of_week")
_WEEKDAY: Final = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-9]\d*))?", re.ASCII)
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")
#: How far back a trigger looks for its newest firing: a week, and a day for a change of clocks.
_LOOK_BACK: Final = timedelta(days=8)
#: Within this of a change of clocks, skipped and repeated times are looked for: no change is longer.
_AROUND_CHANGE: Final = timedelta(hours=4)


class Trigger(Protocol):
    """When a plan fires; equal on every scheduler, so that one firing is one run. Times are aware."""

    def __str__(self) -> str:
        """As it was written."""

    def last_before(self, now: datetime) -> datetime | None:
        """The newest time at or before `now` at which it fires; None: there was none in the last 8 days."""

    def next_after(self, now: datetime) -> datetime | None:
        """The first time after `now` at which it fires; None: it never does."""


@dataclass(frozen=True, slots=True)
class Every:
    """Fires at every multiple of `period_s` seconds since 1970, the same on every machine."""

    period_s: float

    def __str__(self) -> str:
        """As it was written."""
        return f"every {self.period_s:g} s"

    def last_before(self, now: datetime) -> datetime | None:
        """The newest multiple at or before `now`."""
        return self._multiple(now, 0)

    def next_after(self, now: datetime) -> datetime | None:
        """The first multiple after `now`."""
        return self._multiple(now, 1)

    def _multiple(self, now: datetime, more: int) -> datetime:
        # Whole microseconds: multiples of a float would not come out the same from both sides.
        period = timedelta(microseconds=round(self.period_s * 1e6))
        return _EPOCH + ((now - _EPOCH) // period + more) * period


@dataclass(frozen=True, slots=True)
class Cron:
    """A crontab line: minute hour day month weekday; Sunday is 0 (and 7). UTC unless a zone is given.

    As in crontab, a line that restricts both day and weekday fires when either fits. Where clocks change, a
    time that is skipped fires where it lands (02:30 at 03:30), and a time that comes twice fires once,
    unless the hour is a `*`: then the hours of the day are what they are.
    """

    line: str
    timezone: str = "UTC"

    def __str__(self) -> str:
        """As it was written."""
        return f"cron {self.line}" + ("" if self.timezone == "UTC" else f" {self.timezone}")

    def next_after(self, now: datetime) -> datetime | None:
        """The first time after `now`."""
        # By the clock on the wall, where a crontab line is plain, and from there to instants. Near a change
        # of clocks these may come in another order.
        zone, best = ZoneInfo(self.timezone), None
        wall = now.astimezone(zone).replace(tzinfo=None)
        if _offset(now - _AROUND_CHANGE, zone) != _offset(now + _AROUND_CHANGE, zone):
            wall -= _AROUND_CHANGE
        for fitting in self._walls(wall):
            first, second = (fitting.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            twice = second > first and self.line.split()[1].startswith("*")
            for at in (first, second) if twice else (first,):
                if at > now and (best is None or at < best):
                    best = at
            if first == second and first > now:
                break  # neither skipped nor repeated: whatever fits later is later
        return best

    def last_before(self, now: datetime) -> datetime | None:
        """The newest time at or before `now`, of the last 8 days."""
        # Looking forward from ever further back: crontab lines have no cheap way backwards.
        for back in (timedelta(minutes=2), timedelta(hours=1), timedelta(days=1), _LOOK_BACK):
            found, at = None, self.next_after(now - back - _MICROSECOND)
            while at is not None and at <= now:
                found, at = at, self.next_after(at)
            if found is not None:
                return found
        return None

    def _walls(self, begin: datetime) -> Iterator[datetime]:
        """What a clock on the wall shows when the line fits, from `begin` on; naive."""
        start = begin.replace(tzinfo=UTC)
        while True:
            fits = [trigger.get_next_fire_time(None, start) for trigger in _triggers(self.line)]
            if all(at is None for at in fits):
                return
            first: datetime = min(at for at in fits if at is not None)
            yield first.replace(tzinfo=None)
            start = first + _MICROSECOND


def _offset(at: datetime, zone: ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


@lru_cache(maxsize=256)
def _triggers(line: str, end: datetime | None = None) -> tuple[Any, ...]:
    """APScheduler's triggers for a crontab line, in UTC: two where either of day and weekday will do."""
    from apscheduler.triggers.cron import CronTrigger

    fields = dict(zip(_FIELDS, line.lower().split(), strict=True))
    either = fields["day"][0] != "*" and fields["day_of_week"][0] != "*"
    fields["day_of_week"] = _weekdays(fields["day_of_week"])
    kinds = [fields | {"day": "*"}, fields | {"day_of_week": "*"}] if either else [fields]
    return tuple(CronTrigger(timezone=UTC, end_date=end, **kind) for kind in kinds)


def _weekdays(field: str) -> str:
    """Crontab's weekdays (0 and 7 are Sunday) by name: APScheduler counts from Monday. Raises ValueError."""
    if field == "*":
        return field
    days: list[str] = []
    for part in field.split(","):
        match = _WEEKDAY.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no weekday")
        first, last, step = match["first"], match["last"], match["step"]
        low = 0 if first is None else _weekday(first)
        high = _weekday(last) if last else (6 if step or first is None else low)
        if high < low:
            high += 7
        days += [_DAYS[day % 7] for day in range(low, high + 1, int(step or 1))]
    return ",".join(dict.fromkeys(days))


def _weekday(text: str) -> int:
    if text in _DAYS:
        return _DAYS.index(text)
    if text.isdigit() and int(text) <= 7:
        return int(text)
    raise ValueError(f"{text!r} is no weekday: 0 to 7 (Sunday is 0 and 7), or sun to sat")


def cron(line: str, *, timezone: str = "UTC") -> Cron:
    """A trigger from a crontab line of five fields. Raises InvalidTrigger.

    timezone: an IANA name; its clock changes apply.
    """
    if not isinstance(line, str) or len(line.split()) != 5 or not line.isascii():
        raise InvalidTrigger(show(line), 'a crontab line has five fields, as in "0 5 * * *"')
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as exc:
        raise InvalidTrigger(show(timezone), 'a zone is an IANA name, as in "America/New_York"') from exc
    try:
        _check_fires(line)
    except ValueError as exc:
        raise InvalidTrigger(show(line), str(exc)) from exc
    return Cron(" ".join(line.split()), timezone)


def _check_fires(line: str) -> None:
    """Raises ValueError for what APScheduler can't read, and for a day that is in no month."""
    # Nine years hold a 29 February.
    first, last = datetime(2024, 1, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC)
    if any(trigger.get_next_fire_time(None, first) is None for trigger in _triggers(line, last)):
        raise ValueError("it never fires: no month has that day")


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
