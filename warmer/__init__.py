"""Warmer keeps the results of expensive SQL queries in Redis warm and right."""

from __future__ import annotations

__all__: list[str] = []
