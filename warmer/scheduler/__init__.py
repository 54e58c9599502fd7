"""The APScheduler process: sweeps what is due, fires plans, reaps what was abandoned."""

from __future__ import annotations
