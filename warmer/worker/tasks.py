"""The tasks: one a query, under its name. A task reads its message, has the entry loaded, names the outcome.

Deliberately absent: retries of failed loads, countdowns, results. What went wrong is due again by itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import SoftTimeLimitExceeded

from warmer.core.header import Header
from warmer.core.keys import EntryKey
from warmer.errors import KeyDigested, LoadFailed, LoadTimeout, NotAKey, NotAMessage, WarmerError
from warmer.reading import Reading
from warmer.runtime.contract import MASKED, Outcome, Reader
from warmer.runtime.process import Runtime
from warmer.worker import lifetime, limits
from warmer.worker.message import HEADER, Message

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

#: When a load kills its process (out of memory, a crash in C), its message is tried again so often only.
LOST_CHILD_RETRIES: Final = 2

#: What a task returns, by what became of its message; Flower shows it.
OUTCOMES: Final = {
    "loaded": "loaded",
    "refused": "loaded, not stored",
    "committed": "committed already",
    "handed": "committed already",
    "busy": "busy: loaded elsewhere",
    "soon": "too soon: min_interval",
    "barred": "put off: a transaction changes it",
    "other_release": "nothing: sent by a later release",
    "other_version": "nothing: of another version of the query",
    "other_shard": "nothing: of another number of shards",
}


def options_of(reading: Reading[Any], namespace: Warmer) -> dict[str, Any]:
    """The options of a query's task; its queue and priority are said where a message is sent."""
    options, settings = reading.options, namespace.settings
    ours = {
        "serializer": "json",
        "ignore_result": True,
        "time_limit": limits.hard_limit_s(options, settings),
        "acks_late": True,
        "reject_on_worker_lost": False,
        "retry_on_worker_lost": True,
        "max_retries": LOST_CHILD_RETRIES,
        "default_retry_delay": limits.lost_child_pause_s(settings),
        "throws": (WarmerError,),
    }
    if settings.celery is None:
        return ours
    # Celery's own defaults, said on the task: an existing application may have others.
    return ours | {
        "soft_time_limit": limits.soft_limit_s(options, settings),
        "rate_limit": 0,
        "acks_on_failure_or_timeout": True,
        "acks_on_failure": True,
        "acks_on_timeout": True,
        "store_errors_even_if_ignored": False,
    }


def add_task(app: Any, namespace: Warmer, reading: Reading[Any]) -> None:
    """Give the application a task for the query. One that it has under this name already is left as it is."""
    name = reading.name

    def run(task: Any, _call: str = "") -> str:
        return refresh(namespace, name, task.request.get(HEADER))

    run.__doc__ = reading.fn.__doc__
    # `shared`: or else every other application of the process would get the task, too.
    app.task(name=name, bind=True, shared=False, **options_of(reading, namespace))(run)


def refresh(namespace: Warmer, name: str, said: object) -> str:
    """Act on one message: load its entry unless that has been done since. Returns one of OUTCOMES.

    Raises NotAMessage, and what the load raised, without its cause: whoever sees the worker sees the error.
    """
    reading, runtime = namespace.readings[name], namespace.runtime()
    message = Message.read(name, said)
    if message is None:
        return _nothing(runtime, "other_release")
    entry, params = _entry_of(reading, message)
    if entry.version != reading.keys.version:
        return _nothing(runtime, "other_version")
    if entry.shard != message.shard:
        return _nothing(runtime, "other_shard")
    wait_us = max(0, int(runtime.store.now_us()) - message.due)
    reader = Reader(newer_than=message.claim, servable=False, waits=False, wait_us=wait_us)
    outcome = _outcome(runtime, reading, entry, params, reader)
    runtime.counts.add(f"messages_{outcome.kind}")
    if outcome.error is not None:
        raise _told(reading, entry, outcome.error) from None
    if outcome.kind == "loaded" and _unstored(outcome):
        return OUTCOMES["refused"]
    return OUTCOMES[outcome.kind]


def _nothing(runtime: Runtime, why: str) -> str:
    runtime.counts.add(f"messages_{why}")
    return OUTCOMES[why]


def _entry_of(reading: Reading[Any], message: Message) -> tuple[EntryKey, dict[str, Any]]:
    """The entry, and its params where this process has the version that they belong to."""
    try:
        entry = reading.keys.from_member(message.member, message.params)
        known = entry.version == reading.keys.version
        return entry, reading.keys.params_of(entry.params) if known else {}
    except (NotAKey, KeyDigested) as exc:
        raise NotAMessage(reading.name, MASKED if reading.is_private else str(exc)) from None


def _outcome(
    runtime: Runtime, reading: Reading[Any], entry: EntryKey, params: dict[str, Any], reader: Reader
) -> Outcome:
    """What became of the load; a runtime that says nothing counts as a load that took too long."""
    future = runtime.join(reading, entry, params, reader)
    try:
        outcome = future.result(limits.outcome_s(reading.options, runtime.settings))
    except NotInTime:
        outcome = Outcome("failed", error=LoadTimeout(reading.name, entry.params, reading.options.timeout_s))
    if isinstance(outcome.error, LoadTimeout) and lifetime.in_pool_child():
        _stay_with_what_hangs(reading, runtime)
    return outcome


def _stay_with_what_hangs(reading: Reading[Any], runtime: Runtime) -> None:
    """Keep a pool's child process until its hung load ends, or Celery's hard limit ends both.

    Returning would leave the load's thread behind with its database connection, once more at every attempt,
    until the process has none left. The lease has ended; the next holder waits for nothing here.
    """
    hanging = [thread for thread in threading.enumerate() if thread.name == f"warmer-load-{reading.name}"]
    if not hanging:
        return
    limit_s = limits.hard_limit_s(reading.options, runtime.settings)
    log.warning(
        "a load of %s goes on after its timeout of %g s; unless it ends, its process is replaced at %d s",
        reading.name, reading.options.timeout_s, limit_s,
    )  # fmt: skip
    for thread in hanging:
        while thread.is_alive():
            # An application's own soft limit interrupts the wait, which the hard one is there to end.
            with contextlib.suppress(SoftTimeLimitExceeded):
                thread.join()


def _unstored(outcome: Outcome) -> bool:
    header = Header.read(outcome.blob)
    return header is not None and header.fresh_until == 0


def _told(reading: Reading[Any], entry: EntryKey, error: BaseException) -> WarmerError:
    """The error as it may be shown, without its cause: a new one, since others may raise the same object."""
    if isinstance(error, WarmerError) and not reading.is_private:
        return type(error)(*error.args)
    if isinstance(error, LoadTimeout):
        return LoadTimeout(reading.name, MASKED, error.timeout_s)
    if isinstance(error, LoadFailed):
        return LoadFailed(reading.name, MASKED, error.cause_class, MASKED, error.retry_in_s)
    params, text = (MASKED, MASKED) if reading.is_private else (entry.params, str(error))
    return LoadFailed(reading.name, params, type(error).__name__, text, 0.0)
