"""Runs: one execution of a plan, or of a warm-up by hand.

A run's entries are made due, so a run is done by whatever refreshes entries anyway: schedulers claim, workers
load. Nothing here imports Celery except `warmer.runs.task`, which workers and schedulers use.
"""

from __future__ import annotations

from warmer.runs.records import Failure
from warmer.runs.run import Progress, Run
from warmer.runs.start import RunInfo, find_run, recent, start_plan, start_run

__all__ = ["Failure", "Progress", "Run", "RunInfo", "find_run", "recent", "start_plan", "start_run"]
