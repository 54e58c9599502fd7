"""The Celery task that runs plans: what schedulers send for a run, and what a worker does with it.

The task only takes the run's lease and starts its generator on a thread, so a plan never occupies a place in
the pool: a worker that does one thing at a time does the entries that its own plan yields.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from celery import signals
from kombu.exceptions import KombuError

from warmer.errors import BrokerUnreachable, ServerError
from warmer.runs.drive import Drive, new_token
from warmer.runs.records import Records

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

# Kombu would connect again and again; a run that can't be sent now is due again by itself.
_ONE_RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
# It takes a lease and starts a thread. An application's own limits must not apply to it.
_SOFT_LIMIT_S, _HARD_LIMIT_S = 50, 60

_drives: list[Drive] = []
_lock = threading.Lock()


def task_name(namespace: str) -> str:
    """The name of the task that runs the plans of a namespace."""
    return f"warmer.run.{namespace}"


def add_run_task(app: Any, namespace: Warmer) -> None:
    """Give the application the task that runs the plans of this namespace."""

    def run(run_id: str) -> str:
        return run_plan(namespace, run_id)

    run.__doc__ = "Runs a plan's generator, beside the pool: see `warmer plans`."
    app.task(
        name=task_name(namespace.namespace), shared=False, serializer="json",
        ignore_result=True, acks_late=False, time_limit=_HARD_LIMIT_S, soft_time_limit=_SOFT_LIMIT_S,
    )(run)  # fmt: skip


def send_run(namespace: Warmer, run: str) -> None:
    """Send the message for a run to the namespace's queue. Raises BrokerUnreachable."""
    app = namespace.celery
    connection = app.connection_for_write()
    connection.transport_options = {**connection.transport_options, **_ONE_RETRY}
    known = (KombuError, OSError, RuntimeError)
    try:
        with connection:
            known = (*known, *connection.connection_errors, *connection.channel_errors)
            app.send_task(
                task_name(namespace.namespace), [run], queue=namespace.settings.queue, serializer="json",
                producer=app.amqp.Producer(connection), ignore_result=True, retry=False,
            )  # fmt: skip
    except known as exc:
        root = exc.__cause__ or exc
        raise BrokerUnreachable(connection.as_uri(), f"{type(root).__name__}: {root}") from exc


def run_plan(namespace: Warmer, run: str) -> str:
    """Take the lease of a run and start its generator on a thread of its own; returns what was done.

    "started" · "held" (it goes on elsewhere, or another run of its plan does) · "over" (nothing is left to
    be fed) · "unknown plan" (left to a worker of another release). Raises ServerError; the run is due again
    then.
    """
    records, token = Records(namespace.runtime().store), new_token()
    kind, name = records.take(run, token)
    if kind != "granted":
        return kind
    plan = namespace.plans.get(name)
    if plan is None:
        log.warning("this worker has no plan %r; its run %s is left to another", name, run)
        records.release(run, token, delay_us=round(namespace.settings.claim * 1e6))
        return "unknown plan"
    drive = Drive(namespace, run, token, plan)
    with _lock:
        _drives[:] = [known for known in _drives if not known.ended]
        _drives.append(drive)
    drive.start()
    return "started"


def _stop_drives(**_: object) -> None:
    """Hand the runs of this process to others before it ends."""
    with _lock:
        drives, _drives[:] = list(_drives), []
    for drive in drives:
        try:
            drive.stop()
        except ServerError as exc:
            log.info("the run %s goes on elsewhere when its lease has run out: %s", drive.run, exc)


for _signal in (signals.worker_process_shutdown, signals.worker_shutdown):
    _signal.connect(_stop_drives)
