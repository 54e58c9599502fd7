"""The application that is made for a namespace: JSON only, acknowledged late, one message at a time."""

from __future__ import annotations

import pytest

from warmer import Warmer
from warmer.worker import limits
from warmer.worker.publish import priority_on


@pytest.fixture
def flights() -> Warmer:
    """A namespace that is never connected."""
    return Warmer("flights", redis_url="redis://:secret@127.0.0.1:1/0")


def test_an_application_takes_and_sends_json_only(flights: Warmer) -> None:
    """Nothing that could hold code is ever taken from the broker."""
    conf = flights.celery.conf

    assert conf.accept_content == ["json"]
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}


def test_a_worker_takes_one_message_at_a_time(flights: Warmer) -> None:
    """No message waits in one worker while another is idle, and a lost worker's message is not lost."""
    flights.cached(ttl=60, name="q")(_number)
    task = flights.celery.tasks["q"]

    assert flights.celery.conf.worker_prefetch_multiplier == 1
    assert (task.acks_late, task.reject_on_worker_lost, task.retry_on_worker_lost) == (True, False, True)
    assert task.max_retries == 2
    assert task.ignore_result is True


def test_the_broker_is_waited_for(flights: Warmer) -> None:
    """A worker that loses its broker tries for ever."""
    conf = flights.celery.conf

    assert conf.broker_connection_retry_on_startup is True
    assert conf.broker_connection_max_retries is None


def test_the_broker_is_the_one_of_the_settings() -> None:
    """broker_url says where messages go, by default to the same Redis, under a prefix of the namespace's."""
    near, far = Warmer("near", redis_url="redis://h:1/3"), Warmer("far", broker_url="amqp://h")

    assert near.celery.conf.broker_url == "redis://h:1/3"
    assert near.celery.conf.broker_transport_options["global_keyprefix"] == "w:broker:near:"
    assert far.celery.conf.broker_url == "amqp://h"


def test_the_queue_is_the_one_of_the_settings() -> None:
    """Messages go to the queue that is named after the namespace, or to the one that a setting names."""
    plain, named = Warmer("plain"), Warmer("other", queue="slow-lane")

    assert plain.celery.conf.task_default_queue == "plain"
    assert [queue.name for queue in named.celery.conf.task_queues] == ["slow-lane"]


def test_a_query_may_name_a_queue_before_or_after_the_first_use(flights: Warmer) -> None:
    """A worker takes from every queue that a query names, once, whenever it is declared."""
    flights.cached(ttl=60, name="early", queue="wide")(_number)
    assert set(flights.celery.amqp.queues) == {"flights", "wide"}

    flights.cached(ttl=60, name="late", queue="wider")(_number)
    flights.cached(ttl=60, name="later", queue="wide")(_number)

    assert set(flights.celery.amqp.queues) == {"flights", "wide", "wider"}
    assert [queue.name for queue in flights.celery.conf.task_queues] == ["flights", "wide", "wider"]


def test_queries_are_tasks_with_their_docstrings(flights: Warmer) -> None:
    """A query is a task under its name, those declared later too, and says what its function says."""
    flights.cached(ttl=60, name="before")(_number)
    app = flights.celery
    flights.cached(ttl=60, name="after")(_number)

    assert {"before", "after"} <= set(app.tasks)
    assert app.tasks["after"].__doc__ == "A number."


@pytest.mark.parametrize("timeout", [0.5, 30, 600, 7200])
def test_limits_come_one_after_the_other(flights: Warmer, timeout: float) -> None:
    """A load's own timeout comes first, then the task's patience, then Celery's limits, then redelivery."""
    query = flights.cached(ttl=60, name="q", timeout=timeout)(_number)
    options, settings = query._reading.options, flights.settings
    app = flights.celery

    outcome_s, hard_s = limits.outcome_s(options, settings), limits.hard_limit_s(options, settings)

    assert timeout < outcome_s < limits.soft_limit_s(options, settings) < hard_s < timeout + 15
    assert app.tasks["q"].time_limit == hard_s
    assert app.conf.broker_transport_options["visibility_timeout"] >= max(3600, 2 * hard_s)


def test_a_lost_child_is_replaced_after_its_lease(flights: Warmer) -> None:
    """A message whose process died is tried again when the dead one's lease is over, and not before."""
    assert limits.lost_child_pause_s(flights.settings) > flights.settings.lease


@pytest.mark.parametrize(("driver", "first", "last"), [("redis", 0, 9), ("amqp", 9, 0), ("memory", 0, 9)])
def test_zero_is_the_first_priority_on_every_broker(driver: str, first: int, last: int) -> None:
    """Redis takes low numbers first and RabbitMQ high ones: 0 goes first on both."""
    assert (priority_on(driver, 0), priority_on(driver, 9)) == (first, last)


def _number(n: int) -> int:
    """A number."""
    return n
