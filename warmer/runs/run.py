"""A run as its maker sees it: how far it is, and waiting for its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from warmer.errors import NoScheduler, NoWorkers, PlanFailed, RunFailed, RunUnfinished
from warmer.runs.records import Failure, Records, RunRecord, RunState
from warmer.runtime.process import Runtime
from warmer.store.operations import Store

# A scheduler looks several times a second; one that has not for this long is not there.
SCHEDULER_AWAY_S = 5.0
# How long nothing may move, with nobody loading anything, until workers count as absent: several claims.
WORKERS_AWAY_S = 30.0
# Between two looks at a run: the first soon, because small runs take milliseconds.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    total: entries fed so far; it grows while a plan's generator runs. done, failed: of these, loaded anew and
    not loadable. seconds: since the run was made, until it ended. rate: entries settled a second. failures:
    the first few. hint: what to do when nothing moves, "" otherwise.
    """

    total: int
    done: int
    failed: int
    seconds: float
    rate: float
    failures: tuple[Failure, ...]
    state: RunState
    hint: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "skipped")


class Run:
    """One execution of a plan, or of a warm-up by hand. It goes on whether or not anybody looks."""

    def __init__(self, runtime: Runtime, run_id: str, title: str) -> None:
        self.id = run_id
        self.title = title
        self._runtime = runtime

    def __repr__(self) -> str:
        """Its id and what it is of."""
        return f"<run {self.id}: {self.title}>"

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not. Raises UnknownRun, ServerError."""
        return self._records().read(self.id).over

    def progress(self) -> Progress:
        """How far it is. Raises UnknownRun, ServerError."""
        records = self._records()
        record = records.read(self.id)
        idle_s = max(0.0, (self._store.now_us() - max(record.moved_at, record.created_at)) / 1e6)
        return progress_of(record, self._store.now_us(), _hint(self._absence(records, record, idle_s)))

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until it has ended; `timeout`: seconds, None for as long as it moves.

        Raises RunUnfinished when the time is up, NoScheduler or NoWorkers when nobody is there to do it (the
        run stays queued all the same), RunFailed when entries could not be warmed, PlanFailed when its plan
        raised.
        """
        started = time.monotonic()
        records, pause_s = self._records(), _FIRST_PAUSE_S
        while True:
            record = records.read(self.id)
            if record.over:
                return self._ended(record)
            waited_s = time.monotonic() - started
            if timeout is not None and waited_s >= timeout:
                raise RunUnfinished(self.id, record.counts.done, record.counts.total, waited_s)
            idle_s = min(waited_s, max(0.0, (self._store.now_us() - record.moved_at) / 1e6))
            absent = self._absence(records, record, idle_s)
            if absent is not None:
                raise absent
            left_s = pause_s if timeout is None else min(pause_s, timeout - waited_s)
            time.sleep(max(0.0, left_s))
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)

    def _ended(self, record: RunRecord) -> Progress:
        progress = progress_of(record, self._store.now_us())
        if record.error:
            raise PlanFailed(record.plan, self.id, record.counts.total, record.error)
        if record.counts.failed:
            first = next(
                (f"{f.query}({f.params}): {f.cause}" for f in record.failures), "its cause is not known"
            )
            raise RunFailed(self.id, record.counts.failed, record.counts.total, first)
        return progress

    def _absence(self, records: Records, record: RunRecord, idle_s: float) -> NoScheduler | NoWorkers | None:
        """Who is missing, if nothing has moved for `idle_s`."""
        settings = self._runtime.settings
        if record.over or idle_s < SCHEDULER_AWAY_S:
            return None
        seen_s = records.scheduler_seen_s()
        if seen_s is None or seen_s > max(SCHEDULER_AWAY_S, 10 * settings.sweep_interval):
            return NoScheduler(self._store.namespace, idle_s)
        if idle_s < max(WORKERS_AWAY_S, 3 * settings.claim) or records.loading():
            return None
        return NoWorkers(settings.queue, idle_s)

    @property
    def _store(self) -> Store:
        return self._runtime.store

    def _records(self) -> Records:
        return Records(self._store)


def progress_of(record: RunRecord, now_us: float, hint: str = "") -> Progress:
    """What a record says about its run's progress at server time `now_us`."""
    counts = record.counts
    seconds = max(0.0, ((record.moved_at if record.over else now_us) - record.created_at) / 1e6)
    settled = counts.done + counts.failed
    return Progress(
        total=counts.total,
        done=counts.done,
        failed=counts.failed,
        seconds=seconds,
        rate=settled / seconds if seconds > 0 else 0.0,
        failures=record.failures,
        state=record.state,
        hint=hint,
    )


def _hint(absent: NoScheduler | NoWorkers | None) -> str:
    match absent:
        case NoScheduler():
            return "no scheduler is alive: start one with `warmer scheduler` or `warmer up`"
        case NoWorkers():
            return f"no worker takes from the queue {absent.queue!r}: start one with `warmer worker`"
        case None:
            return ""
