"""Plans: a firing of a trigger makes one run, whichever scheduler sees it, and runs are sent to workers.

The trigger says when; Redis says whether that firing has made its run already. So every scheduler may look at
every plan as often as it likes, and one that was away looks again when it is back.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.triggers.base import BaseTrigger

from warmer.errors import WarmerError
from warmer.plans import Plan
from warmer.runs.records import Records
from warmer.scheduler.conditions import Condition

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

#: A firing that no scheduler saw in time still makes its run, if it is not longer ago than this: what is
#: warmed before the desks open is of use an hour later, and of little use in the afternoon.
CATCH_UP_US = 3_600_000_000
#: Looking a moment after the firing, so that by the server's clock it has come.
_LAG = timedelta(milliseconds=20)
#: When a trigger of somebody's own raises, it is asked again after this.
_ASK_AGAIN = timedelta(minutes=1)
_RUNS_AT_ONCE = 10


class Firings:
    """The plans of a namespace, as one scheduler sees them."""

    def __init__(self, namespace: Warmer, broker: Condition, send: Any = None) -> None:
        self._namespace, self._broker = namespace, broker
        self._send = send or _send_run

    def now(self) -> datetime:
        """The server's time: all schedulers go by it, whatever their own clocks say."""
        return datetime.now(UTC) + self.ahead()

    def ahead(self) -> timedelta:
        """How far the server's clock is ahead of this machine's."""
        return timedelta(microseconds=self._namespace.runtime().store.offset_us)

    def look(self, plan: Plan) -> None:
        """Make a run of the plan's last firing, unless there is one. Raises ServerError."""
        firing = plan.trigger.last_before(self.now())
        firing_us = 0 if firing is None else round(firing.timestamp() * 1e6)
        match self._records().fire(plan.name, firing_us, CATCH_UP_US):
            case "fired":
                log.info("the plan %s fires", plan.name)
            case "missed":
                log.warning(
                    "no scheduler saw the plan %s fire at %s; it is not made up for", plan.name, firing
                )
            case "early" | "known" | "new":
                return

    def look_at_all(self) -> None:
        """`look` at every plan: what fired while no scheduler, or no Redis, was there."""
        for plan in list(self._namespace.plans.values()):
            self.look(plan)

    def send_runs(self) -> int:
        """Send the runs that need a worker; how many. Raises ServerError about Redis."""
        if not self._broker.good:
            return 0  # the sweep finds out when it is back
        records = self._records()
        runs = records.claim(_RUNS_AT_ONCE)
        for at, run in enumerate(runs):
            try:
                self._send(self._namespace, run)
            except WarmerError as exc:
                self._broker.failed(exc)
                for unsent in runs[at:]:
                    records.unclaim(unsent, 0)
                return at
        return len(runs)

    def trigger_of(self, plan: Plan) -> PlanTrigger:
        """The plan's trigger as APScheduler takes it."""
        return PlanTrigger(plan, self)

    def _records(self) -> Records:
        return Records(self._namespace.runtime().store)


class PlanTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """A plan's trigger on this machine's clock, as APScheduler wants it, by what the server's clock says."""

    def __init__(self, plan: Plan, firings: Firings) -> None:
        self._plan, self._firings = plan, firings

    def __str__(self) -> str:
        """As it was written."""
        return str(self._plan.trigger)

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime | None:
        """The next firing, a moment late. A trigger that raises is asked again, and ends no other."""
        try:
            ahead = self._firings.ahead()
            firing = self._plan.trigger.next_after(now + ahead)
        except Exception:
            log.exception("the trigger of the plan %s failed", self._plan.name)
            return now + _ASK_AGAIN
        return None if firing is None else (firing - ahead + _LAG).astimezone(UTC)


def _send_run(namespace: Warmer, run: str) -> None:
    from warmer.runs.task import send_run

    send_run(namespace, run)
