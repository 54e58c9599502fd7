"""Metrics for Prometheus: what this process has done, and how its namespace stands in Redis.

    from warmer.metrics import register
    register(flights)                       # on prometheus_client's own registry, which your /metrics serves

Importing this needs prometheus-client; nothing else of Warmer does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from warmer.errors import ServerError
from warmer.store.report import query_status

if TYPE_CHECKING:
    from warmer.namespace import Warmer


class NamespaceCollector(Collector):
    """Reads the counts of this process's runtime when it is scraped; `with_status` asks Redis, too."""

    def __init__(self, namespace: Warmer, *, with_status: bool = False) -> None:
        self._namespace = namespace
        self._with_status = with_status

    def collect(self) -> Iterator[Metric]:
        """One counter by event; with status, gauges by query."""
        name = self._namespace.namespace
        runtime = self._namespace.runtime()
        events = CounterMetricFamily(
            "warmer_events", "What this process has done, by event.", labels=["namespace", "event"]
        )
        for event, count in sorted(runtime.counts.snapshot().items()):
            events.add_metric([name, event], count)
        yield events
        away = GaugeMetricFamily(
            "warmer_redis_away", "Whether this process goes around Redis for now.", labels=["namespace"]
        )
        away.add_metric([name], float(runtime.store.connections.breaker.open))
        yield away
        if self._with_status:
            yield from self._status(name)

    def _status(self, name: str) -> Iterator[Metric]:
        entries = _gauge("warmer_entries", "Entries in the index.")
        kept = _gauge("warmer_entries_kept", "Entries that are kept warm.")
        due = _gauge("warmer_entries_due", "Entries that are due and not claimed yet.")
        overdue = _gauge("warmer_entries_overdue", "Entries that have been due for longer than a claim.")
        reachable = GaugeMetricFamily("warmer_redis_up", "Whether Redis answered.", labels=["namespace"])
        runtime = self._namespace.runtime()
        try:
            now = runtime.store.resync_now()
            for reading in self._namespace.readings.values():
                found, labels = query_status(runtime.store, reading, now), [name, reading.name]
                entries.add_metric(labels, found.entries)
                kept.add_metric(labels, found.kept)
                due.add_metric(labels, found.due)
                overdue.add_metric(labels, found.overdue)
        except ServerError:
            reachable.add_metric([name], 0)
        else:
            reachable.add_metric([name], 1)
        yield from (entries, kept, due, overdue, reachable)


def register(
    namespace: Warmer, registry: CollectorRegistry = REGISTRY, *, with_status: bool = False
) -> NamespaceCollector:
    """Export a namespace. Do it once a process, after a fork; `with_status` in one process of the fleet only.

    Raises ValueError when this namespace is registered there already.
    """
    collector = NamespaceCollector(namespace, with_status=with_status)
    registry.register(collector)
    return collector


def _gauge(name: str, about: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=["namespace", "query"])
