"""Sending claims as messages: all in one batch, and no waiting for a broker that is away."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from kombu.exceptions import KombuError

from warmer.core.members import split_member
from warmer.errors import BrokerUnreachable, KeyDigested, NotAKey, UnknownQuery, did_you_mean
from warmer.store.operations import Claim
from warmer.worker.app import MIDDLE_PRIORITY, queue_named
from warmer.worker.message import HEADER, Message, shown_call

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

#: Messages in one write. A write that fails leaves so many uncertain at most, and a second copy does no harm.
BATCH = 500
#: Kombu would connect again and again for ever, and a sweep would wait. What can't be sent now is sent later.
_IMPATIENT = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
    "socket_timeout": 3,
    "socket_connect_timeout": 3,
}


class _Addressed(NamedTuple):
    task: str
    call: str
    message: Message
    queue: str
    priority: int | None


def enqueue(namespace: Warmer, claims: Sequence[Claim]) -> int:
    """Send a message for each claim, to its query's queue; how many were sent.

    A claim that can't be told, as its key is a digest and its params are gone, is left out with a line in the
    log. Raises UnknownQuery before anything is sent, and BrokerUnreachable when not all could be sent: then
    some of them may have been, and all may be claimed and sent again.
    """
    letters = list(_addressed(namespace, claims))
    if letters:
        _sender_of(namespace).send(letters)
    return len(letters)


def disconnect(namespace: Warmer) -> None:
    """Close this process's connection to the broker; the next message opens one."""
    with _senders_lock:
        sender = _senders.pop(namespace, None)
    if sender is not None and sender.pid == os.getpid():
        sender.close()


def _addressed(namespace: Warmer, claims: Sequence[Claim]) -> Iterator[_Addressed]:
    sent_us = namespace.runtime().store.now_us()
    for claim in claims:
        try:
            query = split_member(claim.member)[0]
            message = Message.of(claim, sent_us)
        except (NotAKey, KeyDigested) as exc:
            log.warning("a due entry can't be refreshed: %s", exc)
            continue
        reading = namespace.readings.get(query)
        if reading is None:
            known = tuple(sorted(namespace.readings))
            raise UnknownQuery(query, known, did_you_mean(query, known))
        options = reading.options
        queue = options.queue or namespace.settings.queue
        yield _Addressed(query, shown_call(reading, message.params), message, queue, options.priority)


class _Sender:
    """A namespace's own connection to the broker: what it needs of one does not touch an application's."""

    def __init__(self, namespace: Warmer) -> None:
        self.pid = os.getpid()
        self._app = namespace.celery
        self._hosted = namespace.settings.celery is not None
        self._lock = threading.Lock()
        self._connection: Any = None

    def send(self, letters: Sequence[_Addressed]) -> None:
        """Send them all; a connection that was cut meanwhile is made anew. Raises BrokerUnreachable."""
        with self._lock:
            used_before = self._connection is not None
            try:
                self._send(letters)
            except self._failures() as exc:
                self._drop()
                if not used_before:
                    raise self._unreachable(exc) from exc
                try:
                    self._send(letters)
                except self._failures() as again:
                    self._drop()
                    raise self._unreachable(again) from again

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._drop()

    def _send(self, letters: Sequence[_Addressed]) -> None:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
            self._connection.transport_options = {**self._connection.transport_options, **_IMPATIENT}
        producer = self._app.amqp.Producer(self._connection, auto_declare=False)
        batch = getattr(producer, "batch", None)  # since kombu 5.7
        with batch(max_size=BATCH) if batch is not None else nullcontext():
            for letter in letters:
                self._send_one(producer, letter)

    def _send_one(self, producer: Any, letter: _Addressed) -> None:
        priority = self._priority(letter.priority)
        self._app.send_task(
            letter.task,
            [letter.call],
            producer=producer,
            argsrepr=letter.call,
            kwargsrepr="",
            headers={HEADER: letter.message.plain()},
            queue=self._queue(letter.queue),
            serializer="json",
            ignore_result=True,
            retry=False,
            **({} if priority is None else {"priority": priority}),
        )

    def _queue(self, name: str) -> Any:
        try:
            return self._app.amqp.queues[name]
        except KeyError:  # an application that makes no queues but those it lists
            return queue_named(name)

    def _priority(self, wished: int | None) -> int | None:
        if wished is None and self._hosted:
            return None
        driver = self._connection.transport.driver_type
        return priority_on(driver, MIDDLE_PRIORITY if wished is None else wished)

    def _failures(self) -> tuple[type[BaseException], ...]:
        known = (KombuError, OSError)
        if self._connection is None:
            return known
        return (*known, *self._connection.connection_errors, *self._connection.channel_errors)

    def _unreachable(self, exc: BaseException) -> BrokerUnreachable:
        root = exc.__cause__ or exc
        return BrokerUnreachable(self._app.connection_for_write().as_uri(), f"{type(root).__name__}: {root}")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()


def priority_on(driver: str, wished: int) -> int:
    """Our 0 (first) to 9 as the broker counts: RabbitMQ takes the highest number first, others the lowest."""
    return 9 - wished if driver == "amqp" else wished


_senders: WeakKeyDictionary[Warmer, _Sender] = WeakKeyDictionary()
_senders_lock = threading.Lock()


def _sender_of(namespace: Warmer) -> _Sender:
    with _senders_lock:
        sender = _senders.get(namespace)
        if sender is None or sender.pid != os.getpid():
            sender = _senders[namespace] = _Sender(namespace)
        return sender
