"""What a worker says of the tasks of queries: one line each, with the call and what became of it.

Celery's own two lines have a task's id, and not which entry it was about.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from warmer.namespace import Warmer

_RECEIVED, _ENDED = "celery.worker.strategy", "celery.app.trace"


class TaskLines(logging.Filter):
    """Rewrites the records of our tasks; those of other tasks of an application stay as they are."""

    def __init__(self, queries: Collection[str]) -> None:
        super().__init__()
        self._queries = queries

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be logged."""
        told = record.args
        if not isinstance(told, Mapping) or told.get("name") not in self._queries:
            return True
        if record.name == _RECEIVED:
            return record.levelno > logging.INFO
        if "return_value" in told:
            outcome, took_ms = str(told["return_value"]).strip("'\""), 1000 * _seconds(told["runtime"])
            record.msg, record.args = "%s: %s, %.0f ms", (told["args"], outcome, took_ms)
        elif record.levelno == logging.INFO and "exc" in told:
            # The load's own traceback has been logged by whoever ran it.
            record.msg, record.args = "%s: failed", (told["args"],)
        return True


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def watch(namespace: Warmer) -> None:
    """Have this process's worker speak so of the queries of a namespace, those to come included."""
    lines = TaskLines(namespace.readings.keys())
    for name in (_RECEIVED, _ENDED):
        logging.getLogger(name).addFilter(lines)
