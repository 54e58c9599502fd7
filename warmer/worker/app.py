"""The Celery application of a namespace: one that is made for it, or one that the user has already.

One that is made is set up whole. An existing one is only given our tasks; every option that we need stands on
these, and nothing of its configuration is read or changed here: it may not be complete yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu.entity import Exchange, Queue

from warmer.core.keyspace import broker_prefix
from warmer.reading import Reading
from warmer.runs.task import add_run_task
from warmer.worker import lifetime, limits
from warmer.worker.tasks import add_task

if TYPE_CHECKING:
    from warmer.namespace import Warmer

#: Between 0 (first) and 9: what says no priority goes before some and after others.
MIDDLE_PRIORITY = 5


def build(namespace: Warmer) -> Any:
    """The application, with a task for each query (those to come included) and one that runs plans.

    Connects to nothing.
    """
    hosted = namespace.settings.celery is not None
    app = namespace.settings.celery if hosted else _make(namespace)
    lifetime.watch(app, namespace, hosted=hosted)
    add_run_task(app, namespace)

    def add(reading: Reading[Any]) -> None:
        add_task(app, namespace, reading)
        if not hosted:
            _make_room(app, namespace, reading)

    namespace.on_query(add)
    return app


def queue_named(name: str) -> Queue:
    """A queue as Celery declares one of this name by itself."""
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def _make(namespace: Warmer) -> Celery:
    settings = namespace.settings
    # Not current: another application of the process stays what `shared_task` and the like find.
    app = Celery(namespace.namespace, set_as_current=False)
    app.conf.update(
        broker_url=settings.broker_url,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # for ever; Celery's default gives up after 100
        broker_transport_options={
            "global_keyprefix": broker_prefix(namespace.namespace),
            "visibility_timeout": limits.visibility_s(0),
            # Defaults take up to 100 s beyond the timeout until a dead worker's messages are found.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # A half-open connection must not keep a scheduler's sweep or a worker for ever.
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "priority_steps": [0, 3, 6, 9],
        },
        task_default_queue=settings.queue,
        task_queues=[queue_named(settings.queue)],
        task_default_priority=MIDDLE_PRIORITY,
        task_queue_max_priority=9,
        task_serializer="json",
        result_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        worker_consumer="warmer.worker.consumer:SteadyConsumer",
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=30,  # a child that starts on a busy machine is not killed for being slow
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
        timezone="UTC",
    )
    return app


def _make_room(app: Celery, namespace: Warmer, reading: Reading[Any]) -> None:
    """Have workers take from the query's own queue, too, and the broker wait for its loads."""
    hard_limit_s = limits.hard_limit_s(reading.options, namespace.settings)
    transport = app.conf.broker_transport_options
    transport["visibility_timeout"] = max(transport["visibility_timeout"], limits.visibility_s(hard_limit_s))
    name = reading.options.queue
    if name and all(queue.name != name for queue in app.conf.task_queues):
        queue = queue_named(name)
        app.conf.task_queues.append(queue)
        if "queues" in vars(app.amqp):  # read already: a query that is declared late
            app.amqp.queues.add(queue)
