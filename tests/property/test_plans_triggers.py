"""Cron compared with crontab's rules applied to every minute, around changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from warmer import cron, every

MINUTE = timedelta(minutes=1)
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe")
CHANGES = ("2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25", "2026-04-05", "2026-10-04", "2026-06-15")
Field = tuple[str, frozenset[int]]
RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}


def _field(name: str) -> st.SearchStrategy[Field]:
    """A field as it is written, and the values that it means."""
    low, high = RANGES[name]
    last = 6 if name == "weekday" else high  # of a star: Sunday once

    def star(step: int) -> Field:
        return f"*/{step}" if step > 1 else "*", frozenset(range(low, last + 1, step))

    def one(value: int) -> Field:
        return str(value), frozenset({value})

    def span(ends: tuple[int, int], step: int) -> Field:
        first, end = sorted(ends)
        if end - first < step:  # APScheduler refuses a step that leads nowhere
            return f"{first}-{end}", frozenset(range(first, end + 1))
        return f"{first}-{end}/{step}", frozenset(range(first, end + 1, step))

    def several(parts: list[Field]) -> Field:
        values = frozenset(value for _, some in parts for value in some)
        return ",".join(written for written, _ in parts), values

    value = st.integers(low, high)
    parts = st.builds(one, value) | st.builds(span, st.tuples(value, value), st.integers(1, 5))
    return st.builds(star, st.integers(1, 7)) | st.lists(parts, min_size=1, max_size=3).map(several)


Line = tuple[Field, ...]
ANY: Field = ("*", frozenset(range(32)))
LINES: st.SearchStrategy[Line] = st.tuples(
    _field("minute"),
    _field("hour"),
    st.just(ANY) | _field("day"),
    st.just(ANY),
    st.just(ANY) | _field("weekday"),
)


def _fits(line: Line, wall: datetime) -> bool:
    minute, hour, day, month, weekday = line
    by_day, by_weekday = wall.day in day[1], wall.isoweekday() % 7 in {n % 7 for n in weekday[1]}
    either = day[0][0] != "*" and weekday[0][0] != "*"
    fits_day = by_day or by_weekday if either else by_day and by_weekday
    return wall.minute in minute[1] and wall.hour in hour[1] and wall.month in month[1] and fits_day


def _expected(line: Line, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The minutes of the wall's clock that fit: skipped ones where they land, repeated ones by the hour."""
    found = set()
    wall = start.astimezone(zone).replace(tzinfo=None, second=0) - timedelta(hours=4)
    for _ in range(int((end - start + timedelta(hours=8)) / MINUTE)):
        if _fits(line, wall):
            found.add(wall.replace(tzinfo=zone).astimezone(UTC))
            again = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
            if line[1][0][0] == "*" and again.astimezone(zone).replace(tzinfo=None) == wall:
                found.add(again)
        wall += MINUTE
    return sorted(at for at in found if start < at <= end)


@settings(max_examples=60)
@given(line=LINES, zone=st.sampled_from(ZONES), day=st.sampled_from(CHANGES), minutes=st.integers(0, 1440))
def test_cron_fires_as_crontab_does(line: Line, zone: str, day: str, minutes: int) -> None:
    """Around any change of clocks, a line fires at the minutes that fit, seen from before and from after."""
    text = " ".join(written for written, _ in line)
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=14) + minutes * MINUTE
    end = start + timedelta(hours=20)
    expected = _expected(line, ZoneInfo(zone), start, end)
    trigger = cron(text, timezone=zone)

    found: list[datetime] = []
    at = trigger.next_after(start)
    while at is not None and at <= end and len(found) <= 40:
        found.append(at)
        at = trigger.next_after(at)

    assert found[:40] == expected[:40]
    for firing in found[-1:]:
        assert trigger.last_before(firing) == trigger.last_before(firing + timedelta(seconds=59)) == firing


@given(
    period_s=st.floats(0.1, 366 * 86_400),
    at=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
)
def test_every_moment_is_between_two_firings(period_s: float, at: datetime) -> None:
    """The last firing is at or before now, the next after it, and they are one period apart."""
    trigger = every(period_s)
    last, following = trigger.last_before(at), trigger.next_after(at)

    assert last is not None
    assert following is not None
    assert last <= at < following
    assert following - last == timedelta(microseconds=round(period_s * 1e6))
    assert trigger.last_before(following - timedelta(microseconds=1)) == last
    assert trigger.next_after(last) == following
