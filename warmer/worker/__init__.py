"""The Celery side: the app, one task a query, and the message that names an entry."""

from __future__ import annotations
