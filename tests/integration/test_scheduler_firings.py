"""Firings: which of them make a run, whichever scheduler sees them, and how runs reach a worker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from warmer import Handle, Warmer, cron, every
from warmer.errors import BrokerUnreachable
from warmer.plans import Trigger
from warmer.runs import recent, start_plan
from warmer.runs.records import Records
from warmer.scheduler import jobs
from warmer.scheduler.conditions import Condition
from warmer.scheduler.firings import Firings
from warmer.testing import Clock


def _plan(flights: Warmer, trigger: Trigger, name: str = "morning") -> None:
    def nothing() -> Iterator[Handle[Any]]:
        """Warms nothing, at its time."""
        return iter(())

    flights.plan(trigger, rate="50/s", name=name)(nothing)


def _scheduler(flights: Warmer, send: Any = None) -> Firings:
    return Firings(flights, Condition("the broker takes messages"), send or (lambda *_: None))


def _runs(flights: Warmer) -> list[str]:
    return [info.title for info in recent(flights.runtime())]


def test_a_firing_makes_one_run_whichever_scheduler_sees_it(flights: Warmer, clock: Clock) -> None:
    """Three schedulers look again and again; there is one run a firing."""
    _plan(flights, every(60))
    schedulers = [_scheduler(flights) for _ in range(3)]
    for minute in range(4):
        for scheduler in schedulers * 2:
            scheduler.look_at_all()
        assert len(_runs(flights)) == minute
        clock.advance(60)


def test_a_new_plan_waits_for_its_next_firing(flights: Warmer, clock: Clock) -> None:
    """A deployment with a new plan does not run it for the past, however seldom it fires."""
    scheduler = _scheduler(flights)
    later = scheduler.now() + timedelta(days=20)
    _plan(flights, every(3600))
    _plan(flights, cron(f"0 0 {later.day} {later.month} *"), "yearly")

    scheduler.look_at_all()
    assert _runs(flights) == []
    clock.advance(later.replace(hour=0, minute=1) - scheduler.now())
    scheduler.look_at_all()

    assert sorted(_runs(flights)) == ["plan morning", "plan yearly"]


def test_what_fired_while_no_scheduler_was_there_runs_once(flights: Warmer, clock: Clock) -> None:
    """Of several missed firings, the last makes up for all."""
    _plan(flights, every(600))
    _scheduler(flights).look_at_all()
    clock.advance(3600)

    for scheduler in (_scheduler(flights), _scheduler(flights)):
        scheduler.look_at_all()

    assert _runs(flights) == ["plan morning"]


def test_what_was_missed_long_ago_is_not_made_up_for(
    flights: Warmer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The boards of the morning are not warmed in the afternoon; that it was missed is told once."""
    now = _scheduler(flights).now()
    _plan(flights, cron(f"{now.minute} {now.hour} * * *"))
    _scheduler(flights).look_at_all()
    clock.advance(timedelta(hours=25, minutes=2))

    for scheduler in (_scheduler(flights), _scheduler(flights)):
        scheduler.look_at_all()
        scheduler.look_at_all()

    assert _runs(flights) == []
    assert sum("not made up for" in record.getMessage() for record in caplog.records) == 1


def test_a_trigger_fires_by_the_servers_clock(flights: Warmer, clock: Clock) -> None:
    """A scheduler whose clock is wrong sets its own alarm by what the server's clock says."""
    clock.advance(86_400 * 10 + 17)
    _plan(flights, every(60))
    scheduler = _scheduler(flights)
    here = datetime.now(UTC)

    alarm = scheduler.trigger_of(flights.plans["morning"]).get_next_fire_time(None, here)

    assert alarm is not None
    there = alarm + timedelta(seconds=clock.ahead_s)
    assert timedelta(0) < alarm - here <= timedelta(seconds=61)
    assert there.timestamp() % 60 < 1


def test_a_trigger_of_ones_own_that_raises_ends_no_other(flights: Warmer) -> None:
    """It is asked again later; the other plans go on."""

    class Broken:
        def next_after(self, now: datetime) -> datetime:
            raise ValueError("no")

        def last_before(self, now: datetime) -> datetime:
            raise ValueError("no")

    _plan(flights, Broken(), "broken")
    scheduler, now = _scheduler(flights), datetime.now(UTC)

    assert scheduler.trigger_of(flights.plans["broken"]).get_next_fire_time(None, now) == now + timedelta(
        minutes=1
    )


def test_a_trigger_that_never_fires_again_has_no_alarm(flights: Warmer) -> None:
    """Its job ends; a plan may still be run by hand."""

    class Over:
        def next_after(self, now: datetime) -> None:
            return None

        def last_before(self, now: datetime) -> None:
            return None

    _plan(flights, Over())

    assert (
        _scheduler(flights).trigger_of(flights.plans["morning"]).get_next_fire_time(None, datetime.now(UTC))
        is None
    )
    assert [job.next for job in jobs(flights) if job.kind == "plan"] == [None]


def test_a_run_is_sent_once_a_claim(flights: Warmer, clock: Clock) -> None:
    """Two schedulers send one message; when nothing came of it, another."""
    sent: list[str] = []
    _plan(flights, every(3600))
    schedulers = [_scheduler(flights, lambda _, run: sent.append(run)) for _ in range(2)]
    run = start_plan(flights, "morning")

    for scheduler in schedulers * 2:
        scheduler.send_runs()
    assert sent == [run.id]
    clock.advance(flights.settings.claim)
    for scheduler in schedulers * 2:
        scheduler.send_runs()
    assert sent == [run.id] * 2


def test_a_run_that_can_not_be_sent_is_due_when_the_broker_is_back(flights: Warmer) -> None:
    """Nothing is lost, and nothing is tried while the sweep knows that the broker is away."""
    broker, sent = Condition("the broker takes messages"), []
    away = True

    def send(_flights: Warmer, run: str) -> None:
        if away:
            raise BrokerUnreachable("redis://127.0.0.1:1/0", "refused")
        sent.append(run)

    _plan(flights, every(3600))
    scheduler = Firings(flights, broker, send)
    run = start_plan(flights, "morning")

    assert (scheduler.send_runs(), scheduler.send_runs()) == (0, 0)
    assert not broker.good
    away = False
    broker.worked()
    assert scheduler.send_runs() == 1
    assert sent == [run.id]


def test_a_skipped_run_is_told_as_such(flights: Warmer, clock: Clock) -> None:
    """A run that never began before its plan's next firing is overtaken by that."""
    _plan(flights, every(60))
    scheduler = _scheduler(flights)
    for _ in range(3):
        scheduler.look_at_all()
        clock.advance(60)

    states = [info.progress.state for info in recent(flights.runtime())]

    assert states == ["waiting", "skipped"]
    assert Records(flights.runtime().store).claim(10) == [recent(flights.runtime())[0].id]


def test_jobs_are_the_plans_and_the_engines_own(flights: Warmer) -> None:
    """What `warmer plans` shows: what, when and next; nothing is connected to for it."""
    _plan(flights, cron("0 5 * * *", timezone="America/New_York"))
    _plan(flights, every(3600), "hourly")
    now = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

    listed = jobs(flights, now)

    hourly, morning, *engine = listed
    assert (hourly.name, hourly.when, hourly.next) == (
        "hourly",
        "every 3600 s",
        datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
    )
    assert (morning.when, morning.next) == (
        "cron 0 5 * * * America/New_York",
        datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
    )
    assert (morning.what, morning.rate) == ("Warms nothing, at its time.", 50.0)
    assert [job.name for job in engine] == ["sweep", "runs", "firings", "revive", "relay", "reap"]
    assert all(job.kind == "engine" and job.what and job.when.startswith("every ") for job in engine)
