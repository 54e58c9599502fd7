"""What the scheduler does and when: the engine's own jobs, and the plans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from warmer.namespace import Warmer

#: Seconds between two looks of each of the engine's own jobs; the sweep's is a setting.
FIRINGS_EVERY_S, REVIVE_EVERY_S, REAP_EVERY_S = 5.0, 1.0, 1.0


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job of the scheduler, for people.

    kind: "plan" (this deployment's) or "engine". when: its trigger, as it was written. next: when it fires
    next (UTC); None for the engine's jobs, which run all the time, and for a plan that never fires again.
    rate: loads a second that a plan may ask for, None for no bound.
    """

    name: str
    kind: Literal["plan", "engine"]
    when: str
    next: datetime | None
    what: str
    rate: float | None = None


def jobs(namespace: Warmer, now: datetime | None = None) -> list[JobInfo]:
    """The plans of a namespace, then the engine's own jobs. Connects to nothing.

    now: the time from which `next` is counted, by default this machine's.
    """
    at = now or datetime.now(UTC)
    plans = [
        JobInfo(
            plan.name, "plan", str(plan.trigger), plan.trigger.next_after(at), plan.about, plan.rate_per_s
        )
        for plan in namespace.plans.values()
    ]
    return sorted(plans, key=lambda plan: (plan.next is None, plan.next, plan.name)) + _engine(namespace)


def _engine(namespace: Warmer) -> list[JobInfo]:
    sweep_s = namespace.settings.sweep_interval
    told = [
        (
            "sweep",
            sweep_s,
            "Claims entries that are due, what saves its readers most first, and sends them to workers.",
        ),
        (
            "runs",
            sweep_s,
            "Sends runs of plans that need a worker: new ones, and those whose worker has died.",
        ),
        ("firings", FIRINGS_EVERY_S, "Makes a run of what fired while no scheduler, or no Redis, was there."),
        ("revive", REVIVE_EVERY_S, "After a restart or failover of Redis, makes what is kept warm due anew."),
        (
            "relay",
            namespace.settings.relay_interval,
            "Applies changes of the database that their writers have left in the outbox.",
        ),
        (
            "reap",
            REAP_EVERY_S,
            "Clears away what nobody reads or waits for any more, and ends what invalidations have left.",
        ),
    ]
    if verify_s := namespace.settings.verify_interval:
        about = "Holds an entry, drawn by chance, against the database, and logs what differs."
        told.append(("verify", verify_s, about))
    return [JobInfo(name, "engine", f"every {period_s:g} s", None, what) for name, period_s, what in told]
