"""The sweep: claim what is due, what saves its readers most first, and send it to the workers.

A claim is not a message. What is claimed and never settled (the message was lost, the worker died, this
process died between the two) is due again when the claim has passed, so nothing here needs to be undone
after a crash.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from warmer.core.pace import Soon
from warmer.errors import WarmerError
from warmer.runs.records import Records
from warmer.scheduler.conditions import Condition
from warmer.store.operations import Claim, Claimed, Store

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

Send = Callable[["Warmer", Sequence[Claim]], object]

# Two seconds of the workers' throughput, and enough at the start to see what they can do.
LEAST_OPEN, HORIZON_S, WINDOW_S = 16, 2.0, 5.0
# While nothing that was sent is done, this many claims at a time find out whether somebody works again.
PROBES = 2
# The script's own bound on one look: it holds the server for about a millisecond.
MOST_AT_ONCE = 400
# While the broker is away, one message a second finds out whether it is back.
RETRY_S = 1.0


def send_messages(namespace: Warmer, claims: Sequence[Claim]) -> object:
    """Send a message for each claim. Raises BrokerUnreachable. Imports Celery."""
    from warmer.worker.publish import enqueue

    return enqueue(namespace, claims)


def prepare(namespace: Warmer) -> None:
    """Import now what sending needs: the first messages must not look as if the queue were slow.

    Connects to nothing. Raises whatever a broker's URL that Celery can't read raises.
    """
    importlib.import_module("warmer.worker.publish")
    log.debug("messages go through %r", namespace.celery.connection_for_write().transport)


class Sweeper:
    """What one scheduler remembers between its sweeps."""

    def __init__(
        self, namespace: Warmer, scheduler: str, broker: Condition, send: Send = send_messages
    ) -> None:
        self._namespace, self._scheduler, self._broker, self._send = namespace, scheduler, broker, send
        self._workers = Condition("workers take what is sent")
        self._soon = Soon(LEAST_OPEN, HORIZON_S, WINDOW_S)
        self._open: dict[int, int] = {}
        self._settled: dict[int, int] = {}
        self._first = 0
        self._retry_at = 0.0
        self._moved_at = time.monotonic()

    def sweep(self) -> int:
        """Claim and send what is due, within what the workers will do soon; how many were sent.

        Raises ServerError about Redis; the next sweep makes up for it. A broker that is away is only noted:
        what was claimed is given back.
        """
        store, sent, ran_out = self._namespace.runtime().store, 0, 0
        store.check_shards()
        if not sum(self._open.values()):
            self._moved_at = time.monotonic()
        shards = store.settings.shards
        self._first = (self._first + 1) % shards  # each in turn is the first to use what room there is
        for shard in (*range(self._first, shards), *range(self._first)):
            claimed = self._claim(store, shard)
            ran_out += claimed.run_out
            if claimed.claims and self._sent(store, claimed.claims):
                sent += len(claimed.claims)
        self._look_at_workers(store, ran_out)
        return sent

    def _claim(self, store: Store, shard: int) -> Claimed:
        """Also when nothing may be claimed: by this, readers know that a scheduler is alive."""
        elsewhere = sum(self._open.values()) - self._open.get(shard, 0)
        may_be_open = (self._soon.most if self._workers.good else PROBES) - elsewhere
        versions = {name: reading.keys.version for name, reading in list(self._namespace.readings.items())}
        claimed = store.claim(shard, self._scheduler, self._most(), may_be_open, versions)
        self._open[shard], self._settled[shard] = claimed.open, claimed.settled
        return claimed

    def _most(self) -> int:
        """How many to claim from a shard: none while the broker is away, but one now and then to find out."""
        if self._broker.good:
            return MOST_AT_ONCE
        return 1 if time.monotonic() >= self._retry_at else 0

    def _sent(self, store: Store, claims: list[Claim]) -> bool:
        try:
            self._send(self._namespace, claims)
        except WarmerError as exc:
            self._retry_at = time.monotonic() + RETRY_S
            self._broker.failed(exc)
            self._open[claims[0].shard] -= len(claims)
            store.unclaim(claims)
            return False
        self._broker.worked()
        return True

    def _look_at_workers(self, store: Store, ran_out: int) -> None:
        """Measure what gets done, and notice when nothing does: the queue must not fill with hints then."""
        now_s, settled = time.monotonic(), sum(self._settled.values())
        idle_s, moved = now_s - self._moved_at, settled != self._soon.finished
        self._soon.note(now_s, settled)
        if moved:
            self._moved_at = now_s
            self._workers.worked()
        elif ran_out and idle_s > 2 * store.settings.claim and not Records(store).loading():
            self._workers.failed(
                f"nothing that was sent to the queue {store.settings.queue!r} was done in {idle_s:.0f} s; is "
                "a worker running (`warmer worker`)? What is due stays due"
            )
