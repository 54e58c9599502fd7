"""The scheduler's process: APScheduler calls each job at its time; a signal ends it between two jobs.

APScheduler keeps nothing: what is due is in Redis, plans are in the code. A job that is late runs once, at
once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from warmer.core.keys import keyspace
from warmer.errors import RedisUnreachable, ServerError, ShardCountDiffers, TooManyConnections
from warmer.scheduler.conditions import Condition
from warmer.scheduler.firings import Firings
from warmer.scheduler.jobs import FIRINGS_EVERY_S, REAP_EVERY_S, REVIVE_EVERY_S
from warmer.scheduler.reap import Reaper
from warmer.scheduler.revive import Reviver
from warmer.scheduler.sweep import Send, Sweeper, prepare, send_messages
from warmer.verify import Audit

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.outbox.relay import Relay
    from warmer.outbox.waking import Waking

log = logging.getLogger("warmer")

#: One thread for each of the engine's jobs, and some for plans: what waits for a server holds up no other.
_THREADS = 8
#: How often the process looks whether a signal has told it to end.
_HEED_S = 0.2


def run(namespace: Warmer, *, stop: threading.Event | None = None) -> None:
    """Be a scheduler until SIGTERM or SIGINT, or until `stop` is set; then end what is under way, and return.

    Redis or the broker may be away, at the start, too: it goes on when they are back. Raises
    ShardCountDiffers, and whatever a wrong setting raises at the first use.
    """
    Scheduler(namespace, stop or threading.Event()).run()


class Scheduler:
    """One scheduler process of a namespace."""

    def __init__(self, namespace: Warmer, stop: threading.Event, send: Send = send_messages) -> None:
        """send: how a sweep's claims become messages."""
        self._namespace, self._stop = namespace, stop
        self.id = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self._redis = Condition("Redis answers")
        self._refused: dict[str, Condition] = {}
        broker = Condition("the broker takes messages")
        self._sweeper = Sweeper(namespace, self.id, broker, send)
        self._firings = Firings(namespace, broker)
        self._reviver, self._reaper = Reviver(namespace), Reaper(namespace)
        self._relay: Relay | None = None
        self._relaying = threading.Lock()
        self._waking: Waking | None = None
        self._fatal: BaseException | None = None
        self._told_to_end = False

    def run(self) -> None:
        """See `run` of this module."""
        runtime = self._namespace.runtime()
        self._heed_signals()
        prepare(self._namespace)
        timer = self._timer()
        timer.start()
        self._listen()
        plans, queries = len(self._namespace.plans), len(self._namespace.readings)
        log.info("scheduler %s: %d queries, %d plans", self.id, queries, plans)
        try:
            # With a timeout: when the kernel gives a signal to another thread, as it may after SIGCONT, this
            # one runs its handler only on waking by itself.
            while not self._told_to_end and not self._stop.wait(_HEED_S):
                continue
        finally:
            if self._waking is not None:
                self._waking.close()
            timer.shutdown(wait=True)
            self._leave()
            runtime.close()
        if self._fatal is not None:
            raise self._fatal

    def _timer(self) -> Any:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        # It warns each time a job is still running at its next time, which is every sweep while a server is
        # away.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        timer = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(_THREADS)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        sweep_s = self._namespace.settings.sweep_interval
        engine: list[tuple[str, float, Callable[[], object]]] = [
            ("sweep", sweep_s, self._sweeper.sweep),
            ("runs", sweep_s, self._firings.send_runs),
            ("firings", FIRINGS_EVERY_S, self._firings.look_at_all),
            ("revive", REVIVE_EVERY_S, self._reviver.step),
            ("reap", REAP_EVERY_S, self._reaper.step),
        ]
        if verify_s := self._namespace.settings.verify_interval:
            audit = Audit(self._namespace.runtime(), list(self._namespace.readings.values()))
            engine.append(("verify", verify_s, audit.step))
        for name, period_s, job in engine:
            guarded, now = partial(self._guarded, name, job), datetime.now(UTC)
            timer.add_job(guarded, "interval", seconds=period_s, id=name, next_run_time=now)
        self._add_relay(timer)
        for plan in self._namespace.plans.values():
            look = partial(self._guarded, f"plan {plan.name}", partial(self._firings.look, plan))
            timer.add_job(look, self._firings.trigger_of(plan), id=f"plan {plan.name}")
        return timer

    def _add_relay(self, timer: Any) -> None:
        timer.add_job(
            self._relay_turn, "interval", seconds=self._namespace.settings.relay_interval, id="relay"
        )

    def _relay_turn(self) -> None:
        """A turn of it that finds nothing says nothing about Redis."""
        self._guarded("relay", self._relay_step, asks_redis=False)

    def _relay_step(self) -> None:
        """Without a database that is known here there is no outbox, and SQLAlchemy is not needed."""
        with self._relaying:  # its time may come while it has been woken
            if self._relay is None and self._namespace.outbox.databases():
                from warmer.outbox.relay import Relay

                self._relay = Relay(self._namespace)
            if self._relay is not None:
                self._relay.step()

    def _listen(self) -> None:
        if self._namespace.outbox.databases():
            from warmer.outbox.waking import Waking

            self._waking = Waking(self._namespace, self._relay_turn)
            self._waking.start()

    def _guarded(self, name: str, job: Callable[[], object], *, asks_redis: bool = True) -> None:
        """One turn of a job. What is away is noted once; what is a fault is logged, and the job goes on.

        asks_redis: whether a turn that went well says that Redis answers.
        """
        refused = self._refused.setdefault(name, Condition(f"the job {name} works"))
        try:
            job()
        except ShardCountDiffers as exc:
            self._fatal = exc
            self._stop.set()
        except (RedisUnreachable, TooManyConnections) as exc:
            self._redis.failed(exc)
        except ServerError as exc:
            refused.failed(exc)
        except Exception:
            log.exception("the job %s failed; it is tried again at its next time", name)
        else:
            if asks_redis:
                self._redis.worked()
            refused.worked()

    def _leave(self) -> None:
        """Say that this scheduler is gone, so that nobody counts on it for the next seconds."""
        store = self._namespace.runtime().store
        try:
            for shard in range(store.settings.shards):
                store.command("ZREM", keyspace(store.namespace, shard).schedulers, self.id)
        except ServerError as exc:
            log.debug("could not take leave: %s", exc)

    def _heed_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # in somebody's own process, whose signals are its own
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def _end(self, *_: object) -> None:
        # Not through the event, whose lock the interrupted thread may hold.
        self._told_to_end = True
