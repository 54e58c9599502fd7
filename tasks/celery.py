"""Where ``celery -A tasks worker``, ``inspect`` and ``flower`` find the application."""

from __future__ import annotations

from tasks import flights

__all__ = ["app"]

app = flights.celery
