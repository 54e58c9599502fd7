"""Plans: when cron and every fire, across changes of clocks, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from warmer import cron, every
from warmer.errors import InvalidOption, InvalidTrigger
from warmer.plans import Trigger, read_rate

NEW_YORK = "America/New_York"


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _fires(trigger: Trigger, start: str, end: str) -> list[str]:
    """When it fires after `start` and up to `end`, in UTC."""
    found, at = [], trigger.next_after(_utc(start))
    while at is not None and at <= _utc(end):
        found.append(at.strftime("%m-%d %H:%M"))
        at = trigger.next_after(at)
    return found


# -- every


def test_a_period_is_aligned_to_the_clock() -> None:
    """Every scheduler sees the same firings, whenever it was started."""
    trigger = every(timedelta(minutes=15))

    assert _fires(trigger, "2026-03-01T00:07:09", "2026-03-01T01:00") == [
        "03-01 00:15",
        "03-01 00:30",
        "03-01 00:45",
        "03-01 01:00",
    ]


def test_a_firing_is_found_from_both_sides() -> None:
    """A firing comes after any time before it, and is the last at any time from it on."""
    trigger = every(0.3)
    at = trigger.next_after(_utc("2026-03-01T00:00:00.100001"))

    assert at is not None
    assert trigger.last_before(at) == at
    assert trigger.last_before(at - timedelta(microseconds=1)) == at - timedelta(seconds=0.3)
    assert trigger.next_after(at) == at + timedelta(seconds=0.3)


def test_a_trigger_reads_any_zone() -> None:
    """An instant is what counts, not the zone that it is written in."""
    there = timezone(timedelta(hours=-5))
    at = datetime(2026, 3, 1, 4, 30, tzinfo=there)

    assert every(3600).next_after(at) == _utc("2026-03-01T10:00")
    assert cron("0 5 * * *").next_after(at) == _utc("2026-03-02T05:00")


@pytest.mark.parametrize("period", [0, -1, 0.05, float("nan"), float("inf"), True, "1h", None, 400 * 86_400])
def test_a_period_that_is_none_is_refused(period: object) -> None:
    """A period is a number of seconds, or a timedelta, from a tenth of a second to a year."""
    with pytest.raises(InvalidTrigger, match="a period is"):
        every(period)  # type: ignore[arg-type]


# -- cron


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "SUN", "0-0", "7-7"])
def test_sunday_is_0_and_7_as_in_crontab(sunday: str) -> None:
    """Weekdays are counted as crontab does, not as APScheduler."""
    at = cron(f"0 5 * * {sunday}").next_after(_utc("2026-11-18T00:00"))

    assert at == _utc("2026-11-22T05:00")  # a Sunday


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("5-7", "Fri Sat Sun"),
        ("6-1", "Mon Sat Sun"),
        ("mon,wed", "Mon Wed"),
        ("*/2", "Tue Thu Sat Sun"),
        ("1/2", "Mon Wed Fri"),
        ("1-5/2", "Mon Wed Fri"),
        ("*", "Mon Tue Wed Thu Fri Sat Sun"),
    ],
)
def test_weekdays_in_lists_ranges_and_steps(field: str, days: str) -> None:
    """Lists, ranges over the week's end and steps mean what they mean in crontab."""
    trigger = cron(f"0 0 * * {field}")
    found, at = [], trigger.next_after(_utc("2026-11-15T12:00"))
    while at is not None and at < _utc("2026-11-22T12:00"):
        found.append(at.strftime("%a"))
        at = trigger.next_after(at)

    assert " ".join(found) == days


def test_a_day_and_a_weekday_are_alternatives() -> None:
    """As in crontab, a line that restricts both fires when either fits."""
    assert _fires(cron("0 0 13 * fri"), "2026-11-01T00:00", "2026-11-15T00:00") == [
        "11-06 00:00",
        "11-13 00:00",
    ]
    assert _fires(cron("0 0 2 * 6"), "2026-11-01T00:00", "2026-11-09T00:00") == ["11-02 00:00", "11-07 00:00"]


def test_times_are_utc_unless_a_zone_is_given() -> None:
    """A zone's own clock counts where one is named, its summer time included."""
    assert cron("0 5 * * *").next_after(_utc("2026-07-01T00:00")) == _utc("2026-07-01T05:00")
    assert cron("0 5 * * *", timezone=NEW_YORK).next_after(_utc("2026-07-01T00:00")) == _utc(
        "2026-07-01T09:00"
    )
    assert cron("0 5 * * *", timezone=NEW_YORK).next_after(_utc("2026-12-01T00:00")) == _utc(
        "2026-12-01T10:00"
    )


def test_a_time_that_a_change_of_clocks_skips_fires_where_it_lands() -> None:
    """02:30 does not exist on that day in spring: the plan runs at 03:30, once."""
    trigger = cron("30 2 * * *", timezone=NEW_YORK)

    assert _fires(trigger, "2026-03-07T00:00", "2026-03-10T00:00") == [
        "03-07 07:30",
        "03-08 07:30",  # 03:30 in New York
        "03-09 06:30",
    ]
    assert trigger.next_after(_utc("2026-03-08T07:10")) == _utc("2026-03-08T07:30")
    assert trigger.last_before(_utc("2026-03-08T07:40")) == _utc("2026-03-08T07:30")


def test_a_time_that_comes_twice_fires_once() -> None:
    """01:30 comes twice on that day in autumn: the plan runs at the first."""
    trigger = cron("30 1 * * *", timezone=NEW_YORK)

    assert _fires(trigger, "2026-10-31T12:00", "2026-11-02T12:00") == ["11-01 05:30", "11-02 06:30"]
    assert trigger.last_before(_utc("2026-11-01T06:45")) == _utc("2026-11-01T05:30")


def test_skipped_times_and_others_fire_in_order() -> None:
    """Where clocks change by half an hour, what lands falls between what is there anyway."""
    fires = _fires(
        cron("*/7 * * * *", timezone="Australia/Lord_Howe"), "2026-10-03T15:26", "2026-10-03T16:00"
    )

    assert " ".join(at[6:] for at in fires) == "15:30 15:35 15:37 15:42 15:44 15:49 15:51 15:56 15:58 16:00"


def test_a_plan_of_every_hour_fires_in_the_hour_that_comes_twice() -> None:
    """An hour that is a star has as many hours as the day has."""
    trigger = cron("30 * * * *", timezone=NEW_YORK)

    assert _fires(trigger, "2026-11-01T05:00", "2026-11-01T08:00") == [
        "11-01 05:30",
        "11-01 06:30",
        "11-01 07:30",
    ]


def test_the_last_firing_is_found_for_a_week_back() -> None:
    """A weekly plan's last firing is known the whole week; of a rarer one, only in the week after it."""
    weekly, yearly = cron("0 5 * * mon"), cron("0 0 1 1 *")

    assert weekly.last_before(_utc("2026-11-22T04:59")) == _utc("2026-11-16T05:00")
    assert yearly.last_before(_utc("2026-01-05T00:00")) == _utc("2026-01-01T00:00")
    assert yearly.last_before(_utc("2026-03-01T00:00")) is None


def test_a_29_february_fires_in_leap_years() -> None:
    """A day that only some years have is no mistake."""
    assert cron("0 0 29 2 *").next_after(_utc("2026-01-01T00:00")) == _utc("2028-02-29T00:00")


@pytest.mark.parametrize(
    "line",
    [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
        "* * * * 8", "* * * * -1", "* * * * 1-9", "* * * * mun", "* * * * 1,,2", "* * * * */0",
        "* * * * 1-5/-1", "5-1 * * * *", "*/0 * * * *", "@daily", "0 0 30 2 *", "0 0 31 4,6 *", "٣ * * * *",
        None, 5,
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_refused(line: object) -> None:
    """What crontab would refuse, and what never fires, is an error where the plan is declared."""
    with pytest.raises(InvalidTrigger):
        cron(line)  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", ["", "New York", "America/Nowhere", "../../etc/passwd", None, 5])
def test_a_zone_that_is_none_is_refused(zone: object) -> None:
    """A zone is one of the IANA database."""
    with pytest.raises(InvalidTrigger, match="IANA"):
        cron("0 5 * * *", timezone=zone)  # type: ignore[arg-type]


def test_a_trigger_is_shown_as_it_was_written() -> None:
    """`warmer plans` shows the words of the code."""
    assert str(cron("0  5 * * MON", timezone=NEW_YORK)) == "cron 0 5 * * MON America/New_York"
    assert str(cron("*/5 * * * *")) == "cron */5 * * * *"
    assert str(every(timedelta(hours=1))) == "every 3600 s"


def test_triggers_with_the_same_words_are_equal() -> None:
    """A trigger is a value: it can be compared, and used as a key."""
    assert cron("0 5 * * *") == cron(" 0 5 * * * ")
    assert len({every(60), every(60.0), every(timedelta(minutes=1))}) == 1


# -- rates


@pytest.mark.parametrize(
    ("written", "per_s"),
    [(None, None), (50, 50.0), ("50/s", 50.0), ("600 / m", 10.0), ("1800/h", 0.5), (0.5, 0.5)],
)
def test_a_rate_is_loads_a_second(written: str | float | None, per_s: float | None) -> None:
    """A rate is a number, or a text with its unit; none is no bound."""
    assert read_rate("morning", written) == per_s


@pytest.mark.parametrize(
    "rate", [0, -1, "0/s", "fast", "50", "50/d", True, float("nan"), float("inf"), "1e9/s"]
)
def test_a_rate_that_is_none_is_refused(rate: object) -> None:
    """A rate that would stop the plan, or can't be read, is an error where the plan is declared."""
    with pytest.raises(InvalidOption, match="loads per second"):
        read_rate("morning", rate)  # type: ignore[arg-type]
